import { Chance } from './chance.ts';

/** Something that goes wrong. A new kind joins by a row here and a question where it can strike. */
export interface FaultKind {
  readonly name: string;
  /** How often it strikes where it can, in a world that has it. */
  readonly likelihood: number;
}

export const FAULT_KINDS = [
  // The way to the gateway and back
  { name: 'connection refused', likelihood: 0.05 },
  { name: 'lost before the gateway did it', likelihood: 0.06 },
  { name: 'lost after the gateway did it', likelihood: 0.08 },
  { name: 'arrived after the time-out', likelihood: 0.03 },
  { name: 'slow answer', likelihood: 0.05 },
  { name: 'page of somebody else before the deed', likelihood: 0.03 },
  { name: 'page of somebody else after the deed', likelihood: 0.04 },
  { name: 'page of somebody else for hours', likelihood: 0.04 },
  // What the gateway answers
  { name: '429', likelihood: 0.05 },
  { name: '5xx before doing it that is stored under the key', likelihood: 0.03 },
  { name: '5xx after doing it that is stored under the key', likelihood: 0.04 },
  { name: 'unreadable answer', likelihood: 0.03 },
  { name: '401', likelihood: 0.01 },
  { name: 'look-up that lags', likelihood: 0.4 },
  { name: 'look-up that fails', likelihood: 0.1 },
  // What the gateway does
  { name: 'refused at once', likelihood: 0.06 },
  { name: 'refused time and again', likelihood: 0.15 },
  { name: 'failed after being accepted', likelihood: 0.08 },
  { name: 'success taken back', likelihood: 0.1 },
  { name: 'success after a failure', likelihood: 0.04 },
  { name: 'pending for ever', likelihood: 0.03 },
  { name: 'no balance', likelihood: 0.05 },
  { name: 'refund made behind our back', likelihood: 0.1 },
  { name: 'another amount is paid', likelihood: 0.02 },
  { name: 'another currency is paid', likelihood: 0.02 },
  // Webhooks
  { name: 'webhook lost', likelihood: 0.2 },
  { name: 'webhook doubled', likelihood: 0.15 },
  { name: 'webhook late and out of order', likelihood: 0.2 },
  { name: 'webhook before the answer', likelihood: 0.15 },
  { name: 'webhook forged', likelihood: 0.1 },
  { name: 'webhook secret changed at the gateway alone', likelihood: 0.05 },
  // Our own machines
  { name: 'connection broke before the statement', likelihood: 0.008 },
  { name: 'connection broke after the statement', likelihood: 0.008 },
  { name: 'connection broke in a transaction', likelihood: 0.004 },
  { name: 'process killed in a transaction', likelihood: 0.001 },
  { name: 'process killed before a step', likelihood: 0.002 },
  { name: 'process killed after a step', likelihood: 0.002 },
  { name: 'process stalled', likelihood: 0.003 },
  { name: 'told late what it has claimed', likelihood: 0.01 },
  { name: 'told late that a send was written', likelihood: 0.01 },
  { name: 'clock jumped', likelihood: 0.03 },
  { name: 'clocks apart', likelihood: 1 },
  { name: 'account switched off', likelihood: 0.04 },
  { name: 'credentials of another account', likelihood: 0.04 },
  { name: 'credentials wrong from the start', likelihood: 0.3 },
  // People and merchants
  { name: 'cancelled by a person', likelihood: 0.1 },
  { name: 'resolved by a person', likelihood: 0.5 },
  { name: 'resolved wrongly by a person', likelihood: 0.1 },
  { name: 'hold ended by a person', likelihood: 0.4 },
  { name: 'insisted against the gateway', likelihood: 0.5 },
  { name: 'confirmed by who proposed it', likelihood: 0.2 },
  { name: 'cancelled refund made at the gateway by hand', likelihood: 0.2 },
  { name: 'asked out of turn by a person', likelihood: 0.1 },
  { name: 'acted on by another merchant', likelihood: 0.05 },
  { name: 'asked again under the same id', likelihood: 0.2 },
  { name: 'asked again under a new id', likelihood: 0.5 },
  // People with files
  { name: 'file broken off', likelihood: 0.2 },
  { name: 'batch checked again', likelihood: 0.1 },
  { name: 'batch confirmed with other totals', likelihood: 0.1 },
  { name: 'batch approved by who confirmed it', likelihood: 0.2 },
  { name: 'batch approved too late', likelihood: 0.1 },
  { name: 'batch rejected', likelihood: 0.1 },
  { name: 'batch paused', likelihood: 0.1 },
  { name: 'batch cancelled', likelihood: 0.02 },
  { name: 'batch corrected', likelihood: 0.3 },
  { name: 'resolved by a file', likelihood: 0.3 },
  // The merchants' receivers of webhooks
  { name: 'message to a receiver lost', likelihood: 0.05 },
  { name: 'message to a receiver slow', likelihood: 0.15 },
  { name: 'receipt of a message lost', likelihood: 0.08 },
  { name: 'receiver answers 500', likelihood: 0.1 },
  { name: 'receiver slow', likelihood: 0.1 },
  { name: 'receiver gone for hours', likelihood: 0.05 },
  // All machines at once
  { name: 'books restored from a backup', likelihood: 0.5 },
  { name: 'books rolled back without a word', likelihood: 0.5 },
] as const satisfies readonly FaultKind[];

export type FaultName = (typeof FAULT_KINDS)[number]['name'];

/** Kinds that are dangerous together. In a world of a theme there are no others, and they strike more often. */
export const THEMES: readonly { readonly kinds: readonly FaultName[]; readonly intensity: number }[] = [
  {
    kinds: [
      'success taken back',
      'webhook lost',
      'webhook secret changed at the gateway alone',
      'resolved by a person',
      'resolved wrongly by a person',
      'insisted against the gateway',
      'confirmed by who proposed it',
      'resolved by a file',
      'pending for ever',
      'lost after the gateway did it',
    ],
    intensity: 3,
  },
  {
    kinds: [
      'cancelled by a person',
      'cancelled refund made at the gateway by hand',
      'asked again under a new id',
      'success after a failure',
      'another amount is paid',
      'another currency is paid',
      'no balance',
      'account switched off',
    ],
    intensity: 3,
  },
  {
    kinds: [
      'page of somebody else after the deed',
      'page of somebody else before the deed',
      'page of somebody else for hours',
      'webhook lost',
      'cancelled by a person',
      'asked again under a new id',
    ],
    intensity: 3,
  },
  {
    kinds: [
      'credentials of another account',
      'credentials wrong from the start',
      'lost after the gateway did it',
      'lost before the gateway did it',
      'webhook lost',
      'asked out of turn by a person',
    ],
    intensity: 4,
  },
  {
    kinds: [
      'lost after the gateway did it',
      'arrived after the time-out',
      'look-up that lags',
      'webhook lost',
      'asked out of turn by a person',
    ],
    intensity: 5,
  },
  {
    kinds: [
      '5xx before doing it that is stored under the key',
      '5xx after doing it that is stored under the key',
      'account switched off',
      'cancelled by a person',
      'connection refused',
    ],
    intensity: 3,
  },
  {
    kinds: ['told late that a send was written'],
    intensity: 20,
  },
  {
    kinds: [
      'webhook forged',
      'webhook lost',
      'lost before the gateway did it',
      'pending for ever',
      'failed after being accepted',
      'connection refused',
    ],
    intensity: 3,
  },
  {
    kinds: [
      'batch paused',
      'batch cancelled',
      'batch corrected',
      'batch checked again',
      'batch approved too late',
      'batch rejected',
      'file broken off',
      'connection broke in a transaction',
      'refused at once',
    ],
    intensity: 3,
  },
  {
    kinds: ['batch paused', 'batch cancelled', 'connection refused', 'account switched off', '429'],
    intensity: 5,
  },
  {
    kinds: ['batch paused', 'process stalled', 'told late what it has claimed'],
    intensity: 8,
  },
  {
    kinds: [
      'books restored from a backup',
      'lost after the gateway did it',
      'look-up that fails',
      'webhook lost',
      'success taken back',
      'refund made behind our back',
      'asked again under a new id',
    ],
    intensity: 3,
  },
  {
    kinds: [
      'books restored from a backup',
      'batch paused',
      'batch corrected',
      'batch approved too late',
      'account switched off',
      'connection refused',
    ],
    intensity: 3,
  },
  {
    kinds: [
      'books rolled back without a word',
      'hold ended by a person',
      'webhook late and out of order',
      'webhook doubled',
      'account switched off',
      'asked again under a new id',
    ],
    intensity: 3,
  },
  {
    kinds: [
      'message to a receiver slow',
      'receipt of a message lost',
      'receiver slow',
      'process stalled',
      'process killed after a step',
      'success taken back',
      'webhook before the answer',
      'clocks apart',
    ],
    intensity: 3,
  },
];

/** Which kinds a world has, and how much more often than usual they strike. */
export interface FaultMix {
  readonly kinds: ReadonlySet<string>;
  readonly intensity: number;
}

/** Some worlds have all faults, some none, most a handful or a theme: a fault shows more clearly where few others hide it. */
export function faultMixOf(seed: number): FaultMix {
  const chance = new Chance(seed ^ 0x5eed);
  if (chance.hit(0.5)) {
    const { kinds, intensity } = chance.pick(THEMES);
    return { kinds: new Set(kinds), intensity };
  }
  const share = chance.pick([0, 0.15, 0.15, 0.3, 0.3, 0.6, 1]);
  return {
    kinds: new Set(FAULT_KINDS.filter(() => chance.hit(share)).map(({ name }) => name)),
    intensity: 1,
  };
}

const LIKELIHOOD = Object.fromEntries(
  FAULT_KINDS.map(({ name, likelihood }) => [name, likelihood]),
) as Readonly<Record<FaultName, number>>;

/** The faults of one world. */
export class Faults {
  readonly counts = new Map<string, number>();
  readonly #chance: Chance;
  readonly #mix: FaultMix;
  #over = false;

  constructor(chance: Chance, mix: FaultMix) {
    this.#chance = chance;
    this.#mix = mix;
  }

  has(name: FaultName): boolean {
    return this.#mix.kinds.has(name);
  }

  get none(): boolean {
    return this.#mix.kinds.size === 0;
  }

  /** Whether it strikes now; counted when it does. */
  strikes(name: FaultName): boolean {
    if (this.#over || !this.#mix.kinds.has(name)) return false;
    if (!this.#chance.hit(LIKELIHOOD[name] * this.#mix.intensity)) return false;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    return true;
  }

  /** From here on all goes well, so that what was begun can end. */
  end(): void {
    this.#over = true;
  }
}

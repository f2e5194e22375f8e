import type { Chance } from './chance.ts';

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
  // What the gateway answers
  { name: '429', likelihood: 0.05 },
  { name: '5xx before doing it, stored under the key', likelihood: 0.03 },
  { name: '5xx after doing it, stored under the key', likelihood: 0.04 },
  { name: 'unreadable answer', likelihood: 0.03 },
  { name: '401', likelihood: 0.01 },
  { name: 'look-up that lags', likelihood: 0.4 },
  { name: 'look-up that fails', likelihood: 0.1 },
  // What the gateway does
  { name: 'refused at once', likelihood: 0.06 },
  { name: 'failed after being accepted', likelihood: 0.08 },
  { name: 'success taken back', likelihood: 0.1 },
  { name: 'success after a failure', likelihood: 0.04 },
  { name: 'pending for ever', likelihood: 0.03 },
  { name: 'no balance', likelihood: 0.05 },
  { name: 'refund made behind our back', likelihood: 0.1 },
  // Webhooks
  { name: 'webhook lost', likelihood: 0.2 },
  { name: 'webhook doubled', likelihood: 0.15 },
  { name: 'webhook late and out of order', likelihood: 0.2 },
  { name: 'webhook before the answer', likelihood: 0.15 },
  { name: 'webhook forged', likelihood: 0.1 },
  // Our own machines
  { name: 'connection broke before the statement', likelihood: 0.008 },
  { name: 'connection broke after the statement', likelihood: 0.008 },
  { name: 'process killed before a step', likelihood: 0.002 },
  { name: 'process killed after a step', likelihood: 0.002 },
  { name: 'process stalled', likelihood: 0.003 },
  { name: 'clock jumped', likelihood: 0.03 },
  { name: 'clocks apart', likelihood: 1 },
  { name: 'account switched off', likelihood: 0.02 },
  // People and merchants
  { name: 'cancelled by a person', likelihood: 0.1 },
  { name: 'resolved by a person', likelihood: 0.5 },
  { name: 'resolved wrongly by a person', likelihood: 0.1 },
  { name: 'asked out of turn by a person', likelihood: 0.1 },
  { name: 'acted on by another merchant', likelihood: 0.05 },
  { name: 'asked again under the same id', likelihood: 0.2 },
  { name: 'asked again under a new id', likelihood: 0.5 },
] as const satisfies readonly FaultKind[];

export type FaultName = (typeof FAULT_KINDS)[number]['name'];

/** The faults of one world. */
export class Faults {
  readonly counts = new Map<string, number>();
  readonly #chance: Chance;
  readonly #enabled: ReadonlySet<string>;
  #over = false;

  constructor(chance: Chance, enabled: ReadonlySet<string>) {
    this.#chance = chance;
    this.#enabled = enabled;
  }

  has(name: FaultName): boolean {
    return this.#enabled.has(name);
  }

  get none(): boolean {
    return this.#enabled.size === 0;
  }

  /** Whether it strikes now; counted when it does. */
  strikes(name: FaultName): boolean {
    if (this.#over || !this.#enabled.has(name)) return false;
    if (!this.#chance.hit(FAULT_KINDS.find((kind) => kind.name === name)!.likelihood)) return false;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    return true;
  }

  /** From here on all goes well, so that what was begun can end. */
  end(): void {
    this.#over = true;
  }
}

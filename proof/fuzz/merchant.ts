import type { Person } from './people.ts';
import type { Random } from './random.ts';

/** What may never be answered, logged or stored in clear: put wherever a secret belongs. */
export const SECRET = /zqxs[a-z0-9]{12}/gi;
/** A merchant's own data: never in an answer to the other one. The fourth letter tells whose it is. */
export const CANARY = /zqx[ab][a-z0-9]{10}/gi;

export function newSecretText(random: Random): string {
  return `zqxs${random.word(12)}`;
}

const MOST_IDS = 300;

/** One of the two merchants of a run: its key, and the ids it has seen in answers, by field name. */
export class Merchant {
  readonly id: string;
  readonly letter: 'a' | 'b';
  readonly key: string;
  /** Of its team, one of each role, signed in. */
  readonly people: Person[] = [];
  readonly #ids = new Map<string, string[]>();
  readonly #kept = new Set<string>();
  /** Objects that the other merchant asks for, and that only their owner's fixed part of the run touches. */
  readonly shown = new Map<string, string>();

  constructor(letter: 'a' | 'b', random: Random) {
    this.letter = letter;
    this.id = `fuzz_${letter}`;
    this.key = `rfk_${newSecretText(random)}`;
  }

  canary(random: Random): string {
    return `zqx${this.letter}${random.word(10)}`;
  }

  /** Notes the ids of an answer. */
  learn(answer: unknown): void {
    if (Array.isArray(answer)) for (const entry of answer) this.learn(entry);
    if (typeof answer !== 'object' || answer === null) return;
    for (const [name, value] of Object.entries(answer)) {
      if (typeof value !== 'string') this.learn(value);
      else if (ID_NAMES.has(name) && !this.#kept.has(value) && ![...this.shown.values()].includes(value))
        this.note(name, value);
    }
  }

  /** The run itself needs what has this id: it is never asked to be changed. */
  keep(id: string): void {
    this.#kept.add(id);
  }

  note(name: string, id: string): void {
    const ids = this.#ids.get(name) ?? [];
    this.#ids.set(name, ids);
    if (ids.includes(id)) return;
    if (ids.length < MOST_IDS) ids.push(id);
    else ids[Number.parseInt(id.replace(/\W/g, '').slice(-4), 36) % MOST_IDS] = id;
  }

  /** An id of this kind that this merchant has, or undefined while none is known. */
  some(name: string, random: Random): string | undefined {
    const ids = this.#ids.get(ID_NAMES.get(name) ?? name);
    return ids && random.pick(ids);
  }
}

/** Field names that hold ids, and under which name those are noted. */
const ID_NAMES: ReadonlyMap<string, string> = new Map([
  ['order_id', 'order_id'],
  ['txn_id', 'txn_id'],
  ['refund_id', 'refund_id'],
  ['gateway_account_id', 'gateway_account_id'],
  ['gateway_account', 'gateway_account_id'],
  ['account', 'gateway_account_id'],
  ['endpoint_id', 'endpoint_id'],
  ['delivery_id', 'delivery_id'],
  ['view_id', 'view_id'],
  ['batch_id', 'batch_id'],
  ['user_id', 'user_id'],
  ['invitation_id', 'invitation_id'],
  ['session_id', 'session_id'],
  ['api_key_id', 'api_key_id'],
  ['next_cursor', 'next_cursor'],
  ['cursor', 'next_cursor'],
  ['next_after', 'next_after'],
  ['after', 'next_after'],
  ['gateway_payment_id', 'gateway_payment_id'],
  ['gateway_refund_id', 'gateway_refund_id'],
  ['arn', 'arn'],
]);

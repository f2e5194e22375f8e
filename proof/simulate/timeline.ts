import { setImmediate } from 'node:timers/promises';
import type { Chance } from './chance.ts';

/** A process of ours that may be killed or stalled; what it awaits is taken up again by the timeline only. */
export interface Owner {
  alive: boolean;
  stalledUntilMs: number;
  /** It is within a transaction, which is one step: whatever it asks of others meanwhile belongs to the step. */
  isMidStep: boolean;
}

/** `last`: do it, and die before its result is seen. */
export type Turn = 'go' | 'last';

interface Parked {
  readonly owner: Owner | null;
  readonly notBeforeMs: number;
  readonly release: (turn: Turn) => void;
}

const NEVER = new Promise<never>(() => undefined);

/**
 * A world's time and its only scheduler. Everything that awaits something outside itself takes a turn here; turns
 * are given one at a time, in an order drawn from the seed, and time passes only when nobody can take one.
 */
export class Timeline {
  nowMs: number;
  steps = 0;
  readonly #chance: Chance;
  #parked: Parked[] = [];
  readonly #agenda: { atMs: number; no: number; run: () => void }[] = [];
  #agendaNo = 0;
  #io: Promise<unknown> = Promise.resolve();
  #ioUnderWay = 0;

  constructor(startMs: number, chance: Chance) {
    this.nowMs = startMs;
    this.#chance = chance;
  }

  /** Waits to be given a turn, not before a time. A dead owner waits for ever. */
  async turn(owner: Owner | null, notBeforeMs = 0): Promise<Turn> {
    if (owner && !owner.alive) return NEVER;
    return new Promise((release) => {
      this.#parked.push({ owner, notBeforeMs, release });
    });
  }

  /** Ends it where it stands: what it waits for never comes. */
  kill(owner: Owner): void {
    owner.alive = false;
    this.#parked = this.#parked.filter((parked) => parked.owner !== owner);
  }

  /** Real work of whoever acts now, one after the other; nobody gets a turn before it is done. */
  async io<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#io.then(work);
    this.#ioUnderWay++;
    this.#io = result.then(
      () => this.#ioUnderWay--,
      () => this.#ioUnderWay--,
    );
    return result;
  }

  /** Work beside that of whoever acts now, which waits for it. */
  async beside<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#ioUnderWay++;
    const result = work();
    this.#io = Promise.allSettled([this.#io, result]);
    return result.finally(() => {
      this.#ioUnderWay--;
    });
  }

  /** Has it happen at a time; what it returns strikes it out again. */
  at(atMs: number, run: () => void): () => void {
    const item = { atMs, no: this.#agendaNo++, run };
    this.#agenda.push(item);
    return () => {
      const place = this.#agenda.indexOf(item);
      if (place >= 0) this.#agenda.splice(place, 1);
    };
  }

  /** Begins what the agenda has for now. */
  begin(): void {
    const due = this.#agenda.filter(({ atMs }) => atMs <= this.nowMs);
    if (due.length === 0) return;
    due.sort((a, b) => a.atMs - b.atMs || a.no - b.no);
    for (const item of due) this.#agenda.splice(this.#agenda.indexOf(item), 1);
    for (const { run } of due) run();
  }

  get idle(): boolean {
    return !this.#parked.some((parked) => this.#eligible(parked));
  }

  /** Gives one turn. `fate` may end the owner before or after it. */
  async step(fate: (owner: Owner) => Turn | 'die' | 'stall'): Promise<void> {
    const eligible = this.#parked.filter((parked) => this.#eligible(parked));
    const chosen = this.#chance.pick(eligible);
    this.steps++;
    const turn = chosen.owner ? fate(chosen.owner) : 'go';
    if (turn === 'stall') return;
    this.#parked.splice(this.#parked.indexOf(chosen), 1);
    if (turn !== 'go') {
      this.kill(chosen.owner!);
    }
    if (turn === 'die') return;
    chosen.release(turn);
    await this.settled();
  }

  /** Waits until everybody waits for a turn. */
  async settled(): Promise<void> {
    await setImmediate();
    while (this.#ioUnderWay > 0) {
      await this.#io;
      await setImmediate();
    }
  }

  /** When something of the agenda, or of those who wait, can happen next; null when nothing is to come. */
  nextMs(): number | null {
    let next = Number.POSITIVE_INFINITY;
    for (const { atMs } of this.#agenda) next = Math.min(next, atMs);
    for (const { owner, notBeforeMs } of this.#parked)
      next = Math.min(next, Math.max(notBeforeMs, owner?.stalledUntilMs ?? 0));
    return Number.isFinite(next) ? next : null;
  }

  #eligible({ owner, notBeforeMs }: Parked): boolean {
    return notBeforeMs <= this.nowMs && (owner === null || owner.stalledUntilMs <= this.nowMs);
  }
}

/** For what a process that has just died would have gone on with. */
export function neverMore(): Promise<never> {
  return NEVER;
}

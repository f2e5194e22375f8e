import { createHash } from 'node:crypto';
import type { Clock } from '../../src/lib/clock.ts';
import {
  TRY_TIMEOUT_MS,
  type TryResult,
  type WebhookMessage,
  type WebhookSender,
} from '../../src/webhooks/send.ts';
import type { Chance } from './chance.ts';
import type { Faults } from './faults.ts';
import { neverMore, type Owner, type Timeline } from './timeline.ts';

export interface ReceiverListener {
  /** A message has arrived at an address. */
  told(url: string, message: WebhookMessage): void;
  /** The sender was told that it has. */
  acknowledged(url: string, message: WebhookMessage): void;
}

/** The merchants' receivers of webhooks, and the way there: at their worst they lose, are slow, fail or are gone. */
export class Receivers {
  readonly #timeline: Timeline;
  readonly #faults: Faults;
  readonly #chance: Chance;
  readonly #listener: ReceiverListener;
  readonly #goneUntilMs = new Map<string, number>();

  constructor(timeline: Timeline, faults: Faults, chance: Chance, listener: ReceiverListener) {
    this.#timeline = timeline;
    this.#faults = faults;
    this.#chance = chance;
    this.#listener = listener;
  }

  /** Gone for some hours, where that fault strikes. */
  mayGo(url: string): void {
    if (this.#faults.strikes('receiver gone for hours'))
      this.#goneUntilMs.set(url, this.#timeline.nowMs + this.#chance.whole(0, 5 * 3_600_000));
  }

  /** The way from one of our processes to all of them. */
  senderOf(owner: Owner, clock: Clock): WebhookSender {
    return {
      send: async ({ url }, message) => {
        const at = clock.now();
        const fromMs = this.#timeline.nowMs;
        const outcome = await this.#carry(owner, url, message);
        const body = JSON.stringify(message);
        return {
          at,
          durationMs: this.#timeline.nowMs - fromMs,
          url,
          ...outcome,
          responseExcerpt: null,
          sequence: message.sequence,
          requestBytes: body.length,
          requestSha256: createHash('sha256').update(body).digest(),
        };
      },
      close: async () => undefined,
    };
  }

  async #carry(
    owner: Owner,
    url: string,
    message: WebhookMessage,
  ): Promise<Pick<TryResult, 'outcome' | 'detail' | 'status'>> {
    const faults = this.#faults;
    const sentMs = this.#timeline.nowMs;
    let turn = await this.#timeline.turn(owner);
    if (turn === 'go' && faults.strikes('message to a receiver slow'))
      turn = await this.#timeline.turn(owner, sentMs + this.#chance.whole(0, TRY_TIMEOUT_MS));
    if (this.#timeline.nowMs > sentMs + TRY_TIMEOUT_MS) return TIMED_OUT;
    if ((this.#goneUntilMs.get(url) ?? 0) > this.#timeline.nowMs)
      return { outcome: 'connection_refused', detail: 'gone', status: null };
    if (faults.strikes('message to a receiver lost')) return this.#silence(owner, sentMs);
    this.#listener.told(url, message);
    if (turn === 'last') return neverMore();
    if (faults.strikes('receiver answers 500'))
      return { outcome: 'refused_status', detail: null, status: 500 };
    if (faults.strikes('receipt of a message lost')) return this.#silence(owner, sentMs);
    if (faults.strikes('receiver slow')) {
      const tookMs = this.#chance.whole(0, 2 * TRY_TIMEOUT_MS);
      if (tookMs > TRY_TIMEOUT_MS) return this.#silence(owner, sentMs);
      await this.#timeline.turn(owner, sentMs + tookMs);
    }
    this.#listener.acknowledged(url, message);
    return { outcome: 'acknowledged', detail: null, status: 200 };
  }

  async #silence(owner: Owner, sentMs: number): Promise<typeof TIMED_OUT> {
    await this.#timeline.turn(owner, sentMs + TRY_TIMEOUT_MS);
    return TIMED_OUT;
  }
}

const TIMED_OUT = { outcome: 'timeout', detail: 'no answer', status: null } as const;

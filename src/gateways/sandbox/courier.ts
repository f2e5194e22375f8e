import { type Clock, plusMs } from '../../lib/clock.ts';
import type { Database } from '../../lib/db.ts';
import { createHttp } from '../../lib/http.ts';
import type { Logger } from '../../lib/log.ts';
import { newArn, newEventId, webhookAbout } from './objects.ts';
import { SIGNATURE_HEADER, signWebhook } from './signing.ts';
import {
  type ClaimedWebhook,
  claimDueChanges,
  claimWebhooks,
  deleteWebhook,
  insertWebhooks,
  type Payout,
  postponeWebhook,
  readNextDue,
  writeChanges,
} from './store.ts';

/** Lets planned changes happen and brings webhooks until they are acknowledged. What is due stands in the tables. */
export interface Courier {
  start(): void;
  /** Something will be due then. */
  expect(at: Date): void;
  /** Sends one webhook out of turn, and waits for its receiver, but not for long. */
  deliverNow(webhookId: string): Promise<void>;
  /** Waits for what is under way. */
  stop(): Promise<void>;
}

const CHANGES_AT_ONCE = 200;
const SENDS_AT_ONCE = 32;
const SEND_TIMEOUT_MS = 5_000;
const HOLD_MS = SEND_TIMEOUT_MS + 10_000;
const OUT_OF_TURN_MS = 1_500;
const RETRY_DELAYS_MS = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
const GIVE_UP_AFTER_MS = 3 * 24 * 3_600_000;
// Another process may have died and left work; nobody tells of that.
const MOST_REST_MS = 1_000;
const LEAST_REST_MS = 20;

export function createCourier(deps: {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
}): Courier {
  const { db, clock, log } = deps;
  const http = createHttp({
    allowPrivate: true,
    timeoutMs: SEND_TIMEOUT_MS,
    maxAnswerBytes: 1_024,
    longAnswer: 'cut',
    userAgent: 'refundry-sandbox',
  });
  const underWay = new Set<Promise<void>>();
  let stopping = false;
  let looping: Promise<void> = Promise.resolve();
  let expected: Date | null = null;
  let restsUntil = 0;
  let endRest = () => {};

  async function loop(): Promise<void> {
    while (!stopping) {
      expected = null;
      try {
        while ((await letChangesHappen()) === CHANGES_AT_ONCE);
        await sendDue();
        expected = earlier(expected, await readNextDue(db));
      } catch (error) {
        log.error({ err: error }, 'the sandbox could not do what was due');
      }
      await rest();
    }
  }

  async function letChangesHappen(): Promise<number> {
    const now = clock.now();
    return db.transaction(async (tx) => {
      const due = await claimDueChanges(tx, now, CHANGES_AT_ONCE);
      if (due.length === 0) return 0;
      const changed = due.map((payout) => afterChange(payout, now));
      await writeChanges(tx, changed);
      await insertWebhooks(
        tx,
        changed.flatMap((payout) => webhookAbout(payout, now, newEventId()) ?? []),
        now,
      );
      return due.length;
    });
  }

  async function sendDue(): Promise<void> {
    const limit = SENDS_AT_ONCE - underWay.size;
    if (limit === 0) return;
    const now = clock.now();
    for (const webhook of await claimWebhooks(db, { dueBy: now, limit }, plusMs(now, HOLD_MS))) {
      void track(send(webhook));
    }
  }

  async function send(webhook: ClaimedWebhook): Promise<void> {
    const sentAt = clock.now();
    const result = await http.send({
      method: 'POST',
      url: webhook.url,
      headers: {
        'content-type': 'application/json',
        [SIGNATURE_HEADER]: signWebhook(webhook.body, webhook.webhookKey, sentAt),
      },
      body: webhook.body,
    });
    if (result.kind === 'response' && result.status === 200) return deleteWebhook(db, webhook.webhookId);
    const outcome = result.kind === 'response' ? `status ${result.status}` : result.why;
    if (sentAt.getTime() - webhook.createdAt.getTime() > GIVE_UP_AFTER_MS) {
      log.warn({ webhookId: webhook.webhookId, outcome }, 'the sandbox gives up a webhook');
      return deleteWebhook(db, webhook.webhookId);
    }
    const waitMs = RETRY_DELAYS_MS[Math.min(webhook.tries, RETRY_DELAYS_MS.length) - 1]!;
    log.debug({ webhookId: webhook.webhookId, outcome, waitMs }, 'the sandbox will send a webhook again');
    await postponeWebhook(db, webhook.webhookId, plusMs(clock.now(), waitMs));
  }

  function track(work: Promise<void>): Promise<void> {
    const tracked = work
      .catch((error: unknown) => log.error({ err: error }, 'the sandbox could not record a webhook'))
      .finally(() => underWay.delete(tracked));
    underWay.add(tracked);
    return tracked;
  }

  function rest(): Promise<void> {
    if (stopping) return Promise.resolve();
    const nowMs = clock.now().getTime();
    const wantedMs = expected === null ? MOST_REST_MS : expected.getTime() - nowMs;
    const restMs = Math.min(Math.max(wantedMs, LEAST_REST_MS), MOST_REST_MS);
    restsUntil = nowMs + restMs;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, restMs);
      endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    start() {
      looping = loop();
    },
    expect(at) {
      expected = earlier(expected, at);
      if (at.getTime() < restsUntil) endRest();
    },
    async deliverNow(webhookId) {
      const [webhook] = await claimWebhooks(db, { webhookId }, plusMs(clock.now(), HOLD_MS));
      if (!webhook) return;
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, OUT_OF_TURN_MS);
      });
      await Promise.race([track(send(webhook)), patience]);
      clearTimeout(timer);
    },
    async stop() {
      stopping = true;
      endRest();
      await looping;
      await Promise.all(underWay);
      await http.close();
    },
  };
}

function earlier(one: Date | null, other: Date | null): Date | null {
  if (one === null || other === null) return one ?? other;
  return one < other ? one : other;
}

function afterChange(payout: Payout, now: Date): Payout {
  const next: Payout = { ...payout, nextChange: null, nextChangeAt: null, updatedAt: now };
  switch (payout.nextChange) {
    case 'succeed':
      return { ...next, status: 'succeeded', arn: newArn() };
    case 'fail':
      return {
        ...next,
        status: 'failed',
        failureCode: 'account_closed',
        failureMessage: 'The account that was paid from is closed.',
      };
    case 'reverse':
      return {
        ...next,
        status: 'reversed',
        failureCode: 'returned_by_bank',
        failureMessage: 'The customer’s bank sent the money back.',
      };
    case 'capture_arn':
      return { ...next, arn: newArn() };
    case null:
      return next;
  }
}

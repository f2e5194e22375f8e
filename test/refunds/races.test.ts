/** Two things at one moment, each held open at the point where it could go wrong. */
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CreateAnswer, LookAnswer } from '../../src/gateways/gateway.ts';
import { newId } from '../../src/lib/ids.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { recordRefunds, recordRefundsWithin } from '../../src/refunds/record.ts';
import { resolveRefund } from '../../src/refunds/resolve.ts';
import { readRefundEvents } from '../../src/refunds/store.ts';
import { createRefundRounds } from '../../src/refunds/worker.ts';
import { createChangeWriter } from '../../src/refunds/writer.ts';
import { putOrder, refundRequest } from '../support/engine.ts';
import { inTurn, waiting } from '../support/held.ts';
import { absent, Held, HOUR, MINUTE, news, type Scene, scene, unanswered, until, webhook } from './model.ts';

let s: Scene;
beforeEach(async () => {
  s = await scene({ capabilities: { pollDelaysMs: [1_000] } });
});
afterEach(() => s.end());

const by = { by: 'api', key: 'test', request_id: 'req-2' } as const;
const tell = (id: string, said: ReturnType<typeof news>) =>
  settleFromWebhook(s.deps, s.account, webhook(id, said.news));

/** What the merchant is told of the refund's end. */
async function told(id: string): Promise<string[]> {
  const rows = await s.deps.db.query<{ name: string }>(
    `select event_name as name from notifications
     where refund_id = $1 and event_name <> 'REFUND_INITIATED' order by event_seq`,
    [id],
  );
  return rows.map(({ name }) => name);
}

async function states(id: string): Promise<(string | null)[]> {
  const events = await readRefundEvents(s.deps.db, await s.read(id));
  return events.filter(({ from, to }) => from !== to).map(({ to }) => to);
}

/** A worker with this stands still between the claim and the send until it is given something. */
function heldBeforeSending(gate: Held<null>): Pick<EngineDeps, 'openAccess'> {
  return {
    openAccess: async (accountId) => {
      await gate.wait();
      return s.deps.openAccess(accountId);
    },
  };
}

/** The first send waits for its answer. */
async function sending(): Promise<{ id: string; answer: Held<CreateAnswer> }> {
  const answer = new Held<CreateAnswer>();
  s.model.create = () => answer.wait();
  const id = await s.refund('O1');
  s.worker();
  await answer.begun;
  return { id, answer };
}

test('the webhook comes before the answer: told once, and the answer changes nothing', async () => {
  const { id, answer } = await sending();
  await tell(id, news('succeeded'));
  expect(await s.read(id)).toMatchObject({ state: 'succeeded' });
  answer.give(news('pending'));
  await until(async () => {
    const events = await readRefundEvents(s.deps.db, await s.read(id));
    expect(events.at(-1)).toMatchObject({ cause: { by: 'gateway_answer' } });
  });
  expect(await s.read(id)).toMatchObject({ state: 'succeeded', nextLookAt: null });
  expect(await told(id)).toEqual(['ORDER_REFUNDED']);
});

test('the answer comes after the hold ran out, while another worker looks', async () => {
  const { id, answer } = await sending();
  const looking = new Held<LookAnswer>();
  s.model.look = () => looking.wait();
  s.worker();
  await s.becomes(id, 'unknown', MINUTE);
  s.clock.pass(2 * MINUTE);
  await looking.begun;
  answer.give(news('succeeded'));
  await s.becomes(id, 'succeeded');
  looking.give(absent);
  await setTimeout(500);
  expect(await s.read(id)).toMatchObject({ state: 'succeeded', nextLookAt: null });
  expect(s.model.asked).toHaveLength(1);
  expect(await told(id)).toEqual(['ORDER_REFUNDED']);
});

test('cancelled between the claim and the send: it is not sent', async () => {
  const reached = new Held<null>();
  s.model.create = () => news('succeeded');
  const id = await s.refund('O1');
  s.worker(heldBeforeSending(reached));
  await reached.begun;
  expect(await cancelRefund(s.deps, 'acme', id, { reason: null, cause: by })).toMatchObject({ ok: true });
  reached.give(null);
  await setTimeout(500);
  expect(await s.read(id)).toMatchObject({ state: 'cancelled', sends: 0 });
  expect(s.model.asked).toEqual([]);
});

test('a worker stands still between the claim and the send until its hold is over: it sends nothing', async () => {
  const reached = new Held<null>();
  s.model.create = () => news('succeeded');
  const id = await s.refund('O1', { batchId: newId() });
  const { batchId } = await s.read(id);
  const slow = s.worker(heldBeforeSending(reached));
  await reached.begun;
  // Meanwhile its batch is paused, of which only those learn who claim anew.
  s.clock.pass(HOUR);
  reached.give(null);
  await slow.stop();
  expect(await s.read(id)).toMatchObject({ state: 'queued', sends: 0 });
  expect(s.model.asked).toEqual([]);
  s.worker({ stoppedBatches: async () => [batchId!] });
  await setTimeout(500);
  expect(s.model.asked).toEqual([]);
  s.worker();
  await s.becomes(id, 'succeeded');
  expect(s.model.asked).toHaveLength(1);
});

test('cancelled during the send: refused, and the send decides', async () => {
  const { id, answer } = await sending();
  expect(await cancelRefund(s.deps, 'acme', id, { reason: null, cause: by })).toMatchObject({
    ok: false,
    refusal: 'wrong_state',
  });
  answer.give(news('succeeded'));
  await s.becomes(id, 'succeeded');
});

test('a poll and a webhook learn the same success: told once', async () => {
  s.model.create = () => news('pending');
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'submitted');
  const polling = new Held<LookAnswer>();
  s.model.look = () => polling.wait();
  s.clock.pass(2_000);
  await polling.begun;
  await tell(id, news('succeeded', { arn: '74332745000000000000001' }));
  polling.give(news('succeeded', { arn: '74332745000000000000001' }));
  await setTimeout(500);
  expect(await s.read(id)).toMatchObject({ state: 'succeeded', nextLookAt: null });
  expect(await told(id)).toEqual(['ORDER_REFUNDED', 'REFUND_ARN_CAPTURED']);
});

test('an older answer to a poll does not undo a newer webhook', async () => {
  s.model.create = () => news('pending');
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'submitted');
  const polling = new Held<LookAnswer>();
  s.model.look = () => polling.wait();
  s.clock.pass(2_000);
  await polling.begun;
  await tell(id, news('failed'));
  polling.give(news('pending'));
  await setTimeout(500);
  expect(await s.read(id)).toMatchObject({ state: 'failed', nextLookAt: null });
  expect(await told(id)).toEqual(['ORDER_REFUND_FAILED']);
});

test('three workers claim at once: every refund is sent, none twice', async () => {
  s.model.create = async () => {
    await setTimeout(20);
    return news('succeeded', { gatewayRefundId: null });
  };
  const ids: string[] = [];
  for (let n = 0; n < 90; n++) ids.push(await s.refund(`O${n}`));
  for (let n = 0; n < 3; n++) s.worker();
  await until(async () => {
    const rows = await s.deps.db.query(`select 1 from refunds where state = 'succeeded'`);
    expect(rows).toHaveLength(90);
  });
  expect(s.model.asked.map(({ refundId }) => refundId).sort()).toEqual(ids.sort());
});

test('two workers that hold the same refund, as their clocks differ: one of them sends it', async () => {
  const first = new Held<null>();
  const second = new Held<null>();
  s.model.create = () => news('succeeded');
  const id = await s.refund('O1');
  for (const gate of [first, second]) {
    const at = s.clock.now();
    s.worker({ clock: { now: () => at }, ...heldBeforeSending(gate) });
    await gate.begun;
    s.clock.pass(HOUR);
  }
  first.give(null);
  second.give(null);
  await s.becomes(id, 'succeeded');
  await setTimeout(500);
  expect(s.model.asked).toHaveLength(1);
  expect(await told(id)).toEqual(['ORDER_REFUNDED']);
});

test('a worker that is stopped finishes the send that is under way, and begins no other', async () => {
  const answer = new Held<CreateAnswer>();
  s.model.create = () => answer.wait();
  const id = await s.refund('O1');
  const worker = s.worker();
  await answer.begun;
  const stopped = worker.stop();
  // The round that was under way may still take something.
  await setTimeout(500);
  const next = await s.refund('O2');
  answer.give(news('succeeded'));
  await stopped;
  expect(await s.read(id)).toMatchObject({ state: 'succeeded' });
  expect(await s.read(next)).toMatchObject({ state: 'queued', sends: 0 });
});

test.each([
  ['made it', news('succeeded'), 1],
  ['never saw it', absent, 2],
] as const)('a worker is killed while it sends, and the gateway %s: paid once', async (_, found, sends) => {
  let dead = false;
  const killed = new Held<CreateAnswer>();
  s.model.create = () => (s.model.asked.length === 1 ? killed.wait() : news('succeeded'));
  s.model.look = () => found;
  const id = await s.refund('O1');
  // Nothing that it does after its death reaches the database.
  const never = () => new Promise<never>(() => {});
  const db = {
    ...s.deps.db,
    query: <Row>(text: string, params?: readonly unknown[]) =>
      dead ? never() : s.deps.db.query<Row>(text, params),
  };
  s.worker({ db, write: (change) => (dead ? never() : s.deps.write(change)) });
  await killed.begun;
  dead = true;
  killed.give(unanswered);
  s.worker();
  await s.becomes(id, 'succeeded', 10_000);
  expect(s.model.asked).toHaveLength(sends);
  expect(new Set(s.model.asked.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
  expect(await told(id)).toEqual(['ORDER_REFUNDED']);
});

test('the commit of a send is done but its word is lost: nothing is sent until that is looked into', async () => {
  let lost = false;
  s.model.create = () => news('succeeded');
  const id = await s.refund('O1');
  s.worker({
    write: async (change) => {
      const written = await s.deps.write(change);
      if (change.to !== 'sending' || lost) return written;
      lost = true;
      throw new Error('the connection broke');
    },
  });
  await s.becomes(id, 'sending');
  expect(s.model.asked).toEqual([]);
  await s.becomes(id, 'succeeded', 10_000);
  expect(await states(id)).toEqual(['queued', 'sending', 'unknown', 'queued', 'sending', 'succeeded']);
  expect(s.model.asked).toHaveLength(1);
});

test('the answer cannot be recorded: the gateway is asked for it, and nothing is sent again', async () => {
  s.model.create = () => news('succeeded');
  s.model.look = () => news('succeeded');
  const id = await s.refund('O1');
  s.worker({
    write: async (change) => {
      if (change.cause.by === 'gateway_answer') throw new Error('the connection broke');
      return s.deps.write(change);
    },
  });
  await s.becomes(id, 'succeeded', 10_000);
  expect(s.model.asked).toHaveLength(1);
  expect(await told(id)).toEqual(['ORDER_REFUNDED']);
});

test('a person settles it as failed while late news of its success arrives: people are asked again', async () => {
  s.model.create = () => news('pending');
  const id = await s.refund('O1');
  const worker = s.worker();
  await s.becomes(id, 'submitted');
  await s.becomes(id, 'manual_review', 24 * HOUR);
  await worker.stop();
  const asPerson = { evidence: 'Not in the settlement file.', arn: null, gatewayRefundId: null, cause: by };
  // Nobody can be asked when the person speaks. The news has been read on the old state; the person's word is written first.
  s.model.look = () => ({ kind: 'no_answer', why: 'timeout', answered: false, evidence: {} });
  let first = true;
  const deps = {
    ...s.deps,
    write: async (change: Parameters<typeof s.deps.write>[0]) => {
      if (first) {
        first = false;
        expect(await resolveRefund(s.deps, 'acme', id, { outcome: 'failed', ...asPerson })).toMatchObject({
          ok: true,
        });
        s.model.look = () => news('succeeded');
      }
      return s.deps.write(change);
    },
  };
  await settleFromWebhook(deps, s.account, webhook(id, news('succeeded').news));
  expect(await s.read(id)).toMatchObject({ state: 'manual_review' });
  expect((await s.read(id)).attention).toContain('paid');
  expect(await told(id)).toEqual([
    'REFUND_MANUAL_REVIEW_NEEDED',
    'ORDER_REFUND_FAILED',
    'REFUND_MANUAL_REVIEW_NEEDED',
  ]);
});

test('late news comes first: the person is told that it is settled', async () => {
  s.model.create = () => news('pending');
  const id = await s.refund('O1');
  const worker = s.worker();
  await s.becomes(id, 'submitted');
  await s.becomes(id, 'manual_review', 24 * HOUR);
  await worker.stop();
  let first = true;
  const deps = {
    ...s.deps,
    write: async (change: Parameters<typeof s.deps.write>[0]) => {
      if (first) {
        first = false;
        await tell(id, news('succeeded'));
      }
      return s.deps.write(change);
    },
  };
  expect(
    await resolveRefund(deps, 'acme', id, {
      outcome: 'failed',
      evidence: 'Not in the settlement file.',
      arn: null,
      gatewayRefundId: null,
      cause: by,
    }),
  ).toMatchObject({ ok: false, refusal: 'wrong_state', refund: { state: 'succeeded' } });
  expect(await told(id)).toEqual(['REFUND_MANUAL_REVIEW_NEEDED', 'ORDER_REFUNDED']);
});

test('the limit passes while a look is under way: reviewed, and its answer still settles it', async () => {
  const looking = new Held<LookAnswer>();
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'unknown');
  s.model.look = () => looking.wait();
  s.clock.pass(2 * MINUTE);
  await looking.begun;
  await s.becomes(id, 'manual_review', 24 * HOUR);
  looking.give(news('succeeded'));
  await s.becomes(id, 'succeeded');
  expect(await told(id)).toEqual(['REFUND_MANUAL_REVIEW_NEEDED', 'ORDER_REFUNDED']);
});

describe('two processes at the row of one order, whoever is first', () => {
  const ROW = `select 1 from orders where order_id = 'O1' for no key update`;
  /** Another process: what it writes is not put together with what others write. */
  const another = (changes: Partial<EngineDeps> = {}): EngineDeps => ({
    ...s.deps,
    write: createChangeWriter(s.deps.db, s.clock),
    ...changes,
  });
  const worker = (changes?: Partial<EngineDeps>) => createRefundRounds(another(changes), () => undefined);
  const both = <Name extends string>(
    acts: Readonly<Record<Name, () => Promise<unknown>>>,
    order: readonly [Name, Name],
  ) =>
    inTurn<unknown[]>(
      s.deps.db,
      ROW,
      order.map((name) => acts[name]),
    );
  const asked = (key: string, amount: string) => [
    refundRequest({ orderId: 'O1', uniqueRequestId: key, amount }),
  ];
  const ask = (deps: Parameters<typeof recordRefunds>[0], key: string, amount: string) =>
    recordRefunds(deps, asked(key, amount));
  const recorded = () =>
    s.deps.db.query(`select unique_request_id as key, amount_minor as minor from refunds`);
  const paid = () => putOrder(s.deps.db, { orderId: 'O1', amountMinor: 10_00 });

  test.each([
    ['6.00', '7.00', '4.00'],
    ['7.00', '6.00', '3.00'],
  ])(
    'one order, %s and then %s: the first is made, and the other told what is left',
    async (one, other, left) => {
      await paid();
      const [made, refused] = await inTurn(s.deps.db, ROW, [
        () => ask(another(), 'a', one),
        () => ask(another(), 'b', other),
      ]);
      expect(made).toMatchObject([{ ok: true }]);
      expect(refused).toMatchObject([{ ok: false, refusal: 'amount_exceeds_rest', remaining: left }]);
      expect(await recorded()).toEqual([{ key: 'a', minor: Number(one) * 100 }]);
    },
  );

  test.each([
    ['1.00', '2.00'],
    ['2.00', '1.00'],
  ])('one key, %s and then %s: there is one refund, the first', async (one, other) => {
    await paid();
    const [made, refused] = await inTurn(s.deps.db, ROW, [
      () => ask(another(), 'k', one),
      () => ask(another(), 'k', other),
    ]);
    expect(made).toMatchObject([{ ok: true }]);
    expect(refused).toMatchObject([{ ok: false, refusal: 'duplicate_request_id' }]);
    expect(await recorded()).toEqual([{ key: 'k', minor: Number(one) * 100 }]);
  });

  test.each([
    ['one key', 'is kept', 'k', 'duplicate_request_id'],
    ['one key', 'breaks off', 'k', null],
    ['one order', 'is kept', 'l', 'amount_exceeds_rest'],
    ['one order', 'breaks off', 'l', null],
  ])('%s: the second waits for the commit of the first, which %s', async (_, end, key, refusal) => {
    await paid();
    const committing = new Held<null>();
    const first = s.deps.db.transaction(async (tx) => {
      expect(await recordRefundsWithin(tx, another(), asked('k', '6.00'))).toMatchObject([{ ok: true }]);
      await committing.wait();
      if (end === 'breaks off') throw new Error('the process is gone');
    });
    await committing.begun;
    const second = ask(another(), key, '7.00');
    await waiting(s.deps.db, 1);
    committing.give(null);
    await first.catch(({ message }: Error) => expect(message).toBe('the process is gone'));
    expect(await second).toMatchObject([refusal === null ? { ok: true } : { ok: false, refusal }]);
    expect(await recorded()).toEqual([refusal === null ? { key, minor: 7_00 } : { key: 'k', minor: 6_00 }]);
  });

  test.each([
    ['callback', 'answer', 'pending'],
    ['callback', 'answer', 'succeeded'],
    ['answer', 'callback', 'pending'],
    ['answer', 'callback', 'succeeded'],
  ] as const)('%s before %s, which is %s: succeeded, told once', async (one, other, said) => {
    const answer = new Held<CreateAnswer>();
    s.model.create = () => answer.wait();
    const id = await s.refund('O1');
    const sender = worker();
    await sender.tick();
    await answer.begun;
    const acts = {
      callback: () => tell(id, news('succeeded')),
      answer: () => {
        answer.give(news(said));
        return sender.drain();
      },
    };
    await both(acts, [one, other]);
    expect(await s.read(id)).toMatchObject({ state: 'succeeded', nextLookAt: null });
    expect(await told(id)).toEqual(['ORDER_REFUNDED']);
    expect(s.model.asked).toHaveLength(1);
  });

  test.each([
    ['poll', 'callback', 'succeeded', 'ORDER_REFUNDED'],
    ['callback', 'poll', 'succeeded', 'ORDER_REFUNDED'],
    ['poll', 'callback', 'failed', 'ORDER_REFUND_FAILED'],
    ['callback', 'poll', 'failed', 'ORDER_REFUND_FAILED'],
  ] as const)('%s before %s, both say that it %s: told once', async (one, other, said, event) => {
    s.model.create = () => news('pending');
    const id = await s.refund('O1');
    const poller = worker();
    await poller.tick();
    await poller.drain();
    const polling = new Held<LookAnswer>();
    s.model.look = () => polling.wait();
    s.clock.pass(2_000);
    await poller.tick();
    await polling.begun;
    const acts = {
      poll: () => {
        polling.give(news(said));
        return poller.drain();
      },
      callback: () => tell(id, news(said)),
    };
    await both(acts, [one, other]);
    expect(await s.read(id)).toMatchObject({ state: said, nextLookAt: null });
    expect(await told(id)).toEqual([event]);
  });

  test.each([
    ['cancel', 'send', 'cancelled', 0],
    ['send', 'cancel', 'succeeded', 1],
  ] as const)('cancel and send, the %s before the %s: %s', async (one, other, state, sends) => {
    const reached = new Held<null>();
    s.model.create = () => news('succeeded');
    const id = await s.refund('O1');
    const sender = worker(heldBeforeSending(reached));
    await sender.tick();
    await reached.begun;
    const acts = {
      cancel: () => cancelRefund(another(), 'acme', id, { reason: null, cause: by }),
      send: () => {
        reached.give(null);
        return sender.drain();
      },
    };
    const outcomes = await both(acts, [one, other]);
    expect(outcomes[one === 'cancel' ? 0 : 1]).toMatchObject(
      one === 'cancel' ? { ok: true } : { ok: false, refusal: 'wrong_state' },
    );
    expect(await s.read(id)).toMatchObject({ state, sends });
    expect(s.model.asked).toHaveLength(sends);
  });

  test.each([
    ['first', 'second'],
    ['second', 'first'],
  ] as const)(
    'two workers have a refund, as the lease of one ran out, the %s before the %s: sent once',
    async (...order) => {
      s.model.create = () => news('succeeded');
      const id = await s.refund('O1');
      const claim = async () => {
        const gate = new Held<null>();
        // By their own clocks both still have it: a lease that has run out by one's own sends nothing.
        const at = s.clock.now();
        const claimed = worker({ clock: { now: () => at }, ...heldBeforeSending(gate) });
        await claimed.tick();
        await gate.begun;
        s.clock.pass(HOUR);
        return () => {
          gate.give(null);
          return claimed.drain();
        };
      };
      await both({ first: await claim(), second: await claim() }, order);
      expect(await s.read(id)).toMatchObject({ state: 'succeeded', sends: 1 });
      expect(s.model.asked).toHaveLength(1);
      expect(await told(id)).toEqual(['ORDER_REFUNDED']);
    },
  );

  test.each([
    ['lease', 'answer', ['queued', 'sending', 'unknown', 'succeeded']],
    ['answer', 'lease', ['queued', 'sending', 'succeeded']],
  ] as const)(
    'the end of a lease and the answer to its send, the %s before the %s: succeeded, sent once',
    async (one, other, passed) => {
      const answer = new Held<CreateAnswer>();
      s.model.create = () => answer.wait();
      const id = await s.refund('O1');
      const sender = worker();
      await sender.tick();
      await answer.begun;
      s.clock.pass(MINUTE);
      const acts = {
        lease: () => worker().tick(),
        answer: () => {
          answer.give(news('succeeded'));
          return sender.drain();
        },
      };
      await both(acts, [one, other]);
      expect(await states(id)).toEqual(passed);
      expect(await s.read(id)).toMatchObject({ nextLookAt: null });
      expect(s.model.asked).toHaveLength(1);
      expect(await told(id)).toEqual(['ORDER_REFUNDED']);
    },
  );
});

import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { foldFigures, rebuildFigures } from '../../src/refunds/figures.ts';
import { type RefundState, STATE_NAMES, STATES } from '../../src/refunds/states.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';

/** What is kept as refunds change, against what plain JavaScript finds in the refunds themselves. */

const clock = new ManualClock(new Date('2026-03-15T12:00:00.000Z'));
let api: TestApi;
beforeAll(async () => {
  api = await startApi({ clock });
  for (const [orderId, currency, exponent] of [
    ['INR', 'INR', 2],
    ['KWD', 'KWD', 3],
    ['JPY', 'JPY', 0],
  ] as const) {
    await putOrder(api.db, { orderId, amountMinor: 900_000_000_000, currency, exponent });
    await putOrder(api.db, {
      merchantId: 'other',
      orderId,
      amountMinor: 900_000_000_000,
      currency,
      exponent,
    });
  }
});
afterAll(() => api.close());
beforeEach(async () => {
  await api.db.transaction(async (tx) => {
    await tx.query('set local session_replication_role = replica');
    await tx.query('delete from refunds');
    await tx.query('delete from figures');
    await tx.query('delete from figure_changes');
    await tx.query('update transactions set reserved_minor = 0, refunded = null');
  });
});

interface Made {
  readonly id: string;
  readonly merchantId: string;
  readonly currency: 'INR' | 'KWD' | 'JPY';
  readonly gateway: string;
  readonly amountMinor: number;
  readonly createdAt: Date;
  readonly dueAt: Date;
  state: RefundState;
  succeededAt: Date | null;
  failedAt: Date | null;
  errorCode: string | null;
  attention: string | null;
}

let count = 0;
async function make(rows: readonly Omit<Made, 'id'>[]): Promise<Made[]> {
  const made = rows.map((row) => ({
    ...row,
    id: `00000000-0000-7000-8000-${String(++count).padStart(12, '0')}`,
  }));
  await api.db.query(
    `insert into refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency, exponent,
       state, gateway, gateway_account_id, gateway_payment_id, refund_type, idempotency_key, initiated_by, door, lane,
       created_at, updated_at, due_at, next_look_at, review_at, event_seq)
     select r.merchant_id, r.currency, r.id, r.id::text, t.txn_id, r.amount, r.currency, 2, 'queued', r.gateway,
       t.gateway_account_id, t.gateway_payment_id, 'STANDARD', repeat('k', 22), 'API', 'api', 0, r.created_at, r.created_at,
       r.due_at, r.created_at, r.created_at, 1
     from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
       r(merchant_id, id, currency, gateway, amount, created_at, due_at)
     join transactions t on t.merchant_id = r.merchant_id and t.order_id = r.currency`,
    [
      made.map((r) => r.merchantId),
      made.map((r) => r.id),
      made.map((r) => r.currency),
      made.map((r) => r.gateway),
      made.map((r) => r.amountMinor),
      made.map((r) => r.createdAt),
      made.map((r) => r.dueAt),
    ],
  );
  return made;
}

async function move(
  refunds: readonly Made[],
  to: RefundState,
  at: Date,
  errorCode: string | null,
): Promise<void> {
  const moving = refunds.filter(({ state }) => STATES[state].moves[to] !== undefined);
  if (moving.length === 0) return;
  for (const refund of moving) {
    refund.state = to;
    if (to === 'succeeded') refund.succeededAt = at;
    if (to === 'failed') refund.failedAt = at;
    if (to === 'failed') refund.errorCode = errorCode;
  }
  await api.db.query(
    `update refunds set state = $2, event_seq = event_seq + 1, next_look_at = case when $3 then null else $4::timestamptz end,
       succeeded_at = case when $2 = 'succeeded' then $4 else succeeded_at end,
       failed_at = case when $2 = 'failed' then $4 else failed_at end,
       error_code = case when $2 = 'failed' then $5 else error_code end
     where refund_id = any($1)`,
    [moving.map(({ id }) => id), to, STATES[to].final, at, errorCode],
  );
}

const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;
const dayIn = (zone: string, at: Date) =>
  new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  }).format(at);
const EXPONENTS = { INR: 2, KWD: 3, JPY: 0 } as const;
const decimal = (minor: number, currency: Made['currency']) =>
  (minor / 10 ** EXPONENTS[currency]).toFixed(EXPONENTS[currency]);
const sumOf = (refunds: readonly Made[]) => refunds.reduce((sum, { amountMinor }) => sum + amountMinor, 0);
const grouped = (refunds: readonly Made[], key: (refund: Made) => string) => [
  ...Map.groupBy(refunds, key).values(),
];

/** As the answer should be, found by reading every refund. */
function expectedOf(all: readonly Made[], zone: string, from: string, to: string) {
  const made = all.filter(({ createdAt }) => from <= dayIn(zone, createdAt) && dayIn(zone, createdAt) <= to);
  const decidedAt = (r: Made) =>
    r.state === 'failed'
      ? r.failedAt
      : r.state === 'succeeded' || r.state === 'reversed'
        ? r.succeededAt
        : null;
  const decided = all.filter((r) => {
    const at = decidedAt(r);
    return at !== null && from <= dayIn(zone, at) && dayIn(zone, at) <= to;
  });
  const open = all.filter(({ state }) => !STATES[state].final);
  const inState = (state: RefundState) => made.filter((r) => r.state === state).length;
  const ended = inState('succeeded') + inState('failed') + inState('reversed');
  const byCurrency = (refunds: readonly Made[]) =>
    grouped(refunds, (r) => r.currency)
      .map((group) => ({
        currency: group[0]!.currency,
        refunds: group.length,
        amount: decimal(sumOf(group), group[0]!.currency),
      }))
      .toSorted((a, b) => (a.currency < b.currency ? -1 : 1));
  return {
    refunds: made.length,
    statuses: Object.fromEntries(
      ['PENDING', 'SUCCESS', 'FAILURE', 'MANUAL_REVIEW'].map((status) => [
        status,
        made.filter(({ state }) => STATES[state].public === status).length,
      ]),
    ),
    success_rate: ended === 0 ? null : inState('succeeded') / ended,
    amounts: byCurrency(made),
    decided: decided.length,
    per_day: grouped(made, (r) =>
      [dayIn(zone, r.createdAt), STATES[r.state].public, r.gateway, r.currency].join(' '),
    ).map((group) => ({
      day: dayIn(zone, group[0]!.createdAt),
      status: STATES[group[0]!.state].public,
      gateway: group[0]!.gateway,
      currency: group[0]!.currency,
      refunds: group.length,
      amount: decimal(sumOf(group), group[0]!.currency),
    })),
    failures: grouped(
      made.filter(({ state }) => state === 'failed'),
      (r) => `${r.gateway} ${r.errorCode}`,
    ).map((group) => ({
      error_code: group[0]!.errorCode,
      gateway: group[0]!.gateway,
      refunds: group.length,
    })),
    in_flight: byCurrency(open),
    overdue: byCurrency(open.filter(({ dueAt }) => dueAt < clock.now())),
    in_review: byCurrency(open.filter(({ state }) => state === 'manual_review')),
    open: open.length,
  };
}

const byText = (rows: readonly unknown[]) =>
  rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

async function expectAll(all: readonly Made[], zone: string, from: string, to: string): Promise<void> {
  const ours = all.filter(({ merchantId }) => merchantId === 'acme');
  const expected = expectedOf(ours, zone, from, to);
  const { status, body } = await call(api, `/v1/figures?${new URLSearchParams({ from, to, zone })}`);
  expect(status).toBe(200);
  expect({
    ...body.totals,
    amounts: body.totals.amounts.map(({ currency, refunds, amount }: Record<string, unknown>) => ({
      currency,
      refunds,
      amount,
    })),
    time_to_outcome: body.totals.time_to_outcome.refunds,
  }).toEqual({
    refunds: expected.refunds,
    statuses: expected.statuses,
    success_rate: expected.success_rate,
    amounts: expected.amounts,
    time_to_outcome: expected.decided,
  });
  expect(byText(body.per_day)).toEqual(byText(expected.per_day));
  expect(byText(body.failures)).toEqual(byText(expected.failures));
  expect(body.now.in_flight).toEqual(expected.in_flight);
  expect(body.now.overdue).toEqual(expected.overdue);
  expect(body.now.in_review).toEqual(expected.in_review);
  // Each age leads to the list of just its refunds.
  let aged = 0;
  for (const age of body.now.pending_by_age) {
    const refunds = ours.filter(
      ({ state, gateway, createdAt }) =>
        !STATES[state].final &&
        gateway === age.gateway &&
        (age.created_from === null || createdAt >= new Date(age.created_from)) &&
        (age.created_before === null || createdAt < new Date(age.created_before)),
    );
    expect(age.refunds).toBe(refunds.length);
    aged += age.refunds;
  }
  expect(aged).toBe(expected.open);

  const counts = (await call(api, '/v1/refunds/counts')).body;
  for (const state of STATE_NAMES) {
    expect([state, counts.states[state]]).toEqual([state, ours.filter((r) => r.state === state).length]);
  }
  expect(counts.overdue).toBe(ours.filter((r) => !STATES[r.state].final && r.dueAt < clock.now()).length);
}

const history = fc.record({
  zone: fc.constantFrom('UTC', 'Asia/Kolkata', 'Asia/Kathmandu', 'America/New_York', 'Pacific/Chatham'),
  steps: fc.array(
    fc.oneof(
      fc.record({
        kind: fc.constant('make' as const),
        rows: fc.array(
          fc.record({
            merchantId: fc.constantFrom('acme', 'acme', 'acme', 'other'),
            currency: fc.constantFrom('INR' as const, 'KWD' as const, 'JPY' as const),
            gateway: fc.constantFrom('MODEL', 'SECOND'),
            amountMinor: fc.integer({ min: 1, max: 1_000_000 }),
            minutesAgo: fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 150_000 })),
            dueInMinutes: fc.integer({ min: -5_000, max: 5_000 }),
          }),
          { minLength: 1, maxLength: 12 },
        ),
      }),
      fc.record({
        kind: fc.constant('move' as const),
        which: fc.array(fc.nat(60), { minLength: 1, maxLength: 20 }),
        to: fc.constantFrom<RefundState>(
          'sending',
          'submitted',
          'succeeded',
          'failed',
          'cancelled',
          'manual_review',
          'reversed',
          'unknown',
        ),
        minutesLater: fc.integer({ min: 0, max: 3_000 }),
        errorCode: fc.constantFrom(null, 'declined', 'no account'),
      }),
      fc.constant({ kind: 'fold' as const }),
      fc.constant({ kind: 'claim' as const }),
      fc.constant({ kind: 'rolled back' as const }),
    ),
    { minLength: 1, maxLength: 25 },
  ),
});

describe('the figures', () => {
  test('are what a reading of all refunds gives, whatever happened to them and whenever it was folded', async () => {
    await fc.assert(
      fc
        .asyncProperty(history, async ({ zone, steps }) => {
          const all: Made[] = [];
          for (const step of steps) {
            if (step.kind === 'make') {
              all.push(
                ...(await make(
                  step.rows.map(({ minutesAgo, dueInMinutes, ...row }) => ({
                    ...row,
                    createdAt: new Date(clock.now().getTime() - minutesAgo * 60_000),
                    dueAt: new Date(clock.now().getTime() + dueInMinutes * 60_000),
                    state: 'queued' as const,
                    succeededAt: null,
                    failedAt: null,
                    errorCode: null,
                    attention: null,
                  })),
                )),
              );
            } else if (step.kind === 'move') {
              const some = [...new Set(step.which.flatMap((n) => (all[n] ? [all[n]] : [])))];
              const at = new Date(clock.now().getTime() - 3_000_000 + step.minutesLater * 1_000);
              await move(some, step.to, at, step.errorCode);
            } else if (step.kind === 'fold') await foldFigures(api.db);
            else if (step.kind === 'claim') {
              await api.db.query(`update refunds set looks = looks + 1 where next_look_at is not null`);
            } else {
              await api.db
                .transaction(async (tx) => {
                  await tx.query(`update refunds set looks = looks + 1, event_seq = event_seq + 1, state = 'cancelled',
                    next_look_at = null where state = 'queued'`);
                  throw new Error('not to be');
                })
                .catch(() => undefined);
            }
          }
          await expectAll(all, zone, '2026-03-05', '2026-03-14');
          await foldFigures(api.db);
          await expectAll(all, zone, '2026-03-10', '2026-03-16');
          await expectAll(all, zone, '2025-12-01', '2026-05-20');
          const kept = await readKept();
          await rebuildFigures(api.db);
          expect(await readKept()).toEqual(kept);
        })
        .beforeEach(async () => {
          await api.db.transaction(async (tx) => {
            await tx.query('set local session_replication_role = replica');
            for (const table of ['refunds', 'figures', 'figure_changes'])
              await tx.query(`delete from ${table}`);
            await tx.query('update transactions set reserved_minor = 0, refunded = null');
          });
        }),
      { numRuns: 40 },
    );
  });

  test('are true while refunds move and processes fold at once', async () => {
    const made = await make(
      Array.from({ length: 200 }, (_, n) => ({
        merchantId: 'acme',
        currency: 'INR' as const,
        gateway: 'MODEL',
        amountMinor: n + 1,
        createdAt: new Date(clock.now().getTime() - n * QUARTER_MS),
        dueAt: clock.now(),
        state: 'queued' as const,
        succeededAt: null,
        failedAt: null,
        errorCode: null,
        attention: null,
      })),
    );
    let moving = true;
    const folding = [1, 2].map(async () => {
      while (moving) await foldFigures(api.db);
    });
    const reading = (async () => {
      while (moving) {
        const { body } = await call(api, '/v1/refunds/counts');
        expect(Object.values<number>(body.states).reduce((sum, n) => sum + n, 0)).toBe(200);
      }
    })();
    await Promise.all(
      [0, 1, 2, 3].map(async (lane) => {
        for (const to of ['sending', 'submitted', 'succeeded', 'reversed'] as const) {
          for (let n = lane; n < 200; n += 40) await move(made.slice(n, n + 1), to, clock.now(), null);
        }
      }),
    );
    moving = false;
    await Promise.all([...folding, reading]);
    await foldFigures(api.db);
    const { body } = await call(api, '/v1/refunds/counts');
    expect(body.statuses).toEqual({ PENDING: 180, SUCCESS: 0, FAILURE: 20, MANUAL_REVIEW: 0 });
    expect(await api.db.query('select * from figure_changes')).toEqual([]);
    expect(await api.db.query('select * from figures where refunds <= 0')).toEqual([]);
  });

  test('tell how long outcomes took, within a tenth', async () => {
    const seconds = [30, 60, 90, 600, 3_600, 7_200, 86_400, 172_800, 259_200, 604_800];
    for (const took of seconds) {
      const createdAt = new Date(clock.now().getTime() - took * 1_000);
      const made = await make([
        {
          merchantId: 'acme',
          currency: 'INR',
          gateway: 'MODEL',
          amountMinor: 100,
          createdAt,
          dueAt: clock.now(),
          state: 'queued',
          succeededAt: null,
          failedAt: null,
          errorCode: null,
          attention: null,
        },
      ]);
      for (const to of ['sending', 'succeeded'] as const) await move(made, to, clock.now(), null);
    }
    const { body } = await call(api, '/v1/figures?from=2026-03-15&to=2026-03-15');
    const { refunds, median_seconds, p95_seconds } = body.totals.time_to_outcome;
    expect(refunds).toBe(10);
    expect(Math.abs(median_seconds / 3_600 - 1)).toBeLessThan(0.1);
    expect(Math.abs(p95_seconds / 604_800 - 1)).toBeLessThan(0.1);
    const [gateway] = body.time_to_outcome;
    expect(gateway.gateway).toBe('MODEL');
    const within = (most: number) =>
      gateway.distribution
        .filter((step: { up_to_seconds: number }) => step.up_to_seconds <= most)
        .reduce((sum: number, step: { refunds: number }) => sum + step.refunds, 0);
    for (const most of [120, 1_000, 10_000, 100_000, 1_000_000]) {
      expect(within(most)).toBe(seconds.filter((took) => took <= most).length);
    }
  });

  test('compare with as many days before', async () => {
    for (const [days, n] of [
      [0, 3],
      [1, 1],
      [2, 2],
      [3, 4],
    ] as const) {
      await make(
        Array.from({ length: n }, () => ({
          merchantId: 'acme',
          currency: 'KWD' as const,
          gateway: 'MODEL',
          amountMinor: 1_500,
          createdAt: new Date(clock.now().getTime() - days * DAY_MS),
          dueAt: clock.now(),
          state: 'queued' as const,
          succeededAt: null,
          failedAt: null,
          errorCode: null,
          attention: null,
        })),
      );
    }
    const { body } = await call(api, '/v1/figures?from=2026-03-14&to=2026-03-15&compare=true');
    expect(body.totals.amounts).toEqual([
      { currency: 'KWD', refunds: 4, amount: '6.000', succeeded_refunds: 0, succeeded_amount: '0.000' },
    ]);
    expect(body.before).toMatchObject({ from: '2026-03-12', to: '2026-03-13', totals: { refunds: 6 } });
  });

  test.each([
    ['from', '2026-3-1'],
    ['from', '2026-02-30'],
    ['to', '2026-03-01'],
    ['to', '2028-01-01'],
    ['zone', 'Mars/Olympus'],
    ['zone', '+05:30'],
    ['currency', 'rupees'],
    ['gateway', 'a b'],
    ['compare', 'yes'],
    ['colour', 'blue'],
  ])('refuse %s=%s by name', async (field, value) => {
    const query = new URLSearchParams({ from: '2026-03-02', to: '2026-03-03', [field]: value });
    const { status, body } = await call(api, `/v1/figures?${query}`);
    expect([status, body.error.field]).toEqual([400, field]);
    expect(body.error.accepted).toBeTruthy();
  });
});

async function readKept(): Promise<unknown[]> {
  return api.db.query(
    `select merchant_id, kind, at, word, gateway, currency, refunds, amount_minor::text from figures order by 1, 2, 3, 4, 5, 6`,
  );
}

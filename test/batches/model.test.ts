import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Actor } from '../../src/batches/batch.ts';
import { confirmBatch, expectedOf } from '../../src/batches/decide.ts';
import type { BatchDeps } from '../../src/batches/deps.ts';
import { listRows, readBatch } from '../../src/batches/store.ts';
import { addBytes, beginBatch, takeFile } from '../../src/batches/upload.ts';
import { doNextStep } from '../../src/batches/worker.ts';
import type { Gateway } from '../../src/gateways/gateway.ts';
import { newId } from '../../src/lib/ids.ts';
import { formatAmount } from '../../src/lib/money.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { ModelGateway } from '../refunds/model.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { engineDeps, ManualClock, merchantWithAccount, refundRequest } from '../support/engine.ts';

/**
 * What the check says of any file, and what becomes of its rows, against a model that goes through the file row by row as a
 * person would. The model knows nothing of SQL, buckets or windows. What it promises is also asked of the door for single
 * refunds, on orders of the same kind: the three must agree.
 */

const GATEWAYS: Readonly<Record<string, { readonly parts: boolean; readonly instant: boolean }>> = {
  MODEL: { parts: true, instant: false },
  QUICK: { parts: true, instant: true },
  WHOLE: { parts: false, instant: true },
};
const EXPONENTS: Readonly<Record<string, number>> = { INR: 2, JPY: 0, USD: 2 };
const MOST_REFUNDS = 25;
const ME: Actor = { kind: 'key', id: newId(), name: 'test' };

let fresh: FreshDatabase;
let deps: BatchDeps;

beforeAll(async () => {
  fresh = await freshDatabase();
  await merchantWithAccount(fresh.db);
  const gateways: Gateway[] = Object.entries(GATEWAYS).map(([name, { parts, instant }]) => ({
    ...new ModelGateway({ partialRefunds: parts, instantRefunds: instant }).gateway,
    name,
  }));
  deps = { engine: engineDeps(fresh.db, { clock: new ManualClock(), gateways }), wake: () => undefined };
});
afterAll(() => fresh.drop());

// What is generated --------------------------------------------------------------------------------------------

interface Payment {
  readonly charged: boolean;
  readonly wholeMinor: number;
  readonly gateway: string;
  readonly chargedAtS: number;
}
interface Earlier {
  readonly payment: number;
  readonly percent: number;
  readonly id: string;
  readonly cancelled: boolean;
}
interface Order {
  readonly currency: 'INR' | 'JPY';
  readonly email: string | null;
  readonly payments: readonly Payment[];
  readonly earlier: readonly Earlier[];
}
interface Asked {
  /** Which order; one that is not there where there is none of this number. */
  readonly order: number;
  readonly naming: 'order' | 'ORDER' | 'payment' | 'both';
  readonly payment: number;
  readonly id: string;
  /** Of the first payment; `full`; or a text as it stands. */
  readonly amount: number | 'full' | { readonly text: string };
  readonly zeros: string;
  readonly currency: 'its own' | 'USD';
  readonly type: '' | 'STANDARD' | 'INSTANT';
  readonly email: '' | 'its own' | 'ITS OWN' | 'x@y.test';
}

const mostly = <Value>(usual: Value, ...others: Value[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );

const payment: fc.Arbitrary<Payment> = fc.record({
  charged: mostly(true, false),
  wholeMinor: fc.constantFrom(100, 5_000, 10_000),
  gateway: mostly('MODEL', 'QUICK', 'WHOLE'),
  chargedAtS: fc.constantFrom(0, 0, 60, 120),
});
const earlier: fc.Arbitrary<Earlier> = fc.record({
  payment: fc.nat(2),
  percent: fc.constantFrom(10, 20, 50, 100),
  id: fc.constantFrom('a', 'b', 'before'),
  cancelled: fc.boolean(),
});
const order: fc.Arbitrary<Order> = fc.record({
  currency: mostly<'INR' | 'JPY'>('INR', 'JPY'),
  email: fc.constantFrom(null, 'asha@example.test'),
  payments: fc.oneof(
    { weight: 3, arbitrary: fc.array(payment, { minLength: 1, maxLength: 1 }) },
    { weight: 2, arbitrary: fc.array(payment, { maxLength: 3 }) },
  ),
  earlier: fc.array(earlier, { maxLength: 3 }),
});
const asked: fc.Arbitrary<Asked> = fc.record({
  order: fc.nat(5),
  naming: mostly<Asked['naming']>('order', 'ORDER', 'payment', 'both'),
  payment: fc.nat(2),
  id: fc.oneof(
    { weight: 1, arbitrary: fc.constantFrom('a', 'b', 'c') },
    { weight: 4, arbitrary: fc.nat(1_000).map((n) => `n${n}`) },
  ),
  amount: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom<Asked['amount']>(1, 10, 20, 20, 50, 100, 101) },
    { weight: 3, arbitrary: fc.constant<Asked['amount']>('full') },
    {
      weight: 1,
      arbitrary: fc.constantFrom('0', '', '1.001', '-1', '1,5', '999999999999').map((text) => ({ text })),
    },
  ),
  zeros: fc.constantFrom('', '0'),
  currency: mostly<Asked['currency']>('its own', 'USD'),
  type: mostly<Asked['type']>('', 'STANDARD', 'INSTANT'),
  email: mostly<Asked['email']>('', 'its own', 'ITS OWN', 'x@y.test'),
});
const few = fc.record({
  orders: fc.array(order, { minLength: 1, maxLength: 5 }),
  rows: fc.array(asked, { minLength: 1, maxLength: 24 }),
});
/** More rows of one order than an order may have refunds. */
const many = fc.record({
  orders: fc.array(order, { minLength: 1, maxLength: 1 }),
  rows: fc.array(
    fc.record({
      order: fc.constant(0),
      naming: fc.constantFrom<Asked['naming'][]>('order', 'payment'),
      payment: fc.nat(2),
      id: fc.nat(100_000).map((n) => `n${n}`),
      amount: fc.constantFrom<Asked['amount'][]>(1, 1, 1, 1, 2, 101, 'full'),
      zeros: fc.constant(''),
      currency: fc.constant<Asked['currency']>('its own'),
      type: fc.constant<Asked['type']>(''),
      email: fc.constant<Asked['email']>(''),
    }),
    { minLength: 24, maxLength: 40 },
  ),
});
const world = fc.oneof({ weight: 5, arbitrary: few }, { weight: 1, arbitrary: many });

// The model ----------------------------------------------------------------------------------------------------

interface ModelRow {
  readonly orderId: string;
  readonly txnId: string;
  readonly id: string;
  readonly amount: string;
  readonly currency: string;
  readonly type: string;
  readonly email: string;
}
interface ModelPayment extends Payment {
  readonly txnId: string;
  restMinor: number;
}
interface ModelOrder {
  readonly orderId: string;
  readonly currency: string;
  readonly email: string | null;
  readonly payments: ModelPayment[];
  readonly refunds: { readonly id: string; readonly amountMinor: number; readonly holds: boolean }[];
}
interface Judged {
  readonly verdict: 'good' | 'look_alike' | 'bad';
  /** All that is wrong with it. */
  readonly faults: readonly string[];
  readonly txnId?: string;
  readonly amountMinor?: number;
}

/** Goes through the file row by row: what is each, if those before it were sent? */
function judge(orders: readonly ModelOrder[], rows: readonly ModelRow[]): Judged[] {
  const namedBefore = new Set<string>();
  const inFile = new Map<ModelOrder, number[]>();
  return rows.map((row): Judged => {
    const exponent = EXPONENTS[row.currency]!;
    const isFull = row.amount === 'full';
    const decimals = row.amount.split('.')[1]?.length ?? 0;
    if (!isFull && (!/^\d+(\.\d+)?$/.test(row.amount) || Number(row.amount) === 0 || decimals > exponent)) {
      return { verdict: 'bad', faults: ['unreadable'] };
    }
    const found = orders.find((one) =>
      row.orderId === ''
        ? one.payments.some(({ txnId }) => txnId === row.txnId)
        : one.orderId.toLowerCase() === row.orderId.toLowerCase(),
    );
    if (!found) return { verdict: 'bad', faults: ['order_not_found'] };
    const faults: string[] = [];
    const name = `${found.orderId} ${row.id}`;
    if (namedBefore.has(name)) faults.push('duplicate_in_file');
    namedBefore.add(name);
    const open = found.payments.filter(
      ({ charged, txnId }) => charged && (row.txnId === '' || txnId === row.txnId),
    );
    if (open.length === 0) return { verdict: 'bad', faults: [...faults, 'order_not_charged'] };
    if (found.refunds.some(({ id }) => id === row.id)) faults.push('duplicate_request_id');
    if (row.currency !== found.currency) faults.push('currency_mismatch');
    if (row.email !== '' && row.email.toLowerCase() !== found.email?.toLowerCase()) {
      faults.push('email_mismatch');
    }
    if (decimals > EXPONENTS[found.currency]!) return { verdict: 'bad', faults };
    const askedMinor = isFull ? null : Math.round(Number(row.amount) * 10 ** EXPONENTS[found.currency]!);
    const from = open.find(({ restMinor }) => restMinor >= Math.max(1, askedMinor ?? 1)) ?? open[0]!;
    const takesMinor = askedMinor ?? from.restMinor;
    const { parts, instant } = GATEWAYS[from.gateway]!;
    if (takesMinor > from.restMinor || takesMinor === 0) faults.push('amount_exceeds_rest');
    if (row.type === 'INSTANT' && !instant) faults.push('instant_not_supported');
    if (takesMinor < from.wholeMinor && !parts) faults.push('partial_not_supported');
    const sendable = inFile.get(found) ?? [];
    if (found.refunds.length + sendable.length >= MOST_REFUNDS) faults.push('too_many_refunds');
    if (faults.length > 0) return { verdict: 'bad', faults };
    const before = found.refunds.some(({ amountMinor, holds }) => holds && amountMinor === takesMinor);
    const inThis = sendable.includes(takesMinor);
    from.restMinor -= takesMinor;
    inFile.set(found, [...sendable, takesMinor]);
    return {
      verdict: before || inThis ? 'look_alike' : 'good',
      faults: [...(before ? ['same_amount_before'] : []), ...(inThis ? ['same_amount_in_file'] : [])],
      txnId: from.txnId,
      amountMinor: takesMinor,
    };
  });
}

// The real ones ------------------------------------------------------------------------------------------------

/** Makes the orders, under ids with this prefix, and tells the model what they are. */
async function makeOrders(orders: readonly Order[], prefix: string): Promise<ModelOrder[]> {
  const { db } = fresh;
  const made: ModelOrder[] = [];
  for (const [n, { currency, email, payments, earlier }] of orders.entries()) {
    const orderId = `${prefix}-o${n}`;
    await db.query(
      `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, customer_email, created_at, updated_at)
       values ('acme', $1, $2, 'CHARGED', 10000, $3, $4, $5, '2026-01-01', '2026-01-01')`,
      [orderId, newId(), currency, EXPONENTS[currency]!, email],
    );
    for (const [k, one] of payments.entries()) {
      await db.query(
        `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
           gateway_payment_id, charged_at, created_at, updated_at)
         values ('acme', $1, $2, $3, $4, $5, $6, 'ga', $2, timestamptz '2026-01-01' + make_interval(secs => $7), '2026-01-01', '2026-01-01')`,
        [
          orderId,
          `${orderId}-t${k}`,
          newId(),
          one.charged ? 'CHARGED' : 'FAILED',
          one.wholeMinor,
          one.gateway,
          one.chargedAtS,
        ],
      );
    }
    for (const [k, { payment, percent, id, cancelled }] of earlier.entries()) {
      const of = payments[payment];
      if (!of) continue;
      const amount = formatAmount(Math.max(1, (of.wholeMinor * percent) / 100), EXPONENTS[currency]!);
      const [outcome] = await recordRefunds(deps.engine, [
        refundRequest({
          orderId,
          txnId: `${orderId}-t${payment}`,
          uniqueRequestId: id === 'before' ? `before${k}` : id,
          amount,
        }),
      ]);
      if (outcome!.ok && cancelled) {
        const cause = { by: 'worker', why: 'a test' } as const;
        await cancelRefund(deps.engine, 'acme', outcome!.refund.refundId, { reason: 'a test', cause });
      }
    }
    const refunds = await db.query<{ id: string; amountMinor: number; holds: boolean }>(
      `select unique_request_id as id, amount_minor as "amountMinor", state_reserves(state) as holds from refunds where order_id = $1`,
      [orderId],
    );
    const rests = await db.query<{ txn_id: string; rest: number }>(
      'select txn_id, effective_minor - reserved_minor as rest from transactions where order_id = $1',
      [orderId],
    );
    const inOrder = payments
      .map((one, k) => {
        const txnId = `${orderId}-t${k}`;
        return { ...one, txnId, restMinor: rests.find(({ txn_id }) => txn_id === txnId)!.rest };
      })
      .sort((a, b) => a.chargedAtS - b.chargedAtS || (a.txnId < b.txnId ? -1 : 1));
    made.push({ orderId, currency, email, payments: inOrder, refunds });
  }
  return made;
}

function rowsOf(orders: readonly ModelOrder[], rows: readonly Asked[], prefix: string): ModelRow[] {
  return rows.map((row) => {
    const of = orders[row.order];
    const orderId = of?.orderId ?? `${prefix}-none`;
    const first = of?.payments[0];
    const currency = row.currency === 'its own' ? (of?.currency ?? 'INR') : 'USD';
    const exponent = EXPONENTS[of?.currency ?? 'INR']!;
    const decimal = (minor: number) => {
      const text = formatAmount(minor, exponent);
      return text.endsWith('.00') && row.zeros === '' ? text.slice(0, -3) : text;
    };
    const amount =
      typeof row.amount === 'number'
        ? decimal(Math.max(1, Math.round(((first?.wholeMinor ?? 100) * row.amount) / 100)))
        : row.amount === 'full'
          ? 'full'
          : row.amount.text;
    const email =
      row.email === 'its own'
        ? (of?.email ?? '')
        : row.email === 'ITS OWN'
          ? (of?.email?.toUpperCase() ?? '')
          : row.email;
    return {
      orderId: row.naming === 'payment' ? '' : row.naming === 'ORDER' ? orderId.toUpperCase() : orderId,
      txnId: row.naming === 'payment' || row.naming === 'both' ? `${orderId}-t${row.payment}` : '',
      id: row.id,
      amount,
      currency,
      type: row.type,
      email,
    };
  });
}

function fileOf(rows: readonly ModelRow[]): Buffer {
  const lines = rows.map(
    (row) =>
      `${row.orderId},${row.id},"${row.amount}",${row.currency},,${row.txnId},${row.type},${row.email}`,
  );
  const header = 'order_id,unique_request_id,amount,currency,note,txn_id,refund_type,customer_email';
  return Buffer.from(`${[header, ...lines].join('\n')}\n`);
}

async function uploaded(file: Buffer) {
  const reading = { amounts: 'major', sameFile: 'refuse', columns: {} } as const;
  const batch = await beginBatch(deps, {
    merchantId: 'acme',
    kind: 'refunds',
    name: 'model',
    fileName: 'model.csv',
    bytes: null,
    reading,
    by: ME,
  });
  await addBytes(deps, batch, { fileNo: 1, bytes: null }, 0, Readable.from([file]));
  await takeFile(deps, batch, 1, ME);
  while (await doNextStep(deps));
  return (await readBatch(fresh.db, batch))!;
}

let runs = 0;

test('what the check promises of any file is what the run makes of it, and what single refunds would have come to', async () => {
  const seen = { good: 0, look_alike: 0, bad: 0 };
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(world, fc.constantFrom('send', 'leave'), async (facts, lookAlikes) => {
      const prefix = `m${++runs}`;
      const orders = await makeOrders(facts.orders, prefix);
      const rows = rowsOf(orders, facts.rows, prefix);
      const judged = judge(orders, rows);
      const checked = await uploaded(fileOf(rows));
      expect(checked.status).toBe('checked');
      const shown = await listRows(fresh.db, checked, { afterRow: 0, limit: 1_000 });
      expect(shown.map(({ verdict }) => verdict)).toEqual(judged.map(({ verdict }) => verdict));
      for (const [n, { verdict, problem }] of shown.entries()) {
        seen[verdict]++;
        if (problem === null) continue;
        const { faults } = judged[n]!;
        if (faults[0] === 'unreadable') continue;
        codes.add(String(problem['code']));
        expect(faults, `row ${n + 1}`).toContain(problem['code']);
      }
      const sendable = (one: Judged) =>
        one.verdict === 'good' || (one.verdict === 'look_alike' && lookAlikes === 'send');
      const promised = new Map<string, number>();
      for (const [n, one] of judged.entries()) {
        if (!sendable(one)) continue;
        const { currency } = rows[n]!;
        promised.set(currency, (promised.get(currency) ?? 0) + one.amountMinor!);
      }
      const said = expectedOf(checked.findings, lookAlikes);
      expect(said.totals).toEqual(
        Object.fromEntries(
          [...promised].map(([currency, minor]) => [currency, formatAmount(minor, EXPONENTS[currency]!)]),
        ),
      );

      const confirmed = await confirmBatch(deps, checked, { ...said, lookAlikes }, ME);
      expect(confirmed.ok).toBe(said.rows > 0);
      while (await doNextStep(deps));
      const made = await fresh.db.query(
        'select batch_row, txn_id, amount_minor from refunds where batch_id = $1 order by batch_row',
        [checked.batchId],
      );
      expect(made).toEqual(
        judged.flatMap((one, n) =>
          sendable(one) ? [{ batch_row: n + 1, txn_id: one.txnId, amount_minor: one.amountMinor }] : [],
        ),
      );
      const after = (await readBatch(fresh.db, checked))!;
      expect(after).toMatchObject({ rowsMade: made.length, rowsRefused: 0, rowsTried: after.rowsConfirmed });
      const drifted = await fresh.db.query(
        `select t.txn_id from transactions t
         left join refunds r on r.merchant_id = t.merchant_id and r.order_id = t.order_id and r.txn_id = t.txn_id
         where t.order_id like $1 group by t.merchant_id, t.order_id, t.txn_id
         having t.reserved_minor <> coalesce(sum(r.amount_minor) filter (where state_reserves(r.state)), 0)`,
        [`${prefix}-%`],
      );
      expect(drifted).toEqual([]);

      // The same asked one by one, of orders of the same kind.
      const twins = `w${runs}`;
      const twin = (text: string) =>
        text.replace(prefix, twins).replace(prefix.toUpperCase(), twins.toUpperCase());
      await makeOrders(facts.orders, twins);
      const single = judged.flatMap((one, n) => {
        const atTheDoor = one.faults.filter(
          (fault) => !['duplicate_in_file', 'email_mismatch', 'unreadable'].includes(fault),
        );
        return one.verdict !== 'bad' || atTheDoor.length > 0 ? [{ one, row: rows[n]! }] : [];
      });
      const outcomes = await recordRefunds(
        deps.engine,
        single.map(({ row }) =>
          refundRequest({
            orderId: row.orderId === '' ? null : twin(row.orderId),
            txnId: row.txnId === '' ? null : twin(row.txnId),
            uniqueRequestId: row.id,
            amount: row.amount,
            currency: row.currency,
            refundType: row.type === '' ? 'STANDARD' : (row.type as 'INSTANT'),
          }),
        ),
      );
      expect(
        outcomes.map((outcome) =>
          outcome.ok ? [outcome.refund.txnId, outcome.refund.amountMinor] : 'refused',
        ),
      ).toEqual(
        single.map(({ one }) => (one.verdict === 'bad' ? 'refused' : [twin(one.txnId!), one.amountMinor])),
      );
    }),
    { numRuns: Number(process.env['MODEL_RUNS'] ?? 90) },
  );
  // Else it has looked at nothing.
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(10);
  expect(codes.size).toBeGreaterThan(6);
});

test('when facts change after the check, no row comes to more than was confirmed, and each is answered', async () => {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(
      world,
      fc.constantFrom('send', 'leave'),
      fc.array(fc.tuple(fc.nat(4), fc.nat(2), fc.constantFrom('1', '5', 'full', 'full')), {
        minLength: 2,
        maxLength: 8,
      }),
      async (facts, lookAlikes, singles) => {
        const prefix = `f${++runs}`;
        const orders = await makeOrders(facts.orders, prefix);
        const rows = rowsOf(orders, facts.rows, prefix);
        const judged = judge(orders, rows);
        const checked = await uploaded(fileOf(rows));
        const said = expectedOf(checked.findings, lookAlikes);
        // What was refunded before comes back, or more is refunded meanwhile.
        const earlier = await fresh.db.query<{ refund_id: string }>(
          `select refund_id from refunds where state = 'queued' and order_id like $1`,
          [`${prefix}-%`],
        );
        const cause = { by: 'worker', why: 'a test' } as const;
        for (const { refund_id } of earlier) {
          await cancelRefund(deps.engine, 'acme', refund_id, { reason: 'a test', cause });
        }
        await recordRefunds(
          deps.engine,
          singles.map(([order, payment, amount], n) =>
            refundRequest({
              orderId: `${prefix}-o${order % orders.length}`,
              txnId: payment === 0 ? null : `${prefix}-o${order % orders.length}-t${payment}`,
              uniqueRequestId: `meanwhile${n}`,
              amount,
            }),
          ),
        );
        const confirmed = await confirmBatch(deps, checked, { ...said, lookAlikes }, ME);
        expect(confirmed.ok).toBe(said.rows > 0);
        while (await doNextStep(deps));
        const made = await fresh.db.query<{ batch_row: number; amount_minor: number }>(
          'select batch_row, amount_minor from refunds where batch_id = $1 order by batch_row',
          [checked.batchId],
        );
        for (const { batch_row, amount_minor } of made) {
          const promise = judged[batch_row - 1]!;
          expect(promise.verdict).not.toBe('bad');
          expect(amount_minor, `row ${batch_row}`).toBeLessThanOrEqual(promise.amountMinor!);
        }
        const after = (await readBatch(fresh.db, checked))!;
        const shown = await listRows(fresh.db, checked, { afterRow: 0, limit: 1_000 });
        const said_no = shown.filter(({ state, problem }) => state === 'refused' && problem !== null);
        expect([made.length, said_no.length]).toEqual([after.rowsMade, after.rowsRefused]);
        expect(made.length + said_no.length).toBe(said.rows);
        refused += said_no.length;
      },
    ),
    { numRuns: Number(process.env['MODEL_RUNS'] ?? 25) },
  );
  expect(refused).toBeGreaterThan(0);
});

test('rows of one order that stand far from each other in a file are weighed together, and sent in its order', async () => {
  const prefix = 'far';
  const pay = { charged: true, gateway: 'MODEL', chargedAtS: 0 };
  const made = await makeOrders(
    [10_000, 5_000, 10_000].map((wholeMinor) => ({
      currency: 'INR',
      email: null,
      payments: [{ ...pay, wholeMinor }],
      earlier: [],
    })),
    prefix,
  );
  const row = (orderId: string, id: string, amount: string, txnId = ''): ModelRow => ({
    ...{ orderId, id, amount, txnId },
    ...{ currency: 'INR', type: '', email: '' },
  });
  const rows = Array.from({ length: 45_000 }, (_, n) => row(`none-${n}`, 'a', '1.00'));
  const far: [number, ModelRow][] = [
    [0, row('far-o0', 'a', '60.00')],
    [19_999, row('FAR-o0', 'b', '50.00')],
    [20_000, row('', 'c', '40.00', 'far-o0-t0')],
    [44_999, row('far-o0', 'd', 'full')],
    [30_000, row('far-o1', 'a', 'full')],
    [44_000, row('far-o1', 'a', '1.00')],
    [10, row('', 'a', '70.00', 'far-o2-t0')],
    [43_000, row('far-O2', 'b', '30.00')],
    [44_500, row('far-o2', 'c', '0.01')],
  ];
  for (const [at, one] of far) rows[at] = one;
  const judged = judge(made, rows);
  const checked = await uploaded(fileOf(rows));
  const shown = await listRows(fresh.db, checked, { afterRow: 0, limit: 50_000 });
  for (const [at] of far) {
    const { verdict, faults } = judged[at]!;
    const { problem } = shown[at]!;
    expect([at, shown[at]!.verdict]).toEqual([at, verdict]);
    if (problem) expect(faults).toContain(problem['code']);
  }
  const good = judged.filter(({ verdict }) => verdict === 'good').length;
  const said = expectedOf(checked.findings, null);
  expect(said).toEqual({ rows: good, totals: { INR: '250.00' } });
  await confirmBatch(deps, checked, { ...said, lookAlikes: null }, ME);
  while (await doNextStep(deps));
  const refunds = await fresh.db.query(
    'select batch_row, amount_minor from refunds where batch_id = $1 order by batch_row',
    [checked.batchId],
  );
  expect(refunds).toEqual(
    judged.flatMap(({ verdict, amountMinor }, n) =>
      verdict === 'good' ? [{ batch_row: n + 1, amount_minor: amountMinor }] : [],
    ),
  );
});

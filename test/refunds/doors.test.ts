/** One table of refunds that are asked for, through every door: each judges alike, and what is refused leaves nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { csv, rowsOf, upload } from '../batches/batch.ts';
import { type Answer, call, startApi, type TestApi } from '../support/api.ts';
import { type ChargedOrder, ManualClock, merchantWithAccount, putOrder } from '../support/engine.ts';
import { ModelGateway } from './model.ts';

const clock = new ManualClock(new Date('2026-03-02T10:20:30.000Z'));
/** Makes no instant refunds, refunds only the whole, and that for 180 days. */
const STRICT = {
  ...new ModelGateway({ partialRefunds: false, refundableDays: 180 }).gateway,
  name: 'STRICT',
};

let api: TestApi;
beforeAll(async () => {
  api = await startApi({ clock, gateways: [new ModelGateway({ instantRefunds: true }).gateway, STRICT] });
  await merchantWithAccount(api.db, { accountId: 'ga_strict', gateway: 'STRICT' });
});
afterAll(() => api.close());

interface Asked {
  readonly amount: string;
  readonly key?: string;
  readonly currency?: string;
  readonly txnId?: string;
  readonly instant?: boolean;
}

interface Case {
  readonly what: string;
  /** The payments of 100.00 each that the order has, or none. */
  readonly payments?: readonly Partial<ChargedOrder & { readonly paidDaysAgo: number }>[];
  /** Refunds that the order has already: `key amount`, and what became of them. */
  readonly before?: readonly (readonly [key: string, amount: string, state?: 'failed' | undefined])[];
  readonly asked: Asked;
  /** The name that /v1, preview and rows give to the refusal; null where it is taken. */
  readonly refused: string | null;
  /** The contract's error_code, where it is refused. */
  readonly contract?: string;
  /** Which payment it goes to, where it is taken. */
  readonly takes?: string;
}

const strict = { gateway: 'STRICT', accountId: 'ga_strict' };
const many = (n: number, state?: 'failed') =>
  Array.from({ length: n }, (_, k) => [`m${k}`, `0.${String(10 + k)}`, state] as const);

const CASES: readonly Case[] = [
  { what: 'a part', asked: { amount: '40.00' }, refused: null, takes: '1' },
  { what: 'all', asked: { amount: 'full' }, refused: null, takes: '1' },
  {
    what: 'all that is left',
    before: [['a', '60.00']],
    asked: { amount: 'full' },
    refused: null,
    takes: '1',
  },
  {
    what: 'the amount of one that failed',
    before: [['a', '100.00', 'failed']],
    asked: { amount: '100.00' },
    refused: null,
    takes: '1',
  },
  {
    what: 'more than is left',
    before: [['a', '60.00']],
    asked: { amount: '40.01' },
    refused: 'amount_exceeds_rest',
    contract: 'invalid.amount.exceeded',
  },
  {
    what: 'all where nothing is left',
    before: [['a', '100.00']],
    asked: { amount: 'full' },
    refused: 'amount_exceeds_rest',
    contract: 'invalid.amount.exceeded',
  },
  {
    what: 'a key that the order has used',
    before: [['k', '10.00']],
    asked: { amount: '20.00', key: 'k' },
    refused: 'duplicate_request_id',
    contract: 'duplicate.call',
  },
  {
    what: 'another currency',
    asked: { amount: '20.00', currency: 'USD' },
    refused: 'currency_mismatch',
    contract: 'INVALID_REQUEST',
  },
  {
    what: 'more decimals than the currency has',
    payments: [{ currency: 'JPY', exponent: 0 }],
    asked: { amount: '20.5' },
    refused: 'too_many_decimals',
    contract: 'invalid amount',
  },
  {
    what: 'an order that was not paid',
    payments: [{ status: 'AUTHORIZATION_FAILED' }],
    asked: { amount: '20.00' },
    refused: 'order_not_charged',
    contract: 'invalid.order.not_successful',
  },
  {
    what: 'a payment that the order does not have',
    asked: { amount: '20.00', txnId: 'of another order' },
    refused: 'order_not_charged',
  },
  {
    what: 'the 26th refund that holds its amount',
    before: many(25),
    asked: { amount: '20.00' },
    refused: 'too_many_refunds',
    contract: 'request.exceeded',
  },
  {
    what: 'the 26th of which 25 failed',
    before: many(25, 'failed'),
    asked: { amount: '20.00' },
    refused: null,
    takes: '1',
  },
  {
    what: 'the first payment that so much is left of',
    payments: [{}, {}],
    before: [['a', '70.00']],
    asked: { amount: '40.00' },
    refused: null,
    takes: '2',
  },
  {
    what: 'the payment that it names',
    payments: [{}, {}],
    asked: { amount: '40.00', txnId: '2' },
    refused: null,
    takes: '2',
  },
  {
    what: 'more than any payment, though less than all together',
    payments: [{}, {}],
    asked: { amount: '150.00' },
    refused: 'amount_exceeds_rest',
    contract: 'invalid.amount.exceeded',
  },
  {
    what: 'a part where the gateway refunds only the whole',
    payments: [strict],
    asked: { amount: '20.00' },
    refused: 'partial_not_supported',
    contract: 'invalid amount',
  },
  { what: 'the whole there', payments: [strict], asked: { amount: '100.00' }, refused: null, takes: '1' },
  {
    what: 'an instant refund that the gateway does not make',
    payments: [strict],
    asked: { amount: 'full', instant: true },
    refused: 'instant_not_supported',
    contract: 'instant.refund.not_enabled',
  },
  {
    what: 'an instant refund that it makes',
    asked: { amount: 'full', instant: true },
    refused: null,
    takes: '1',
  },
  {
    what: 'a payment older than its gateway refunds',
    payments: [{ ...strict, paidDaysAgo: 181 }],
    asked: { amount: 'full' },
    refused: 'too_old',
    contract: 'INVALID_REQUEST',
  },
  {
    what: 'one that is not older',
    payments: [{ ...strict, paidDaysAgo: 179 }],
    asked: { amount: 'full' },
    refused: null,
    takes: '1',
  },
];

let orders = 0;
/** An order as the case has it. */
async function orderOf({ payments = [{}], before = [] }: Case): Promise<string> {
  const orderId = `O${++orders}`;
  for (const [n, { paidDaysAgo = 0, ...payment }] of payments.entries()) {
    await putOrder(api.db, { orderId, amountMinor: 100_00, txnNo: n + 1, ...payment });
    await api.db.query(
      `update transactions set charged_at = $1 where order_id = $2 and txn_id like '%-' || $3`,
      [new Date(clock.now().getTime() - paidDaysAgo * 86_400_000 + n), orderId, n + 1],
    );
  }
  for (const [key, amount, state] of before) {
    const made = await v1(orderId, { amount, key });
    expect(made.status).toBe(201);
    if (state) {
      await api.db.query(
        `update refunds set state = $1, next_look_at = null, event_seq = event_seq + 1 where refund_id = $2`,
        [state, made.body.refund_id],
      );
    }
  }
  // The contract refuses the same amount for some seconds.
  clock.pass(60_000);
  return orderId;
}

const txnOf = (orderId: string, txnId: string) => (/^\d$/.test(txnId) ? `acme-${orderId}-${txnId}` : txnId);

function v1(orderId: string, { amount, key = 'new', currency, txnId, instant }: Asked): Promise<Answer> {
  return call(api, '/v1/refunds', {
    json: {
      order_id: orderId,
      unique_request_id: key,
      amount,
      ...(currency && { currency }),
      ...(txnId && { txn_id: txnOf(orderId, txnId) }),
      ...(instant && { refund_type: 'INSTANT' }),
    },
  });
}

function contract(orderId: string, { amount, key = 'new', currency, instant }: Asked): Promise<Answer> {
  return call(api, `/orders/${orderId}/refunds`, {
    form: {
      unique_request_id: key,
      ...(amount !== 'full' && { amount }),
      ...(currency && { currency }),
      ...(instant && { refund_type: 'INSTANT' }),
    },
  });
}

/** What the preview has against it, null where nothing. It is told of no key, currency or kind. */
async function preview(orderId: string, { amount, txnId }: Asked): Promise<string | null> {
  const { body } = await call(api, `/v1/orders/${orderId}/refund-preview`, {
    json: { amount, ...(txnId && { txn_id: txnOf(orderId, txnId) }) },
  });
  return body.blockers[0]?.code ?? null;
}

/** What the check of a file has against it. */
async function row(orderId: string, { amount, key = 'new', currency, txnId, instant }: Asked) {
  const [{ currency: paidIn }] = (await api.db.query('select currency from orders where order_id = $1', [
    orderId,
  ])) as [{ currency: string }];
  const cells = [
    orderId,
    key,
    amount,
    currency ?? paidIn,
    instant ? 'INSTANT' : '',
    txnId ? txnOf(orderId, txnId) : '',
  ];
  const header = 'order_id,unique_request_id,amount,currency,refund_type,txn_id';
  const { body } = await upload(api, csv([cells.join(',')], header));
  const [{ verdict, problem }] = (await rowsOf(api, body.batch_id)) as [
    { verdict: string; problem: { code: string } },
  ];
  return verdict === 'bad' ? problem.code : null;
}

const refundsOf = (orderId: string) =>
  api.db.query<{ txn_id: string }>(
    `select txn_id from refunds where order_id = $1 and unique_request_id = 'new'`,
    [orderId],
  );

describe('what is asked for', () => {
  test.each(CASES)('$what: every door says the same', async (one) => {
    const { asked, refused, takes } = one;
    const orderId = await orderOf(one);
    if (asked.key === undefined && asked.currency === undefined && !asked.instant)
      expect(await preview(orderId, asked)).toBe(v1Name(refused));
    expect(await row(orderId, asked)).toBe(refused);
    expect(await refundsOf(orderId)).toEqual([]);
    const answer = await v1(orderId, asked);
    if (refused === null) {
      expect(answer.status).toBe(201);
      expect(await refundsOf(orderId)).toEqual([{ txn_id: `acme-${orderId}-${takes}` }]);
    } else {
      expect(answer.body.error.code).toBe(v1Name(refused));
      expect(await refundsOf(orderId)).toEqual([]);
    }
    // The contract's surface has no payments to name.
    if (asked.txnId !== undefined) return;
    const again = refused === null ? await orderOf(one) : orderId;
    const { body } = await contract(again, asked);
    if (refused === null) expect(await refundsOf(again)).toEqual([{ txn_id: `acme-${again}-${takes}` }]);
    else {
      expect(body.error_code).toBe(one.contract);
      expect(await refundsOf(again)).toEqual([]);
    }
  });

  test('an order that is not there', async () => {
    expect((await v1('NONE', { amount: '1.00' })).body.error.code).toBe('order_not_found');
    expect((await contract('NONE', { amount: '1.00' })).body.status).toBe('NOT_FOUND');
    const { body } = await upload(api, csv(['NONE,new,1.00,INR,']));
    expect((await rowsOf(api, body.batch_id))[0].problem.code).toBe('order_not_found');
  });
});

/** /v1 has one code for all amounts that are none. */
function v1Name(refused: string | null): string | null {
  return refused === 'too_many_decimals' ? 'invalid_amount' : refused;
}

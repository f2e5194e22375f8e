import { describe, expect, test } from 'vitest';
import { orderObject, refundEntry, refundObject, STATUS_IDS } from '../../src/api/juspay/order-object.ts';
import { orderObjectSchema, refundEntrySchema, refundObjectSchema } from '../../src/api/juspay/schemas.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import type { Order, Transaction } from '../../src/orders/order.ts';
import type { Refund } from '../../src/refunds/refund.ts';
import { STATE_NAMES, STATES } from '../../src/refunds/states.ts';
import { modelGateway } from './model-gateway.ts';

const at = new Date('2026-03-01T10:00:00.900Z');
const order: Order = {
  merchantId: 'acme',
  orderId: 'O1',
  orderUuid: '0190f5f0-0000-7000-8000-00000000abcd',
  status: 'CHARGED',
  amountMinor: 900_000,
  currency: 'INR',
  exponent: 2,
  customerId: null,
  customerEmail: null,
  customerPhone: null,
  details: {},
  metadata: {},
  eventSeq: 1,
  createdAt: at,
  updatedAt: at,
};
const transaction: Transaction = {
  txnId: 'acme-O1-1',
  txnUuid: '0190f5f0-0000-7000-8000-000000000001',
  status: 'CHARGED',
  amountMinor: 900_000,
  surchargeMinor: 20_000,
  offerMinor: 0,
  effectiveMinor: 920_000,
  reservedMinor: 0,
  gateway: 'MODEL',
  gatewayAccountId: 'ga_1',
  gatewayPaymentId: 'pay_1',
  paymentMethodType: 'CARD',
  paymentMethod: 'VISA',
  chargedAt: at,
  createdAt: at,
  updatedAt: at,
};
const refund: Refund = {
  merchantId: 'acme',
  orderId: 'O1',
  refundId: '0190f5f0-0000-7000-8000-000000000002',
  uniqueRequestId: 'r1',
  txnId: 'acme-O1-1',
  amountMinor: 100,
  currency: 'INR',
  exponent: 2,
  state: 'queued',
  gateway: 'MODEL',
  gatewayAccountId: 'ga_1',
  gatewayPaymentId: 'pay_1',
  paymentMethodType: 'CARD',
  refundType: 'STANDARD',
  idempotencyKey: '0123456789012345678901',
  reason: null,
  note: null,
  metadata: {},
  initiatedBy: 'API',
  door: 'api',
  batchId: null,
  batchRow: null,
  lane: 0,
  sends: 0,
  unanswered: 0,
  keyUsedAt: null,
  sentTo: null,
  doubtfulRefusal: null,
  refusedBecause: null,
  looks: 0,
  absences: 0,
  absenceCountsAt: null,
  gatewayRefundId: null,
  gatewayReference: null,
  gatewayStatus: null,
  gatewayAt: null,
  arn: null,
  errorCode: null,
  errorMessage: null,
  attention: null,
  settledByHand: false,
  proposal: null,
  overruled: null,
  createdAt: at,
  updatedAt: at,
  sentAt: null,
  succeededAt: null,
  failedAt: null,
  dueAt: new Date('2026-03-11T11:00:00Z'),
  nextLookAt: null,
  recheckAt: null,
  reviewAt: at,
  eventSeq: 2,
};
const options = { publicUrl: 'https://refunds.shop.test', gateways: registryOf([modelGateway]) };
const show = (refunds: readonly Refund[], transactions = [transaction], shown: Order = order) =>
  orderObject(shown, transactions, refunds, options);

describe('totals (section 4.2, with the numbers of its samples)', () => {
  test('pending, successful and manually reviewed refunds count, failed ones do not', () => {
    for (const state of STATE_NAMES) {
      const counts = STATES[state].public !== 'FAILURE';
      expect(show([{ ...refund, state }]).amount_refunded, state).toBe(counts ? 1 : 0);
    }
    const reviewed = show([
      { ...refund, state: 'manual_review', amountMinor: 147_600 },
      { ...refund, state: 'succeeded', amountMinor: 7_500 },
    ]);
    expect(reviewed.amount_refunded).toBe(1551);
  });

  test('full means all that was paid, not the amount of the order', () => {
    expect(show([{ ...refund, amountMinor: 900_000 }])).toMatchObject({
      amount: 9000,
      effective_amount: 9200,
      amount_refunded: 9000,
      refunded: false,
      maximum_eligible_refund_amount: 200,
    });
    expect(show([{ ...refund, amountMinor: 920_000 }])).toMatchObject({
      amount_refunded: 9200,
      refunded: true,
    });
  });

  test('what is left is exact: 2001 less 1000.56 is 1000.44', () => {
    const paid = { ...transaction, amountMinor: 200_100, surchargeMinor: 0, effectiveMinor: 200_100 };
    expect(show([{ ...refund, amountMinor: 100_056 }], [paid]).maximum_eligible_refund_amount).toBe(1000.44);
  });

  test('several charged transactions add up, and the first is the order’s own', () => {
    const second = { ...transaction, txnId: 'acme-O1-3', effectiveMinor: 50_000, gateway: 'GONE' };
    const failed = { ...transaction, txnId: 'acme-O1-2', status: 'AUTHORIZATION_FAILED' };
    const shown = show(
      [{ ...refund, txnId: 'acme-O1-3', amountMinor: 50_000 }, refund],
      [failed, transaction, second],
    );
    expect(shown).toMatchObject({
      txn_id: 'acme-O1-1',
      gateway_id: 77,
      effective_amount: 9700,
      txn_detail: { remaining_refundable_amount: 9199 },
      amount_refunded: 501,
      refunded: false,
      txn_list: [
        { txn_id: 'acme-O1-1', amount_refunded: 1, refunds: [{ amount: 1 }] },
        {
          txn_id: 'acme-O1-3',
          amount_refunded: 500,
          refunds: [{ amount: 500 }],
          txn_detail: { gateway_id: null },
        },
      ],
    });
  });

  test('an order that nobody paid has no transaction keys and is not refunded', () => {
    const shown = show([], [], { ...order, status: 'NEW' });
    expect(shown).toMatchObject({ status: 'NEW', status_id: 10, effective_amount: 9000, refunded: false });
    for (const key of [
      'txn_id',
      'txn_uuid',
      'gateway_id',
      'txn_detail',
      'payment_gateway_response',
      'refunds',
    ]) {
      expect(shown).not.toHaveProperty(key);
    }
  });

  test('currencies without decimals and with three', () => {
    const yen = { ...order, currency: 'JPY', exponent: 0 };
    expect(show([{ ...refund, exponent: 0 }], undefined, yen)).toMatchObject({
      amount: 900_000,
      amount_refunded: 100,
    });
    const dinar = { ...order, currency: 'KWD', exponent: 3 };
    expect(show([{ ...refund, exponent: 3 }], undefined, dinar)).toMatchObject({
      amount: 900,
      amount_refunded: 0.1,
    });
  });
});

test('the status table (section 4.3)', () => {
  expect(STATUS_IDS).toMatchObject({
    CREATED: 1,
    NEW: 10,
    CHARGED: 21,
    AUTO_REFUNDED: 36,
    PARTIAL_CHARGED: 37,
  });
  for (const [status, id] of Object.entries(STATUS_IDS)) {
    expect(show([], [], { ...order, status })).toMatchObject({ status, status_id: id });
  }
  expect(show([], [], { ...order, status: 'AUTO_VOIDED' })).toMatchObject({
    status: 'AUTO_VOIDED',
    status_id: -1,
  });
});

describe('the refund entry (section 2.3)', () => {
  test('each state by its public name', () => {
    for (const state of STATE_NAMES) {
      const entry = refundEntry({ ...refund, state }, null);
      expect(entry).toMatchObject({ status: STATES[state].public, sent_to_gateway: STATES[state].sent });
      refundEntrySchema.strict().parse(entry);
    }
  });

  test('what is known once the gateway has spoken', () => {
    const done: Refund = {
      ...refund,
      state: 'succeeded',
      gatewayRefundId: 're_1',
      gatewayReference: 'rfnd_1',
      arn: '74537604221431003881865',
      errorCode: '00',
      errorMessage: 'Refund Success',
      sentAt: at,
      succeededAt: new Date('2026-03-02T10:00:00.001Z'),
    };
    expect(refundEntry(done, null)).toMatchObject({
      status: 'SUCCESS',
      sent_to_gateway: true,
      id: 're_1',
      ref: 'rfnd_1',
      arn: '74537604221431003881865',
      error_code: '00',
      error_message: 'Refund Success',
      pg_processed_at: '2026-03-02T10:00:00Z',
      expected_refund_credit_time: '2026-03-11T11:00:00Z',
    });
    expect(refundObject(done, null)).toMatchObject({
      reference_id: 'rfnd_1',
      refund_arn: '74537604221431003881865',
      response_code: '00',
      error_message: 'Refund Success',
    });
    refundObjectSchema.strict().parse(refundObject(done, null));
  });

  test('a send without an answer counts as sent, also while it waits to be sent again', () => {
    expect(refundEntry({ ...refund, state: 'queued', unanswered: 1 }, null).sent_to_gateway).toBe(true);
  });

  test('optional keys are absent, not null', () => {
    for (const key of ['arn', 'pg_processed_at', 'pg_declined_at', 'metadata']) {
      expect(refundEntry(refund, null)).not.toHaveProperty(key);
    }
  });

  test('a refund that ended badly says why in words', () => {
    expect(refundEntry({ ...refund, state: 'cancelled' }, null).error_message).toBe(STATES.cancelled.says);
    expect(refundEntry({ ...refund, state: 'failed', errorMessage: 'Card closed' }, null).error_message).toBe(
      'Card closed',
    );
  });
});

test('what is shown is what the OpenAPI page describes', () => {
  const second = { ...transaction, txnId: 'acme-O1-2' };
  for (const shown of [show([]), show([refund]), show([refund], [transaction, second]), show([], [])]) {
    orderObjectSchema.strict().parse(shown);
  }
});

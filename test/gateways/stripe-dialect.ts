import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RefundFacts } from '../../src/gateways/gateway.ts';
import { stripe } from '../../src/gateways/stripe.ts';
import type { Asked, Dialect } from './conformance.ts';

export const SECRET = 'whsec_CurrentSecretCurrentSecret0001';
const PREVIOUS_SECRET = 'whsec_PreviousSecretPreviousSecret2';
export const CREDENTIALS = { secret_key: 'sk_test_51ConformanceKeyConformance', webhook_secret: SECRET };

export const FACTS: RefundFacts = {
  refundId: '0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b',
  idempotencyKey: '02Zz8qLk3mNpQrStUvWxYz',
  orderId: 'ORDER-77',
  gatewayPaymentId: 'pi_3PgafuB7WZ01zgkW0YmPNZs8',
  gatewayRefundId: null,
  amountMinor: 125_050,
  currency: 'INR',
  exponent: 2,
  refundType: 'STANDARD',
  reason: null,
  webhookUrl: null,
};

export const data = (name: string): string =>
  readFileSync(new URL(`data/stripe/${name}`, import.meta.url), 'utf8');

/** docs.stripe.com/api/refunds/object */
export function refundObject(word: unknown, facts: RefundFacts): Record<string, unknown> {
  return {
    id: facts.gatewayRefundId ?? 're_3PgafuB7WZ01zgkW1kQk2n9a',
    object: 'refund',
    amount: facts.amountMinor,
    balance_transaction: 'txn_3PgafuB7WZ01zgkW1c9w7U0b',
    charge: 'ch_3PgafuB7WZ01zgkW0XsR8h1c',
    created: 1_795_428_000,
    currency: facts.currency.toLowerCase(),
    destination_details: {
      card: { type: 'refund', reference: null, reference_status: 'pending' },
      type: 'card',
    },
    metadata: { refundry_refund_id: facts.refundId, refundry_order_id: facts.orderId },
    payment_intent: facts.gatewayPaymentId,
    reason: null,
    receipt_number: null,
    source_transfer_reversal: null,
    status: word,
    transfer_reversal: null,
  };
}

export function pageOf(refunds: readonly Record<string, unknown>[], url: string) {
  const query = new URL(url, 'http://peer').searchParams;
  const from = refunds.findIndex((refund) => refund['id'] === query.get('starting_after')) + 1;
  const limit = Number(query.get('limit') ?? 10);
  return {
    object: 'list',
    data: refunds.slice(from, from + limit),
    has_more: from + limit < refunds.length,
    url: '/v1/refunds',
  };
}

/** docs.stripe.com/webhooks/signature, "Verify manually". */
export function signature(rawBody: Buffer, secret: string, at: Date): string {
  const t = Math.floor(at.getTime() / 1000);
  const v1 = createHmac('sha256', secret)
    .update(`${t}.${rawBody.toString('utf8')}`)
    .digest('hex');
  return `t=${t},v1=${v1},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`;
}

export const formField = (body: string | null, name: string) => new URLSearchParams(body ?? '').get(name);
export const refusal = (error: Record<string, unknown>) => ({
  error: { type: 'invalid_request_error', ...error },
});

/** How Stripe speaks. */
export const stripeDialect: Dialect = {
  gateway: stripe,
  credentials: CREDENTIALS,
  facts: FACTS,
  gatewayRefundId: 're_3PgafuB7WZ01zgkW1kQk2n9a',
  words: {
    pending: 'pending',
    requires_action: 'pending',
    succeeded: 'succeeded',
    failed: 'failed',
    canceled: 'failed',
  },
  amounts: [
    [1, 'USD', 2, '1'],
    [125_050, 'INR', 2, '125050'],
    [999_999_999_999_999, 'USD', 2, '999999999999999'],
    [500, 'JPY', 0, '500'],
    [12_340, 'KWD', 3, '12340'],
    // ISO 4217 has no decimals here; Stripe wants two, always 00.
    [5, 'ISK', 0, '500'],
    [5, 'UGX', 0, '500'],
    // ISO 4217 has two decimals here; Stripe has none.
    [1200, 'MGA', 2, '12'],
    // Restricted in pay-outs to the merchant only.
    [1045, 'HUF', 2, '1045'],
    [1045, 'TWD', 2, '1045'],
  ],
  amountIn: (prepared) => formField(prepared.body, 'amount')!,
  keyIn: (prepared) => prepared.headers['idempotency-key'] ?? null,
  refund: refundObject,
  created: (refund) => ({ status: 200, body: refund }),
  fetched: (refund) => ({ status: 200, body: refund }),
  listed: (refunds, request: Asked) => ({ status: 200, body: pageOf(refunds, request.url) }),
  asksForList: (request: Asked) => request.url.includes('?'),
  asksForPayment: (request: Asked) => /\/v1\/(charges|payment_intents)\//.test(request.url),
  // docs.stripe.com/api/payment_intents/object
  payment: (facts) => ({
    status: 200,
    body: {
      id: facts.gatewayPaymentId,
      object: 'payment_intent',
      amount: facts.amountMinor,
      currency: facts.currency.toLowerCase(),
    },
  }),
  noPayment: {
    status: 404,
    body: refusal({
      code: 'resource_missing',
      message: "No such payment_intent: 'pi_1'",
      param: 'payment_intent',
    }),
  },
  account: {
    replies: [
      // docs.stripe.com/api/accounts/object
      { status: 200, body: { id: 'acct_1032D82eZvKYlo2C', object: 'account', country: 'IN' } },
      // What a restricted key without the right to read accounts is told.
      {
        status: 403,
        body: refusal({
          message:
            "The provided key 'rk_test_*********************0001' does not have the required permissions for this endpoint on account 'acct_1032D82eZvKYlo2C'. Having the 'rak_accounts_kyc_basic_read' permission would allow this request to continue.",
        }),
      },
    ],
    identity: 'acct_1032D82eZvKYlo2C test',
  },
  absent: {
    status: 404,
    body: refusal({ code: 'resource_missing', message: "No such refund: 're_x'", param: 'refund' }),
  },
  refusals: [
    {
      name: 'more than is left',
      reply: { status: 400, body: data('refund_error_greater_amount.json') },
      errorCode: 'invalid_request_error',
    },
    {
      name: 'transfer already reversed',
      reply: { status: 400, body: data('refund_error_charge_already_refunded.json') },
      errorCode: 'invalid_request_error',
    },
    {
      name: 'request failed',
      reply: {
        status: 402,
        body: { error: { type: 'card_error', code: 'processing_error', message: 'No.' } },
      },
      errorCode: 'processing_error',
    },
  ],
  maybePaid: [
    {
      reply: {
        status: 400,
        body: refusal({ code: 'charge_already_refunded', message: 'Charge ch_1 has already been refunded.' }),
      },
      because: 'refunded_elsewhere',
    },
    {
      reply: {
        status: 400,
        body: refusal({ code: 'charge_disputed', message: 'It has been charged back.' }),
      },
      because: 'disputed',
    },
  ],
  noFunds: [
    {
      status: 400,
      body: refusal({
        message: 'Insufficient funds in your Stripe balance to refund this amount.',
        message_code: 'insufficient_balance_for_refund',
      }),
    },
    { status: 402, body: refusal({ code: 'balance_insufficient', message: 'Not enough balance.' }) },
    {
      status: 400,
      body: refusal({ message: 'Insufficient funds in Stripe account.', code: 'insufficient_funds' }),
    },
  ],
  keyTrouble: [
    {
      status: 409,
      body: { error: { type: 'idempotency_error', code: 'idempotency_key_in_use', message: 'In use.' } },
    },
    { status: 400, body: { error: { type: 'idempotency_error', message: 'Used with other parameters.' } } },
  ],
  misconfigured: [
    { status: 401, body: refusal({ message: 'Invalid API Key provided: sk_test_****0000' }) },
    { status: 403, body: refusal({ message: 'The provided key does not have the required permissions.' }) },
  ],
  errorBody: refusal({ message: 'Something is not right.' }),
  webhook: {
    body: (refund) =>
      JSON.stringify({
        id: 'evt_1PgafuB7WZ01zgkWwyRHS12y',
        object: 'event',
        api_version: '2026-10-28.endive',
        created: 1_795_428_100,
        data: { object: refund },
        livemode: false,
        type: 'refund.updated',
      }),
    sign: (rawBody, secret, sentAt) => ({ 'stripe-signature': signature(rawBody, secret, sentAt) }),
    secret: SECRET,
    rotating: {
      credentials: { ...CREDENTIALS, webhook_secret_previous: PREVIOUS_SECRET },
      secrets: [SECRET, PREVIOUS_SECRET],
    },
    toleranceMs: 300_000,
  },
};

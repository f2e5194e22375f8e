import { createHmac, hkdfSync } from 'node:crypto';
import { sandbox } from '../../src/gateways/sandbox/connector.ts';
import type { Dialect, Reply } from './conformance.ts';

const json = (status: number, body: Record<string, unknown>): Reply => ({ status, body });
const error = (code: string, message: string) => ({ error: { code, message } });
const signature = (rawBody: Buffer, secret: string, sentAt: Date) => {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'refundry sandbox webhooks', 32));
  const seconds = Math.floor(sentAt.getTime() / 1000);
  return `t=${seconds},v1=${createHmac('sha256', key).update(`${seconds}.`).update(rawBody).digest('hex')}`;
};

/** How the sandbox speaks. */
export const sandboxDialect: Dialect = {
  gateway: sandbox,
  credentials: { secret_key: 'sbx_sk_Kq83hTzW0pLm' },
  facts: {
    refundId: '0199a1b2-0000-7000-8000-000000000001',
    idempotencyKey: '0AbCdEfGhIjKlMnOpQrStU',
    orderId: 'order-1',
    gatewayPaymentId: 'sbx_ok_1',
    gatewayRefundId: null,
    amountMinor: 12_345,
    currency: 'INR',
    exponent: 2,
    refundType: 'STANDARD',
    reason: 'Returned',
    webhookUrl: 'https://refunds.example.com/gateways/ga_1/webhooks',
  },
  gatewayRefundId: 'sbxr_0199a1b2000070008000000000000002',
  words: { pending: 'pending', succeeded: 'succeeded', failed: 'failed', reversed: 'reversed' },
  amounts: [
    [12_345, 'INR', 2, '12345'],
    [500, 'JPY', 0, '500'],
    [1_234, 'KWD', 3, '1234'],
    [999_999_999_999_999, 'USD', 2, '999999999999999'],
  ],
  amountIn: (prepared) => String((JSON.parse(prepared.body!) as { amount: number }).amount),
  keyIn: (prepared) => prepared.headers['idempotency-key'] ?? null,
  refund: (word, facts) => ({
    id: facts.gatewayRefundId ?? 'sbxr_0199a1b2000070008000000000000002',
    payment: facts.gatewayPaymentId,
    refund_id: facts.refundId,
    order_id: facts.orderId,
    amount: facts.amountMinor,
    currency: facts.currency,
    reason: facts.reason,
    status: word,
    failure: null,
    arn: null,
    created_at: '2026-11-23T09:59:00.000Z',
    updated_at: '2026-11-23T09:59:30.000Z',
  }),
  created: (refund) => json(201, refund),
  fetched: (refund) => json(200, refund),
  listed: (refunds, { url }) => {
    const query = new URL(url, 'http://peer').searchParams;
    const wanted = refunds.filter((refund) => [null, refund['refund_id']].includes(query.get('refund_id')));
    const start = wanted.findIndex((refund) => refund['id'] === query.get('after')) + 1;
    const page = wanted.slice(start, start + Math.min(Number(query.get('limit')), 100));
    const whole = start + page.length === wanted.length;
    return json(200, { refunds: page, next_after: whole ? null : page.at(-1)!['id'] });
  },
  asksForList: ({ url }) => new URL(url, 'http://peer').pathname.endsWith('/v1/refunds'),
  asksForPayment: () => false,
  payment: () => json(500, error('internal', 'nobody asks for it')),
  noPayment: json(404, error('no_such_payment', 'This account has no such payment.')),
  account: {
    replies: [json(200, { account: 'sbxa_00112233445566778899aabbccddeeff' })],
    identity: 'sbxa_00112233445566778899aabbccddeeff',
  },
  absent: json(404, error('no_such_refund', 'The sandbox has no such refund.')),
  refusals: [
    {
      name: 'the bank refuses',
      reply: json(422, error('refund_refused', 'The bank of this payment takes no refunds.')),
      errorCode: 'refund_refused',
    },
    {
      name: 'a bad request',
      reply: json(400, error('invalid_request', 'currency: is not an ISO 4217 currency.')),
      errorCode: 'invalid_request',
    },
  ],
  maybePaid: [
    {
      reply: json(400, error('already_refunded', 'This payment has been refunded already, by another way.')),
      because: 'refunded_elsewhere',
    },
  ],
  noFunds: [json(402, error('insufficient_balance', 'The balance of the account is too low.'))],
  keyTrouble: [
    json(409, error('key_in_progress', 'A request with this key is in progress.')),
    json(422, error('key_reused', 'This key was used with another request.')),
  ],
  misconfigured: [json(401, error('bad_key', 'Send a key that has an account here.'))],
  errorBody: error('internal', 'The sandbox failed.'),
  webhook: {
    body: (refund) =>
      JSON.stringify({
        id: 'sbxe_1',
        type: 'refund.updated',
        created_at: '2026-11-23T09:59:30.000Z',
        data: { refund },
      }),
    sign: (rawBody, secret, sentAt) => ({ 'sandbox-signature': signature(rawBody, secret, sentAt) }),
    secret: 'sbx_sk_Kq83hTzW0pLm',
    rotating: {
      credentials: { secret_key: 'sbx_sk_new_Zr51uQvB', previous_secret_key: 'sbx_sk_old_Xe92nDcJ' },
      secrets: ['sbx_sk_new_Zr51uQvB', 'sbx_sk_old_Xe92nDcJ'],
    },
    toleranceMs: 300_000,
  },
};

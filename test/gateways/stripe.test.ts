import { describe, expect, test } from 'vitest';
import type {
  Exchange,
  GatewayHttp,
  RefundFacts,
  RefundNews,
  WebhookReading,
} from '../../src/gateways/gateway.ts';
import { stripe } from '../../src/gateways/stripe.ts';
import { conformsTo } from './conformance.ts';
import {
  CREDENTIALS,
  data,
  FACTS,
  formField,
  pageOf,
  refundObject,
  refusal,
  SECRET,
  signature,
  stripeDialect,
} from './stripe-dialect.ts';

const ACCESS = {
  accountId: 'ga_test',
  identity: 'test',
  baseUrl: 'https://api.stripe.example',
  credentials: CREDENTIALS,
};

conformsTo('Stripe', () => stripeDialect);

/** What the connector makes of one answer. */
const answering =
  (status: number, body: unknown, headers: Record<string, string> = {}): GatewayHttp =>
  async (): Promise<Exchange> => ({
    kind: 'response',
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

const create = (facts: RefundFacts, http: GatewayHttp) =>
  stripe.createRefund(stripe.prepareRefund(facts), facts, ACCESS, http);

describe('the request', () => {
  const formOf = (facts: Partial<RefundFacts>) => stripe.prepareRefund({ ...FACTS, ...facts }).body;

  test('names the payment by what it is', () => {
    expect(formOf({})).toBe(
      'payment_intent=pi_3PgafuB7WZ01zgkW0YmPNZs8&amount=125050&metadata[refundry_refund_id]=0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b&metadata[refundry_order_id]=ORDER-77',
    );
    expect(formOf({ gatewayPaymentId: 'ch_1' })).toMatch(/^charge=ch_1&/);
    expect(formOf({ gatewayPaymentId: 'py_1' })).toMatch(/^charge=py_1&/);
  });

  test('carries a reason only where Stripe has one for it', () => {
    for (const reason of ['Requested by customer', 'requested_by_customer', ' REQUESTED-BY-CUSTOMER ']) {
      expect(formField(formOf({ reason }), 'reason')).toBe('requested_by_customer');
    }
    expect(formField(formOf({ reason: 'duplicate' }), 'reason')).toBe('duplicate');
    expect(formField(formOf({ reason: 'fraudulent' }), 'reason')).toBe('fraudulent');
    for (const reason of [null, '', 'size 40 too small', 'probably fraudulent']) {
      expect(formField(formOf({ reason }), 'reason')).toBeNull();
    }
  });

  test('cannot be bent by what stands in an order id', () => {
    const orderId = 'A&amount=999999&x=₹\ud800';
    const form = new URLSearchParams(formOf({ orderId })!);
    expect(form.getAll('amount')).toEqual(['125050']);
    expect(form.get('metadata[refundry_order_id]')).toBe('A&amount=999999&x=₹\ufffd');
  });
});

describe('amounts that Stripe cannot pay', () => {
  const never: GatewayHttp = () => expect.fail('nothing may be sent');

  test.each([
    [12_345, 'KWD', 3, '12345'],
    [1, 'BHD', 3, '1'],
    [1250, 'MGA', 2, '12.5'],
    [1, 'MGA', 2, '0.01'],
    [12_345, 'IQD', 3, '1234.5'],
    [0, 'USD', 2, '0'],
  ])(
    '%i %s are refused unsent, and never become another amount',
    async (amountMinor, currency, exponent, exactly) => {
      const facts = { ...FACTS, amountMinor, currency, exponent };
      expect(formField(stripe.prepareRefund(facts).body, 'amount')).toBe(exactly);
      expect(await create(facts, never)).toMatchObject({ kind: 'refused', errorCode: 'amount_not_payable' });
    },
  );

  test('nor a payment that is not Stripe’s', async () => {
    for (const gatewayPaymentId of ['pay_29QQoUBi66xm2f', 'sbx_ok_1', 'ch_', 'ch_1/../x', 'CH_1']) {
      expect(await create({ ...FACTS, gatewayPaymentId }, never)).toMatchObject({
        kind: 'refused',
        errorCode: 'gateway_payment_id_invalid',
      });
    }
  });
});

describe('what Stripe says', () => {
  const newsOf = async (changes: Record<string, unknown>): Promise<RefundNews> => {
    const answer = await create(FACTS, answering(200, { ...refundObject('pending', FACTS), ...changes }));
    return answer.kind === 'news' ? answer.news : expect.fail(JSON.stringify(answer));
  };

  test('of another amount or currency: both in major units, as Stripe counts each currency', async () => {
    const whyOf = async (changes: Record<string, unknown>) => {
      const answer = await create(FACTS, answering(200, { ...refundObject('pending', FACTS), ...changes }));
      return answer.kind === 'misfit' ? answer.why : expect.fail(JSON.stringify(answer));
    };
    expect(await whyOf({ id: 're_1', amount: 125_051 })).toBe(
      'refund re_1 is of 1250.51 INR, not 1250.50 INR',
    );
    expect(await whyOf({ id: 're_1', currency: 'usd' })).toBe(
      'refund re_1 is of 1250.50 USD, not 1250.50 INR',
    );
    expect(await whyOf({ id: 're_1', currency: 'jpy' })).toBe(
      'refund re_1 is of 125050 JPY, not 1250.50 INR',
    );
    expect(await whyOf({ id: 're_1', currency: 'kwd' })).toBe(
      'refund re_1 is of 125.050 KWD, not 1250.50 INR',
    );
  });

  test('of a failure: the reason', async () => {
    expect(await newsOf({ status: 'failed', failure_reason: 'expired_or_canceled_card' })).toMatchObject({
      status: 'failed',
      errorCode: 'expired_or_canceled_card',
      errorMessage: 'Stripe could not refund it: expired or canceled card.',
    });
    expect(await newsOf({ status: 'failed' })).toMatchObject({ errorCode: 'failed' });
    expect(await newsOf({ status: 'canceled' })).toMatchObject({ status: 'failed', errorCode: 'canceled' });
  });

  test('of a customer who has to tell where the money goes: it waits for them', async () => {
    expect(await newsOf({ status: 'requires_action' })).toMatchObject({
      status: 'pending',
      rawStatus: 'requires_action',
      waitsFor: 'customer',
    });
    expect(await newsOf({ status: 'pending' })).not.toHaveProperty('waitsFor');
  });

  test('on its own hosts, with the id it gives to each request: without one it is not Stripe', async () => {
    const error = refusal({ message: 'Something is not right.' });
    const at = (baseUrl: string, status: number, headers?: Record<string, string>) =>
      stripe.createRefund(
        stripe.prepareRefund(FACTS),
        FACTS,
        { ...ACCESS, baseUrl },
        answering(status, error, headers),
      );
    for (const url of [
      'https://api.stripe.com',
      'https://API.stripe.com:443/',
      'https://eu.api.stripe.com',
    ]) {
      expect(await at(url, 400), url).toMatchObject({ kind: 'unknown' });
      expect(await at(url, 403), url).toMatchObject({ kind: 'unknown' });
      expect(await at(url, 400, { 'request-id': 'a1b2c3d4' }), url).toMatchObject({ kind: 'unknown' });
      expect(await at(url, 400, { 'request-id': 'req_1' }), url).toMatchObject({ kind: 'refused' });
      // Before it knows whose request it is, or has time for it, there is no id.
      expect(await at(url, 401), url).toMatchObject({ kind: 'misconfigured' });
      expect(await at(url, 429), url).toMatchObject({ kind: 'busy' });
    }
    for (const url of ['https://api.stripe.example', 'https://stripe.com.example', 'http://127.0.0.1:1'])
      expect(await at(url, 400), url).toMatchObject({ kind: 'refused' });
  });

  test('of a key of the other mode: no such payment, and nothing of its refunds', async () => {
    const message =
      "No such charge: 'ch_1'; a similar object exists in live mode, but a test mode key was used to make this request.";
    const wrong = answering(404, refusal({ code: 'resource_missing', message, param: 'id' }));
    expect(await create(FACTS, wrong)).toMatchObject({ kind: 'no_payment', errorMessage: message });
    for (const gatewayRefundId of [null, 're_1'])
      expect(await stripe.fetchRefund({ ...FACTS, gatewayRefundId }, ACCESS, wrong)).toMatchObject({
        kind: 'no_answer',
      });
    expect(await stripe.findPayment!(FACTS, ACCESS, wrong)).toMatchObject({ kind: 'unknown' });
  });

  test('of whose account a key is: nothing, where the key does not tell its mode', async () => {
    for (const secret_key of ['sk_oldKeyWithoutMode', 'sk_org_live_1234567890', ''])
      expect(
        (await stripe.identify({ ...ACCESS, credentials: { secret_key } }, answering(200, {}))).kind,
      ).toBe('not_told');
  });

  test('of a lack of balance: pending, since Stripe pays it by itself', async () => {
    expect(await newsOf({ pending_reason: 'insufficient_funds' })).toMatchObject({
      status: 'pending',
      errorCode: 'insufficient_funds',
    });
    expect(await newsOf({ pending_reason: 'processing' })).toMatchObject({
      status: 'pending',
      errorCode: null,
    });
  });

  test('of the bank: its reference, whatever the payment method', async () => {
    const card = {
      type: 'refund',
      reference: '74352625123000012345678',
      reference_type: 'acquirer_reference_number',
    };
    expect(await newsOf({ destination_details: { type: 'card', card } })).toMatchObject({
      arn: '74352625123000012345678',
    });
    const klarna = { reference: 'KL-77', reference_status: 'available' };
    expect(await newsOf({ destination_details: { type: 'klarna', klarna } })).toMatchObject({ arn: 'KL-77' });
    for (const destination_details of [
      null,
      {},
      { type: 'card' },
      { type: 1 },
      { type: '__proto__' },
      'card',
    ]) {
      expect(await newsOf({ destination_details })).toMatchObject({ arn: null });
    }
  });

  test('of its own trouble, now or stored for our key: nothing about the refund', async () => {
    const stored = { error: { type: 'api_error', message: 'An unknown error occurred' } };
    expect(await create(FACTS, answering(500, stored, { 'idempotent-replayed': 'true' }))).toMatchObject({
      kind: 'unknown',
    });
    expect(await create(FACTS, answering(400, stored))).toMatchObject({ kind: 'unknown' });
  });

  test('with the charge expanded', async () => {
    const expanded = JSON.parse(data('refund_full_charge.json')) as Record<string, unknown>;
    const facts = { ...FACTS, gatewayPaymentId: 'ch_123456', amountMinor: 2000, currency: 'GBP' };
    expect(await create(facts, answering(200, expanded))).toMatchObject({
      kind: 'news',
      news: { status: 'succeeded', gatewayRefundId: 're_1DRiccHj08j21DRiccHj08j2_test' },
    });
  });

  test('of a payment it does not know: no proof that the refund is absent', async () => {
    const missing = refusal({ code: 'resource_missing', message: "No such charge: 'ch_1'", param: 'charge' });
    expect(await stripe.fetchRefund(FACTS, ACCESS, answering(404, missing))).toMatchObject({
      kind: 'no_answer',
      why: expect.stringContaining('No such charge'),
    });
  });

  test('in a list that never ends: nothing is learnt', async () => {
    const endless = {
      ...pageOf([refundObject('succeeded', { ...FACTS, refundId: 'x' })], '/'),
      has_more: true,
    };
    expect(await stripe.fetchRefund(FACTS, ACCESS, answering(200, endless))).toMatchObject({
      kind: 'no_answer',
    });
    expect(await stripe.fetchRefund(FACTS, ACCESS, answering(200, { ...endless, data: [] }))).toMatchObject({
      kind: 'no_answer',
    });
  });

  test('of refunds under a payment: amounts in our minor units', async () => {
    const list = (amount: number, currency: string) =>
      answering(200, pageOf([{ ...refundObject('succeeded', FACTS), amount, currency }], '/'));
    const find = (currency: string, exponent: number, http: GatewayHttp) =>
      stripe.findRefunds({ ...FACTS, currency, exponent }, ACCESS, http);
    expect(await find('ISK', 0, list(500, 'isk'))).toMatchObject({
      refunds: [{ amountMinor: 5, currency: 'ISK' }],
    });
    expect(await find('MGA', 2, list(12, 'mga'))).toMatchObject({ refunds: [{ amountMinor: 1200 }] });
    expect(await find('KWD', 3, list(12_340, 'kwd'))).toMatchObject({ refunds: [{ amountMinor: 12_340 }] });
    expect(await find('JPY', 0, list(500, 'jpy'))).toMatchObject({ refunds: [{ amountMinor: 500 }] });
    expect(await find('ISK', 0, list(550, 'isk'))).toMatchObject({ kind: 'no_answer' });
    expect(await find('USD', 2, list(500, 'eur'))).toMatchObject({ kind: 'no_answer' });
  });
});

describe('recorded webhooks', () => {
  const at = new Date('2026-11-23T10:00:00.000Z');
  const read = (body: string, header?: string): WebhookReading => {
    const rawBody = Buffer.from(body);
    return stripe.readWebhook(
      { headers: { 'stripe-signature': header ?? signature(rawBody, SECRET, at) }, rawBody, receivedAt: at },
      ACCESS,
    );
  };

  test('charge.refund.updated', () => {
    expect(read(data('event-charge.refund.updated.json'))).toMatchObject({
      kind: 'authentic',
      events: [
        {
          eventId: 'evt_000000000000000000000000',
          refundId: null,
          gatewayRefundId: 're_000000000000000000000000',
          gatewayPaymentId: 'ch_000000000000000000000000',
          news: { status: 'succeeded', at: new Date(1_648_319_945_000) },
        },
      ],
    });
  });

  test('a success that failed later', () => {
    expect(read(data('event-charge.refund.updated-failed.json'))).toMatchObject({
      kind: 'authentic',
      events: [
        {
          gatewayRefundId: 're_123456',
          gatewayPaymentId: 'pi_123456',
          news: { status: 'failed', errorCode: 'expired_or_canceled_card', gatewayReference: 'txn_123456' },
        },
      ],
    });
  });

  test('charge.refunded with its refunds, and without them as newer API versions send it', () => {
    const event = JSON.parse(data('event-charge.refunded.json')) as {
      data: { object: Record<string, unknown> };
    };
    const withRefunds = read(JSON.stringify(event));
    expect(withRefunds).toMatchObject({ kind: 'authentic', events: [{ news: { status: 'succeeded' } }] });

    delete event.data.object['refunds'];
    event.data.object['payment_intent'] = 'pi_1';
    expect(read(JSON.stringify(event))).toMatchObject({
      kind: 'authentic',
      events: [
        { gatewayPaymentId: 'ch_000000000000000000000000', gatewayRefundId: null, news: null },
        { gatewayPaymentId: 'pi_1', gatewayRefundId: null, news: null },
      ],
    });
  });

  test('thin events are hints', () => {
    const thin = (type: string, id: string) =>
      JSON.stringify({
        id: 'evt_1',
        object: 'v2.core.event',
        type,
        created: '2026-11-23T10:00:00.000Z',
        related_object: { id, type: 'refund', url: `/v1/refunds/${id}` },
      });
    expect(read(thin('v1.refund.failed', 're_1'))).toMatchObject({
      kind: 'authentic',
      events: [{ eventId: 'evt_1', gatewayRefundId: 're_1', news: null }],
    });
    expect(read(thin('v1.charge.refunded', 'ch_1'))).toMatchObject({
      kind: 'authentic',
      events: [{ gatewayPaymentId: 'ch_1', news: null }],
    });
  });

  test('events about other things are authentic and empty', () => {
    for (const type of ['charge.succeeded', 'refund', 'application_fee.refunded', 'charge.dispute.created']) {
      const event = { ...JSON.parse(data('event-charge.refund.updated.json')), type };
      expect(read(JSON.stringify(event)), type).toEqual({ kind: 'authentic', events: [] });
    }
  });

  test('metadata that somebody wrote by hand leads nowhere', () => {
    const object = {
      ...refundObject('succeeded', FACTS),
      metadata: { refundry_refund_id: "x'; drop table refunds" },
    };
    const event = { id: 'evt_1', type: 'refund.updated', created: 1, data: { object } };
    expect(read(JSON.stringify(event))).toMatchObject({
      events: [{ refundId: null, news: { status: 'succeeded' } }],
    });
  });

  test('are refused while the account has no signing secret', () => {
    const rawBody = Buffer.from(data('event-charge.refund.updated.json'));
    const headers = { 'stripe-signature': signature(rawBody, '', at) };
    for (const credentials of [{}, { webhook_secret: '' }]) {
      expect(stripe.readWebhook({ headers, rawBody, receivedAt: at }, { ...ACCESS, credentials })).toEqual({
        kind: 'rejected',
        why: 'the account has no webhook signing secret',
      });
    }
  });

  test('may carry several signatures, of which one must fit', () => {
    const body = data('event-charge.refund.updated.json');
    const [t, v1] = signature(Buffer.from(body), SECRET, at).split(',');
    const wrong = `v1=${'0'.repeat(64)}`;
    expect(read(body, `${t},${wrong},${v1}`).kind).toBe('authentic');
    expect(read(body, `${t},${wrong},${wrong}`).kind).toBe('rejected');
    expect(read(body, `${t}`).kind).toBe('rejected');
    expect(read(body, `${v1}`).kind).toBe('rejected');
    expect(read(body, `${t},${v1?.replace('v1', 'v0')}`).kind).toBe('rejected');
  });
});

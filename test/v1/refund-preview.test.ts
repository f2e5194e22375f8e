import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modelGateway } from '../juspay/model-gateway.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, merchantWithAccount, putOrder } from '../support/engine.ts';
import { addPerson, signedIn } from '../support/people.ts';

const clock = new ManualClock(new Date('2026-03-02T10:20:30.000Z'));
const whole = {
  ...modelGateway,
  name: 'WHOLE',
  label: 'Whole PG',
  gatewayId: 79,
  capabilities: { ...modelGateway.capabilities, partialRefunds: false },
};
let api: TestApi;
beforeAll(async () => {
  api = await startApi({ clock, gateways: [modelGateway, whole] });
  await putOrder(api.db, { orderId: 'B-1', amountMinor: 1_000 });
});
afterAll(() => api.close());

const preview = (orderId: string, json: unknown = {}, as = 'acme') =>
  call(api, `/v1/orders/${orderId}/refund-preview`, { as, json });
let keys = 0;
const refund = (orderId: string, amount: string, more: Record<string, unknown> = {}) =>
  call(api, '/v1/refunds', { json: { order_id: orderId, unique_request_id: `k${++keys}`, amount, ...more } });

describe('a preview', () => {
  test('says what would be refunded, where to, by when and what would be left', async () => {
    await putOrder(api.db, { orderId: 'P-1', amountMinor: 129_900 });
    const { status, body } = await preview('p-1', { amount: '499.00' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      order_id: 'P-1',
      currency: 'INR',
      possible: true,
      blockers: [],
      warnings: [],
      refunds_left: 25,
      transactions: [
        {
          txn_id: 'acme-P-1-1',
          paid: '1299.00',
          refunded: '0.00',
          in_flight: '0.00',
          left: '1299.00',
          gateway_label: 'Model',
          gateway_account: 'test',
          refundable: true,
          blockers: [],
        },
      ],
      refund: {
        txn_id: 'acme-P-1-1',
        amount: '499.00',
        full: false,
        left_before: '1299.00',
        left_after: '800.00',
        to: 'the card that paid',
        through: 'Model, account “test”',
        partial_possible: true,
        several_possible: true,
        instant_possible: false,
        says: 'Refunds 499.00 INR to the card that paid through Model, account “test”; it should be there by 12 Mar 2026.',
      },
    });
    expect(body.refund.cannot_be_undone).toMatch(/cannot be undone/);
  });

  test('tells the due date that the refund then has, and the payment that it then goes to', async () => {
    for (const [n, type] of ['CARD', 'UPI', 'WALLET', 'NB', 'BARTER'].entries()) {
      const orderId = `D-${n}`;
      await putOrder(api.db, { orderId, amountMinor: 1_000, txnNo: 1 });
      await putOrder(api.db, { orderId, amountMinor: 5_000, txnNo: 2 });
      await api.db.query('update transactions set payment_method_type = $1 where order_id = $2', [
        type,
        orderId,
      ]);
      for (const amount of ['30.00', '10.00', '2.50']) {
        clock.pass(61_001);
        const { body } = await preview(orderId, { amount });
        const made = await refund(orderId, amount, { expected_remaining: body.refund.left_before });
        expect(made.status).toBe(201);
        expect(made.body).toMatchObject({
          txn_id: body.refund.txn_id,
          due_at: body.refund.due_at,
          amount: body.refund.amount,
        });
      }
    }
  });

  test('of nothing said is of all that is left', async () => {
    await putOrder(api.db, { orderId: 'F-1', amountMinor: 1_000 });
    await refund('F-1', '4.00');
    for (const body of [undefined, {}, { amount: 'full' }]) {
      const answer = body === undefined ? await preview('F-1') : await preview('F-1', body);
      expect(answer.body.refund).toMatchObject({
        amount: '6.00',
        full: true,
        left_after: '0.00',
        several_possible: false,
      });
      expect(answer.body.transactions[0]).toMatchObject({
        in_flight: '4.00',
        refunded: '0.00',
        left: '6.00',
      });
      expect(answer.body.warnings).toMatchObject([{ code: 'in_flight', by: 'API' }]);
    }
  });

  test.each<[string, string, string, string | null]>([
    ['too much', '10.01', 'amount_exceeds_rest', 'amount'],
    ['more than any amount', '9'.repeat(15), 'amount_exceeds_rest', 'amount'],
    ['more digits than any amount', '9'.repeat(40), 'invalid_amount', 'amount'],
    ['too many decimals', '1.001', 'invalid_amount', 'amount'],
    ['nothing', '0', 'invalid_amount', 'amount'],
    ['no amount', 'ten', 'invalid_amount', 'amount'],
    ['empty text', '', 'invalid_amount', 'amount'],
  ])('is against %s, in the words that making it would meet', async (_, amount, code, field) => {
    const { body } = await preview('B-1', { amount });
    expect(body).toMatchObject({ possible: false, refund: null, blockers: [{ code, field }] });
    const made = await refund('B-1', amount);
    expect(made.body.error).toMatchObject({ code, message: body.blockers[0].message });
  });

  test('is against a part where the gateway refunds only the whole', async () => {
    await merchantWithAccount(api.db, { accountId: 'ga_whole', gateway: 'WHOLE' }).catch(() => undefined);
    await putOrder(api.db, { orderId: 'W-1', amountMinor: 1_000, gateway: 'WHOLE' });
    const part = (await preview('W-1', { amount: '5.00' })).body;
    expect(part.blockers).toMatchObject([{ code: 'partial_not_supported' }]);
    expect((await refund('W-1', '5.00')).body.error.code).toBe('partial_not_supported');
    const all = (await preview('W-1')).body;
    expect(all.refund).toMatchObject({ partial_possible: false, several_possible: false });
  });

  test('says of each payment whether it can be refunded, and why not', async () => {
    await putOrder(api.db, { orderId: 'N-1', amountMinor: 1_000, status: 'AUTHORIZATION_FAILED' });
    const { body } = await preview('N-1');
    expect(body).toMatchObject({
      possible: false,
      blockers: [{ code: 'order_not_charged' }],
      transactions: [{ refundable: false, left: '0.00', blockers: [{ code: 'order_not_charged' }] }],
    });
    await putOrder(api.db, { orderId: 'N-2', amountMinor: 1_000 });
    await refund('N-2', 'full');
    expect((await preview('N-2')).body).toMatchObject({
      blockers: [{ code: 'amount_exceeds_rest' }],
      transactions: [{ refundable: false, blockers: [{ code: 'amount_exceeds_rest' }] }],
    });
    expect((await preview('N-2', { txn_id: 'none' })).body.blockers).toMatchObject([
      { code: 'order_not_charged' },
    ]);
  });

  test('warns of accounts that send nothing just now', async () => {
    await putOrder(api.db, { merchantId: 'other', orderId: 'A-1', amountMinor: 1_000 });
    const codes = async () =>
      (await preview('A-1', {}, 'other')).body.warnings.map(({ code }: { code: string }) => code);
    expect(await codes()).toEqual([]);
    await api.db.query(
      `update gateway_health set open_until = $1 where gateway_account_id in
         (select gateway_account_id from gateway_accounts where merchant_id = 'other')`,
      [new Date(clock.now().getTime() + 60_000)],
    );
    expect(await codes()).toEqual(['gateway_paused']);
    await api.db.query(`update gateway_accounts set enabled = false where merchant_id = 'other'`);
    expect(await codes()).toEqual(['account_disabled', 'gateway_paused']);
  });

  test('of another merchant’s order is of none, and changes nothing', async () => {
    await putOrder(api.db, { orderId: 'X-1', amountMinor: 1_000 });
    expect((await preview('X-1', {}, 'other')).status).toBe(404);
    const before = await api.db.query('select count(*) from events');
    await preview('X-1');
    expect(await api.db.query('select count(*) from events')).toEqual(before);
  });
});

describe('a look-alike', () => {
  test('is warned of in the preview, and refused without a yes, naming the earlier refund', async () => {
    await putOrder(api.db, { orderId: 'L-1', amountMinor: 10_000 });
    const first = await refund('L-1', '5.00');
    clock.pass(3 * 60_000);
    const { body } = await preview('L-1', { amount: '5.0' });
    expect(body.possible).toBe(true);
    expect(body.warnings[0]).toMatchObject({
      code: 'look_alike',
      refund_id: first.body.refund_id,
      at: first.body.created_at,
      by: 'API',
      message: 'The same amount, 5.00 INR, of this order was refunded 3 minutes ago by API.',
    });
    const refused = await refund('L-1', '5', { confirm_look_alike: false });
    expect(refused.status).toBe(409);
    expect(refused.body.error).toMatchObject({
      code: 'look_alike',
      field: 'confirm_look_alike',
      refund_id: first.body.refund_id,
    });
    expect((await refund('L-1', '5.00', { confirm_look_alike: true })).status).toBe(201);
    expect((await refund('L-1', '6.00', { confirm_look_alike: false })).status).toBe(201);
  });

  test('is none after a day, nor after the first was cancelled', async () => {
    await putOrder(api.db, { orderId: 'L-2', amountMinor: 10_000 });
    await refund('L-2', '5.00');
    clock.pass(24 * 3_600_000);
    expect((await preview('L-2', { amount: '5.00' })).body.warnings).not.toContainEqual(
      expect.objectContaining({ code: 'look_alike' }),
    );
    const second = await refund('L-2', '5.00', { confirm_look_alike: false });
    expect(second.status).toBe(201);
    await call(api, `/v1/refunds/${second.body.refund_id}/cancel`, { method: 'POST' });
    expect((await refund('L-2', '5.00', { confirm_look_alike: false })).status).toBe(201);
  });

  test('that could not be paid anyway is refused for what is left, which no yes changes', async () => {
    await putOrder(api.db, { orderId: 'L-3', amountMinor: 1_000 });
    await refund('L-3', '10.00');
    for (const amount of ['10.00', 'full']) {
      const again = await refund('L-3', amount, { confirm_look_alike: false });
      expect(again.body.error.code).toBe('amount_exceeds_rest');
    }
  });

  test('from an API key counts within five seconds only, unless it asks for more', async () => {
    await putOrder(api.db, { orderId: 'L-4', amountMinor: 10_000 });
    await refund('L-4', '5.00');
    expect((await refund('L-4', '5.00')).body.error.code).toBe('same_amount_again');
    clock.pass(5_000);
    expect((await refund('L-4', '5.00')).status).toBe(201);
  });

  test('from a person needs a yes for a whole day; the refund names who asked', async () => {
    await addPerson(api.db, { role: 'support', name: 'Priya' });
    const priya = await signedIn(api, 'support@acme.test');
    await putOrder(api.db, { orderId: 'L-5', amountMinor: 10_000 });
    const ask = (key: string, more = {}) =>
      priya.ask('/v1/refunds', {
        json: { order_id: 'L-5', unique_request_id: key, amount: '5.00', ...more },
      });
    const first = await ask('a');
    expect(first.body).toMatchObject({ initiated_by: 'Priya', door: 'dashboard' });
    clock.pass(3_600_000);
    const shown = await priya.ask('/v1/orders/L-5/refund-preview', { json: { amount: '5.00' } });
    expect(shown.body.warnings[0]).toMatchObject({ code: 'look_alike', by: 'Priya' });
    const refused = await ask('b');
    expect(refused.status).toBe(409);
    expect(refused.body.error).toMatchObject({
      code: 'look_alike',
      refund_id: first.body.refund_id,
      message: expect.stringContaining('an hour ago by Priya'),
    });
    // Sent twice, it is the same request, and says so.
    expect((await ask('a')).body.error.code).toBe('duplicate_request_id');
    expect((await ask('b', { confirm_look_alike: true })).status).toBe(201);
  });
});

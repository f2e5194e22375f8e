import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { noteCall } from '../../src/gateways/health.ts';
import { WAITS_FOR_CUSTOMER } from '../../src/refunds/outcome.ts';
import { readRefund, writeChanges } from '../../src/refunds/store.ts';
import { readWaits } from '../../src/refunds/waits.ts';
import { csv, post, upload } from '../batches/batch.ts';
import { modelGateway } from '../juspay/model-gateway.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, merchantWithAccount, putOrder } from '../support/engine.ts';

/** A refund says what holds it up, on every surface, and says nothing once that is gone. */

const clock = new ManualClock(new Date('2026-03-01T10:00:00.000Z'));
let api: TestApi;
let accountId: string;
beforeAll(async () => {
  api = await startApi({ clock, gateways: [modelGateway] });
  accountId = (await call(api, '/v1/gateway-accounts')).body.gateway_accounts[0].gateway_account_id;
});
afterAll(() => api.close());
beforeEach(async () => {
  await change({ enabled: true });
  await api.db.query('update gateway_health set failures_in_a_row = 0, open_until = null');
});

let count = 0;
async function refunded(order: Partial<Parameters<typeof putOrder>[1]> = {}): Promise<Refunded> {
  const orderId = `W-${++count}`;
  await putOrder(api.db, { orderId, amountMinor: 10_000, ...order });
  const made = await call(api, '/v1/refunds', {
    json: { order_id: orderId, unique_request_id: 'r', amount: '25.00' },
  });
  expect(made.status).toBe(201);
  return made.body;
}
interface Refunded {
  readonly refund_id: string;
  readonly order_id: string;
  readonly waits_for: unknown;
}

const change = ({ enabled }: { readonly enabled: boolean }) =>
  api.db.query('update gateway_accounts set enabled = $1', [enabled]);

/** What each surface says of the refund's waiting. */
async function saidOf({ refund_id, order_id }: Refunded) {
  const [one, listed, ofOrder, status] = await Promise.all([
    call(api, `/v1/refunds/${refund_id}`),
    call(api, `/v1/refunds?order_id=${order_id}`),
    call(api, `/v1/orders/${order_id}/refunds`),
    call(api, `/orders/${order_id}`),
  ]);
  return {
    one: one.body.waits_for,
    listed: listed.body.refunds[0].waits_for,
    ofOrder: ofOrder.body.refunds[0].waits_for,
    contract: status.body.refunds[0].error_message,
  };
}

const OFF = {
  code: 'account_off',
  says: 'The gateway account “test” is switched off: nothing is sent through it. Once it is switched on under Settings › Gateways, the refund is sent by itself.',
  until: null,
};

describe('a refund that waits to be sent', () => {
  test('waits for nothing where all is well', async () => {
    const refund = await refunded();
    expect(refund.waits_for).toBeNull();
    expect(await saidOf(refund)).toEqual({ one: null, listed: null, ofOrder: null, contract: '' });
  });

  test('says that its account is switched off, until it is on again', async () => {
    await change({ enabled: false });
    const refund = await refunded();
    expect(refund.waits_for).toEqual(OFF);
    expect(await saidOf(refund)).toEqual({ one: OFF, listed: OFF, ofOrder: OFF, contract: OFF.says });
    const asked = await call(api, '/refunds', {
      form: { order_id: refund.order_id, unique_request_id: 'second', amount: '1.00' },
    });
    expect(asked.body.error_message).toBe(OFF.says);
    await change({ enabled: true });
    expect((await saidOf(refund)).one).toBeNull();
  });

  test('says until when its account rests, and why', async () => {
    const refund = await refunded();
    const trouble = {
      answered: true,
      refusesUs: true,
      why: 'Invalid API Key provided.',
      begunAt: clock.now(),
    };
    const restsMs = await noteCall(
      api.db,
      clock,
      { merchantId: 'acme', gatewayAccountId: accountId },
      trouble,
    );
    const rests = {
      code: 'account_rests',
      says: 'The gateway account “test” rests, as its last calls went wrong (Invalid API Key provided). Afterwards the refund is sent by itself; if it goes on so, look at Settings › Gateways.',
      until: new Date(clock.now().getTime() + restsMs).toISOString(),
    };
    expect(await saidOf(refund)).toEqual({ one: rests, listed: rests, ofOrder: rests, contract: rests.says });
    clock.pass(restsMs);
    expect((await saidOf(refund)).one).toBeNull();
  });

  test('says that this installation does not reach its gateway', async () => {
    const other = await merchantWithAccount(api.db, { gateway: 'GONE', accountId: `ga_${'0'.repeat(32)}` });
    const refund = await refunded({ gateway: 'GONE', accountId: other.accountId });
    expect((await saidOf(refund)).one).toEqual({
      code: 'gateway_missing',
      says: 'This installation does not connect to GONE any more: it is not sent. Whoever runs it has to connect it again; then the refund is sent by itself.',
      until: null,
    });
  });

  test('says that its account is held, and that the books are in doubt', async () => {
    const { refund_id } = await refunded();
    const refund = (await readRefund(api.db, 'acme', refund_id))!;
    const { engine } = api.batches;
    const codeWith = async (stops: Parameters<typeof readWaits>[0]) =>
      (await readWaits(stops, [refund]))(refund)?.code;
    const hold = (id: string) =>
      api.db.query(
        `insert into account_holds (merchant_id, gateway_account_id, hold_id, held_at, why)
         values ('acme', $1, gen_random_uuid(), now(), 'a test')`,
        [id],
      );
    await hold('ga_other');
    expect(await codeWith(engine)).toBeUndefined();
    await hold(accountId);
    expect(await codeWith(engine)).toBe('account_held');
    expect(await codeWith({ ...engine, booksInDoubt: async () => true })).toBe('books_in_doubt');
    await api.db.query('delete from account_holds');
  });

  test('says that its batch is paused, before what its account does', async () => {
    await putOrder(api.db, { orderId: 'W-BATCH', amountMinor: 10_000 });
    const { body: batch } = await upload(api, csv(['W-BATCH,a,10.00,INR,']));
    await post(api, batch.batch_id, 'confirm', { totals: { INR: '10.00' } });
    expect((await post(api, batch.batch_id, 'pause')).status).toBe(200);
    await change({ enabled: false });
    const { body } = await call(api, '/v1/refunds?order_id=W-BATCH');
    expect(body.refunds[0].waits_for).toEqual({
      code: 'batch_stopped',
      says: 'Its batch is paused or being cancelled: nothing more of it goes out until somebody resumes it.',
      until: null,
    });
    await post(api, batch.batch_id, 'resume');
    expect((await call(api, '/v1/refunds?order_id=W-BATCH')).body.refunds[0].waits_for.code).toBe(
      'account_off',
    );
  });
});

describe('a refund that was sent', () => {
  async function moved(
    ...states: readonly ('sending' | 'unknown' | 'submitted' | 'manual_review' | 'succeeded')[]
  ) {
    const refund = await refunded();
    for (const to of states) {
      const now = await readRefund(api.db, 'acme', refund.refund_id);
      const set = to === 'succeeded' ? { next_look_at: null, succeeded_at: clock.now() } : {};
      const cause = { by: 'worker', why: 'a test' } as const;
      const decided = { to, set, kind: `refund.${to}`, evidence: null, notify: [], refund: now!, cause };
      expect(await writeChanges(api.db, clock, [decided])).not.toContain(null);
    }
    await change({ enabled: false });
    return saidOf(refund);
  }

  test('says that nobody asks about it while its account is switched off', async () => {
    const asks = {
      code: 'account_off',
      says: 'The gateway account “test” is switched off: it is not asked what became of the refund. Once it is switched on under Settings › Gateways, the gateway is asked about it again by itself.',
      until: null,
    };
    expect((await moved('sending', 'unknown')).one).toEqual(asks);
    expect((await moved('sending', 'submitted')).listed).toEqual(asks);
  });

  test('says that the gateway waits for the customer, if the gateway is asked at all', async () => {
    const { refund_id } = await refunded();
    for (const to of ['sending', 'submitted'] as const) {
      const now = await readRefund(api.db, 'acme', refund_id);
      const set = { attention: to === 'submitted' ? WAITS_FOR_CUSTOMER : null };
      const cause = { by: 'worker', why: 'a test' } as const;
      const decided = { to, set, kind: `refund.${to}`, evidence: null, notify: [], refund: now!, cause };
      expect(await writeChanges(api.db, clock, [decided])).not.toContain(null);
    }
    const { body } = await call(api, `/v1/refunds/${refund_id}`);
    expect(body).toMatchObject({
      meaning: 'The gateway has accepted it and waits for the customer.',
      waits_for: { code: 'customer', says: WAITS_FOR_CUSTOMER, until: null },
    });
    await change({ enabled: false });
    expect((await call(api, `/v1/refunds/${refund_id}`)).body.waits_for.code).toBe('account_off');
  });

  test('waits for nothing once it is over, or for a person', async () => {
    expect((await moved('sending', 'unknown', 'manual_review')).one).toBeNull();
    expect((await moved('sending', 'succeeded')).one).toBeNull();
  });
});

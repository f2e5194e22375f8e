import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Caller,
  caller,
  chargedAtSandbox,
  newDataDir,
  type Running,
  receiver,
  startRunning,
  until,
} from '../support/running.ts';

let folder: Awaited<ReturnType<typeof newDataDir>>;
let program: Running;
let client: Caller;
let hooks: Awaited<ReturnType<typeof receiver>>;

beforeAll(async () => {
  folder = await newDataDir();
  program = await startRunning(folder.path, { MANUAL_REVIEW_AFTER: '2s' });
  client = caller(program.url);
  hooks = await receiver();
  const made = await client.post('/v1/webhook-endpoints', {
    url: hooks.url,
    username: 'refundry',
    password: 'pw-1234567',
  });
  expect(made.status).toBeLessThan(300);
}, 120_000);
afterAll(async () => {
  expect(await program.stop()).toBe(0);
  await hooks.close();
  await folder.remove();
}, 60_000);

const books = async (orderId: string) =>
  (await client.get(`/sandbox/refunds?order_id=${orderId}`)).body.refunds;
const status = async (orderId: string) => (await client.get(`/orders/${orderId}`)).body;
const ended = (orderId: string, words: readonly string[]) =>
  until(`${orderId} to be ${words.join(' or ')}`, async () => {
    const order = await status(orderId);
    return order.refunds?.every((r: { status: string }) => words.includes(r.status)) ? order : undefined;
  });
const told = (orderId: string, event: string) =>
  until(`${event} of ${orderId}`, async () =>
    hooks.got.find((hook) => hook.body.event_name === event && hook.body.content.order.order_id === orderId),
  );

test('50 full refunds of one order at once: one accepted, 49 refused, one payout', async () => {
  await chargedAtSandbox(client, 'show-50', '1299.00', 'sbx_ok');
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      client.form('/orders/show-50/refunds', { unique_request_id: `full-${n}`, amount: '1299.00' }),
    ),
  );
  expect(answers.filter((a) => a.status === 200)).toHaveLength(1);
  expect(answers.filter((a) => a.status === 400)).toHaveLength(49);
  const order = await ended('show-50', ['SUCCESS']);
  expect(order).toMatchObject({
    status: 'CHARGED',
    status_id: 21,
    refunded: true,
    amount_refunded: 1299,
    effective_amount: 1299,
  });
  expect(await books('show-50')).toMatchObject([
    { order_id: 'show-50', amount: '1299.00', status: 'succeeded' },
  ]);
});

test('the same unique_request_id 50 times at once: one refund', async () => {
  await chargedAtSandbox(client, 'show-same', '100.00', 'sbx_ok');
  const answers = await Promise.all(
    Array.from({ length: 50 }, () =>
      client.post('/orders/show-same/refunds', { unique_request_id: 'same', amount: 1 }),
    ),
  );
  expect(answers.filter((a) => a.status === 200)).toHaveLength(1);
  for (const { body } of answers.filter((a) => a.status === 400))
    expect(body.error_code).toBe('duplicate.call');
  const order = await ended('show-same', ['SUCCESS']);
  expect(order.refunds).toHaveLength(1);
  expect(await books('show-same')).toHaveLength(1);
});

test('sbx_lost: done and never answered ends in SUCCESS with one payout', async () => {
  await chargedAtSandbox(client, 'show-lost', '50.00', 'sbx_lost');
  // Its answer takes longer than this server's short review limit, so that a person may be called meanwhile.
  expect((await client.form('/orders/show-lost/refunds', { unique_request_id: 'r1' })).status).toBe(200);
  await ended('show-lost', ['SUCCESS']);
  expect(await books('show-lost')).toHaveLength(1);
}, 60_000);

test('sbx_stuck: MANUAL_REVIEW after the limit, the merchant is told, and a person settles it', async () => {
  await chargedAtSandbox(client, 'show-stuck', '75.50', 'sbx_stuck');
  expect(
    (await client.form('/orders/show-stuck/refunds', { unique_request_id: 'r1', amount: '75.50' })).status,
  ).toBe(200);
  const order = await ended('show-stuck', ['MANUAL_REVIEW']);
  expect(order.amount_refunded).toBe(75.5);
  const hook = await told('show-stuck', 'REFUND_MANUAL_REVIEW_NEEDED');
  expect(hook.headers['authorization']).toBe(
    `Basic ${Buffer.from('refundry:pw-1234567').toString('base64')}`,
  );
  expect(hook.body.content.order.refunds[0]).toMatchObject({
    unique_request_id: 'r1',
    status: 'MANUAL_REVIEW',
    sent_to_gateway: true,
  });

  const [refund] = (await client.get('/v1/refunds?order_id=show-stuck')).body.refunds;
  const word = {
    outcome: 'failed',
    evidence: 'The gateway’s support confirmed by mail that it was never paid out.',
  };
  const against = await client.post(`/v1/refunds/${refund.refund_id}/resolve`, word);
  expect([against.status, against.body.error.code]).toEqual([409, 'gateway_says_otherwise']);
  // Where the gateway cannot be asked, the word of one counts.
  const account = `/v1/gateway-accounts/${refund.gateway_account_id}`;
  expect((await client.patch(account, { enabled: false })).status).toBe(200);
  const resolved = await client.post(`/v1/refunds/${refund.refund_id}/resolve`, word);
  expect((await client.patch(account, { enabled: true })).status).toBe(200);
  expect(resolved.status).toBe(200);
  expect(await status('show-stuck')).toMatchObject({ amount_refunded: 0, refunded: false });
  await told('show-stuck', 'ORDER_REFUND_FAILED');
});

test.each([
  ['sbx_slow', 'SUCCESS', 1],
  ['sbx_fail', 'FAILURE', 1],
  ['sbx_refuse', 'FAILURE', 0],
  ['sbx_dup', 'SUCCESS', 1],
  ['sbx_busy', 'SUCCESS', 1],
  ['sbx_reverse', 'FAILURE', 1],
] as const)(
  '%s ends in %s with %i in the books',
  async (behaviour, word, entries) => {
    const orderId = `show-${behaviour}`;
    await chargedAtSandbox(client, orderId, '10.00', behaviour);
    expect(
      (await client.form(`/orders/${orderId}/refunds`, { unique_request_id: 'r1', amount: '10' })).status,
    ).toBe(200);
    await ended(orderId, [word]);
    expect(await books(orderId)).toHaveLength(entries);
  },
  60_000,
);

test('sbx_funds: no balance within the limit asks people; without that limit it is paid (the crash show)', async () => {
  await chargedAtSandbox(client, 'show-funds', '10.00', 'sbx_funds');
  expect(
    (await client.form('/orders/show-funds/refunds', { unique_request_id: 'r1', amount: '10' })).status,
  ).toBe(200);
  const order = await ended('show-funds', ['SUCCESS', 'MANUAL_REVIEW']);
  const paid = order.refunds[0].status === 'SUCCESS' ? 1 : 0;
  expect(await books('show-funds')).toHaveLength(paid);
}, 60_000);

test('sbx_drop: nothing is done, nothing is paid, and people are asked', async () => {
  await chargedAtSandbox(client, 'show-drop', '10.00', 'sbx_drop');
  expect(
    (await client.form('/orders/show-drop/refunds', { unique_request_id: 'r1', amount: '10' })).status,
  ).toBe(200);
  await ended('show-drop', ['MANUAL_REVIEW']);
  expect(await books('show-drop')).toHaveLength(0);
}, 60_000);

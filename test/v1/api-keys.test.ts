import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { putKeysToSleep } from '../../src/access/api-keys.ts';
import { KEY_PERMISSIONS, SHOP_PERMISSIONS } from '../../src/access/roles.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock } from '../support/engine.ts';
import { addPerson, type Browser, signedIn } from '../support/people.ts';

let api: TestApi;
/** An admin of each merchant: keys are people's affair. */
const admins: Record<string, Browser> = {};
beforeAll(async () => {
  api = await startApi();
  for (const merchantId of ['acme', 'other']) {
    await addPerson(api.db, { role: 'admin', merchantId });
    admins[merchantId] = await signedIn(api, `admin@${merchantId}.test`);
  }
});
afterAll(() => api.close());

let count = 0;
const make = (name: unknown = `key ${++count}`, as = 'acme', more = {}) =>
  admins[as]!.ask('/v1/api-keys', { json: { name, ...more } });
const list = async (as = 'acme') => (await admins[as]!.ask('/v1/api-keys')).body.api_keys;
const revoke = (id: string, as = 'acme') => admins[as]!.ask(`/v1/api-keys/${id}`, { method: 'DELETE' });
const callWith = (key: string, path = '/v1/refunds', json?: object, method = 'POST') =>
  fetch(`${api.url}${path}`, {
    headers: {
      authorization: `Basic ${btoa(`${key}:`)}`,
      'x-merchantid': 'acme',
      ...(json && { 'content-type': 'application/json' }),
    },
    ...(json && { method, body: JSON.stringify(json) }),
  });

describe('an API key', () => {
  test('is shown once, works, and is known by its last four', async () => {
    const made = await make('Order service');
    expect(made.status).toBe(201);
    const { key, ...shown } = made.body;
    expect(key).toMatch(/^rfk_[0-9a-f]{48}$/);
    expect(shown).toMatchObject({
      name: 'Order service',
      last_four: key.slice(-4),
      created_by: 'admin@acme.test',
      permissions: SHOP_PERMISSIONS,
      expires_at: null,
      asleep_since: null,
      last_used_at: null,
      revoked_at: null,
      revoked_by: null,
    });
    expect(await list()).toContainEqual(shown);
    expect(JSON.stringify(await list())).not.toContain(key);
    expect((await callWith(key)).status).toBe(200);
  });

  test('that is revoked stays in the list and works no longer', async () => {
    const { key, api_key_id: id } = (await make()).body;
    expect((await revoke(id)).status).toBe(204);
    expect((await callWith(key)).status).toBe(401);
    const [first] = (await list()).filter((one: { api_key_id: string }) => one.api_key_id === id);
    expect(first).toMatchObject({ revoked_by: 'admin@acme.test', revoked_at: expect.any(String) });
    expect((await revoke(id)).status).toBe(204);
    expect((await list()).find((one: { api_key_id: string }) => one.api_key_id === id)).toEqual(first);
  });

  test('says when it was last used, soon after', async () => {
    const { key, api_key_id: id } = (await make()).body;
    const before = Date.now();
    await callWith(key);
    await vi.waitFor(
      async () => {
        const found = (await list()).find((one: { api_key_id: string }) => one.api_key_id === id);
        expect(Date.parse(found.last_used_at)).toBeGreaterThanOrEqual(before - 1_000);
      },
      { timeout: 15_000, interval: 200 },
    );
  });

  test('has a name that no other has had, revoked ones and other letters’ cases included', async () => {
    const { api_key_id: id } = (await make('Once')).body;
    await revoke(id);
    for (const name of ['Once', ' once ']) {
      const again = await make(name);
      expect(again.status).toBe(409);
      expect(again.body.error).toMatchObject({ code: 'api_key_name_taken', field: 'name' });
    }
    expect((await make('Once', 'other')).status).toBe(201);
  });

  test('made twice at once under one name is made once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => make('Racer')));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(7).fill(409)]);
  });

  test.each([[''], ['  '], ['a\nb'], ['x'.repeat(101)], [7], [null]])('is not called %j', async (name) => {
    expect((await make(name)).status).toBe(400);
  });

  test('of another merchant is as absent as one that never was', async () => {
    const { api_key_id: id } = (await make()).body;
    expect((await revoke(id, 'other')).status).toBe(404);
    expect((await revoke('0199a1b2-0000-7000-8000-000000000001')).status).toBe(404);
    expect(JSON.stringify(await list('other'))).not.toContain(id);
  });

  test('made or revoked leaves an entry of who did it, without the key', async () => {
    const { key, api_key_id: id } = (await make('Noted')).body;
    await revoke(id);
    const rows = await api.db.query<{ action: string; by_name: string; text: string }>(
      `select action, by_name, to_jsonb(l)::text as text from access_log l where details ->> 'api_key_id' = $1 order by at`,
      [id],
    );
    expect(rows.map(({ action, by_name }) => [action, by_name])).toEqual([
      ['key_made', 'admin@acme.test'],
      ['key_revoked', 'admin@acme.test'],
    ]);
    expect(rows.map(({ text }) => text).join()).not.toContain(key);
    expect(api.logged().join()).not.toContain(key);
  });

  test('is an admin’s affair, and no key’s', async () => {
    await addPerson(api.db, { role: 'operations' });
    const operations = await signedIn(api, 'operations@acme.test');
    expect((await operations.ask('/v1/api-keys')).status).toBe(403);
    // The test's own key may do all that a key can be given.
    const id = (await make('Shop’s own')).body.api_key_id;
    for (const [method, path, json] of [
      ['GET', '/v1/api-keys', undefined],
      ['POST', '/v1/api-keys', { name: 'By a key' }],
      ['DELETE', `/v1/api-keys/${id}`, undefined],
      ['POST', `/v1/api-keys/${id}/wake`, undefined],
    ] as const) {
      const refused = await call(api, path, { method, ...(json && { json }) });
      expect([path, refused.status, refused.body.error]).toMatchObject([
        path,
        403,
        { code: 'forbidden', message: 'An API key may not manage API keys.' },
      ]);
    }
    expect((await list()).find((one: { api_key_id: string }) => one.api_key_id === id).revoked_at).toBeNull();
  });

  test('is one of a hundred that work, at most', async () => {
    const few = await startApi();
    await addPerson(few.db, { role: 'admin' });
    const admin = await signedIn(few, 'admin@acme.test');
    const ask = (n: number) => admin.ask('/v1/api-keys', { json: { name: `many ${n}` } });
    for (let n = 0; n < 99; n++) expect((await ask(n)).status).toBe(201);
    const refused = await ask(99);
    expect(refused.body.error.code).toBe('too_many_api_keys');
    const [newest] = (await admin.ask('/v1/api-keys')).body.api_keys;
    await admin.ask(`/v1/api-keys/${newest.api_key_id}`, { method: 'DELETE' });
    expect((await ask(100)).status).toBe(201);
    await few.close();
  });
});

describe('what a key may do', () => {
  test('is what a shop’s server needs, where nothing else was said', async () => {
    const { key } = (await make()).body;
    const order = { order_id: 'SHOP-1', amount: '10.00', currency: 'INR', status: 'CHARGED' };
    const payment = { gateway: 'MODEL', gateway_payment_id: 'pay_shop_1' };
    const told = await callWith(key, '/v1/transactions', { ...order, ...payment });
    expect([told.status, await told.text()]).toEqual([200, expect.anything()]);
    const refund = { order_id: 'SHOP-1', unique_request_id: 'r', amount: '1.00' };
    const made = await callWith(key, '/v1/refunds', refund);
    expect(made.status).toBe(201);
    const { refund_id: refundId } = (await made.json()) as { refund_id: string };
    for (const path of ['/orders/SHOP-1', '/v1/orders/SHOP-1', '/v1/batches', '/v1/settings', '/v1/me'])
      expect([path, (await callWith(key, path)).status]).toEqual([path, 200]);
    expect((await callWith(key, `/v1/refunds/${refundId}/cancel`, {})).status).toBe(200);
    const upload = (query: string) =>
      fetch(`${api.url}/v1/batches${query}`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${key}:`)}`, 'content-type': 'text/csv' },
        body: 'order_id,unique_request_id,amount\nSHOP-1,b,1.00\n',
      });
    const batch = await upload('');
    expect(batch.status).toBe(201);
    const { batch_id: batchId } = (await batch.json()) as { batch_id: string };
    expect((await callWith(key, `/v1/batches/${batchId}/results.csv`)).status).toBe(200);

    // A file of outcomes settles reviews.
    expect((await upload('?kind=status_updates')).status).toBe(403);
    const [account] = (await call(api, '/v1/gateway-accounts')).body.gateway_accounts;
    for (const [method, path, json] of [
      ['PATCH', '/v1/settings', { full_refund_when_amount_absent: false }],
      ['POST', '/v1/gateway-accounts', { gateway: 'MODEL', credentials: {} }],
      ['PATCH', `/v1/gateway-accounts/${account.gateway_account_id}`, { name: 'mine' }],
      ['POST', '/v1/webhook-endpoints', { url: 'https://evil.test/' }],
      ['POST', `/v1/refunds/${refundId}/resolve`, { outcome: 'failed', evidence: 'because I say so' }],
      ['GET', '/v1/orders/export.csv', undefined],
      ['GET', '/v1/refunds/export.csv', undefined],
      ['GET', '/v1/requests', undefined],
      ['GET', '/v1/webhook-deliveries', undefined],
      ['GET', '/v1/team', undefined],
      ['POST', '/v1/api-keys', { name: 'one more' }],
    ] as const) {
      const answer = await callWith(key, path, json, method);
      expect([path, answer.status]).toEqual([path, 403]);
    }
  });

  test('is what it was made with, and says what it lacks', async () => {
    const { key, permissions } = (await make(undefined, 'acme', { permissions: ['webhooks.manage'] })).body;
    expect(permissions).toEqual(['webhooks.manage']);
    const added = await callWith(key, '/v1/webhook-endpoints', { url: 'https://shop.example/hook' });
    expect(added.status).toBe(201);
    const refused = await callWith(key, '/v1/refunds');
    expect(await refused.json()).toMatchObject({
      error: {
        code: 'forbidden',
        message: expect.stringMatching(/^The API key key \d+ may not read refunds\.$/),
        accepted:
          'a key that was made with refunds.read, or a person who is signed in as viewer, support, operations or admin',
      },
    });
    const inContract = await callWith(key, '/orders/SHOP-1');
    expect(inContract.status).toBe(403);
    expect(await inContract.json()).toMatchObject({
      status: 'Bad Request',
      error_message: expect.stringMatching(/may not read orders\.$/),
    });
    const me = (await (await callWith(key, '/v1/me')).json()) as { permissions: string[] };
    expect(me.permissions).toEqual(['own.read', 'webhooks.manage']);
  });

  test.each(['team.manage', 'keys.manage', 'batches.approve', 'settings.confirm', 'own.manage', 'all', ''])(
    'is never %j',
    async (word) => {
      const refused = await make(undefined, 'acme', { permissions: [word] });
      expect(refused.status).toBe(400);
      expect(refused.body.error.field).toMatch(/^permissions/);
      expect(KEY_PERMISSIONS).not.toContain(word);
    },
  );

  test('ends when it expires, also where it was remembered', async () => {
    const clock = new ManualClock();
    const timed = await startApi({ clock });
    await addPerson(timed.db, { role: 'admin' });
    const admin = await signedIn(timed, 'admin@acme.test');
    const at = (ms: number) => new Date(clock.now().getTime() + ms).toISOString();
    const early = await admin.ask('/v1/api-keys', { json: { name: 'late', expires_at: at(0) } });
    expect(early.body.error).toMatchObject({ code: 'invalid_expires_at', field: 'expires_at' });
    const made = await admin.ask('/v1/api-keys', { json: { name: 'short', expires_at: at(3_000) } });
    expect(made.body).toMatchObject({ expires_at: at(3_000) });
    const ask = () =>
      fetch(`${timed.url}/v1/settings`, { headers: { authorization: `Basic ${btoa(`${made.body.key}:`)}` } });
    clock.pass(2_999);
    expect((await ask()).status).toBe(200);
    clock.pass(1);
    expect((await ask()).status).toBe(401);
    await timed.close();
  });

  test('is nothing while it sleeps after a restore, until an admin wakes it', async () => {
    const { key, api_key_id: id } = (await make()).body;
    const { api_key_id: revoked } = (await make()).body;
    await revoke(revoked);
    await putKeysToSleep(api.db, new Date());
    expect((await callWith(key)).status).toBe(401);
    const shown = (await list()).find((one: { api_key_id: string }) => one.api_key_id === id);
    expect(shown.asleep_since).toEqual(expect.any(String));
    const wake = (which: string, as = 'acme') =>
      admins[as]!.ask(`/v1/api-keys/${which}/wake`, { method: 'POST' });
    expect((await wake(id, 'other')).status).toBe(404);
    expect((await wake(revoked)).body.error.code).toBe('api_key_revoked');
    expect((await wake(id)).body).toMatchObject({ api_key_id: id, asleep_since: null });
    expect((await callWith(key)).status).toBe(200);
    await api.db.query('update api_keys set asleep_since = null');
  });
});

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { call, startApi, type TestApi } from '../support/api.ts';
import { addPerson, signedIn } from '../support/people.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

let count = 0;
const make = (name = `key ${++count}`, as = 'acme') => call(api, '/v1/api-keys', { as, json: { name } });
const list = async (as = 'acme') => (await call(api, '/v1/api-keys', { as })).body.api_keys;
const revoke = (id: string, as = 'acme') => call(api, `/v1/api-keys/${id}`, { method: 'DELETE', as });
const callWith = (key: string) =>
  fetch(`${api.url}/v1/refunds`, { headers: { authorization: `Basic ${btoa(`${key}:`)}` } });

describe('an API key', () => {
  test('is shown once, works, and is known by its last four', async () => {
    const made = await make('Order service');
    expect(made.status).toBe(201);
    const { key, ...shown } = made.body;
    expect(key).toMatch(/^rfk_[0-9a-f]{48}$/);
    expect(shown).toMatchObject({
      name: 'Order service',
      last_four: key.slice(-4),
      created_by: 'test',
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
    expect(first).toMatchObject({ revoked_by: 'test', revoked_at: expect.any(String) });
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
    expect((await call(api, '/v1/api-keys', { json: { name } })).status).toBe(400);
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
      ['key_made', 'test'],
      ['key_revoked', 'test'],
    ]);
    expect(rows.map(({ text }) => text).join()).not.toContain(key);
    expect(api.logged().join()).not.toContain(key);
  });

  test('is an admin’s affair among people, and names them', async () => {
    for (const role of ['operations', 'admin'] as const) await addPerson(api.db, { role });
    const operations = await signedIn(api, 'operations@acme.test');
    expect((await operations.ask('/v1/api-keys')).status).toBe(403);
    const admin = await signedIn(api, 'admin@acme.test');
    const made = await admin.ask('/v1/api-keys', { json: { name: 'By a person' } });
    expect(made.body).toMatchObject({ created_by: 'admin@acme.test' });
    await admin.ask(`/v1/api-keys/${made.body.api_key_id}`, { method: 'DELETE' });
    const found = (await list()).find((one: { name: string }) => one.name === 'By a person');
    expect(found.revoked_by).toBe('admin@acme.test');
  });

  test('is one of a hundred that work, at most', async () => {
    const few = await startApi();
    const ask = (n: number) => call(few, '/v1/api-keys', { json: { name: `many ${n}` } });
    for (let n = 0; n < 99; n++) expect((await ask(n)).status).toBe(201);
    const refused = await ask(99);
    expect(refused.body.error.code).toBe('too_many_api_keys');
    const [newest] = (await call(few, '/v1/api-keys')).body.api_keys;
    await call(few, `/v1/api-keys/${newest.api_key_id}`, { method: 'DELETE' });
    expect((await ask(100)).status).toBe(201);
    await few.close();
  });
});

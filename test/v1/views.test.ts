import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/lib/ids.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { addPerson, type Browser, signedIn } from '../support/people.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

const VIEW = { name: 'Failed', page: 'refunds', query: 'status=FAILURE&gateway=SANDBOX' };
const put = (id: string, json: Record<string, unknown> = {}, as = 'acme') =>
  call(api, `/v1/views/${id}`, { method: 'PUT', as, json: { ...VIEW, ...json } });
const list = async (query = '', as = 'acme') => (await call(api, `/v1/views${query}`, { as })).body.views;
const remove = (id: string, as = 'acme') => call(api, `/v1/views/${id}`, { method: 'DELETE', as });

describe('a saved view', () => {
  test('is made, replaced, listed by name and page, and removed', async () => {
    const [first, second] = [newId(), newId()];
    const made = await put(first, { columns: ['created', 'amount'] });
    expect(made.status).toBe(200);
    expect(made.body).toMatchObject({
      ...VIEW,
      view_id: first,
      columns: ['created', 'amount'],
      shared: false,
      mine: true,
      made_by: 'test',
    });
    await put(second, { name: 'All of today', page: 'orders', query: '' });
    expect((await list()).map(({ name }: { name: string }) => name)).toEqual(['All of today', 'Failed']);
    expect((await list('?page=refunds')).map(({ view_id }: { view_id: string }) => view_id)).toEqual([first]);
    const changed = await put(first, { name: 'Broken' });
    expect(changed.body).toMatchObject({ name: 'Broken', columns: null });
    for (const id of [first, second]) expect((await remove(id)).status).toBe(204);
    expect(await list()).toEqual([]);
    expect((await remove(first)).status).toBe(404);
  });

  test('of another merchant is neither seen nor touched', async () => {
    const id = newId();
    await put(id, { shared: true });
    expect(await list('', 'other')).toEqual([]);
    expect((await remove(id, 'other')).status).toBe(404);
    // Ids are each merchant's own: one that another has taken is as free as any.
    expect((await put(id, { name: 'mine now' }, 'other')).status).toBe(200);
    expect((await list())[0].name).toBe('Failed');
    expect((await remove(id, 'other')).status).toBe(204);
    expect((await list())[0].name).toBe('Failed');
    await remove(id);
  });

  test.each([
    [{ query: '?status=FAILURE' }, 'query'],
    [{ query: 'status' }, 'query'],
    [{ query: 'a=b#c' }, 'query'],
    [{ query: 'a=<script>' }, 'query'],
    [{ query: `a=${'b'.repeat(2_000)}` }, 'query'],
    [{ name: '' }, 'name'],
    [{ name: 'x'.repeat(61) }, 'name'],
    [{ page: 'team' }, 'page'],
    [{ columns: ['Amount!'] }, 'columns.0'],
    [{ columns: Array(41).fill('a') }, 'columns'],
  ])('is refused with %j', async (json, field) => {
    const answer = await put(newId(), json);
    expect(answer.status).toBe(400);
    expect(answer.body.error.field).toBe(field);
  });

  test('takes what a page’s address holds', async () => {
    const id = newId();
    const query = new URLSearchParams({
      search: 'a b+c@d.test',
      amount_min: '10.00',
      from: '2026-03-01T00:00:00Z',
    });
    expect((await put(id, { query: query.toString() })).status).toBe(200);
    await remove(id);
  });

  test('is one of fifty at most, however many are asked for at once', async () => {
    const answers = await Promise.all(Array.from({ length: 55 }, () => put(newId())));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(50);
    expect(answers.find(({ status }) => status === 409)!.body.error.code).toBe('too_many_views');
    const [one] = await list();
    expect((await put(one.view_id, { name: 'Replaced' })).status).toBe(200);
  });

  test('of one person is not shown to another, and only operations and admins share one', async () => {
    for (const role of ['viewer', 'operations'] as const) await addPerson(api.db, { role });
    const [viewer, operations] = [
      await signedIn(api, 'viewer@acme.test'),
      await signedIn(api, 'operations@acme.test'),
    ];
    const save = (browser: Browser, id: string, more = {}) =>
      browser.ask(`/v1/views/${id}`, { method: 'PUT', json: { ...VIEW, ...more } });
    const names = async (browser: Browser) =>
      (await browser.ask('/v1/views')).body.views.map(({ name }: { name: string }) => name);
    const [own, shared] = [newId(), newId()];
    expect((await save(viewer, own, { name: 'Mine' })).status).toBe(200);
    expect((await save(viewer, own, { shared: true })).status).toBe(403);
    expect((await save(operations, shared, { name: 'Ours', shared: true })).status).toBe(200);
    expect(await names(viewer)).toEqual(['Mine', 'Ours']);
    expect(await names(operations)).toEqual(['Ours']);
    expect((await save(operations, own, { name: 'Taken' })).status).toBe(404);
    expect((await save(viewer, shared, { shared: false })).status).toBe(403);
    expect((await viewer.ask(`/v1/views/${shared}`, { method: 'DELETE' })).status).toBe(403);
    expect((await viewer.ask(`/v1/views/${own}`, { method: 'DELETE' })).status).toBe(204);
  });
});

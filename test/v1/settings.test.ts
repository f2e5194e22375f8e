import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { endAllWaysIn } from '../../src/access/users.ts';
import { takeDueEffects } from '../../src/access/waiting-changes.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock } from '../support/engine.ts';
import { addPerson, type Browser, newBrowser, signedIn } from '../support/people.ts';

const HOUR_MS = 3_600_000;

let api: TestApi;
let clock: ManualClock;
let first: Browser;
beforeEach(async () => {
  clock = new ManualClock();
  api = await startApi({ clock });
  await addPerson(api.db, { role: 'admin', email: 'first@acme.test' });
  first = await signedIn(api, 'first@acme.test');
  await change(first, { batch_approval: true });
});
afterEach(() => api.close());

const change = (browser: Browser, json: object) => browser.ask('/v1/settings', { method: 'PATCH', json });
const now = async () => (await call(api, '/v1/settings')).body;
const decide = (browser: Browser, id: string, what: 'confirm' | 'stop') =>
  browser.ask(`/v1/settings/waiting/${id}/${what}`, { method: 'POST' });
const join = async (role: 'admin' | 'operations' | 'support', email: string) => {
  await addPerson(api.db, { role, email });
  return signedIn(api, email);
};
const actions = async () =>
  (await api.db.query<{ action: string }>('select action from access_log order by at, entry_id'))
    .map(({ action }) => action)
    .filter((action) => action.startsWith('settings'));

describe('a guard', () => {
  test('goes on at once, and off when another admin says so', async () => {
    const second = await join('admin', 'second@acme.test');
    const asked = await change(first, { batch_approval: false, batch_wait_minutes: 5 });
    expect(asked.status).toBe(200);
    expect(asked.body).toMatchObject({
      settings: { batch_approval: true, batch_wait_minutes: 5 },
      waiting_changes: [
        { changes: { batch_approval: false }, asked_by: 'first@acme.test', takes_effect_at: null },
      ],
    });
    const [{ change_id: id }] = asked.body.waiting_changes;
    const own = await decide(first, id, 'confirm');
    expect([own.status, own.body.error.code]).toEqual([403, 'same_person']);
    const operations = await join('operations', 'operations@acme.test');
    expect((await decide(operations, id, 'confirm')).status).toBe(403);
    expect((await call(api, `/v1/settings/waiting/${id}/confirm`, { json: {} })).body.error.message).toBe(
      'An API key may not confirm changes of settings that wait.',
    );
    // With another admin there, time alone does nothing.
    clock.pass(25 * HOUR_MS);
    await takeDueEffects({ db: api.db, clock });
    expect((await now()).settings.batch_approval).toBe(true);

    const again = await signedIn(api, 'second@acme.test');
    expect((await decide(again, id, 'confirm')).body).toMatchObject({
      settings: { batch_approval: false },
      waiting_changes: [],
    });
    expect((await decide(again, id, 'confirm')).status).toBe(404);
    expect(second.cookies.size).toBeGreaterThan(0);
    expect(await actions()).toEqual([
      'settings_changed',
      'settings_asked_for',
      'settings_changed',
      'settings_confirmed',
    ]);
  });

  test.each(['batch_approval', 'require_second_factor'])(
    'stays on when %s is switched off by one, and lapses',
    async (name) => {
      await api.db.query(
        `update merchants set settings = settings || jsonb_build_object($1::text, true) where merchant_id = 'acme'`,
        ['batch_approval'],
      );
      await join('admin', 'second@acme.test');
      await api.db.query(`update users set second_factor = true`);
      await api.db.query(
        `update merchants set settings = settings || jsonb_build_object($1::text, true) where merchant_id = 'acme'`,
        [name],
      );
      const asked = await call(api, '/v1/settings', { method: 'PATCH', json: { [name]: false } });
      expect(asked.body.settings[name]).toBe(true);
      expect(asked.body.waiting_changes).toMatchObject([{ changes: { [name]: false }, asked_by: 'test' }]);
      clock.pass(7 * 24 * HOUR_MS);
      await takeDueEffects({ db: api.db, clock });
      expect(await now()).toMatchObject({ settings: { [name]: true }, waiting_changes: [] });
    },
  );

  test('is not turned off by a key and the admin who made it', async () => {
    const second = await join('admin', 'second@acme.test');
    const json = { name: 'Policy', permissions: ['settings.manage', 'settings.read'] };
    const { key } = (await first.ask('/v1/api-keys', { json })).body;
    const asked = await fetch(`${api.url}/v1/settings`, {
      method: 'PATCH',
      headers: { authorization: `Basic ${btoa(`${key}:`)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ batch_approval: false }),
    });
    const [{ change_id: id }] = ((await asked.json()) as { waiting_changes: [{ change_id: string }] })
      .waiting_changes;
    expect((await decide(first, id, 'confirm')).body.error.code).toBe('same_person');
    expect((await decide(second, id, 'confirm')).status).toBe(200);
    const [entry] = await api.db.query(
      `select by_name, by_user_id from access_log where action = 'settings_asked_for'`,
    );
    expect(entry).toEqual({ by_name: 'Policy', by_user_id: null });
  });

  test('is not turned off with somebody whom the asker has let in', async () => {
    const invited = await first.ask('/v1/team/invitations', {
      json: { email: 'puppet@acme.test', name: 'Puppet', role: 'admin' },
    });
    const puppet = newBrowser(api);
    const token = invited.body.link.split('#')[1];
    await puppet.ask('/auth/link/use', { json: { token, password: 'a wholly different phrase' } });
    const asked = await change(first, { batch_approval: false });
    // Nobody else could confirm it, so it waits for its time.
    const [{ change_id: id, takes_effect_at }] = asked.body.waiting_changes;
    expect(takes_effect_at).not.toBeNull();
    expect((await decide(puppet, id, 'confirm')).body.error.code).toBe('same_person');
  });

  test('goes off a day later where there is no other admin, unless somebody stops it', async () => {
    const asked = await change(first, { batch_approval: false });
    const [{ change_id: id, asked_at, takes_effect_at }] = asked.body.waiting_changes;
    expect(Date.parse(takes_effect_at) - Date.parse(asked_at)).toBe(24 * HOUR_MS);
    const support = await join('support', 'support@acme.test');
    expect((await support.ask('/v1/settings')).body.waiting_changes).toHaveLength(1);
    expect((await decide(support, id, 'stop')).status).toBe(403);
    const operations = await join('operations', 'operations@acme.test');
    expect((await decide(operations, id, 'stop')).body.waiting_changes).toEqual([]);
    clock.pass(25 * HOUR_MS);
    await takeDueEffects({ db: api.db, clock });
    expect((await now()).settings.batch_approval).toBe(true);

    await change(await signedIn(api, 'first@acme.test'), { batch_approval: false });
    clock.pass(24 * HOUR_MS - 1);
    expect(await takeDueEffects({ db: api.db, clock })).toBe(0);
    clock.pass(1);
    expect(await takeDueEffects({ db: api.db, clock })).toBe(1);
    expect(await now()).toMatchObject({ settings: { batch_approval: false }, waiting_changes: [] });
    expect(await actions()).toEqual([
      'settings_changed',
      'settings_asked_for',
      'settings_stopped',
      'settings_asked_for',
      'settings_changed',
    ]);
  });

  const patched = (json: object) => ({ path: '', options: { method: 'PATCH', json } });
  test.each([
    ['switched off', patched({ disabled: true })],
    ['demoted', patched({ role: 'support' })],
    ['reset', { path: '/reset', options: { json: {} } }],
    ['removed', { path: '', options: { method: 'DELETE' } }],
  ])('does not go off by time because the other admin was %s first', async (_, { path, options }) => {
    const second = await addPerson(api.db, { role: 'admin', email: 'second@acme.test' });
    expect((await first.ask(`/v1/team/${second}${path}`, options)).status).toBeLessThan(300);
    const asked = await change(first, { batch_approval: false });
    expect(asked.body.waiting_changes).toMatchObject([{ takes_effect_at: null }]);
    // Within a week it is found out; from then on whoever is left is alone.
    clock.pass(7 * 24 * HOUR_MS);
    const later = await change(await signedIn(api, 'first@acme.test'), { batch_approval: false });
    expect(later.body.waiting_changes[0].takes_effect_at).not.toBeNull();
  });

  test('asked for twice waits once, and not at all after a restore', async () => {
    await change(first, { batch_approval: false });
    const again = await change(first, { batch_approval: false });
    expect(again.body.waiting_changes).toHaveLength(1);
    await change(first, { batch_approval_hours: 3 });
    expect((await now()).waiting_changes).toEqual(again.body.waiting_changes);
    await endAllWaysIn(api.db, clock.now());
    clock.pass(25 * HOUR_MS);
    await takeDueEffects({ db: api.db, clock });
    expect(await now().catch(() => null)).not.toMatchObject({ settings: { batch_approval: false } });
    const [row] = await api.db.query<{ on: boolean }>(
      `select (settings ->> 'batch_approval')::boolean as on from merchants where merchant_id = 'acme'`,
    );
    expect(row).toEqual({ on: true });
  });

  test('of another merchant is as absent as one that never was', async () => {
    await addPerson(api.db, { role: 'admin', merchantId: 'other' });
    const stranger = await signedIn(api, 'admin@other.test');
    const [{ change_id: id }] = (await change(first, { batch_approval: false })).body.waiting_changes;
    for (const what of ['confirm', 'stop'] as const)
      expect((await decide(stranger, id, what)).status).toBe(404);
    expect((await stranger.ask('/v1/settings')).body.waiting_changes).toEqual([]);
  });
});

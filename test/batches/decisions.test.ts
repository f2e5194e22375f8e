import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { invite } from '../../src/access/team.ts';
import { readStoppedBatches } from '../../src/batches/store.ts';
import { doNextStep } from '../../src/batches/worker.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import { ModelGateway } from '../refunds/model.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { addPerson, type Browser, newBrowser, PAGE, signedIn } from '../support/people.ts';
import { csv, get, post, steps, upload } from './batch.ts';

let api: TestApi;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  api = await startApi({ clock });
  for (let n = 1; n <= 4; n++) await putOrder(api.db, { orderId: `o${n}`, amountMinor: 10_000 });
});
afterEach(() => api.close());

const FILE = csv(['o1,a,10.00,INR,', 'o2,a,20.00,INR,']);
const TOTALS = { totals: { INR: '30.00' } };
const NEW_WORD = 'a wholly different phrase';
const refunds = () => api.db.query('select 1 from refunds');
const settings = (json: object) => call(api, '/v1/settings', { method: 'PATCH', json });
const sha256 = async (id: string) => (await get(api, id)).body.file.sha256;

describe('a wait before sending', () => {
  test('starts by itself when it is over, and can be withdrawn until then', async () => {
    await settings({ batch_wait_minutes: 70 });
    const kept = (await upload(api, FILE)).body;
    const withdrawn = (await upload(api, csv(['o3,a,5.00,INR,']))).body;
    await post(api, kept.batch_id, 'confirm', TOTALS);
    await post(api, withdrawn.batch_id, 'confirm', { totals: { INR: '5.00' } });
    const waiting = (await get(api, kept.batch_id)).body;
    expect(waiting.status).toBe('waiting');
    expect(Date.parse(waiting.starts_at) - Date.parse(waiting.confirmation.confirmed_at)).toBe(70 * 60_000);
    clock.pass(69 * 60_000);
    await steps(api);
    expect(await refunds()).toHaveLength(0);
    expect((await post(api, withdrawn.batch_id, 'cancel', { reason: 'wrong month' })).body.status).toBe(
      'cancelled',
    );
    clock.pass(2 * 60_000);
    await steps(api);
    expect(await refunds()).toHaveLength(2);
    expect((await get(api, withdrawn.batch_id)).body).toMatchObject({
      status: 'cancelled',
      rows: { made: 0, not_sent: 1 },
    });
  });
});

describe('a second person', () => {
  let maker: Browser;
  let checker: Browser;
  const as = ({ cookies }: Browser) => ({
    as: null,
    headers: { ...PAGE, cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
  });
  const join = async (email: string) => {
    await addPerson(api.db, { role: 'operations', email });
    return signedIn(api, email);
  };
  beforeEach(async () => {
    await settings({ batch_approval: true, batch_approval_hours: 2 });
    maker = await join('maker@shop.test');
    checker = await join('checker@shop.test');
  });

  test('approves the very file and totals; who uploaded or confirmed cannot, nor can a key', async () => {
    const { body: batch } = await upload(api, FILE, '', as(maker));
    const id = batch.batch_id;
    await post(api, id, 'confirm', TOTALS, as(maker));
    expect((await get(api, id)).body.status).toBe('awaiting_approval');
    const said = { ...TOTALS, file_sha256: await sha256(id) };
    const tries = [
      await post(api, id, 'approve', said, as(maker)),
      await post(api, id, 'approve', said),
      await post(api, id, 'approve', { ...said, file_sha256: '0'.repeat(64) }, as(checker)),
      await post(api, id, 'approve', { ...said, totals: { INR: '30.01' } }, as(checker)),
    ];
    expect(tries.map(({ status, body }) => [status, body.error.code])).toEqual([
      [403, 'same_person'],
      [403, 'forbidden'],
      [409, 'other_file'],
      [409, 'other_totals'],
    ]);
    expect(await refunds()).toHaveLength(0);
    const approved = await post(api, id, 'approve', said, as(checker));
    expect(approved.body.confirmation).toMatchObject({
      confirmed_by: { kind: 'user', name: 'maker@shop.test' },
      approved_by: { kind: 'user', name: 'checker@shop.test' },
    });
    expect(await refunds()).toHaveLength(2);
    const [event] = await api.db.query<{ body: { cause: object } }>(
      `select body from events where body ->> 'kind' = 'refund.recorded' limit 1`,
    );
    expect(event!.body.cause).toMatchObject({
      by: 'batch',
      batch_id: id,
      confirmed_by: 'maker@shop.test',
      approved_by: 'checker@shop.test',
    });
  });

  test('who uploaded cannot approve what a colleague has confirmed', async () => {
    const { body: batch } = await upload(api, FILE, '', as(maker));
    await post(api, batch.batch_id, 'confirm', TOTALS, as(checker));
    const said = { ...TOTALS, file_sha256: await sha256(batch.batch_id) };
    for (const one of [maker, checker]) {
      expect((await post(api, batch.batch_id, 'approve', said, as(one))).body.error.code).toBe('same_person');
    }
  });

  const approve = async (id: string, browser: Browser) =>
    post(api, id, 'approve', { ...TOTALS, file_sha256: await sha256(id) }, as(browser));
  /** A batch that this caller has uploaded and confirmed. */
  const confirmedBy = async (caller: object) => {
    const { body: batch } = await upload(api, FILE, '', caller);
    await post(api, batch.batch_id, 'confirm', TOTALS, caller);
    expect((await get(api, batch.batch_id)).body.status).toBe('awaiting_approval');
    return batch.batch_id as string;
  };

  test('is nobody whose key did it', async () => {
    await addPerson(api.db, { role: 'admin' });
    const admin = await signedIn(api, 'admin@acme.test');
    const { key } = (await admin.ask('/v1/api-keys', { json: { name: 'Uploads' } })).body;
    const id = await confirmedBy({
      as: null,
      headers: { authorization: `Basic ${btoa(`${key}:`)}`, 'x-merchantid': 'acme' },
    });
    expect((await approve(id, admin)).body.error.code).toBe('same_person');
    expect(await refunds()).toHaveLength(0);
    expect((await approve(id, checker)).status).toBe(200);
  });

  test('is nobody who holds an account by a link of whoever did it, nor the other way round', async () => {
    await addPerson(api.db, { role: 'admin' });
    const admin = await signedIn(api, 'admin@acme.test');
    const team = (await admin.ask('/v1/team')).body.members as { user_id: string; email: string }[];
    const { user_id } = team.find(({ email }) => email === 'checker@shop.test')!;
    const reset = await admin.ask(`/v1/team/${user_id}/reset`, { json: { second_factor: true } });
    const invited = await admin.ask('/v1/team/invitations', {
      json: { email: 'puppet@shop.test', name: 'Puppet', role: 'operations' },
    });
    const use = async (link: string, more = {}) => {
      const token = link.split('#')[1];
      const browser = newBrowser(api);
      const used = await browser.ask('/auth/link/use', { json: { token, password: NEW_WORD, ...more } });
      expect(used.body.status).toBe('signed_in');
      return browser;
    };
    const taken = await use(reset.body.link);
    const puppet = await use(invited.body.link);

    const byAdmin = await confirmedBy(as(admin));
    for (const one of [taken, puppet]) {
      expect((await approve(byAdmin, one)).body.error.code).toBe('same_person');
    }
    expect((await approve(byAdmin, maker)).status).toBe(200);
    const refundsSoFar = (await refunds()).length;

    const FILE_2 = csv(['o3,a,30.00,INR,']);
    const { body: theirs } = await upload(api, FILE_2, '', as(taken));
    await post(api, theirs.batch_id, 'confirm', TOTALS, as(taken));
    for (const one of [admin, puppet]) {
      expect((await approve(theirs.batch_id, one)).body.error.code).toBe('same_person');
    }
    expect(await refunds()).toHaveLength(refundsSoFar);

    // Whoever was locked out of their account has noticed by then.
    clock.pass(7 * 24 * 3_600_000);
    const later = await signedIn(api, 'maker@shop.test');
    const { body: last } = await upload(api, csv(['o4,a,30.00,INR,']), '', as(later));
    await post(api, last.batch_id, 'confirm', TOTALS, as(later));
    expect((await approve(last.batch_id, later)).body.error.code).toBe('same_person');
    const again = newBrowser(api);
    await again.ask('/auth/sign-in', { json: { email: 'puppet@shop.test', password: NEW_WORD } });
    expect((await approve(last.batch_id, again)).status).toBe(200);
  });

  test('may be whoever came in by a link of the command line', async () => {
    const deps = { db: api.db, clock };
    const asked = {
      merchantId: 'acme',
      by: { userId: null, name: 'the command line' },
      requestId: null,
    };
    const made = await invite(deps, asked, { email: 'new@shop.test', name: 'New', role: 'operations' });
    if (!made.ok) throw new Error(made.refusal);
    const browser = newBrowser(api);
    await browser.ask('/auth/link/use', { json: { token: made.value.token, password: NEW_WORD } });
    const id = await confirmedBy(as(maker));
    expect((await approve(id, browser)).status).toBe(200);
  });

  test('an approval that nobody gives in time, or refuses, is asked for anew', async () => {
    const { body: batch } = await upload(api, FILE, '', as(maker));
    const id = batch.batch_id;
    await post(api, id, 'confirm', TOTALS, as(maker));
    clock.pass(2 * 3_600_000 + 1);
    const said = { ...TOTALS, file_sha256: await sha256(id) };
    expect((await call(api, `/v1/batches/${id}/approve`, { json: said, ...as(checker) })).status).toBe(409);
    await steps(api);
    expect((await get(api, id)).body).toMatchObject({ status: 'checked', confirmation: null });
    await post(api, id, 'confirm', TOTALS, as(maker));
    const rejected = await post(api, id, 'reject', { reason: 'o2 was sent last week' }, as(checker));
    expect(rejected.body.status).toBe('checked');
    expect(await refunds()).toHaveLength(0);
  });
});

describe('what has begun', () => {
  test('is paused, resumed, and cancelled: what has not gone out stays undone', async () => {
    const rows = Array.from({ length: 600 }, (_, n) => `p${n},a,1.00,INR,`);
    for (let n = 0; n < 600; n++) await putOrder(api.db, { orderId: `p${n}`, amountMinor: 1_000 });
    const { body: batch } = await upload(api, csv(rows));
    const id = batch.batch_id;
    await call(api, `/v1/batches/${id}/confirm`, { json: { totals: { INR: '600.00' } } });
    await doNextStep(api.batches);
    const paused = await post(api, id, 'pause');
    expect(paused.body).toMatchObject({ status: 'paused', rows: { made: 250, left: 350 } });
    expect(await refunds()).toHaveLength(250);
    expect((await call(api, `/v1/batches/${id}/resume`, { json: {} })).body.status).toBe('running');
    await doNextStep(api.batches);
    const cancelled = await post(api, id, 'cancel', { reason: 'wrong file' });
    expect(cancelled.body.status).toBe('cancelled');
    clock.pass(10_000);
    await steps(api);
    const states = await api.db.query('select state, count(*) as n from refunds group by 1');
    expect(states).toEqual([{ state: 'cancelled', n: 500 }]);
    expect((await get(api, id)).body.rows).toMatchObject({ made: 500, left: 0, not_sent: 100 });
    const [held] = await api.db.query('select sum(reserved_minor)::bigint as held from transactions');
    expect(held).toEqual({ held: 0 });
  });

  test('goes out no more from the moment at which its cancelling is answered', async () => {
    const { body: batch } = await upload(api, FILE);
    const id = batch.batch_id;
    await call(api, `/v1/batches/${id}/confirm`, { json: TOTALS });
    await doNextStep(api.batches);
    expect((await refunds()).length).toBeGreaterThan(0);
    expect(await readStoppedBatches(api.db)).toEqual([]);
    await call(api, `/v1/batches/${id}/cancel`, { json: { reason: 'wrong file' } });
    // Its refunds are still there, and are not to be claimed.
    const states = async () =>
      (await api.db.query('select distinct state from refunds')).map((r) => r['state']);
    expect(await states()).toEqual(['queued']);
    expect(await readStoppedBatches(api.db)).toEqual([id]);
    await steps(api);
    expect(await states()).toEqual(['cancelled']);
    clock.pass(10_000);
    await steps(api);
    expect(await readStoppedBatches(api.db)).toEqual([]);
  });

  test('takes back no faster what has to be asked about first than its account may be asked', async () => {
    const model = new ModelGateway();
    const engine = { ...api.batches.engine, gateways: registryOf([model.gateway]) };
    const asking = { ...api, batches: { ...api.batches, engine } };
    const { body: batch } = await upload(api, FILE);
    await call(api, `/v1/batches/${batch.batch_id}/confirm`, { json: TOTALS });
    await doNextStep(api.batches);
    // The gateway has sent both back, and takes one call a second.
    await api.db.query('update refunds set sends = 1');
    await api.db.query('update gateway_accounts set max_per_second = 1');
    await call(api, `/v1/batches/${batch.batch_id}/cancel`, { json: { reason: 'wrong file' } });
    const cancelled = async () =>
      (await api.db.query(`select 1 from refunds where state = 'cancelled'`)).length;
    for (const n of [1, 2]) {
      clock.pass(1_000);
      await doNextStep(asking.batches);
      expect([model.looked.length, await cancelled()]).toEqual([n, n]);
    }
  });

  test('is in no status from which it could be done twice', async () => {
    const { body: batch } = await upload(api, FILE);
    const confirmed = await Promise.all(
      [1, 2, 3].map(() => call(api, `/v1/batches/${batch.batch_id}/confirm`, { json: TOTALS })),
    );
    expect(confirmed.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    await steps(api);
    for (const verb of ['confirm', 'check', 'resume', 'approve', 'reject']) {
      const again = await post(api, batch.batch_id, verb, { ...TOTALS, file_sha256: 'x' });
      expect([verb, [409, 403, 400].includes(again.status)]).toEqual([verb, true]);
    }
    expect(await refunds()).toHaveLength(2);
  });

  test('another merchant neither sees nor touches it', async () => {
    const { body: batch } = await upload(api, FILE);
    const other = { as: 'other' };
    const seen = await Promise.all([
      call(api, `/v1/batches/${batch.batch_id}`, other),
      call(api, `/v1/batches/${batch.batch_id}/rows`, other),
      call(api, `/v1/batches/${batch.batch_id}/events`, other),
      post(api, batch.batch_id, 'confirm', TOTALS, other),
      post(api, batch.batch_id, 'cancel', {}, other),
    ]);
    expect(seen.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
    expect((await call(api, '/v1/batches', other)).body.batches).toEqual([]);
    expect((await get(api, batch.batch_id)).body.status).toBe('checked');
  });
});

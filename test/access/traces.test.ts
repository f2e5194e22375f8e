import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import { createApiKey, revokeApiKey } from '../../src/access/api-keys.ts';
import { createTraces } from '../../src/access/traces.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/log.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { addPerson, newBrowser, PASSWORD, signedIn, withSecondFactor } from '../support/people.ts';

const SOON = { timeout: 30_000, interval: 50 };
const settings = { TRUSTED_PROXIES: '127.0.0.1' };
const api = await startApi({ settings });
await addPerson(api.db, { role: 'admin' });
const admin = await signedIn(api, 'admin@acme.test');
afterAll(() => api.close());

/** Of each test alone, since what is told once in a quarter of an hour is not told again. */
let count = 0;
let someone: string;
let address: string;
beforeEach(async () => {
  count += 1;
  someone = `someone-${count}@acme.test`;
  address = `203.0.113.${count}`;
  await addPerson(api.db, { role: 'viewer', email: someone });
});

interface Entry {
  readonly action: string;
  readonly by: string;
  readonly email: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What the team's log has of attacks from the addresses of the test, the oldest first. */
async function attacks(browser = admin): Promise<Entry[]> {
  const { entries } = (await browser.ask('/v1/team/log?limit=100')).body as { entries: Entry[] };
  return entries
    .filter(({ action }) => /failed|locked|unknown/.test(action))
    .filter(({ details }) => String(details['address']).startsWith(address))
    .reverse();
}

/** What the process's log has of attacks from the addresses of the test. */
function lines(): Record<string, unknown>[] {
  return api
    .logged()
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line['attack'] !== undefined && String(line['address']).startsWith(address));
}

async function guess(email: string, from = address) {
  return newBrowser(api).ask('/auth/sign-in', {
    json: { email, password: 'never to be seen in a log' },
    headers: { 'x-forwarded-for': from },
  });
}

async function revokedKey(of: TestApi, name: string): Promise<string> {
  const { apiKeyId, key } = await createApiKey(of.db, systemClock, { merchantId: 'acme', name });
  await revokeApiKey(of.db, systemClock, 'acme', apiKeyId);
  return key;
}

async function tryKey(of: TestApi, key: string, from = address) {
  const authorization = `Basic ${Buffer.from(`${key}:`).toString('base64')}`;
  return call(of, '/v1/orders', { as: null, headers: { authorization, 'x-forwarded-for': from } });
}

test('a wrong password: who, from where and how often stands in both logs; the password in none', async () => {
  const other = `${address}9`;
  for (let tries = 0; tries < 3; tries++) await guess(someone.toUpperCase());
  await guess(someone, other);
  await vi.waitFor(async () => expect(await attacks()).toHaveLength(2), SOON);
  expect(await attacks()).toMatchObject([
    {
      action: 'sign_in_failed',
      by: `someone at ${address}`,
      email: someone,
      details: { address, count: 1 },
    },
    { by: `someone at ${other}`, details: { address: other, count: 1 } },
  ]);
  expect(lines()).toMatchObject([
    { level: 40, attack: 'sign_in_failed', email: someone, address, count: 1 },
    { level: 40, attack: 'sign_in_failed', email: someone, address: other, count: 1 },
  ]);
  expect(api.logged().join()).not.toContain('never to be seen');
});

test('an e-mail that nobody has, and what is none, leave a line, and no row for anybody', async () => {
  await guess('nobody@acme.test');
  await guess('correct horse battery');
  await vi.waitFor(() => expect(lines()).toHaveLength(2), SOON);
  expect(lines()).toMatchObject([{ email: 'nobody@acme.test' }, { email: 'not an e-mail address' }]);
  // What comes after it is in the log.
  await guess(someone);
  await vi.waitFor(async () => expect(await attacks()).toHaveLength(1), SOON);
});

test('no other merchant reads of it', async () => {
  await guess(someone);
  await vi.waitFor(async () => expect(await attacks()).toHaveLength(1), SOON);
  await addPerson(api.db, { role: 'admin', merchantId: 'other' });
  expect(await attacks(await signedIn(api, 'admin@other.test'))).toEqual([]);
});

test('trying too often is told as that', async () => {
  for (let tries = 0; tries < 11; tries++) await guess(someone);
  await vi.waitFor(async () => expect(await attacks()).toHaveLength(2), SOON);
  expect((await attacks()).map(({ action }) => action)).toEqual(['sign_in_failed', 'sign_in_locked']);
  expect(lines()).toMatchObject([{ attack: 'sign_in_failed' }, { attack: 'sign_in_locked' }]);
});

test('a wrong code of the second factor is of the person whose password was right', async () => {
  await withSecondFactor(api, someone);
  const browser = newBrowser(api);
  await browser.ask('/auth/sign-in', { json: { email: someone, password: PASSWORD } });
  await browser.ask('/auth/code', { json: { code: '000000' }, headers: { 'x-forwarded-for': address } });
  await vi.waitFor(async () => expect(await attacks()).toHaveLength(1), SOON);
  expect(await attacks()).toMatchObject([
    { action: 'code_failed', email: someone, details: { address, count: 1 } },
  ]);
});

test('a wrong password at an open screen too', async () => {
  const browser = await signedIn(api, someone);
  await browser.ask('/v1/me/second-factor', {
    json: { password: 'a wild guess' },
    headers: { 'x-forwarded-for': address },
  });
  await vi.waitFor(async () => expect(await attacks()).toHaveLength(1), SOON);
  expect(await attacks()).toMatchObject([{ action: 'sign_in_failed', email: someone }]);
});

test('an API key that does not work: an unknown one leaves a line, a revoked one its name with the merchant', async () => {
  const key = await revokedKey(api, 'Old shop');
  expect((await tryKey(api, 'rfk_never_seen_before')).status).toBe(401);
  expect((await tryKey(api, key)).status).toBe(401);
  await vi.waitFor(async () => expect(await attacks()).toHaveLength(1), SOON);
  expect(await attacks()).toMatchObject([
    {
      action: 'key_unknown',
      by: `someone at ${address}`,
      details: { address, key_name: 'Old shop', why: 'revoked', count: 1 },
    },
  ]);
  expect(lines()).toMatchObject([{ attack: 'key_unknown', address }]);
  for (const secret of [key, 'rfk_never_seen_before']) expect(api.logged().join()).not.toContain(secret);
});

test('the line of each request has the address that asked', async () => {
  await call(api, '/v1/orders', { headers: { 'x-forwarded-for': address } });
  await vi.waitFor(() => {
    const requests = api.logged().map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(requests.find((line) => line['address'] === address)).toMatchObject({ path: '/v1/orders' });
  }, SOON);
});

test('a flood of keys and addresses leaves a bounded number of lines and rows', async () => {
  const flooded = await startApi({ settings });
  const revoked = await revokedKey(flooded, 'Old shop');
  for (let n = 0; n < 40; n++) await tryKey(flooded, `rfk_unknown_${n}`, `203.0.113.${n}`);
  for (let n = 0; n < 30; n++) await tryKey(flooded, revoked, `198.51.100.${n}`);
  const rows = () => flooded.db.query(`select details from access_log where action = 'key_unknown'`);
  await vi.waitFor(async () => expect(await rows()).toHaveLength(20), SOON);
  expect(flooded.logged().filter((line) => line.includes('"attack"'))).toHaveLength(20);
  await flooded.close();
});

test('a process that stops tells how many more there were, and counts of tries that are over go', async () => {
  const told: Record<string, unknown>[] = [];
  const log = createLogger('info', {
    write: (line: string) => told.push(JSON.parse(line)),
  } as unknown as NodeJS.WritableStream);
  await api.db.query(
    `insert into sign_in_attempts (bucket, tries, window_ends_at)
     values ('email:old', 3, '2020-01-01'), ('email:new', 3, '2999-01-01')`,
  );
  const traces = createTraces({ db: api.db, clock: systemClock, log });
  traces.loop.start();
  for (let n = 0; n < 3; n++) {
    traces.note({ what: 'sign_in_failed', address, requestId: 'request', email: someone });
  }
  await vi.waitFor(async () => {
    const buckets = await api.db.query(
      `select bucket from sign_in_attempts where bucket in ('email:old', 'email:new')`,
    );
    expect(buckets).toEqual([{ bucket: 'email:new' }]);
  }, SOON);
  await traces.loop.stop();
  expect(told.map((line) => [line['attack'], line['count']])).toEqual([
    ['sign_in_failed', 1],
    ['sign_in_failed', 2],
  ]);
  expect((await attacks()).map(({ details }) => details['count']).sort()).toEqual([1, 2]);
});

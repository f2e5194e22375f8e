import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/lib/clock.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { addPerson, type Browser, newBrowser, PASSWORD, signedIn } from '../support/people.ts';

const MINUTE_MS = 60_000;
let aheadMs = 0;
const clock: Clock = { now: () => new Date(Date.now() + aheadMs) };
let api: TestApi;
let proxied: TestApi;

beforeAll(async () => {
  api = await startApi({ clock });
  proxied = await startApi({ clock, settings: { TRUSTED_PROXIES: '127.0.0.1' } });
  for (const one of [api, proxied]) await addPerson(one.db, { role: 'viewer' });
});
beforeEach(async () => {
  aheadMs = 0;
  for (const one of [api, proxied]) await one.db.query('delete from sign_in_attempts');
});
afterAll(() => Promise.all([api.close(), proxied.close()]));

const EMAIL = 'viewer@acme.test';

async function guess(browser: Browser, email = EMAIL, from?: string) {
  const answer = await browser.ask('/auth/sign-in', {
    json: { email, password: 'a wrong guess' },
    ...(from && { headers: { 'x-forwarded-for': from } }),
  });
  return answer.body.error.code;
}

describe('guessing', () => {
  test.each([EMAIL, 'nobody@acme.test'])(
    'ten wrong passwords for %s are the last for a quarter of an hour',
    async (email) => {
      const browser = newBrowser(api);
      for (let tries = 0; tries < 10; tries++) expect(await guess(browser, email)).toBe('wrong_credentials');
      expect(await guess(browser, email)).toBe('too_many_tries');
      aheadMs = 14 * MINUTE_MS;
      expect(await guess(browser, email)).toBe('too_many_tries');
      // Tries in between do not prolong it: nobody is kept out for ever.
      aheadMs = 15 * MINUTE_MS + 1_000;
      expect(await guess(browser, email)).toBe('wrong_credentials');
    },
  );

  test('even the right password does not help then, but a browser that is known lets its owner in', async () => {
    const own = await signedIn(api, EMAIL);
    await own.ask('/auth/sign-out', { method: 'POST' });
    for (let tries = 0; tries < 11; tries++) await guess(newBrowser(api));
    const right = { json: { email: EMAIL, password: PASSWORD } };
    expect((await newBrowser(api).ask('/auth/sign-in', right)).status).toBe(429);
    expect((await own.ask('/auth/sign-in', right)).status).toBe(200);
  });

  test('a known browser is known for its owner alone, and has its own limit', async () => {
    await addPerson(api.db, { role: 'support' });
    const own = await signedIn(api, EMAIL);
    await own.ask('/auth/sign-out', { method: 'POST' });
    for (let tries = 0; tries < 10; tries++) expect(await guess(own)).toBe('wrong_credentials');
    expect(await guess(own)).toBe('too_many_tries');
    for (let tries = 0; tries < 10; tries++) await guess(newBrowser(api), 'support@acme.test');
    expect(await guess(own, 'support@acme.test')).toBe('too_many_tries');
  });

  test('thirty e-mails from one address are enough', async () => {
    for (let tries = 0; tries < 30; tries++) {
      expect(await guess(newBrowser(api), `person-${tries}@acme.test`)).toBe('wrong_credentials');
    }
    expect(await guess(newBrowser(api), 'one-more@acme.test')).toBe('too_many_tries');
  });

  test('signing in rightly uses up nothing', async () => {
    for (let times = 0; times < 12; times++) await signedIn(api, EMAIL);
  });

  test('of twenty guesses at once, ten are looked at', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => guess(newBrowser(api))));
    expect(answers.filter((code) => code === 'wrong_credentials')).toHaveLength(10);
  });
});

describe('the address that counts', () => {
  test('X-Forwarded-For is not believed from anyone', async () => {
    for (let tries = 0; tries < 30; tries++)
      await guess(newBrowser(api), `p${tries}@acme.test`, `192.0.2.${tries}`);
    expect(await guess(newBrowser(api), 'x@acme.test', '192.0.2.99')).toBe('too_many_tries');
  });

  test('but from a trusted proxy it is', async () => {
    for (let tries = 0; tries < 30; tries++)
      await guess(newBrowser(proxied), `p${tries}@acme.test`, '192.0.2.1');
    expect(await guess(newBrowser(proxied), 'x@acme.test', '192.0.2.1')).toBe('too_many_tries');
    expect(await guess(newBrowser(proxied), 'x@acme.test', '192.0.2.2')).toBe('wrong_credentials');
  });

  test('one network of IPv6 counts as one', async () => {
    for (let tries = 0; tries < 30; tries++) {
      await guess(newBrowser(proxied), `p${tries}@acme.test`, `2001:db8:1:2:${tries}::1`);
    }
    expect(await guess(newBrowser(proxied), 'x@acme.test', '2001:db8:1:2:ffff::9')).toBe('too_many_tries');
    expect(await guess(newBrowser(proxied), 'x@acme.test', '2001:db8:1:3::1')).toBe('wrong_credentials');
  });
});

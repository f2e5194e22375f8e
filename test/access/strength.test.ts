import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { startApi, type TestApi } from '../support/api.ts';
import {
  addPerson,
  type Browser,
  newBrowser,
  PASSWORD,
  signedIn,
  withSecondFactor,
} from '../support/people.ts';
import { nextTotp, secretIn, totp } from '../support/totp.ts';

const api: TestApi = await startApi();
afterAll(() => api.close());

let count = 0;
let someone: string;
let userId: string;

beforeEach(async () => {
  count += 1;
  someone = `someone-${count}@acme.test`;
  userId = await addPerson(api.db, { role: 'admin', email: someone });
  await askForSecondFactor(false);
});

/** Whether the merchant asks everybody for one. */
async function askForSecondFactor(required: boolean): Promise<void> {
  await api.db.query(
    `update merchants set settings = settings || jsonb_build_object('require_second_factor', $1::boolean)
     where merchant_id = 'acme'`,
    [required],
  );
}

async function passwordGiven(email = someone): Promise<Browser> {
  const browser = newBrowser(api);
  const answer = await browser.ask('/auth/sign-in', { json: { email, password: PASSWORD } });
  expect(answer.body).toEqual({ status: 'code_needed' });
  return browser;
}

async function statusOf(browser: Browser): Promise<number> {
  return (await browser.ask('/v1/me')).status;
}

async function openedBy(browser: Browser): Promise<string> {
  const { sessions } = (await browser.ask('/v1/me/sessions')).body;
  return sessions.find(({ current }: { current: boolean }) => current).opened_by;
}

describe('a session is as strong as what it was opened with', () => {
  test('one that never showed a factor gains nothing when its person sets one up elsewhere', async () => {
    await askForSecondFactor(true);
    const weak = await signedIn(api, someone);
    expect((await weak.ask('/v1/team')).body.error.code).toBe('second_factor_needed');
    const { browser: own } = await withSecondFactor(api, someone);
    const key = await weak.ask('/v1/api-keys', { json: { name: `by the weak one ${count}` } });
    expect([key.status, key.body.error.code]).toEqual([401, 'signed_out']);
    expect((await own.ask('/v1/team')).status).toBe(200);
  });

  test('and not even where its row outlived the enrolment', async () => {
    const weak = await signedIn(api, someone);
    const { browser: own } = await withSecondFactor(api, someone, await signedIn(api, someone));
    // As a sign-in leaves it that checked the password a moment before the factor came.
    const [session] = await api.db.query<{ id: string }>(
      `insert into sessions (id, user_id, token, expires_at, ip_address, user_agent, created_at, updated_at)
       select gen_random_uuid(), user_id, $2, expires_at, '', '', created_at, updated_at
       from sessions where user_id = $1 returning id`,
      [userId, weak.cookies.get('__Host-refundry.session_token')!.split('.')[0]],
    );
    expect(await statusOf(weak)).toBe(401);
    expect(await api.db.query('select from sessions where id = $1', [session!.id])).toEqual([]);
    expect(await statusOf(own)).toBe(200);
  });

  test('the one in which the factor was set up counts as one that showed it', async () => {
    await askForSecondFactor(true);
    const browser = await signedIn(api, someone);
    expect(await openedBy(browser)).toBe('password');
    await withSecondFactor(api, someone, browser);
    expect(await openedBy(browser)).toBe('code');
    expect((await browser.ask('/v1/orders')).status).toBe(200);
  });

  test.each(['code', 'backup_code'])('one that was opened with a %s may all', async (way) => {
    await askForSecondFactor(true);
    const { uri, codes } = await withSecondFactor(api, someone);
    const browser = await passwordGiven();
    const code = way === 'code' ? nextTotp(secretIn(uri)) : codes[0];
    expect((await browser.ask('/auth/code', { json: { code } })).status).toBe(200);
    expect(await openedBy(browser)).toBe(way);
    expect((await browser.ask('/v1/orders')).status).toBe(200);
  });

  test('one that a link opened has shown nothing but the link', async () => {
    const admin = await signedIn(api, someone);
    const invited = `invited-${count}@acme.test`;
    const { body } = await admin.ask('/v1/team/invitations', {
      json: { email: invited, name: 'Some One', role: 'admin' },
    });
    await askForSecondFactor(true);
    const browser = newBrowser(api);
    const token = body.link.split('#')[1];
    await browser.ask('/auth/link/use', { json: { token, password: PASSWORD } });
    expect(await openedBy(browser)).toBe('link');
    expect((await browser.ask('/v1/orders')).body.error.code).toBe('second_factor_needed');
  });

  test('when the merchant begins to ask for a factor, those who have shown theirs go on, others set one up', async () => {
    const weak = await signedIn(api, someone);
    const other = `other-${count}@acme.test`;
    await addPerson(api.db, { role: 'admin', email: other });
    const { browser: strong } = await withSecondFactor(api, other);
    await strong.ask('/v1/settings', { method: 'PATCH', json: { require_second_factor: true } });
    expect((await strong.ask('/v1/orders')).status).toBe(200);
    expect((await weak.ask('/v1/orders')).body.error.code).toBe('second_factor_needed');
    await withSecondFactor(api, someone, weak);
    expect((await weak.ask('/v1/orders')).status).toBe(200);
  });
});

describe('all other sessions of the person end, and sign-ins that wait for a code,', () => {
  test('when the factor is set up', async () => {
    const others = [await signedIn(api, someone), await signedIn(api, someone)];
    const { browser } = await withSecondFactor(api, someone);
    expect(await Promise.all(others.map(statusOf))).toEqual([401, 401]);
    expect(await statusOf(browser)).toBe(200);
  });

  test('when it is switched off', async () => {
    const { browser, codes, uri } = await withSecondFactor(api, someone);
    const other = await passwordGiven();
    await other.ask('/auth/code', { json: { code: codes[0] } });
    const waiting = await passwordGiven();
    const off = await browser.ask('/v1/me/second-factor/disable', { json: { password: PASSWORD } });
    expect(off.status).toBe(200);
    expect(await statusOf(other)).toBe(401);
    const late = await waiting.ask('/auth/code', { json: { code: nextTotp(secretIn(uri)) } });
    expect([late.status, late.body.error.code]).toEqual([401, 'start_again']);
    expect(await openedBy(browser)).toBe('password');
  });

  test('when the password is changed, in a session that stays as strong as it was', async () => {
    await askForSecondFactor(true);
    const { browser, uri, codes } = await withSecondFactor(api, someone);
    const other = await passwordGiven();
    await other.ask('/auth/code', { json: { code: codes[0] } });
    const waiting = await passwordGiven();
    const changed = await browser.ask('/v1/me/password', {
      json: { current_password: PASSWORD, new_password: 'seven green teapots sing' },
    });
    expect(changed.status).toBe(204);
    expect(await statusOf(other)).toBe(401);
    const late = await waiting.ask('/auth/code', { json: { code: nextTotp(secretIn(uri)) } });
    expect([late.status, late.body.error.code]).toEqual([401, 'start_again']);
    expect((await browser.ask('/v1/orders')).status).toBe(200);
  });
});

describe('a code of the app', () => {
  test('that set the factor up lets nobody in', async () => {
    const browser = await signedIn(api, someone);
    const begun = await browser.ask('/v1/me/second-factor', { json: { password: PASSWORD } });
    const code = totp(secretIn(begun.body.otpauth_uri));
    expect((await browser.ask('/v1/me/second-factor/confirm', { json: { code } })).status).toBe(200);
    const other = await passwordGiven();
    const again = await other.ask('/auth/code', { json: { code } });
    expect([again.status, again.body.error.code]).toEqual([401, 'wrong_code']);
    expect(await statusOf(other)).toBe(401);
  });
});

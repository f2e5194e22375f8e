import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, startApi, type TestApi } from '../support/api.ts';
import { addPerson, newBrowser, PASSWORD, signedIn, withSecondFactor } from '../support/people.ts';
import { bytesOf, nextTotp, secretIn } from '../support/totp.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
  for (const role of ['viewer', 'support', 'operations', 'admin'] as const) await addPerson(api.db, { role });
  await addPerson(api.db, { role: 'admin', merchantId: 'other' });
});
afterAll(() => api.close());

describe('signing in', () => {
  test('with e-mail and password, in any case of letters, gives a session that /v1/me knows', async () => {
    const browser = newBrowser(api);
    const answer = await browser.ask('/auth/sign-in', {
      json: { email: ' Support@Acme.test ', password: PASSWORD },
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ status: 'signed_in' });
    const { body } = await browser.ask('/v1/me');
    expect(body).toMatchObject({
      user: { email: 'support@acme.test', second_factor: false },
      role: 'support',
      merchant: { merchant_id: 'acme', require_second_factor: false },
      demo: false,
    });
  });

  test('its cookies are kept from scripts, from other sites and from plain HTTP', async () => {
    const answer = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: 'viewer@acme.test', password: PASSWORD },
    });
    const lines = answer.headers.getSetCookie();
    expect(lines.map((line) => line.split('=')[0])).toEqual([
      '__Host-refundry.session_token',
      '__Host-refundry.browser',
    ]);
    for (const line of lines) {
      expect(line).toMatch(/; HttpOnly/);
      expect(line).toMatch(/; SameSite=Lax/);
      expect(line).toMatch(/; Secure/);
    }
  });

  test('says the same of a wrong password and of an e-mail that nobody has', async () => {
    const browser = newBrowser(api);
    const [wrong, nobody] = [
      await browser.ask('/auth/sign-in', {
        json: { email: 'viewer@acme.test', password: 'not the right one' },
      }),
      await browser.ask('/auth/sign-in', {
        json: { email: 'nobody@acme.test', password: 'not the right one' },
      }),
    ];
    expect(wrong.status).toBe(401);
    expect(wrong.body.error.code).toBe('wrong_credentials');
    expect([nobody.status, nobody.body]).toEqual([wrong.status, wrong.body]);
    expect(nobody.headers.getSetCookie()).toEqual([]);
  });

  test('signing out ends the session itself, not only the cookie', async () => {
    const browser = await signedIn(api, 'viewer@acme.test');
    const kept = new Map(browser.cookies);
    expect((await browser.ask('/auth/sign-out', { method: 'POST' })).status).toBe(204);
    const thief = newBrowser(api);
    for (const [name, value] of kept) thief.cookies.set(name, value);
    const answer = await thief.ask('/v1/me');
    expect(answer.status).toBe(401);
    expect(answer.body.error.code).toBe('signed_out');
    expect(answer.headers.get('www-authenticate')).not.toBeNull();
  });

  test('only our own addresses of better-auth are there', async () => {
    for (const path of ['/auth/sign-in/email', '/auth/sign-up/email', '/auth/get-session', '/auth/ok']) {
      const answer = await newBrowser(api).ask(path, {
        json: { email: 'a@b.test', password: PASSWORD, name: 'x' },
      });
      expect([path, answer.status]).toEqual([path, 404]);
    }
  });

  test('takes small JSON only', async () => {
    const large = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: 'a@b.test', password: 'x'.repeat(5_000) },
    });
    expect(large.status).toBe(413);
    const form = await newBrowser(api).ask('/auth/sign-in', {
      form: { email: 'a@b.test', password: PASSWORD },
    });
    expect(form.status).toBe(415);
  });
});

describe('the second factor', () => {
  test('set up with an app, it is asked for at the next sign-in; backup codes work once', async () => {
    await addPerson(api.db, { role: 'support', email: 'two@acme.test' });
    const { uri, codes } = await withSecondFactor(api, 'two@acme.test');
    expect(uri).toMatch(/^otpauth:\/\/totp\/Refundry:two%40acme\.test\?secret=/);
    expect(codes).toHaveLength(10);

    const browser = newBrowser(api);
    const first = await browser.ask('/auth/sign-in', {
      json: { email: 'two@acme.test', password: PASSWORD },
    });
    expect(first.body).toEqual({ status: 'code_needed' });
    expect((await browser.ask('/v1/me')).status).toBe(401);
    const wrong = await browser.ask('/auth/code', { json: { code: '000000' } });
    expect([wrong.status, wrong.body.error.code]).toEqual([401, 'wrong_code']);
    const second = await browser.ask('/auth/code', { json: { code: nextTotp(secretIn(uri)) } });
    expect(second.body).toEqual({ status: 'signed_in' });
    expect((await browser.ask('/v1/me')).body.user.second_factor).toBe(true);

    const byBackup = async () => {
      const other = newBrowser(api);
      await other.ask('/auth/sign-in', { json: { email: 'two@acme.test', password: PASSWORD } });
      return other.ask('/auth/code', { json: { code: codes[0] } });
    };
    expect((await byBackup()).status).toBe(200);
    expect((await byBackup()).status).toBe(401);
  });

  test('a code that let someone in lets in nobody else', async () => {
    await addPerson(api.db, { role: 'support', email: 'once@acme.test' });
    const { uri } = await withSecondFactor(api, 'once@acme.test');
    const [first, second] = [newBrowser(api), newBrowser(api)];
    for (const browser of [first, second]) {
      await browser.ask('/auth/sign-in', { json: { email: 'once@acme.test', password: PASSWORD } });
    }
    const code = nextTotp(secretIn(uri));
    expect((await first.ask('/auth/code', { json: { code } })).status).toBe(200);
    const again = await second.ask('/auth/code', { json: { code } });
    expect([again.status, again.body.error.code]).toEqual([401, 'wrong_code']);
    expect((await second.ask('/v1/me')).status).toBe(401);
    const { body } = await first.ask('/v1/me/sessions');
    expect(body.sessions.filter(({ current }: { current: boolean }) => current)).toHaveLength(1);
  });

  test('its secret and its backup codes are not in the database in clear', async () => {
    await addPerson(api.db, { role: 'support', email: 'sealed@acme.test' });
    const { uri, codes } = await withSecondFactor(api, 'sealed@acme.test');
    const [row] = await api.db.query<{ secret: string; backup_codes: string }>(
      `select secret, backup_codes from two_factors t join users u on u.id = t.user_id where u.email = $1`,
      ['sealed@acme.test'],
    );
    expect(row!.secret).not.toContain(bytesOf(secretIn(uri)).toString());
    expect(row!.secret).not.toContain(secretIn(uri));
    for (const code of codes) expect(row!.backup_codes).not.toContain(code);
  });

  test('five wrong codes end the sign-in', async () => {
    await addPerson(api.db, { role: 'support', email: 'five@acme.test' });
    const { uri } = await withSecondFactor(api, 'five@acme.test');
    const browser = newBrowser(api);
    await browser.ask('/auth/sign-in', { json: { email: 'five@acme.test', password: PASSWORD } });
    for (let wrong = 0; wrong < 5; wrong++) {
      const answer = await browser.ask('/auth/code', { json: { code: '000000' } });
      expect(answer.body.error.code).toBe('wrong_code');
    }
    const right = await browser.ask('/auth/code', { json: { code: nextTotp(secretIn(uri)) } });
    expect([right.status, right.body.error.code]).toEqual([401, 'start_again']);
  });

  test('where the merchant requires it, nothing else can be done before', async () => {
    await addPerson(api.db, { role: 'admin', merchantId: 'other', email: 'boss@other.test' });
    const browser = await signedIn(api, 'boss@other.test');
    const changed = await browser.ask('/v1/settings', {
      method: 'PATCH',
      json: { require_second_factor: true },
    });
    expect(changed.status).toBe(200);
    const refused = await browser.ask('/v1/orders');
    expect([refused.status, refused.body.error.code]).toEqual([403, 'second_factor_needed']);
    expect((await browser.ask('/v1/me')).body.permissions).toEqual(['own.read', 'own.manage']);

    // In another browser: this one never showed it, and is signed out.
    const { browser: strong } = await withSecondFactor(api, 'boss@other.test');
    expect((await browser.ask('/v1/me')).status).toBe(401);
    expect((await strong.ask('/v1/orders')).status).toBe(200);
    const off = await strong.ask('/v1/me/second-factor/disable', { json: { password: PASSWORD } });
    expect([off.status, off.body.error.code]).toEqual([409, 'second_factor_needed']);
    // A key is no person, and is not asked for a second factor.
    expect((await call(api, '/v1/orders', { as: 'other' })).status).toBe(200);
  });
});

describe('a page of another site', () => {
  test.each([
    ['no header of ours', { 'x-refundry': '' }],
    ['another origin', { origin: 'https://evil.test' }],
    ['no origin', { origin: 'null' }],
    ['another port of this machine', { origin: 'http://localhost:1' }],
  ])('cannot change anything with the cookies of a person: %s', async (_why, headers) => {
    const browser = await signedIn(api, 'admin@acme.test');
    const answer = await browser.ask('/v1/settings', { method: 'PATCH', json: {}, headers });
    expect([answer.status, answer.body.error.code]).toEqual([403, 'foreign_page']);
    const signIn = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: 'admin@acme.test', password: PASSWORD },
      headers,
    });
    expect([signIn.status, signIn.body.error.code]).toEqual([403, 'foreign_page']);
  });

  test('on this machine the page may go by the name that the browser asked for', async () => {
    const origin = `http://127.0.0.1:${api.port}`;
    const answer = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: 'viewer@acme.test', password: PASSWORD },
      headers: { origin },
    });
    expect(answer.status).toBe(200);
    // No browser writes an origin so: whoever does is no page.
    for (const odd of [`http://shop.test@127.0.0.1:${api.port}`, `${origin}/`, `${origin}?`]) {
      const refused = await newBrowser(api).ask('/auth/sign-in', {
        json: { email: 'viewer@acme.test', password: PASSWORD },
        headers: { origin: odd },
      });
      expect([odd, refused.status]).toEqual([odd, 403]);
    }
  });
});

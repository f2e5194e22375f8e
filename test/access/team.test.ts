import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/lib/clock.ts';
import { startApi, type TestApi } from '../support/api.ts';
import {
  addPerson,
  type Browser,
  newBrowser,
  ORIGIN,
  PASSWORD,
  signedIn,
  withSecondFactor,
} from '../support/people.ts';

const HOUR_MS = 3_600_000;
let aheadMs = 0;
const clock: Clock = { now: () => new Date(Date.now() + aheadMs) };
const api: TestApi = await startApi({ clock });
afterAll(() => api.close());

let admin: Browser;
let adminId: string;
let count = 0;
let someone: string;

beforeEach(async () => {
  aheadMs = 0;
  count += 1;
  someone = `someone-${count}@acme.test`;
  await api.db.query(`delete from users`);
  adminId = await addPerson(api.db, { role: 'admin' });
  admin = await signedIn(api, 'admin@acme.test');
});

function tokenOf(link: string, page: 'join' | 'reset'): string {
  const [address, token] = link.split('#');
  expect(address).toBe(`${ORIGIN}/${page}`);
  return token!;
}

async function invited(role = 'support'): Promise<string> {
  const answer = await admin.ask('/v1/team/invitations', {
    json: { email: someone, name: 'Some One', role },
  });
  expect(answer.status).toBe(201);
  return tokenOf(answer.body.link, 'join');
}

describe('joining', () => {
  test('an invitation is a link that works once, and makes a person of that role', async () => {
    const token = await invited('operations');
    const { body: team } = await admin.ask('/v1/team');
    expect(team.invitations).toMatchObject([
      { email: someone, role: 'operations', invited_by: 'admin@acme.test' },
    ]);

    const browser = newBrowser(api);
    const shown = await browser.ask('/auth/link', { json: { token } });
    expect(shown.body).toMatchObject({
      kind: 'join',
      email: someone,
      name: 'Some One',
      merchant_name: 'acme',
    });
    const used = await browser.ask('/auth/link/use', {
      json: { token, password: PASSWORD, name: 'Someone Else' },
    });
    expect(used.body).toEqual({ status: 'signed_in' });
    expect((await browser.ask('/v1/me')).body).toMatchObject({
      user: { email: someone, name: 'Someone Else' },
      role: 'operations',
    });
    expect((await admin.ask('/v1/team')).body.invitations).toEqual([]);
    for (const path of ['/auth/link', '/auth/link/use']) {
      const again = await newBrowser(api).ask(path, {
        json: path === '/auth/link' ? { token } : { token, password: PASSWORD },
      });
      expect([again.status, again.body.error.code]).toEqual([404, 'link_ended']);
    }
    await signedIn(api, someone);
  });

  test('the database does not hold the link', async () => {
    const token = await invited();
    const rows = await api.db.query<{ row: string }>('select l::text as row from one_time_links l');
    expect(rows.map(({ row }) => row).join()).not.toContain(token);
  });

  test.each(['72 hours', 'withdrawal', 'a newer invitation'])('the link ends by %s', async (end) => {
    const token = await invited();
    if (end === '72 hours') aheadMs = 72 * HOUR_MS;
    else if (end === 'a newer invitation') await invited();
    else {
      const [invitation] = (await admin.ask('/v1/team')).body.invitations;
      const path = `/v1/team/invitations/${invitation.invitation_id}`;
      expect((await admin.ask(path, { method: 'DELETE' })).status).toBe(204);
      expect((await admin.ask(path, { method: 'DELETE' })).status).toBe(404);
    }
    const used = await newBrowser(api).ask('/auth/link/use', { json: { token, password: PASSWORD } });
    expect([used.status, used.body.error.code]).toEqual([404, 'link_ended']);
  });

  test('of two who use a link at once, one joins', async () => {
    const token = await invited();
    const uses = await Promise.all(
      [1, 2, 3].map(() => newBrowser(api).ask('/auth/link/use', { json: { token, password: PASSWORD } })),
    );
    expect(uses.map(({ status }) => status).sort()).toEqual([200, 404, 404]);
  });

  test.each([
    'short',
    'elevenchars',
    'aaaaaaaaaaaaaa',
    'x'.repeat(129),
    'password1234',
    'P@ssw0rd1234!',
    '123456789012',
    'qwertyuiop12',
    'Refundry2026',
    'some.one.2026',
    'someone someone',
  ])('the password %s is refused, and the link still works', async (password) => {
    const token = await invited();
    const refused = await newBrowser(api).ask('/auth/link/use', { json: { token, password } });
    expect([refused.status, refused.body.error.field]).toEqual([400, 'password']);
    expect(JSON.stringify(refused.body)).not.toContain(password);
    expect((await newBrowser(api).ask('/auth/link', { json: { token } })).status).toBe(200);
  });

  test('nobody joins a team twice', async () => {
    const again = await admin.ask('/v1/team/invitations', {
      json: { email: 'ADMIN@acme.test', name: 'A', role: 'viewer' },
    });
    expect([again.status, again.body.error.code]).toEqual([409, 'already_member']);
    const token = await invited();
    await addPerson(api.db, { role: 'viewer', email: someone });
    const used = await newBrowser(api).ask('/auth/link/use', { json: { token, password: PASSWORD } });
    expect([used.status, used.body.error.code]).toEqual([409, 'email_taken']);
    expect((await newBrowser(api).ask('/auth/link', { json: { token } })).status).toBe(200);
  });

  test('the password of a link is not made of the e-mail', async () => {
    const token = await invited();
    const refused = await newBrowser(api).ask('/auth/link/use', { json: { token, password: someone } });
    expect([refused.status, refused.body.error]).toEqual([
      400,
      expect.objectContaining({ code: 'easily_guessed', field: 'password' }),
    ]);
  });
});

describe('an e-mail in the teams of several merchants', () => {
  const OTHER = 'nine purple kettles';
  let otherAdmin: Browser;

  beforeEach(async () => {
    await addPerson(api.db, { role: 'admin', merchantId: 'other' });
    otherAdmin = await signedIn(api, 'admin@other.test');
  });

  /** Invited and joined by whoever made the link: nothing proves that the e-mail is theirs. */
  async function joinedByAdmin(of: Browser, password: string): Promise<Browser> {
    const { body } = await of.ask('/v1/team/invitations', {
      json: { email: someone, name: 'Some One', role: 'viewer' },
    });
    const browser = newBrowser(api);
    const used = await browser.ask('/auth/link/use', {
      json: { token: tokenOf(body.link, 'join'), password },
    });
    expect([used.status, used.body]).toEqual([200, { status: 'signed_in' }]);
    return browser;
  }

  async function merchantBy(password: string): Promise<string> {
    const browser = newBrowser(api);
    await browser.ask('/auth/sign-in', { json: { email: someone, password } });
    return (await browser.ask('/v1/me')).body.merchant.merchant_id;
  }

  test('is two people: neither takes it from the other, and each password leads to its own team', async () => {
    const theirs = await joinedByAdmin(otherAdmin, OTHER);
    const own = await joinedByAdmin(admin, PASSWORD);
    expect((await theirs.ask('/v1/me')).body.merchant.merchant_id).toBe('other');
    expect((await own.ask('/v1/me')).body.merchant.merchant_id).toBe('acme');
    expect([await merchantBy(PASSWORD), await merchantBy(OTHER)]).toEqual(['acme', 'other']);
    const wrong = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: someone, password: 'seven green teapots' },
    });
    expect(wrong.body.error.code).toBe('wrong_credentials');
  });

  test('tells neither admin of the other: each answer is the same as for an e-mail that is nowhere else', async () => {
    await joinedByAdmin(admin, PASSWORD);
    const answers = [];
    for (const email of [someone, `nowhere-${count}@acme.test`]) {
      const invitation = await otherAdmin.ask('/v1/team/invitations', {
        json: { email, name: 'Some One', role: 'viewer' },
      });
      const token = tokenOf(invitation.body.link, 'join');
      const shown = await newBrowser(api).ask('/auth/link', { json: { token } });
      const used = await newBrowser(api).ask('/auth/link/use', { json: { token, password: OTHER } });
      answers.push([invitation.status, shown.status, shown.body.kind, used.status, used.body]);
    }
    expect(answers[0]).toEqual(answers[1]);
  });

  test('who is removed, switched off or reset in one team stays in the other', async () => {
    await joinedByAdmin(otherAdmin, OTHER);
    const own = await joinedByAdmin(admin, PASSWORD);
    const { members } = (await otherAdmin.ask('/v1/team')).body;
    const { user_id } = members.find(({ email }: { email: string }) => email === someone);
    await otherAdmin.ask(`/v1/team/${user_id}/reset`, { json: { second_factor: true } });
    expect(await merchantBy(PASSWORD)).toBe('acme');
    await otherAdmin.ask(`/v1/team/${user_id}`, { method: 'DELETE' });
    expect((await own.ask('/v1/me')).status).toBe(200);
    expect(await merchantBy(PASSWORD)).toBe('acme');
  });

  test('with the same password in both leads to the team that was joined last, and where that ended to the other', async () => {
    await joinedByAdmin(admin, PASSWORD);
    await joinedByAdmin(otherAdmin, PASSWORD);
    expect(await merchantBy(PASSWORD)).toBe('other');
    const { members } = (await otherAdmin.ask('/v1/team')).body;
    const { user_id } = members.find(({ email }: { email: string }) => email === someone);
    await otherAdmin.ask(`/v1/team/${user_id}`, { method: 'PATCH', json: { disabled: true } });
    expect(await merchantBy(PASSWORD)).toBe('acme');
  });

  test('a second factor belongs to one of the two alone', async () => {
    const own = await joinedByAdmin(admin, PASSWORD);
    await joinedByAdmin(otherAdmin, OTHER);
    const { uri } = await withSecondFactor(api, someone, own);
    expect(decodeURIComponent(uri)).toMatch(`otpauth://totp/Refundry:${someone}?`);
    const asked = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: someone, password: PASSWORD },
    });
    expect(asked.body).toEqual({ status: 'code_needed' });
    expect(await merchantBy(OTHER)).toBe('other');
  });
});

describe('changing the team', () => {
  test('another role holds from the next request on', async () => {
    const userId = await addPerson(api.db, { role: 'viewer', email: someone });
    const browser = await signedIn(api, someone);
    expect((await browser.ask('/v1/refunds', { json: {} })).status).toBe(403);
    const changed = await admin.ask(`/v1/team/${userId}`, { method: 'PATCH', json: { role: 'support' } });
    expect(changed.body).toMatchObject({ role: 'support', you: false });
    expect((await browser.ask('/v1/refunds', { json: {} })).status).toBe(400);
  });

  test('whoever is switched off is signed out at once and cannot come back until switched on', async () => {
    const userId = await addPerson(api.db, { role: 'support', email: someone });
    const browser = await signedIn(api, someone);
    await admin.ask(`/v1/team/${userId}`, { method: 'PATCH', json: { disabled: true } });
    expect((await browser.ask('/v1/me')).status).toBe(401);
    const refused = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: someone, password: PASSWORD },
    });
    expect([refused.status, refused.body.error.code]).toEqual([403, 'access_ended']);
    const wrong = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: someone, password: 'not this one' },
    });
    expect(wrong.body.error.code).toBe('wrong_credentials');
    await admin.ask(`/v1/team/${userId}`, { method: 'PATCH', json: { disabled: false } });
    await signedIn(api, someone);
  });

  test('whoever is removed is gone at once', async () => {
    const userId = await addPerson(api.db, { role: 'support', email: someone });
    const browser = await signedIn(api, someone);
    expect((await admin.ask(`/v1/team/${userId}`, { method: 'DELETE' })).status).toBe(204);
    expect((await browser.ask('/v1/me')).status).toBe(401);
    const refused = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: someone, password: PASSWORD },
    });
    expect(refused.body.error.code).toBe('wrong_credentials');
  });

  test.each([
    ['demoted', { role: 'operations' }],
    ['switched off', { disabled: true }],
    ['removed', null],
  ])('the links that an admin has made end when they are %s', async (_, json) => {
    const userId = await addPerson(api.db, { role: 'admin', email: someone });
    const otherId = await addPerson(api.db, { role: 'admin', email: 'other@acme.test' });
    const browser = await signedIn(api, someone);
    const back = { email: 'back@acme.test', name: 'Back', role: 'admin' };
    const made = [
      await browser.ask('/v1/team/invitations', { json: back }),
      await browser.ask(`/v1/team/${otherId}/reset`, { json: {} }),
    ];
    const own = await admin.ask('/v1/team/invitations', { json: { ...back, email: 'mine@acme.test' } });
    const path = `/v1/team/${userId}`;
    const ended = await admin.ask(path, json ? { method: 'PATCH', json } : { method: 'DELETE' });
    expect(ended.status).toBe(json ? 200 : 204);
    const use = async (link: string) => {
      const token = link.split('#')[1];
      return (await newBrowser(api).ask('/auth/link/use', { json: { token, password: PASSWORD } })).status;
    };
    for (const { body } of made) expect(await use(body.link)).toBe(404);
    expect(await use(own.body.link)).toBe(200);
    const [entry] = (await admin.ask('/v1/team/log')).body.entries.filter(
      ({ email }: { email: string }) => email === someone,
    );
    expect(entry.details).toMatchObject({ links_ended: 2 });
  });

  test('the last admin who can sign in is neither demoted, switched off nor removed', async () => {
    const second = await addPerson(api.db, { role: 'admin', email: someone });
    await admin.ask(`/v1/team/${second}`, { method: 'PATCH', json: { disabled: true } });
    const tries = [
      await admin.ask(`/v1/team/${adminId}`, { method: 'PATCH', json: { role: 'operations' } }),
      await admin.ask(`/v1/team/${adminId}`, { method: 'PATCH', json: { disabled: true } }),
      await admin.ask(`/v1/team/${adminId}`, { method: 'DELETE' }),
    ];
    for (const { status, body } of tries) expect([status, body.error.code]).toEqual([409, 'last_admin']);
    expect((await admin.ask('/v1/me')).body.role).toBe('admin');
  });

  test('two admins who demote each other at once leave one', async () => {
    const secondId = await addPerson(api.db, { role: 'admin', email: someone });
    const second = await signedIn(api, someone);
    await Promise.all([
      admin.ask(`/v1/team/${secondId}`, { method: 'PATCH', json: { role: 'viewer' } }),
      second.ask(`/v1/team/${adminId}`, { method: 'PATCH', json: { role: 'viewer' } }),
    ]);
    const [row] = await api.db.query(
      `select count(*) from members where merchant_id = 'acme' and role = 'admin'`,
    );
    expect(row).toEqual({ count: 1 });
  });

  test('a reset ends password, sessions and second factor now, and its link sets a new password', async () => {
    const userId = await addPerson(api.db, { role: 'support', email: someone });
    const browser = await signedIn(api, someone);
    const reset = await admin.ask(`/v1/team/${userId}/reset`, { json: { second_factor: true } });
    expect(reset.status).toBe(201);
    expect((await browser.ask('/v1/me')).status).toBe(401);
    const old = await newBrowser(api).ask('/auth/sign-in', { json: { email: someone, password: PASSWORD } });
    expect(old.body.error.code).toBe('wrong_credentials');
    const { members } = (await admin.ask('/v1/team')).body;
    const member = members.find(({ email }: { email: string }) => email === someone);
    expect([member.has_password, member.last_seen_at]).toEqual([false, null]);
    const asker = members.find(({ you }: { you: boolean }) => you);
    expect(asker.last_seen_at >= asker.joined_at).toBe(true);

    const token = tokenOf(reset.body.link, 'reset');
    expect((await newBrowser(api).ask('/auth/link', { json: { token } })).body.kind).toBe('reset');
    const used = await newBrowser(api).ask('/auth/link/use', {
      json: { token, password: 'a new one for me' },
    });
    expect(used.body).toEqual({ status: 'signed_in' });
    const signIn = await newBrowser(api).ask('/auth/sign-in', {
      json: { email: someone, password: 'a new one for me' },
    });
    expect(signIn.status).toBe(200);
    const own = await admin.ask(`/v1/team/${adminId}/reset`, { json: {} });
    expect([own.status, own.body.error.code]).toEqual([409, 'own_account']);
  });
});

describe('sessions', () => {
  test('are listed and ended, one or all others, by oneself and by an admin', async () => {
    const userId = await addPerson(api.db, { role: 'viewer', email: someone });
    const [first, second, third] = [
      await signedIn(api, someone),
      await signedIn(api, someone),
      await signedIn(api, someone),
    ];
    const { sessions } = (await first.ask('/v1/me/sessions')).body;
    expect(sessions).toHaveLength(3);
    expect(sessions.filter(({ current }: { current: boolean }) => current)).toHaveLength(1);
    expect(sessions[0]).toMatchObject({ address: '127.0.0.1', user_agent: 'node' });
    const [own] = (await second.ask('/v1/me/sessions')).body.sessions.filter(
      ({ current }: { current: boolean }) => current,
    );
    await first.ask(`/v1/me/sessions/${own.session_id}`, { method: 'DELETE' });
    expect((await second.ask('/v1/me')).status).toBe(401);
    expect((await first.ask('/v1/me/sessions', { method: 'DELETE' })).body).toEqual({ ended: 1 });
    expect((await third.ask('/v1/me')).status).toBe(401);
    expect((await first.ask('/v1/me')).status).toBe(200);
    expect((await admin.ask(`/v1/team/${userId}/sessions`)).body.sessions).toHaveLength(1);
    expect((await admin.ask(`/v1/team/${userId}/sessions`, { method: 'DELETE' })).body).toEqual({ ended: 1 });
    expect((await first.ask('/v1/me')).status).toBe(401);
  });

  test('end when they were not used for long, and at the latest seven days after sign-in', async () => {
    await addPerson(api.db, { role: 'viewer', email: someone });
    const [idle, used] = [await signedIn(api, someone), await signedIn(api, someone)];
    const sessionOf = async (browser: Browser) =>
      (await browser.ask('/v1/me/sessions')).body.sessions.find(
        ({ current }: { current: boolean }) => current,
      ).session_id;
    const [idleId, usedId] = [await sessionOf(idle), await sessionOf(used)];
    // What twelve hours without a request leave; better-auth takes the time from the machine.
    await api.db.query(`update sessions set expires_at = $2 where id = $1`, [
      idleId,
      new Date(Date.now() - 1),
    ]);
    expect((await idle.ask('/v1/me')).status).toBe(401);
    // Used all the time, so that it would never be idle.
    aheadMs = 7 * 24 * HOUR_MS;
    expect((await used.ask('/v1/me')).status).toBe(401);
    expect(await api.db.query('select from sessions where id = $1', [usedId])).toEqual([]);
  });

  test('use moves the idle end on, in the database and in the cookie', async () => {
    await addPerson(api.db, { role: 'viewer', email: someone });
    const browser = await signedIn(api, someone);
    const hourAgo = new Date(Date.now() - HOUR_MS);
    await api.db.query(`update sessions set expires_at = expires_at - interval '1 hour', updated_at = $1`, [
      hourAgo,
    ]);
    const answer = await browser.ask('/v1/me');
    expect(answer.headers.getSetCookie().join()).toContain('Max-Age=43200');
    const [row] = await api.db.query<{ left: number }>(
      `select extract(epoch from max(expires_at) - $1)::int as left from sessions`,
      [new Date()],
    );
    expect(row!.left).toBeGreaterThan(12 * 3600 - 60);
  });
});

describe('the log', () => {
  test('has every change of people, and who made it', async () => {
    const token = await invited('viewer');
    const browser = newBrowser(api);
    await browser.ask('/auth/link/use', { json: { token, password: PASSWORD } });
    const userId = (await browser.ask('/v1/me')).body.user.user_id;
    await admin.ask(`/v1/team/${userId}`, { method: 'PATCH', json: { role: 'support' } });
    await browser.ask('/v1/me/password', {
      json: { current_password: PASSWORD, new_password: 'another long word' },
    });
    await browser.ask('/v1/me', { method: 'PATCH', json: { name: 'New Name' } });
    await admin.ask(`/v1/team/${userId}`, { method: 'PATCH', json: { disabled: true } });
    await admin.ask(`/v1/team/${userId}`, { method: 'DELETE' });
    const { body } = await admin.ask('/v1/team/log?limit=50');
    const seen = body.entries
      .filter(({ email }: { email: string }) => email === someone)
      .map(({ action, by }: { action: string; by: string }) => `${action} by ${by}`);
    expect(seen.reverse()).toEqual([
      'invited by admin@acme.test',
      `joined by ${someone}`,
      `signed_in by ${someone}`,
      'role_changed by admin@acme.test',
      `password_changed by ${someone}`,
      `renamed by ${someone}`,
      'disabled by admin@acme.test',
      'removed by admin@acme.test',
    ]);
    const page = await admin.ask('/v1/team/log?limit=2');
    const next = await admin.ask(`/v1/team/log?limit=2&cursor=${page.body.next_cursor}`);
    expect([...page.body.entries, ...next.body.entries]).toEqual(body.entries.slice(0, 4));
  });

  test('has every change of settings and endpoints, without their secrets', async () => {
    const secret = 'sk_test_never_to_be_seen_in_a_log';
    await admin.ask('/v1/settings', { method: 'PATCH', json: { full_refund_when_amount_absent: false } });
    const url = 'https://hooks.shop.test/refunds';
    const made = await admin.ask('/v1/webhook-endpoints', {
      json: { url, username: 'refundry', password: secret },
    });
    const endpoint = `/v1/webhook-endpoints/${made.body.endpoint_id}`;
    await admin.ask(endpoint, { method: 'PATCH', json: { enabled: false } });
    const rotated = await admin.ask(`${endpoint}/rotate-secret`, { json: { grace_hours: 1 } });
    await admin.ask(endpoint, { method: 'DELETE' });
    const { entries } = (await admin.ask('/v1/team/log?limit=5')).body;
    expect(entries.map(({ action }: { action: string }) => action).reverse()).toEqual([
      'settings_changed',
      'endpoint_made',
      'endpoint_changed',
      'endpoint_secret_replaced',
      'endpoint_removed',
    ]);
    expect(entries.at(-1).details).toEqual({ full_refund_when_amount_absent: false });
    for (const told of [secret, made.body.signing_secret, rotated.body.signing_secret]) {
      expect(JSON.stringify(entries)).not.toContain(told);
    }
  });

  test('is only ever added to', async () => {
    await expect(api.db.query(`update access_log set by_name = 'nobody'`)).rejects.toThrow(
      /only ever inserted/,
    );
    await expect(api.db.query('delete from access_log')).rejects.toThrow(/only ever inserted/);
    await expect(api.db.query('truncate access_log')).rejects.toThrow(/only ever inserted/);
  });
});

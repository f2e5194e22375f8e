import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, call, startApi, type TestApi } from '../support/api.ts';
import { putOrder } from '../support/engine.ts';
import { leastRole } from '../support/least-role.ts';
import { addPerson, type Browser, PAGE, signedIn } from '../support/people.ts';

const ROLES = ['viewer', 'support', 'operations', 'admin'] as const;

let api: TestApi;
const browsers = new Map<string, Browser>();
const routes: { method: string; path: string }[] = [];

beforeAll(async () => {
  api = await startApi();
  for (const role of ROLES) {
    await addPerson(api.db, { role });
    browsers.set(role, await signedIn(api, `${role}@acme.test`));
  }
  await addPerson(api.db, { role: 'admin', merchantId: 'other' });
  browsers.set('stranger', await signedIn(api, 'admin@other.test'));
  const { body } = await call(api, '/openapi.json');
  for (const [path, operations] of Object.entries<object>(body.paths)) {
    for (const method of Object.keys(operations)) routes.push({ method: method.toUpperCase(), path });
  }
});
afterAll(() => api.close());

/** Asks nothing that could be done: the ids are of nobody, the bodies empty. Only the refusal is read. */
async function knock(browser: Browser, method: string, path: string): Promise<Answer> {
  const leave = new AbortController();
  const response = await fetch(
    `${api.url}${path.replace(/\{[^}]+\}/g, '01990000-0000-7000-8000-000000000000')}`,
    {
      method,
      headers: {
        ...PAGE,
        cookie: [...browser.cookies].map((pair) => pair.join('=')).join('; '),
        ...(method !== 'GET' && { 'content-type': 'application/json' }),
      },
      ...(method !== 'GET' && { body: '{}' }),
      signal: leave.signal,
    },
  );
  const body = response.status === 403 ? await response.json() : null;
  leave.abort();
  return { status: response.status, headers: response.headers, body };
}

describe('every address for every role', () => {
  test.each(ROLES)('%s', async (role) => {
    const asked = routes.filter(({ path }) => path.startsWith('/v1/'));
    expect(asked.length).toBeGreaterThan(40);
    for (const { method, path } of asked) {
      const least = leastRole(method, path);
      if (!least) throw new Error(`nobody has said who may ${method} ${path}`);
      const { status, body } = await knock(browsers.get(role)!, method, path);
      const may = ROLES.indexOf(role) >= ROLES.indexOf(least);
      if (may) expect([method, path, status]).not.toEqual([method, path, 403]);
      else {
        expect([method, path, status, body.error.code]).toEqual([method, path, 403, 'forbidden']);
        expect(body.error.message).toMatch(new RegExp(`^Your role \\(${role}\\) may not .+\\.$`));
        expect(body.error.accepted).toBe(
          {
            viewer: '',
            support: 'support, operations or admin',
            operations: 'operations or admin',
            admin: 'admin',
          }[least],
        );
      }
      expect([method, path, status]).not.toEqual([method, path, 401]);
      expect(status, `${method} ${path}`).toBeLessThan(500);
    }
  });

  test("the contract's addresses are for keys alone", async () => {
    const asked = routes.filter(({ path }) => /^\/(orders?|refunds)(\/|$)/.test(path));
    expect(asked.length).toBeGreaterThan(8);
    for (const { method, path } of asked) {
      const { status } = await knock(browsers.get('admin')!, method, path);
      expect([method, path, status]).toEqual([method, path, 401]);
    }
  });

  test('a key that was given everything may do all but what is for people', async () => {
    for (const { method, path } of routes.filter((route) => route.path.startsWith('/v1/team'))) {
      const answer = await call(api, path.replace(/\{[^}]+\}/g, '01990000-0000-7000-8000-000000000000'), {
        method,
        ...(method !== 'GET' && { json: {} }),
      });
      expect([method, path, answer.status, answer.body.error.message]).toEqual([
        method,
        path,
        403,
        'An API key may not manage the team.',
      ]);
    }
    const { body } = await call(api, '/v1/me');
    expect(body).toMatchObject({ user: null, role: null, merchant: { merchant_id: 'acme', sandbox: false } });
    expect(body.permissions).toContain('refunds.create');
    expect(body.permissions).not.toContain('team.manage');
    expect((await call(api, '/v1/me/sessions')).status).toBe(403);
  });
});

describe('a person of another merchant', () => {
  test('sees nothing of this one', async () => {
    const stranger = browsers.get('stranger')!;
    await putOrder(api.db, { orderId: 'HERE-1', amountMinor: 10_000 });
    const refund = await call(api, '/v1/refunds', {
      json: { order_id: 'HERE-1', unique_request_id: 'r-1', amount: '10.00' },
    });
    expect(refund.status).toBe(201);
    const { body: accounts } = await call(api, '/v1/gateway-accounts');
    const [member] = (await browsers.get('admin')!.ask('/v1/team')).body.members;
    const invitation = await browsers.get('admin')!.ask('/v1/team/invitations', {
      json: { email: 'new@acme.test', name: 'New', role: 'viewer' },
    });
    const [session] = (await browsers.get('admin')!.ask('/v1/me/sessions')).body.sessions;

    const hidden = [
      ['GET', '/v1/orders/HERE-1'],
      ['GET', '/v1/orders/HERE-1/events'],
      ['GET', `/v1/refunds/${refund.body.refund_id}`],
      ['POST', `/v1/refunds/${refund.body.refund_id}/cancel`],
      ['POST', `/v1/refunds/${refund.body.refund_id}/sync`],
      ['GET', `/v1/gateway-accounts/${accounts.gateway_accounts[0].gateway_account_id}`],
      ['PATCH', `/v1/team/${member.user_id}`],
      ['DELETE', `/v1/team/${member.user_id}`],
      ['POST', `/v1/team/${member.user_id}/reset`],
      ['GET', `/v1/team/${member.user_id}/sessions`],
      ['DELETE', `/v1/team/${member.user_id}/sessions`],
      ['DELETE', `/v1/team/invitations/${invitation.body.invitation_id}`],
      ['DELETE', `/v1/me/sessions/${session.session_id}`],
    ] as const;
    for (const [method, path] of hidden) {
      const answer = await stranger.ask(path, { method, ...(method === 'GET' ? {} : { json: {} }) });
      expect([method, path, answer.status]).toEqual([method, path, 404]);
    }
    const { body: team } = await stranger.ask('/v1/team');
    expect(team.members.map(({ email }: { email: string }) => email)).toEqual(['admin@other.test']);
    expect(team.invitations).toEqual([]);
    const { body: log } = await stranger.ask('/v1/team/log');
    expect(JSON.stringify(log)).not.toContain('acme.test');
    expect((await stranger.ask('/v1/me', { headers: { 'x-merchantid': 'acme' } })).status).toBe(401);
  });
});

describe('what a person does', () => {
  test('is theirs in the refund and in the trail', async () => {
    await putOrder(api.db, { orderId: 'MINE-1', amountMinor: 10_000 });
    const refund = await browsers.get('support')!.ask('/v1/refunds', {
      json: { order_id: 'MINE-1', unique_request_id: 'mine-1', amount: '10.00' },
    });
    expect(refund.status).toBe(201);
    expect(refund.body.initiated_by).toBe('The support');
    const { body } = await call(api, `/v1/refunds/${refund.body.refund_id}`);
    const [support] = (await browsers.get('admin')!.ask('/v1/team')).body.members.filter(
      ({ role }: { role: string }) => role === 'support',
    );
    expect(body.events[0].cause).toEqual({
      by: 'user',
      user_id: support.user_id,
      email: 'support@acme.test',
      request_id: expect.any(String),
    });
    const [row] = await api.db.query('select door from refunds where refund_id = $1', [
      refund.body.refund_id,
    ]);
    expect(row).toEqual({ door: 'dashboard' });
  });
});

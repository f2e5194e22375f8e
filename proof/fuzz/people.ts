import { hashPassword } from 'better-auth/crypto';
import { ROLES, type Role } from '../../src/access/roles.ts';
import { createUser } from '../../src/access/users.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Queryable } from '../../src/lib/db.ts';
import { leastRole } from '../../test/support/least-role.ts';
import { type Merchant, newSecretText } from './merchant.ts';
import type { Random } from './random.ts';

/** Somebody of a merchant's team, signed in. */
export interface Person {
  readonly role: Role;
  readonly cookie: string;
  /** What in the cookie opens the session. */
  readonly token: string;
  /** Where the page is that asks. */
  readonly origin: string;
}

/** How many of a team never sign in, so that admins have somebody to change and to take out. */
const COLLEAGUES = 6;

/** A team with a person of each role, signed in through the server, and some whom only others deal with. */
export async function openTeam(
  { db, url }: { db: Queryable; url: string },
  merchant: Merchant,
  random: Random,
): Promise<void> {
  const password = newSecretText(random);
  const passwordHash = await hashPassword(password);
  const join = (role: Role, email: string) =>
    createUser(db, systemClock, {
      merchantId: merchant.id,
      email,
      name: merchant.canary(random),
      role,
      passwordHash,
    });
  for (const role of ROLES) {
    const email = `${merchant.canary(random)}@shop.test`;
    merchant.keep(await join(role, email));
    const person = await signIn(url, role, { email, password });
    merchant.people.push(person);
    const { session_id } = await currentSession(url, person);
    if (role === 'admin') merchant.shown.set('session_id', session_id);
    else merchant.keep(session_id);
  }
  for (let n = 0; n < COLLEAGUES; n++) {
    const userId = await join(random.pick(ROLES), `${merchant.canary(random)}@shop.test`);
    if (n === 0) merchant.shown.set('user_id', userId);
    else merchant.note('user_id', userId);
  }
}

async function signIn(url: string, role: Role, who: { email: string; password: string }): Promise<Person> {
  const origin = new URL(url).origin;
  const answer = await fetch(`${url}/auth/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-refundry': 'dashboard', origin },
    body: JSON.stringify(who),
  });
  if (!answer.ok) throw new Error(`nobody could sign in: ${answer.status} ${await answer.text()}`);
  const cookie = answer.headers
    .getSetCookie()
    .map((line) => line.split(';', 1)[0]!)
    .join('; ');
  const token = /refundry\.session_token=([^.;%]+)/.exec(cookie)![1]!;
  return { role, cookie, token, origin };
}

async function currentSession(url: string, { cookie }: Person): Promise<{ session_id: string }> {
  const answer = await fetch(`${url}/v1/me/sessions`, { headers: { cookie } });
  const { sessions } = (await answer.json()) as { sessions: { session_id: string; current: boolean }[] };
  return sessions.find(({ current }) => current)!;
}

/** Whether somebody of this role may call the address, as the OpenAPI document writes it; the contract's are for keys. */
export function mayPerson(role: Role, method: string, path: string): boolean {
  const least = path.startsWith('/v1/') ? leastRole(method === 'HEAD' ? 'GET' : method, path) : undefined;
  return least !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/** Whether a key may: not what is a person's own, nor the team. */
export function mayKey(path: string): boolean {
  return !/^\/v1\/(team|me\/)/.test(path);
}

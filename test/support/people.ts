import { hashPassword } from 'better-auth/crypto';
import type { Role } from '../../src/access/roles.ts';
import { createUser } from '../../src/access/users.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Queryable } from '../../src/lib/db.ts';
import { type Answer, type Call, call, type TestApi } from './api.ts';
import { secretIn, totp } from './totp.ts';

/** The password of every person that a test makes. */
export const PASSWORD = 'correct horse battery';

/** The origin of the page, as `startApi` is told it in PUBLIC_URL. */
export const ORIGIN = 'https://refunds.shop.test';

/** What the page sends with everything that changes something. */
export const PAGE = { 'x-refundry': 'dashboard', origin: ORIGIN };

let hash: Promise<string> | undefined;

/** A person of the merchant's team, `<role>@<merchant>.test` unless said otherwise; returns the id. */
export async function addPerson(
  db: Queryable,
  person: { merchantId?: string; role: Role; email?: string; name?: string },
): Promise<string> {
  const merchantId = person.merchantId ?? 'acme';
  hash ??= hashPassword(PASSWORD);
  return createUser(db, systemClock, {
    merchantId,
    email: person.email ?? `${person.role}@${merchantId}.test`,
    name: person.name ?? `The ${person.role}`,
    role: person.role,
    passwordHash: await hash,
  });
}

/** A browser: it keeps cookies, and calls as the page does. */
export interface Browser {
  readonly cookies: Map<string, string>;
  ask(path: string, options?: Omit<Call, 'as'>): Promise<Answer>;
}

export function newBrowser(api: TestApi): Browser {
  const cookies = new Map<string, string>();
  return {
    cookies,
    async ask(path, options = {}) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const answer = await call(api, path, {
        ...options,
        as: null,
        headers: { ...PAGE, ...(cookie !== '' && { cookie }), ...options.headers },
      });
      for (const line of answer.headers.getSetCookie()) {
        const [pair, ...attributes] = line.split('; ');
        const [name, value] = [pair!.slice(0, pair!.indexOf('=')), pair!.slice(pair!.indexOf('=') + 1)];
        if (value === '' || attributes.includes('Max-Age=0')) cookies.delete(name);
        else cookies.set(name, value);
      }
      return answer;
    },
  };
}

/** A browser in which the person has signed in with the password. */
export async function signedIn(api: TestApi, email: string): Promise<Browser> {
  const browser = newBrowser(api);
  const answer = await browser.ask('/auth/sign-in', { json: { email, password: PASSWORD } });
  if (answer.body.status !== 'signed_in') throw new Error(JSON.stringify(answer.body));
  return browser;
}

/** A browser in which the person has just set up a second factor; what the app scanned, and the backup codes. */
export async function withSecondFactor(
  api: TestApi,
  email: string,
  within?: Browser,
): Promise<{ browser: Browser; uri: string; codes: string[] }> {
  const browser = within ?? (await signedIn(api, email));
  const begun = await browser.ask('/v1/me/second-factor', { json: { password: PASSWORD } });
  if (begun.status !== 200) throw new Error(JSON.stringify(begun.body));
  const uri: string = begun.body.otpauth_uri;
  const confirmed = await browser.ask('/v1/me/second-factor/confirm', {
    json: { code: totp(secretIn(uri)) },
  });
  if (confirmed.body.user?.second_factor !== true) throw new Error(JSON.stringify(confirmed.body));
  return { browser, uri, codes: begun.body.backup_codes };
}

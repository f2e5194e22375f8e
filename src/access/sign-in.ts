import { randomBytes } from 'node:crypto';
import { betterAuth } from 'better-auth';
import { APIError } from 'better-auth/api';
import { hashPassword, verifyPassword } from 'better-auth/crypto';
import { twoFactor } from 'better-auth/plugins/two-factor';
import type { Clock } from '../lib/clock.ts';
import type { Database } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { Vault } from '../lib/vault.ts';
import { countAttempt } from './attempts.ts';
import { PASSWORD_LEAST, PASSWORD_MOST } from './password.ts';
import {
  endSession,
  endSessions,
  findNamesakes,
  findSession,
  findWaitingSignIn,
  type NamesakePassword,
  readMember,
  writeWayIn,
} from './users.ts';
import type { WayIn } from './ways-in.ts';

export interface SignInDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly vault: Vault;
  /** Where people reach the page; https makes the cookies Secure. */
  readonly publicUrl: string;
  /** A session ends when it was not used for so long. */
  readonly sessionIdleMs: number;
  /** And at the latest so long after sign-in. */
  readonly sessionLifeMs: number;
}

/** What better-auth sees of a request. */
export interface Browser {
  readonly cookie: string | undefined;
  readonly userAgent: string | undefined;
  readonly address: string;
}

export type SignInRefusal =
  | 'wrong_credentials'
  | 'access_ended'
  | 'wrong_code'
  | 'locked'
  | 'start_again'
  | 'wrong_password'
  | 'already_on'
  | 'not_on';

/** `cookies` are Set-Cookie lines that the answer must carry, refused or not. */
export type SignInResult<Value> =
  | { readonly ok: true; readonly value: Value; readonly cookies: readonly string[] }
  | { readonly ok: false; readonly refusal: SignInRefusal };

/** A browser that is signed in. */
export interface Session {
  readonly sessionId: string;
  readonly userId: string;
}

/** What better-auth does for us: passwords, second factors and sessions. Nothing in it makes users. */
export interface SignIn {
  /** `userId` is null while the second factor is missing. Of several with this e-mail, the one whose password it is. */
  withPassword(
    browser: Browser,
    email: string,
    password: string,
  ): Promise<SignInResult<{ userId: string | null }>>;
  /** The same for a person who has just chosen the password by a one-time link. */
  withChosenPassword(
    browser: Browser,
    userId: string,
    password: string,
  ): Promise<SignInResult<{ userId: string | null }>>;
  /** The person whose sign-in began in this browser and waits for a code; null where none does. */
  personAsked(browser: Browser): Promise<string | null>;
  /** Ends a sign-in that `withPassword` began in this browser, by a code of the app or by a backup code. */
  withCode(browser: Browser, code: string): Promise<SignInResult<{ userId: string }>>;
  signOut(browser: Browser): Promise<readonly string[]>;
  /** Whose browser it is; null where no session lives. */
  sessionOf(browser: Browser): Promise<{ session: Session | null; cookies: readonly string[] }>;

  /** Makes a secret and backup codes that count once `confirmSecondFactor` has seen a code. Apps show the e-mail. */
  beginSecondFactor(
    browser: Browser,
    password: string,
    email: string,
  ): Promise<SignInResult<{ otpauthUri: string; backupCodes: readonly string[] }>>;
  /** The session goes on as one in which the factor was shown; the person's other sessions end. */
  confirmSecondFactor(browser: Browser, code: string): Promise<SignInResult<null>>;
  /** Ends the person's other sessions. */
  endSecondFactor(browser: Browser, password: string): Promise<SignInResult<null>>;
  newBackupCodes(browser: Browser, password: string): Promise<SignInResult<readonly string[]>>;
  /** Ends the person's other sessions; this one goes on as it was opened. */
  changePassword(
    browser: Browser,
    current: string,
    next: string,
    openedBy: WayIn,
  ): Promise<SignInResult<null>>;
}

const APP_NAME = 'Refundry';
const CODE_LIFE_MS = 120_000;
const CLIENT_HEADER = 'x-refundry-client';
const APP_CODE = /^\d{6}$/;

/** better-auth on our database and under our names, and its answers in our words. */
export function createSignIn(deps: SignInDeps): SignIn {
  const auth = openBetterAuth(deps);

  async function attempt<Answer, Value>(
    ask: Promise<{ headers: Headers; response: Answer }>,
    read: (answer: Answer) => Value,
  ): Promise<SignInResult<Value>> {
    try {
      const { headers, response } = await ask;
      return { ok: true, value: read(response), cookies: headers.getSetCookie() };
    } catch (error) {
      const refusal = REFUSALS[codeOf(error)];
      if (refusal) return { ok: false, refusal };
      throw causeOf(error);
    }
  }

  /**
   * A code of the app works for a minute and a half; whoever saw it typed must not come in by it too, whatever it was
   * typed for (RFC 6238, 5.2).
   */
  async function once(code: string, result: SignInResult<string>): Promise<SignInResult<string>> {
    if (!result.ok) return result;
    const limit = { bucket: `code:${result.value}:${code}`, most: 1, windowMs: CODE_LIFE_MS };
    if ((await countAttempt(deps.db, deps.clock, limit)) === null) return result;
    await deps.db.query('delete from sessions where token = $1', [tokenIn(result.cookies)]);
    return { ok: false, refusal: 'wrong_code' };
  }

  /** The same result, once it is written down how the session that begins with it was opened. */
  async function opened<Value>(openedBy: WayIn, result: SignInResult<Value>): Promise<SignInResult<Value>> {
    const token = result.ok ? tokenIn(result.cookies) : null;
    if (token !== null) await writeWayIn(deps.db, token, openedBy);
    return result;
  }

  /** The same result, once no session of the person is left but the one that goes on with it. */
  async function alone<Value>(result: SignInResult<Value>): Promise<SignInResult<Value>> {
    if (!result.ok) return result;
    const token = tokenIn(result.cookies);
    const session = token === null ? null : await findSession(deps.db, token);
    if (session) await endSessions(deps.db, session.userId, session.sessionId);
    return result;
  }

  async function enter(
    browser: Browser,
    userId: string,
    password: string,
  ): Promise<SignInResult<{ userId: string | null }>> {
    return attempt(
      auth.api.signInEmail({
        headers: headersOf({ ...browser, cookie: undefined }),
        body: { email: handleOf(userId), password },
        returnHeaders: true,
      }),
      (answer) => ({ userId: 'twoFactorRedirect' in answer ? null : userId }),
    );
  }

  return {
    async withPassword(browser, email, password) {
      const userId = await ownerOf(await findNamesakes(deps.db, email), password);
      return userId === null ? { ok: false, refusal: 'wrong_credentials' } : enter(browser, userId, password);
    },
    async withChosenPassword(browser, userId, password) {
      return opened('link', await enter(browser, userId, password));
    },
    async personAsked({ cookie }) {
      const identifier = /refundry\.two_factor=([A-Za-z0-9_-]{1,100})\./.exec(cookie ?? '')?.[1];
      return identifier === undefined ? null : findWaitingSignIn(deps.db, identifier);
    },
    async withCode(browser, code) {
      // With a living session better-auth would check the code for that one's person.
      const asked = {
        headers: headersOf({ ...browser, cookie: withoutSession(browser.cookie) }),
        body: { code },
        returnHeaders: true as const,
      };
      const result = APP_CODE.test(code)
        ? await opened('code', await once(code, await attempt(auth.api.verifyTOTP(asked), idOf)))
        : await opened('backup_code', await attempt(auth.api.verifyBackupCode(asked), idOf));
      return result.ok ? { ...result, value: { userId: result.value } } : result;
    },
    async signOut(browser) {
      const { headers } = await auth.api.signOut({ headers: headersOf(browser), returnHeaders: true });
      return headers.getSetCookie();
    },
    async sessionOf(browser) {
      try {
        const { headers, response } = await auth.api.getSession({
          headers: headersOf(browser),
          returnHeaders: true,
        });
        const cookies = headers.getSetCookie();
        if (!response) return { session: null, cookies };
        const { id: sessionId, userId, createdAt } = response.session;
        if (createdAt.getTime() + deps.sessionLifeMs > deps.clock.now().getTime()) {
          return { session: { sessionId, userId }, cookies };
        }
        await endSession(deps.db, userId, sessionId);
        return { session: null, cookies: [] };
      } catch (error) {
        // It was ended between two of better-auth's statements.
        if (error instanceof APIError && error.statusCode === 401) return { session: null, cookies: [] };
        throw causeOf(error);
      }
    },
    beginSecondFactor: (browser, password, email) =>
      attempt(
        auth.api.enableTwoFactor({
          headers: headersOf(browser),
          body: { password, method: 'totp' },
          returnHeaders: true,
        }),
        (answer) => {
          if (answer.method !== 'totp') throw new Error(`better-auth began ${answer.method}`);
          const otpauthUri = answer.totpURI.replace(
            /^otpauth:\/\/totp\/[^?]*/,
            `otpauth://totp/${APP_NAME}:${encodeURIComponent(email)}`,
          );
          return { otpauthUri, backupCodes: answer.backupCodes };
        },
      ),
    async confirmSecondFactor(browser, code) {
      const asked = { headers: headersOf(browser), body: { code }, returnHeaders: true as const };
      const result = await once(code, await attempt(auth.api.verifyTOTP(asked), idOf));
      const ended = await alone(await opened('code', result));
      return ended.ok ? { ...ended, value: null } : ended;
    },
    async endSecondFactor(browser, password) {
      const asked = { headers: headersOf(browser), body: { password }, returnHeaders: true as const };
      return alone(await attempt(auth.api.disableTwoFactor(asked), () => null));
    },
    newBackupCodes: (browser, password) =>
      attempt(
        auth.api.generateBackupCodes({
          headers: headersOf(browser),
          body: { password },
          returnHeaders: true,
        }),
        ({ backupCodes }) => backupCodes,
      ),
    async changePassword(browser, currentPassword, newPassword, openedBy) {
      const result = await attempt(
        auth.api.changePassword({
          headers: headersOf(browser),
          body: { currentPassword, newPassword, revokeOtherSessions: true },
          returnHeaders: true,
        }),
        () => null,
      );
      return alone(await opened(openedBy, result));
    },
  };
}

const times = { createdAt: 'created_at', updatedAt: 'updated_at' } as const;
const ACCESS_ENDED = 'ACCESS_ENDED';

function openBetterAuth({ db, log, vault, publicUrl, sessionIdleMs }: SignInDeps) {
  const secure = publicUrl.startsWith('https:');
  return betterAuth({
    appName: APP_NAME,
    baseURL: publicUrl,
    basePath: '/auth',
    secret: vault.mac('sign-in', Buffer.from('better-auth')).toString('base64url'),
    // Kysely takes a connection, asks and gives it back: that is all it needs of a pool.
    database: { connect: () => db.connect(), end: async () => undefined } as never,
    emailAndPassword: {
      enabled: true,
      disableSignUp: true,
      minPasswordLength: PASSWORD_LEAST,
      maxPasswordLength: PASSWORD_MOST,
    },
    session: {
      modelName: 'sessions',
      expiresIn: Math.ceil(sessionIdleMs / 1000),
      updateAge: Math.floor(sessionIdleMs / 20_000),
      freshAge: 0,
      fields: {
        ...times,
        userId: 'user_id',
        expiresAt: 'expires_at',
        ipAddress: 'ip_address',
        userAgent: 'user_agent',
      },
    },
    user: { modelName: 'users', fields: { ...times, email: 'handle', emailVerified: 'email_verified' } },
    account: {
      modelName: 'user_passwords',
      fields: { ...times, userId: 'user_id', accountId: 'account_id', providerId: 'provider_id' },
    },
    verification: { modelName: 'verifications', fields: { ...times, expiresAt: 'expires_at' } },
    plugins: [
      twoFactor({
        issuer: APP_NAME,
        schema: {
          user: { fields: { twoFactorEnabled: 'second_factor' } },
          twoFactor: {
            modelName: 'two_factors',
            fields: {
              userId: 'user_id',
              backupCodes: 'backup_codes',
              failedVerificationCount: 'failed_verification_count',
              lockedUntil: 'locked_until',
            },
          },
        },
      }),
    ],
    databaseHooks: {
      session: {
        create: {
          // Every way in ends here, whatever it began with.
          before: async ({ userId }) => {
            const member = await readMember(db, userId);
            if (!member || member.disabledAt) throw new APIError('FORBIDDEN', { code: ACCESS_ENDED });
          },
        },
      },
    },
    advanced: {
      // A browser takes a __Host- cookie from nobody but this host, over https. better-auth's own prefix is weaker.
      cookiePrefix: secure ? '__Host-refundry' : 'refundry',
      useSecureCookies: false,
      defaultCookieAttributes: { httpOnly: true, sameSite: 'lax', secure },
      ipAddress: { ipAddressHeaders: [CLIENT_HEADER], ipv6Subnet: 128 },
      // Our migrations make the tables; it would look for them in every schema of the database.
      database: { generateId: newId, validateSchema: false },
    },
    // Only its HTTP handler counts, which nothing here calls; attempts.ts does.
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { log: (level, message) => log[level]({ part: 'better-auth' }, message), level: 'error' },
  });
}

const REFUSALS: Readonly<Record<string, SignInRefusal>> = {
  INVALID_EMAIL: 'wrong_credentials',
  INVALID_EMAIL_OR_PASSWORD: 'wrong_credentials',
  [ACCESS_ENDED]: 'access_ended',
  INVALID_CODE: 'wrong_code',
  INVALID_BACKUP_CODE: 'wrong_code',
  ACCOUNT_TEMPORARILY_LOCKED: 'locked',
  TOO_MANY_ATTEMPTS_REQUEST_NEW_CODE: 'start_again',
  INVALID_TWO_FACTOR_COOKIE: 'start_again',
  INVALID_PASSWORD: 'wrong_password',
  TOTP_ALREADY_ENABLED: 'already_on',
  TOTP_NOT_ENABLED: 'not_on',
  TWO_FACTOR_NOT_ENABLED: 'not_on',
  BACKUP_CODES_NOT_ENABLED: 'not_on',
};

/** Whatever the e-mail, so many passwords are compared: the time tells nobody whether it is here, nor whether twice. */
const LEAST_COMPARED = 2;
let nobodysHash: Promise<string> | undefined;

/** The first of the people whose password it is; null where it is nobody's. */
async function ownerOf(people: readonly NamesakePassword[], password: string): Promise<string | null> {
  nobodysHash ??= hashPassword(randomBytes(24).toString('base64url'));
  const nobody = { userId: null, passwordHash: await nobodysHash };
  const compared = [...people, ...Array.from({ length: LEAST_COMPARED }, () => nobody)].slice(
    0,
    Math.max(people.length, LEAST_COMPARED),
  );
  const matches = await Promise.all(
    compared.map(({ passwordHash }) =>
      verifyPassword({ hash: passwordHash ?? nobody.passwordHash, password }),
    ),
  );
  return compared.find((_, place) => matches[place])?.userId ?? null;
}

/** As the database makes it: better-auth tells people apart by an e-mail, of which ours is not one. */
function handleOf(userId: string): string {
  return `${userId}@refundry.invalid`;
}

function idOf({ user }: { readonly user: { readonly id: string } }): string {
  return user.id;
}

/** The token of the session that these cookies begin; null where they begin none. */
function tokenIn(cookies: readonly string[]): string | null {
  for (const cookie of cookies) {
    const token = /^[^=]*refundry\.session_token=([A-Za-z0-9]+)\./.exec(cookie)?.[1];
    if (token !== undefined) return token;
  }
  return null;
}

function codeOf(error: unknown): string {
  return error instanceof APIError ? String(error.body?.code) : '';
}

/** better-auth wraps what happened to it; a database that is away must be seen as such. */
function causeOf(error: unknown): unknown {
  return error instanceof APIError ? (error.cause ?? error) : error;
}

function headersOf({ cookie, userAgent, address }: Browser): Headers {
  const headers = new Headers({ [CLIENT_HEADER]: address });
  if (cookie !== undefined) headers.set('cookie', cookie);
  if (userAgent !== undefined) headers.set('user-agent', userAgent.slice(0, 300));
  return headers;
}

function withoutSession(cookie: string | undefined): string | undefined {
  return cookie
    ?.split(';')
    .filter((part) => !part.includes('refundry.session_token='))
    .join(';');
}

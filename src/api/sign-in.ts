import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { logAccess } from '../access/access-log.ts';
import { type AttemptLimit, countAttempt, forgiveAttempt } from '../access/attempts.ts';
import { isEasilyGuessed, type PasswordOwner } from '../access/easily-guessed.ts';
import { readLink, useLink } from '../access/links.ts';
import { NO_PASSWORD_WORDS, PASSWORD_WORDS } from '../access/password.ts';
import type { SignIn, SignInRefusal, SignInResult } from '../access/sign-in.ts';
import type { Attempt, Traces } from '../access/traces.ts';
import { endOldSessions, readMember } from '../access/users.ts';
import { plusMs } from '../lib/clock.ts';
import type { Vault } from '../lib/vault.ts';
import { browserOf, requireOwnPage } from './auth.ts';
import { codeBody, linkAnswer, linkBody, signInAnswer, signInBody, useLinkBody } from './contract/sign-in.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError, errorSchema } from './errors.ts';
import { networkOf } from './limits.ts';

const MAX_BODY_BYTES = 4 * 1024;
const MINUTE_MS = 60_000;
const WINDOW_MS = 15 * MINUTE_MS;
const TRIES_OF_AN_ADDRESS = 30;
const TRIES_FOR_AN_EMAIL = 10;
const TRIES_OF_A_BROWSER = 10;

/**
 * Signing in and out, and one-time links. What is wrong about an e-mail and a password is never said, and takes as
 * long to find out.
 */
export async function signInRoutes(
  instance: FastifyInstance,
  deps: ApiDeps,
  signIn: SignIn,
  traces: Traces,
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.addHook('onRequest', async (request) => requireOwnPage(request, deps.settings.publicUrl));
  const options = { bodyLimit: MAX_BODY_BYTES, config: { public: true } } as const;
  const about = { tags: ['Sign-in'], security: [] };
  const unread = { 400: errorSchema, 413: errorSchema, 415: errorSchema, 503: errorSchema };
  const refusals = { ...unread, 401: errorSchema, 403: errorSchema, 429: errorSchema };

  app.post(
    '/auth/sign-in',
    {
      ...options,
      schema: {
        ...about,
        summary: 'Sign in with e-mail and password',
        body: signInBody,
        response: { 200: signInAnswer, ...refusals },
      },
    },
    async (request, reply) => {
      const { email, password } = request.body;
      const limits = limitsOf(deps.vault, request, email);
      await countAll(request, limits, email);
      const result = await signIn.withPassword(browserOf(request), email, password);
      if (!result.ok) note(request, 'sign_in_failed', { email });
      const { userId } = setCookies(reply, result);
      await forgiveAll(deps, limits);
      if (userId === null) return { status: 'code_needed' as const };
      await welcome(deps, request, reply, userId);
      return { status: 'signed_in' as const };
    },
  );

  app.post(
    '/auth/code',
    {
      ...options,
      schema: {
        ...about,
        summary: 'End a sign-in with a code of the second factor',
        body: codeBody,
        response: { 200: signInAnswer, ...refusals },
      },
    },
    async (request, reply) => {
      const limit = addressLimit(request);
      await countAll(request, [limit]);
      const browser = browserOf(request);
      const asked = await signIn.personAsked(browser);
      const result = await signIn.withCode(browser, request.body.code);
      if (!result.ok) {
        const what = result.refusal === 'locked' ? 'sign_in_locked' : 'code_failed';
        note(request, what, asked === null ? {} : { userId: asked });
      }
      const { userId } = setCookies(reply, result);
      await forgiveAll(deps, [limit]);
      await welcome(deps, request, reply, userId);
      return { status: 'signed_in' as const };
    },
  );

  app.post(
    '/auth/sign-out',
    {
      ...options,
      schema: {
        ...about,
        summary: 'Sign out',
        response: { 204: z.null().describe('Signed out.'), 403: errorSchema, 503: errorSchema },
      },
    },
    async (request, reply) => {
      reply.header('set-cookie', [...(await signIn.signOut(browserOf(request)))]);
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/auth/link',
    {
      ...options,
      schema: {
        ...about,
        summary: 'What a one-time link is for',
        body: linkBody,
        response: { 200: linkAnswer, 404: errorSchema, ...refusals },
      },
    },
    async (request) => {
      const limit = addressLimit(request);
      await countAll(request, [limit]);
      const link = await readLink(deps.db, deps.clock, request.body.token);
      if (!link) throw linkEnded();
      await forgiveAll(deps, [limit]);
      return {
        kind: link.userId === null ? ('join' as const) : ('reset' as const),
        email: link.email,
        name: link.name,
        merchant_name: link.merchantName,
        role: link.role,
        expires_at: link.expiresAt.toISOString(),
      };
    },
  );

  app.post(
    '/auth/link/use',
    {
      ...options,
      schema: {
        ...about,
        summary: 'Use a one-time link: choose a password, and sign in with it',
        body: useLinkBody,
        response: { 200: signInAnswer, 404: errorSchema, 409: errorSchema, ...refusals },
      },
    },
    async (request, reply) => {
      const limit = addressLimit(request);
      await countAll(request, [limit]);
      const { token, password, name } = request.body;
      const link = await readLink(deps.db, deps.clock, token);
      if (!link) throw linkEnded();
      requireGoodPassword('password', password, { ...link, name: name ?? link.name });
      const used = await useLink(deps.db, deps.clock, { token, password, name, requestId: request.id });
      if (!used.ok) throw used.refusal === 'ended' ? linkEnded() : emailTaken();
      await forgiveAll(deps, [limit]);
      const result = await signIn.withChosenPassword(browserOf(request), used.userId, password);
      const { userId } = setCookies(reply, result);
      if (userId === null) return { status: 'code_needed' as const };
      await welcome(deps, request, reply, userId);
      return { status: 'signed_in' as const };
    },
  );

  function note(
    request: FastifyRequest,
    what: Attempt['what'],
    whom: Pick<Attempt, 'email' | 'userId'>,
  ): void {
    traces.note({ what, address: request.ip, requestId: request.id, ...whom });
  }

  async function countAll(
    request: FastifyRequest,
    limits: readonly AttemptLimit[],
    email?: string,
  ): Promise<void> {
    for (const limit of limits) {
      const until = await countAttempt(deps.db, deps.clock, limit);
      if (until === null) continue;
      note(request, 'sign_in_locked', { email });
      throw tooManyTries(until.getTime() - deps.clock.now().getTime());
    }
  }
}

/** The refusal of a try when there were too many; the next may come after `waitMs`. */
function tooManyTries(waitMs: number): ApiError {
  const minutes = Math.max(1, Math.ceil(waitMs / MINUTE_MS));
  return new ApiError(
    429,
    'too_many_tries',
    `Too many tries. Try again in ${minutes} minute${minutes === 1 ? '' : 's'}, or ask an admin of your team for a link.`,
    {},
    waitMs,
  );
}

/** The value of a sign-in that went well, its cookies set; throws what is to be said of one that did not. */
export function setCookies<Value>(reply: FastifyReply, result: SignInResult<Value>): Value {
  if (!result.ok) throw refused(result.refusal);
  reply.header('set-cookie', [...result.cookies]);
  return result.value;
}

/** Throws where whoever guesses passwords would soon come to this one. */
export function requireGoodPassword(field: string, password: string, owner: PasswordOwner): void {
  if (!isEasilyGuessed(password, owner)) return;
  throw new ApiError(
    400,
    'easily_guessed',
    'Whoever guesses passwords would soon try this one. Nothing was changed; choose another, such as a few unrelated words.',
    { field, accepted: `${PASSWORD_WORDS}; ${NO_PASSWORD_WORDS}` },
  );
}

/** What a person who just signed in leaves: a record, and a browser that is known from now on. */
async function welcome(
  deps: ApiDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  userId: string,
): Promise<void> {
  const member = await readMember(deps.db, userId);
  if (!member) throw refused('access_ended');
  await logAccess(deps.db, deps.clock, {
    merchantId: member.merchantId,
    by: { userId, name: member.email },
    action: 'signed_in',
    userId,
    email: member.email,
    details: { address: request.ip },
    requestId: request.id,
  });
  reply.header('set-cookie', knownBrowserCookie(deps, member.email));
  await endOldSessions(deps.db, deps.clock.now(), plusMs(deps.clock.now(), -deps.settings.sessionLifeMs));
}

// Refusals -------------------------------------------------------------------------------------------------

function refused(refusal: SignInRefusal): ApiError {
  const [status, message, field] = SAYS[refusal];
  return new ApiError(status, refusal, message, { field });
}

const SAYS: Readonly<Record<SignInRefusal, readonly [status: number, message: string, field?: string]>> = {
  wrong_credentials: [401, 'E-mail and password do not belong together, or nobody has this e-mail.'],
  access_ended: [403, 'Your access was switched off. An admin of your team can switch it on again.'],
  wrong_code: [401, 'The code is wrong, was used before, or is too old. Take the one shown now.', 'code'],
  locked: [429, 'Too many wrong codes. Try again in 15 minutes, or ask an admin of your team.', 'code'],
  start_again: [401, 'The sign-in took too long or had too many wrong codes. Begin again with the password.'],
  wrong_password: [400, 'This is not your password.', 'password'],
  already_on: [409, 'You have a second factor already. Switch it off first to set up another one.'],
  not_on: [409, 'You have no second factor yet.'],
};

function linkEnded(): ApiError {
  return new ApiError(
    404,
    'link_ended',
    'This link was used, replaced or withdrawn, or is older than 72 hours. Ask an admin of your team for a new one.',
  );
}

function emailTaken(): ApiError {
  return new ApiError(
    409,
    'email_taken',
    'Someone with this e-mail is in this team already. Sign in with it, or ask an admin of the team for a link to choose a new password.',
  );
}

// Limits ---------------------------------------------------------------------------------------------------

/**
 * Passwords are guessed from one address for many people, or from many addresses for one. A browser in which the
 * person has signed in before counts for itself alone: strangers who use up the tries for an e-mail keep out other
 * strangers, not its owner.
 */
function limitsOf(vault: Vault, request: FastifyRequest, email: string): AttemptLimit[] {
  const known = knownBrowser(vault, request, email);
  if (known) return [{ bucket: `browser:${known}`, most: TRIES_OF_A_BROWSER, windowMs: WINDOW_MS }];
  const hash = createHash('sha256').update(email).digest('hex');
  return [addressLimit(request), { bucket: `email:${hash}`, most: TRIES_FOR_AN_EMAIL, windowMs: WINDOW_MS }];
}

function addressLimit({ ip }: FastifyRequest): AttemptLimit {
  return { bucket: `address:${networkOf(ip)}`, most: TRIES_OF_AN_ADDRESS, windowMs: WINDOW_MS };
}

async function forgiveAll(deps: ApiDeps, limits: readonly AttemptLimit[]): Promise<void> {
  for (const { bucket } of limits) await forgiveAttempt(deps.db, bucket);
}

// Known browsers -------------------------------------------------------------------------------------------

const KNOWN_BROWSER =
  /(?:^|;\s*)(?:__Host-)?refundry\.browser=([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})(?:;|$)/;
const YEAR_SECONDS = 365 * 24 * 60 * 60;

function knownBrowserCookie({ vault, settings }: ApiDeps, email: string): string {
  const mark = randomBytes(16).toString('base64url');
  const secure = settings.publicUrl.startsWith('https:');
  const name = `${secure ? '__Host-' : ''}refundry.browser`;
  const proof = proofOf(vault, mark, email).toString('base64url');
  return `${name}=${mark}.${proof}; Max-Age=${YEAR_SECONDS}; Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}

/** The mark of a browser in which the owner of this e-mail has signed in before, or null. */
function knownBrowser(vault: Vault, request: FastifyRequest, email: string): string | null {
  const [, mark, proof] = KNOWN_BROWSER.exec(request.headers.cookie ?? '') ?? [];
  if (mark === undefined || proof === undefined) return null;
  const given = Buffer.from(proof, 'base64url');
  const right = proofOf(vault, mark, email);
  return given.length === right.length && timingSafeEqual(given, right) ? mark : null;
}

function proofOf(vault: Vault, mark: string, email: string): Buffer {
  return vault.mac('known browser', Buffer.from(`${mark}\n${email}`));
}

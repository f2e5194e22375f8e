import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { logAccess } from '../access/access-log.ts';
import { type AttemptLimit, countAttempt, forgetOldAttempts, forgiveAttempt } from '../access/attempts.ts';
import { readLink, useLink } from '../access/links.ts';
import type { SignIn, SignInRefusal, SignInResult } from '../access/sign-in.ts';
import { endOldSessions, readMember } from '../access/users.ts';
import { plusMs } from '../lib/clock.ts';
import type { Vault } from '../lib/vault.ts';
import { browserOf, requireOwnPage } from './auth.ts';
import { codeBody, linkAnswer, linkBody, signInAnswer, signInBody, useLinkBody } from './contract/sign-in.ts';
import type { ApiDeps } from './deps.ts';
import { ApiError, errorSchema } from './errors.ts';

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
export async function signInRoutes(instance: FastifyInstance, deps: ApiDeps, signIn: SignIn): Promise<void> {
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
      await countAll(deps, limits);
      const result = await signIn.withPassword(browserOf(request), email, password);
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
      await countAll(deps, [limit]);
      const { userId } = setCookies(reply, await signIn.withCode(browserOf(request), request.body.code));
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
      await countAll(deps, [limit]);
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
      await countAll(deps, [limit]);
      const { token, password, name } = request.body;
      const used = await useLink(deps.db, deps.clock, { token, password, name, requestId: request.id });
      if (!used.ok) throw used.refusal === 'ended' ? linkEnded() : emailTaken();
      await forgiveAll(deps, [limit]);
      const result = await signIn.withPassword(browserOf(request), used.email, password, 'link');
      const { userId } = setCookies(reply, result);
      if (userId === null) return { status: 'code_needed' as const };
      await welcome(deps, request, reply, userId);
      return { status: 'signed_in' as const };
    },
  );
}

/** The value of a sign-in that went well, its cookies set; throws what is to be said of one that did not. */
export function setCookies<Value>(reply: FastifyReply, result: SignInResult<Value>): Value {
  if (!result.ok) throw refused(result.refusal);
  reply.header('set-cookie', [...result.cookies]);
  return result.value;
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
  await forgetOldAttempts(deps.db, deps.clock);
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
    'This e-mail signs in to another team here already. Ask for an invitation to another e-mail.',
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

/** One household has 2^64 addresses of IPv6, so the first half of one stands for it. */
function networkOf(ip: string): string {
  if (!ipaddr.isValid(ip)) return ip;
  const address = ipaddr.process(ip);
  return address instanceof ipaddr.IPv6 ? address.parts.slice(0, 4).join(':') : address.toString();
}

async function countAll(deps: ApiDeps, limits: readonly AttemptLimit[]): Promise<void> {
  for (const limit of limits) {
    const until = await countAttempt(deps.db, deps.clock, limit);
    if (until === null) continue;
    const minutes = Math.max(1, Math.ceil((until.getTime() - deps.clock.now().getTime()) / MINUTE_MS));
    throw new ApiError(
      429,
      'too_many_tries',
      `Too many tries. Try again in ${minutes} minute${minutes === 1 ? '' : 's'}, or ask an admin of your team for a link.`,
    );
  }
}

async function forgiveAll(deps: ApiDeps, limits: readonly AttemptLimit[]): Promise<void> {
  for (const { bucket } of limits) await forgiveAttempt(deps.db, bucket);
}

// Known browsers -------------------------------------------------------------------------------------------

const KNOWN_BROWSER =
  /(?:^|;\s*)(?:__Secure-)?refundry\.browser=([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})(?:;|$)/;
const YEAR_SECONDS = 365 * 24 * 60 * 60;

function knownBrowserCookie({ vault, settings }: ApiDeps, email: string): string {
  const mark = randomBytes(16).toString('base64url');
  const secure = settings.publicUrl.startsWith('https:');
  const name = `${secure ? '__Secure-' : ''}refundry.browser`;
  const proof = proofOf(vault, mark, email).toString('base64url');
  return `${name}=${mark}.${proof}; Max-Age=${YEAR_SECONDS}; Path=/auth; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
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

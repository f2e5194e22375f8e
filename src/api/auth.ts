import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { API_KEY, findCaller } from '../access/api-keys.ts';
import { settingsOf } from '../access/merchants.ts';
import {
  isForKeys,
  mayRole,
  type Permission,
  permissionsOf,
  permissionsOfKey,
  rolesWith,
  wordsOf,
} from '../access/roles.ts';
import type { Browser, SignIn } from '../access/sign-in.ts';
import type { Traces } from '../access/traces.ts';
import { endSession, readSignedIn } from '../access/users.ts';
import { isByTwoFactors } from '../access/ways-in.ts';
import type { Cause } from '../audit/events.ts';
import type { TokenBuckets } from '../lib/token-buckets.ts';
import type { Door } from '../refunds/refund.ts';
import type { ApiDeps, Caller, KeyCaller, UserCaller } from './deps.ts';
import { refusal, speaksContract } from './error-answers.ts';
import { ApiError } from './errors.ts';
import { accessDenied } from './juspay/errors.ts';
import { networkOf, type RequestLimits } from './limits.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is calling; there on every route that is not public. */
    caller: Caller;
  }
  interface FastifyContextConfig {
    /** Open to everyone. All other routes name the permission that they need. */
    public?: boolean;
    permission?: Permission;
    /** Changes nothing, although its method may. */
    onlyReads?: boolean;
    /** Reads a body of any length, for as long as it keeps coming. */
    streaming?: boolean;
  }
}

/** Why a caller is not let in. One answer for all reasons, so that nobody learns which part was right. */
export type Authentication =
  | { readonly ok: true; readonly caller: KeyCaller }
  | {
      readonly ok: false;
      /** The key that was given; null where there was none that could be one. */
      readonly key: string | null;
      /** How long to wait, where the key was not even looked up: too many from there have not worked. */
      readonly waitMs: number;
    };

export type Authenticate = (
  request: FastifyRequest,
  merchantHeaderNeeded: boolean,
) => Promise<Authentication>;

/**
 * Lets in callers by key or, on our own surface, by session, and only to what they may do; refuses in the words of the
 * surface that they called. A route that says neither who may call it nor that everyone may stops the start.
 */
export function guardRoutes(
  scope: FastifyInstance,
  deps: ApiDeps,
  { signIn, limits, traces }: { signIn: SignIn; limits: RequestLimits; traces: Traces },
): void {
  const authenticate = createAuthenticate(deps, limits.keys);
  scope.decorateRequest('caller');
  scope.addHook('onRoute', ({ config, method, url }) => {
    if (!config?.public && !config?.permission) throw new Error(`${method} ${url} names no permission`);
  });
  scope.addHook('onRequest', async (request, reply) => {
    const { public: isPublic, permission } = request.routeOptions.config;
    if (isPublic || !permission) return;
    const inContract = speaksContract(request.url);
    const caller =
      inContract || request.headers.authorization !== undefined || !hasSession(request)
        ? await callerByKey({ authenticate, limits, traces }, request, inContract)
        : await callerBySession(deps, signIn, request, reply);
    // First, so that the request log knows whom it refuses.
    request.caller = caller;
    limits.requireRoomFor(request, caller);
    requirePermission(caller, permission, inContract);
  });
}

async function callerByKey(
  { authenticate, limits, traces }: { authenticate: Authenticate; limits: RequestLimits; traces: Traces },
  request: FastifyRequest,
  inContract: boolean,
): Promise<KeyCaller> {
  const authentication = await authenticate(request, inContract);
  if (authentication.ok) return authentication.caller;
  const { key, waitMs } = authentication;
  if (waitMs > 0) throw limits.refusal(request, waitMs, 'API keys from this address that do not work');
  if (key !== null) {
    traces.note({ what: 'key_unknown', address: request.ip, requestId: request.id, apiKey: key });
  }
  if (inContract) throw accessDenied();
  if (fromDashboard(request) && request.headers.authorization === undefined) throw signedOut();
  throw new ApiError(
    401,
    'unauthorized',
    "The API key is missing, unknown, expired or revoked, or is not this merchant's, or sleeps since a restore.",
    { field: 'Authorization', accepted: 'Basic base64("<api key>:")' },
  );
}

async function callerBySession(
  deps: ApiDeps,
  signIn: SignIn,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<UserCaller> {
  const { session, cookies } = await signIn.sessionOf(browserOf(request));
  if (cookies.length > 0) reply.header('set-cookie', [...cookies]);
  const member = session && (await readSignedIn(deps.db, session.userId, session.sessionId));
  if (!session || !member || member.disabledAt || !namesOnly(request, member.merchantId)) throw signedOut();
  // It began before the factor was there, or in the moment when it came: its owner comes back with a code.
  if (member.secondFactor && !isByTwoFactors(member.openedBy)) {
    await endSession(deps.db, session.userId, session.sessionId);
    throw signedOut();
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    requireOwnPage(request, deps.settings.publicUrl);
  }
  return {
    kind: 'user',
    merchantId: member.merchantId,
    userId: member.userId,
    userName: member.name,
    userEmail: member.email,
    role: member.role,
    secondFactor: member.secondFactor,
    sessionId: session.sessionId,
    openedBy: member.openedBy,
    merchantSettings: member.merchantSettings,
  };
}

function signedOut(): ApiError {
  return new ApiError(401, 'signed_out', 'You are signed out, or your session has ended. Sign in again.');
}

// What a caller may do -----------------------------------------------------------------------------------

/** All that the caller may do now. */
export function permissionsOfCaller(caller: Caller): readonly Permission[] {
  if (caller.kind === 'key') return permissionsOfKey(caller.permissions);
  return permissionsOf(caller.role).filter((word) => isOwn(word) || !lacksSecondFactor(caller));
}

/** Refuses a caller who may not do what part of a request asks for, where its route asks for less. */
export function requireAlso(request: FastifyRequest, permission: Permission): void {
  requirePermission(request.caller, permission, speaksContract(request.url));
}

function requirePermission(caller: Caller, permission: Permission, inContract: boolean): void {
  if (caller.kind === 'key') {
    if (permissionsOfKey(caller.permissions).includes(permission)) return;
    const person = `a person who is signed in as ${listed(rolesWith(permission))}`;
    throw isForKeys(permission)
      ? refusal(
          inContract,
          403,
          'forbidden',
          `The API key ${caller.apiKeyName} may not ${wordsOf(permission)}.`,
          {
            accepted: `a key that was made with ${permission}, or ${person}`,
          },
        )
      : refusal(inContract, 403, 'forbidden', `An API key may not ${wordsOf(permission)}.`, {
          accepted: person,
        });
  }
  if (!mayRole(caller.role, permission)) {
    throw new ApiError(403, 'forbidden', `Your role (${caller.role}) may not ${wordsOf(permission)}.`, {
      accepted: listed(rolesWith(permission)),
    });
  }
  if (lacksSecondFactor(caller) && !isOwn(permission)) {
    throw new ApiError(
      403,
      'second_factor_needed',
      'Your merchant asks everyone for a second factor. Set yours up first.',
      { accepted: 'POST /v1/me/second-factor' },
    );
  }
}

/** Whether the merchant asks for a second factor and none was shown in this session. */
function lacksSecondFactor({ secondFactor, openedBy, merchantSettings }: UserCaller): boolean {
  const shown = secondFactor && isByTwoFactors(openedBy);
  return !shown && settingsOf(merchantSettings).require_second_factor;
}

function isOwn(permission: Permission): boolean {
  return permission === 'own.read' || permission === 'own.manage';
}

function listed(words: readonly string[]): string {
  return words.length === 1 ? words[0]! : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

// What a caller leaves behind ------------------------------------------------------------------------------

/** Who caused what this request changes, for the trail. */
export function causeOf({ caller, id }: FastifyRequest): Cause {
  return caller.kind === 'key'
    ? { by: 'api', key: caller.apiKeyName, request_id: id }
    : { by: 'user', user_id: caller.userId, email: caller.userEmail, request_id: id };
}

/** By whom and through which door a refund of this caller comes, in the contract's words (section 2.3). */
export function doorOf(caller: Caller): { readonly initiatedBy: string; readonly door: Door } {
  return caller.kind === 'key'
    ? { initiatedBy: 'API', door: 'api' }
    : { initiatedBy: caller.userName, door: 'dashboard' };
}

// Keys -----------------------------------------------------------------------------------------------------

const REMEMBERED_MS = 5_000;
const REMEMBERED_KEYS = 10_000;

/**
 * Checks the key of a request (contract section 1.1) and that each merchant header it carries names the key's
 * merchant (section 1.2). A key that worked is remembered for five seconds: as long may a revoked one still work.
 * `tries` limits how many keys that do not work an address may try; a key that has worked is looked up all the same, so
 * that a stranger behind the same proxy keeps no shop out.
 */
export function createAuthenticate(
  deps: Pick<ApiDeps, 'db' | 'clock'>,
  tries: TokenBuckets | null = null,
): Authenticate {
  const remembered = new Map<string, { readonly caller: KeyCaller; readonly untilMs: number }>();

  async function callerOf(key: string): Promise<KeyCaller | null> {
    const nowMs = deps.clock.now().getTime();
    const known = remembered.get(key);
    if (known && known.untilMs > nowMs && known.untilMs <= nowMs + REMEMBERED_MS) return known.caller;
    const holder = await findCaller(deps.db, deps.clock, key);
    if (!holder) {
      remembered.delete(key);
      return null;
    }
    const caller: KeyCaller = { kind: 'key', ...holder };
    if (remembered.size >= REMEMBERED_KEYS) remembered.clear();
    const expiresAtMs = holder.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY;
    remembered.set(key, { caller, untilMs: Math.min(nowMs + REMEMBERED_MS, expiresAtMs) });
    return caller;
  }

  return async (request, merchantHeaderNeeded) => {
    const key = keyOf(request.headers.authorization);
    if (key === null) return { ok: false, key, waitMs: 0 };
    const address = networkOf(request.ip);
    const limited = remembered.has(key) ? null : tries;
    const waitMs = limited?.waitMs(address) ?? 0;
    if (waitMs > 0) return { ok: false, key, waitMs };
    const caller = await callerOf(key);
    if (!caller) {
      limited?.take(address);
      return { ok: false, key, waitMs: 0 };
    }
    const named = merchantsNamed(request);
    const rightMerchant =
      namesOnly(request, caller.merchantId) && (named.length > 0 || !merchantHeaderNeeded);
    return rightMerchant ? { ok: true, caller } : { ok: false, key, waitMs: 0 };
  };
}

function namesOnly(request: FastifyRequest, merchantId: string): boolean {
  return merchantsNamed(request).every((id) => id === merchantId);
}

function merchantsNamed({ headers }: FastifyRequest) {
  return [headers['x-merchantid'], headers['x-merchant-id']].filter((id) => id !== undefined);
}

/** The key in a Basic header: all before the first colon, or everything where there is none. */
function keyOf(authorization: string | undefined): string | null {
  const credentials = /^Basic +([A-Za-z0-9+/_-]{1,400}={0,2})$/i.exec(authorization ?? '')?.[1];
  if (credentials === undefined) return null;
  const key = Buffer.from(credentials, 'base64').toString('utf8').split(':', 1)[0]!;
  return API_KEY.test(key) ? key : null;
}

// Browsers -------------------------------------------------------------------------------------------------

/** What the sign-in needs to know of the browser that asks. */
export function browserOf({ headers, ip }: FastifyRequest): Browser {
  return { cookie: headers.cookie, userAgent: headers['user-agent'], address: ip };
}

/** Whether a page of ours says that it asks. A foreign page cannot say so without leave, which nobody gives it. */
export function fromDashboard({ headers }: FastifyRequest): boolean {
  return headers['x-refundry'] === 'dashboard';
}

function hasSession({ headers }: FastifyRequest): boolean {
  return headers.cookie?.includes('refundry.session_token=') === true;
}

/**
 * Refuses what a foreign page made the browser send (CSRF): it must say that it is our page, and the browser must say
 * that the page came from where we are reached.
 */
export function requireOwnPage(request: FastifyRequest, publicUrl: string): void {
  if (fromDashboard(request) && isOwnOrigin(request, new URL(publicUrl).origin)) return;
  const { origin } = request.headers;
  throw new ApiError(
    403,
    'foreign_page',
    origin === undefined
      ? 'This can only be asked by the page of Refundry itself.'
      : `This can only be asked by the page at ${new URL(publicUrl).origin}, and it came from another one. PUBLIC_URL says where the page is.`,
    { field: 'Origin', ...(origin !== undefined && { value: origin.slice(0, 200) }) },
  );
}

function isOwnOrigin({ headers }: FastifyRequest, publicOrigin: string): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return headers['sec-fetch-site'] === 'same-origin';
  if (origin === publicOrigin) return true;
  // On this machine the page goes by several names and, behind a forwarded port, by several numbers.
  const url = URL.parse(origin);
  const isOrigin = url !== null && url.origin === origin;
  return isOrigin && url.host === host && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
}

import type { FastifyRequest } from 'fastify';
import { API_KEY, findCaller } from '../access/api-keys.ts';
import type { ApiDeps, Caller } from './deps.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is calling; there on every route that is not public. */
    caller: Caller;
  }
  interface FastifyContextConfig {
    /** Open to callers without a key. */
    public?: boolean;
    /** Reads a body of any length, for as long as it keeps coming. */
    streaming?: boolean;
  }
}

/** Why a caller is not let in. One answer for all reasons, so that nobody learns which part was right. */
export type Authentication = { readonly ok: true; readonly caller: Caller } | { readonly ok: false };

export type Authenticate = (
  request: FastifyRequest,
  merchantHeaderNeeded: boolean,
) => Promise<Authentication>;

const REMEMBERED_MS = 5_000;
const REMEMBERED_KEYS = 10_000;

/**
 * Checks the key of a request (contract section 1.1) and that each merchant header it carries names the key's
 * merchant (section 1.2). A key that worked is remembered for five seconds: as long may a revoked one still work.
 */
export function createAuthenticate(deps: Pick<ApiDeps, 'db' | 'clock'>): Authenticate {
  const remembered = new Map<string, { readonly caller: Caller; readonly untilMs: number }>();

  async function callerOf(key: string): Promise<Caller | null> {
    const nowMs = deps.clock.now().getTime();
    const known = remembered.get(key);
    if (known && known.untilMs > nowMs && known.untilMs <= nowMs + REMEMBERED_MS) return known.caller;
    remembered.delete(key);
    const caller = await findCaller(deps.db, key);
    if (!caller) return null;
    if (remembered.size >= REMEMBERED_KEYS) remembered.clear();
    remembered.set(key, { caller, untilMs: nowMs + REMEMBERED_MS });
    return caller;
  }

  return async (request, merchantHeaderNeeded) => {
    const key = keyOf(request.headers.authorization);
    const caller = key === null ? null : await callerOf(key);
    if (!caller) return { ok: false };
    const named = [request.headers['x-merchantid'], request.headers['x-merchant-id']].filter(
      (id) => id !== undefined,
    );
    const rightMerchant =
      named.every((id) => id === caller.merchantId) && (named.length > 0 || !merchantHeaderNeeded);
    return rightMerchant ? { ok: true, caller } : { ok: false };
  };
}

/** The key in a Basic header: all before the first colon, or everything where there is none. */
function keyOf(authorization: string | undefined): string | null {
  const credentials = /^Basic +([A-Za-z0-9+/_-]{1,400}={0,2})$/i.exec(authorization ?? '')?.[1];
  if (credentials === undefined) return null;
  const key = Buffer.from(credentials, 'base64').toString('utf8').split(':', 1)[0]!;
  return API_KEY.test(key) ? key : null;
}

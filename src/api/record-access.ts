import type { FastifyRequest } from 'fastify';
import { type AccessAction, logAccess } from '../access/access-log.ts';
import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import type { Caller } from './deps.ts';

/** Writes down what the caller changed about how the merchant's refunds go out and who is told: no secret is in `details`. */
export async function recordAccess(
  deps: { readonly db: Queryable; readonly clock: Clock },
  { caller, id }: Pick<FastifyRequest, 'caller' | 'id'>,
  action: AccessAction,
  details: Readonly<Record<string, unknown>>,
): Promise<void> {
  await logAccess(deps.db, deps.clock, {
    merchantId: caller.merchantId,
    by: { userId: caller.kind === 'user' ? caller.userId : null, name: callerName(caller) },
    action,
    userId: null,
    email: '',
    details,
    requestId: id,
  });
}

/** What to call the caller years later. */
export function callerName(caller: Caller): string {
  return caller.kind === 'user' ? caller.userEmail : caller.apiKeyName;
}

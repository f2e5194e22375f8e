import { type Clock, plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';

/**
 * Which of these API keys still work and which of these sessions still stand, by their ids. A session without the
 * second factor that its person has, or that the merchant asks for, stands no longer.
 */
export async function readStanding(
  db: Queryable,
  clock: Clock,
  asked: {
    readonly apiKeyIds: readonly string[];
    readonly sessionIds: readonly string[];
    /** How long after its sign-in a session ends at the latest. */
    readonly sessionLifeMs: number;
  },
): Promise<Set<string>> {
  const now = clock.now();
  const rows = await db.query<{ id: string }>(
    `select api_key_id as id from api_keys where api_key_id = any($1) and revoked_at is null
       and asleep_since is null and (expires_at is null or expires_at > $3)
     union all
     select s.id from sessions s join users u on u.id = s.user_id join members m using (user_id)
       join merchants t using (merchant_id)
     where s.id = any($2) and s.expires_at > $3 and s.created_at > $4 and m.disabled_at is null
       and (u.second_factor or coalesce(t.settings -> 'require_second_factor', 'false') <> 'true')
       and (s.opened_by in ('code', 'backup_code') or not u.second_factor)`,
    [asked.apiKeyIds, asked.sessionIds, now, plusMs(now, -asked.sessionLifeMs)],
  );
  return new Set(rows.map(({ id }) => id));
}

import type { Clock } from '../lib/clock.ts';
import { jsonbOf, type Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';

/** What somebody did who may not; `details.count` says how often. */
export const ATTACK_ACTIONS = ['sign_in_failed', 'sign_in_locked', 'code_failed', 'key_unknown'] as const;
export type AttackAction = (typeof ATTACK_ACTIONS)[number];

export const ACCESS_ACTIONS = [
  ...ATTACK_ACTIONS,
  'signed_in',
  'invited',
  'invitation_withdrawn',
  'joined',
  'role_changed',
  'disabled',
  'enabled',
  'removed',
  'reset',
  'password_chosen',
  'password_changed',
  'second_factor_on',
  'second_factor_off',
  'backup_codes_made',
  'sessions_ended',
  'renamed',
  'key_made',
  'key_revoked',
  'key_woken',
  'settings_changed',
  'settings_asked_for',
  'settings_confirmed',
  'settings_stopped',
  'gateway_account_made',
  'gateway_account_changed',
  'unnamed_payments_moved',
  'gateway_account_released',
  'endpoint_made',
  'endpoint_changed',
  'endpoint_removed',
  'endpoint_secret_replaced',
] as const;
export type AccessAction = (typeof ACCESS_ACTIONS)[number];

/** Who changes who may do what: a person, or the command line of the server. */
export interface Actor {
  readonly userId: string | null;
  readonly name: string;
}

export interface NewAccessEntry {
  readonly merchantId: string;
  readonly by: Actor;
  readonly action: AccessAction;
  readonly userId: string | null;
  readonly email: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly requestId: string | null;
}

export interface AccessEntry extends Required<NewAccessEntry> {
  readonly entryId: string;
  readonly at: Date;
}

/** Writes down one change of who may do what; within `db`'s transaction where it is one. */
export async function logAccess(db: Queryable, clock: Clock, entry: NewAccessEntry): Promise<void> {
  await db.query(
    `insert into access_log
       (entry_id, merchant_id, at, by_user_id, by_name, action, user_id, email, details, request_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      newId(),
      entry.merchantId,
      clock.now(),
      entry.by.userId,
      entry.by.name,
      entry.action,
      entry.userId,
      entry.email,
      jsonbOf(entry.details ?? {}),
      entry.requestId,
    ],
  );
}

/** A page of the merchant's log, newest first, after a position where one is given. */
export async function listAccess(
  db: Queryable,
  merchantId: string,
  filter: {
    readonly from: Date | null;
    readonly before: Date | null;
    readonly after: { readonly at: Date; readonly entryId: string } | null;
    readonly limit: number;
  },
): Promise<AccessEntry[]> {
  const rows = await db.query<Omit<AccessEntry, 'by'> & { byUserId: string | null; byName: string }>(
    `select entry_id as "entryId", merchant_id as "merchantId", at, by_user_id as "byUserId", by_name as "byName",
       action, user_id as "userId", email, details, request_id as "requestId"
     from access_log
     where merchant_id = $1 and ($2::timestamptz is null or at >= $2) and ($3::timestamptz is null or at < $3)
       and ($4::timestamptz is null or (at, entry_id) < ($4, $5::uuid))
     order by at desc, entry_id desc limit $6`,
    [
      merchantId,
      filter.from,
      filter.before,
      filter.after?.at ?? null,
      filter.after?.entryId ?? null,
      filter.limit,
    ],
  );
  return rows.map(({ byUserId, byName, ...entry }) => ({ ...entry, by: { userId: byUserId, name: byName } }));
}

import type { WebhookEvent } from '../gateways/gateway.ts';
import { type Clock, plusMs } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';
import { madeAt, newId } from '../lib/ids.ts';
import type { EngineDeps } from './engine.ts';
import { type Restored, WATCH_MS } from './restored.ts';

/**
 * A gateway that proves to know a refund under an id of ours, which these books do not, proves that the books have lost it;
 * or somebody else refunds through the same account with a Refundry of their own. Whichever it is, nothing more is sent
 * through the account until a person has looked.
 */
export interface Hold {
  readonly heldAt: Date;
  readonly why: string;
  /** The first of them, oldest first. */
  readonly strangers: readonly Stranger[];
}

export interface Stranger {
  readonly refundId: string;
  readonly gatewayRefundId: string | null;
  readonly gatewayPaymentId: string | null;
  readonly heardAt: Date;
}

type Account = { readonly merchantId: string; readonly gatewayAccountId: string };

const SHOWN = 10;
/** More are somebody else's business, and need not be remembered one by one. */
const MOST_STRANGERS = 1_000;

/**
 * Takes proven words of the gateway about refunds that are not in the books. Returns those that the account is held for;
 * none where none of them carries an id of ours, where a marked restore explains it, or a person has.
 */
export async function holdForStrangers(
  deps: Pick<EngineDeps, 'db' | 'clock' | 'log' | 'restored'>,
  account: Account,
  events: readonly WebhookEvent[],
): Promise<readonly WebhookEvent[]> {
  const ours = events.filter(({ refundId }) => refundId !== null && madeAt(refundId) !== null);
  if (ours.length === 0) return [];
  const ids = ours.map(({ refundId }) => refundId!);
  const known = await readExplained(deps.db, account, ids);
  const strangers = ours.filter(
    ({ refundId }) => !known.has(refundId!) && !isLostByRestore(refundId!, deps.restored ?? null),
  );
  if (strangers.length === 0) return [];
  const now = deps.clock.now();
  const first = strangers[0]!;
  const why =
    `The gateway has proved to know refund ${first.refundId} under an id of ours (its own: ${first.gatewayRefundId ?? 'none'}), ` +
    'and these books do not know it.';
  const isNew = await deps.db.transaction(async (tx) => {
    await insertStrangers(tx, account, strangers, now);
    return insertHold(tx, account, why, now);
  });
  if (isNew)
    deps.log.error(
      { merchant_id: account.merchantId, gateway_account_id: account.gatewayAccountId, why },
      'nothing more is sent through this gateway account until a person has looked: its gateway knows a refund of ours that these books do not',
    );
  return strangers;
}

/** Lost between a backup and the restore from it, as is known: each payment is asked about before it is refunded again. */
function isLostByRestore(refundId: string, restored: Restored | null): boolean {
  const at = madeAt(refundId);
  if (!restored || at === null) return false;
  return at >= restored.backedUpAt && at <= plusMs(restored.watchUntil, -WATCH_MS);
}

/** A person's word that the account may be sent to again; false where it is not held. */
export async function releaseHold(
  db: Database,
  clock: Clock,
  account: Account,
  release: { readonly by: string; readonly reason: string; readonly shared: boolean },
): Promise<boolean> {
  const rows = await db.query(
    `update account_holds set released_at = $3, released_by = $4, release_reason = $5, shared = $6
     where merchant_id = $1 and gateway_account_id = $2 and released_at is null returning 1`,
    [account.merchantId, account.gatewayAccountId, clock.now(), release.by, release.reason, release.shared],
  );
  return rows.length > 0;
}

/** Books that are marked as of a time ask for what they have lost since: what an account is held for is explained by it. */
export async function releaseHoldsSince(tx: Queryable, clock: Clock, asOf: Date): Promise<void> {
  const open = await tx.query<Account>(
    `select merchant_id as "merchantId", gateway_account_id as "gatewayAccountId" from account_holds
     where released_at is null`,
  );
  for (const account of open) {
    const strangers = await readStrangers(tx, account, MOST_STRANGERS);
    // One that is older than the books are was lost before.
    if (strangers.some(({ refundId }) => madeAt(refundId)! < asOf)) continue;
    await tx.query(
      `update account_holds set released_at = $3, released_by = 'restore', release_reason = $4
       where merchant_id = $1 and gateway_account_id = $2 and released_at is null`,
      [account.merchantId, account.gatewayAccountId, clock.now(), `marked as of ${asOf.toISOString()}`],
    );
  }
}

// Statements -------------------------------------------------------------------------------------------

/** Of these accounts of a merchant, those that are held. */
export async function readHolds(
  db: Queryable,
  merchantId: string,
  gatewayAccountIds: readonly string[],
): Promise<Map<string, Hold>> {
  const rows = await db.query<{ id: string; heldAt: Date; why: string }>(
    `select gateway_account_id as id, held_at as "heldAt", why from account_holds
     where merchant_id = $1 and gateway_account_id = any($2) and released_at is null`,
    [merchantId, gatewayAccountIds],
  );
  const holds = new Map<string, Hold>();
  for (const { id, ...hold } of rows) {
    const strangers = await readStrangers(db, { merchantId, gatewayAccountId: id }, SHOWN);
    holds.set(id, { ...hold, strangers });
  }
  return holds;
}

/** Every held account, of whichever merchant. */
export async function readHeldAccounts(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    'select gateway_account_id as id from account_holds where released_at is null order by 1',
  );
  return rows.map(({ id }) => id);
}

async function readStrangers(db: Queryable, account: Account, limit: number): Promise<Stranger[]> {
  return db.query<Stranger>(
    `select refund_id::text as "refundId", gateway_refund_id as "gatewayRefundId",
            gateway_payment_id as "gatewayPaymentId", heard_at as "heardAt"
     from account_strangers where merchant_id = $1 and gateway_account_id = $2
     order by heard_at, refund_id limit $3`,
    [account.merchantId, account.gatewayAccountId, limit],
  );
}

/**
 * Of these ids, those that need no person: refunds of any merchant here (gateways tell all addresses of an account of all its
 * refunds), those that an earlier release was about, and all where the account is known to be shared with others.
 */
async function readExplained(
  db: Queryable,
  { merchantId, gatewayAccountId }: Account,
  refundIds: readonly string[],
): Promise<Set<string>> {
  const merchants = await db.query<{ id: string }>('select merchant_id as id from merchants');
  const rows = await db.query<{ id: string }>(
    `select refund_id::text as id from refunds where merchant_id = any($3) and refund_id = any($4::uuid[])
     union
     select s.refund_id::text from account_strangers s
     where s.merchant_id = $1 and s.gateway_account_id = $2 and s.refund_id = any($4::uuid[])
       and exists (select from account_holds h where h.merchant_id = $1 and h.gateway_account_id = $2
                   and h.released_at >= s.heard_at)
     union
     select asked from unnest($4::text[]) as asked
     where exists (select from account_holds h where h.merchant_id = $1 and h.gateway_account_id = $2 and h.shared)`,
    [merchantId, gatewayAccountId, merchants.map(({ id }) => id), refundIds],
  );
  return new Set(rows.map(({ id }) => id));
}

async function insertStrangers(
  tx: Queryable,
  { merchantId, gatewayAccountId }: Account,
  strangers: readonly WebhookEvent[],
  now: Date,
): Promise<void> {
  await tx.query(
    `insert into account_strangers
       (merchant_id, gateway_account_id, refund_id, gateway_refund_id, gateway_payment_id, event_id, heard_at)
     select $1, $2, s.*, $7 from unnest($3::uuid[], $4::text[], $5::text[], $6::text[]) as s
     where (select count(*) from account_strangers where merchant_id = $1 and gateway_account_id = $2) < $8
     on conflict do nothing`,
    [
      merchantId,
      gatewayAccountId,
      strangers.map(({ refundId }) => refundId),
      strangers.map(({ gatewayRefundId }) => gatewayRefundId),
      strangers.map(({ gatewayPaymentId }) => gatewayPaymentId),
      strangers.map(({ eventId }) => eventId),
      now,
      MOST_STRANGERS,
    ],
  );
}

/** False where the account is held already. */
async function insertHold(
  tx: Queryable,
  { merchantId, gatewayAccountId }: Account,
  why: string,
  now: Date,
): Promise<boolean> {
  const rows = await tx.query(
    `insert into account_holds (merchant_id, gateway_account_id, hold_id, held_at, why) values ($1, $2, $3, $4, $5)
     on conflict (merchant_id, gateway_account_id) where released_at is null do nothing returning 1`,
    [merchantId, gatewayAccountId, newId(), now, why],
  );
  return rows.length > 0;
}

import type { Queryable } from '../../lib/db.ts';
import type { Change } from './behaviours.ts';

/** One payout in the sandbox's books. Amounts are minor units. */
export interface Payout {
  readonly sandboxRefundId: string;
  readonly account: Buffer;
  readonly gatewayPaymentId: string;
  readonly refundId: string;
  readonly orderId: string;
  readonly idempotencyKey: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly reason: string | null;
  readonly status: 'pending' | 'succeeded' | 'failed' | 'reversed';
  readonly failureCode: string | null;
  readonly failureMessage: string | null;
  readonly arn: string | null;
  readonly webhookUrl: string | null;
  readonly nextChange: Change | null;
  readonly nextChangeAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface Webhook {
  readonly webhookId: string;
  readonly account: Buffer;
  readonly url: string;
  readonly body: string;
  readonly dueAt: Date;
}

export interface StoredAnswer {
  readonly requestHash: Buffer;
  readonly status: number;
  readonly body: string;
}

const PAYOUT = `
  sandbox_refund_id as "sandboxRefundId", account, gateway_payment_id as "gatewayPaymentId",
  refund_id as "refundId", order_id as "orderId", idempotency_key as "idempotencyKey",
  amount_minor as "amountMinor", currency, exponent, reason, status, failure_code as "failureCode",
  failure_message as "failureMessage", arn, webhook_url as "webhookUrl", next_change as "nextChange",
  next_change_at as "nextChangeAt", created_at as "createdAt", updated_at as "updatedAt"`;

// Making ------------------------------------------------------------------------------------------------

/** Whether this transaction now holds the key alone, in whichever process the others run. */
export async function holdKey(tx: Queryable, account: Buffer, key: string): Promise<boolean> {
  const [row] = await tx.query<{ held: boolean }>(
    `select pg_try_advisory_xact_lock(hashtext('sandbox key'), hashtext($1)) as held`,
    [`${account.toString('hex')} ${key}`],
  );
  return row!.held;
}

export async function readStoredAnswer(
  tx: Queryable,
  account: Buffer,
  key: string,
): Promise<StoredAnswer | null> {
  const [row] = await tx.query<StoredAnswer>(
    `select request_hash as "requestHash", answer_status as status, answer_body as body
     from sandbox_keys where account = $1 and idempotency_key = $2`,
    [account, key],
  );
  return row ?? null;
}

export async function storeAnswer(
  tx: Queryable,
  account: Buffer,
  key: string,
  answer: StoredAnswer,
  now: Date,
): Promise<void> {
  await tx.query(
    `insert into sandbox_keys (account, idempotency_key, request_hash, answer_status, answer_body, created_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [account, key, answer.requestHash, answer.status, answer.body, now],
  );
}

/** Counts one more try of a refund, and says how many there were before it. */
export async function countTry(
  tx: Queryable,
  account: Buffer,
  gatewayPaymentId: string,
  refundId: string,
): Promise<number> {
  const [row] = await tx.query<{ before: number }>(
    `insert into sandbox_tries as t (account, gateway_payment_id, refund_id, tries) values ($1, $2, $3, 1)
     on conflict (account, gateway_payment_id, refund_id) do update set tries = t.tries + 1
     returning tries - 1 as before`,
    [account, gatewayPaymentId, refundId],
  );
  return row!.before;
}

/** Writes a payout into the books, and opens the account's with its first. */
export async function insertPayout(tx: Queryable, payout: Payout, webhookKey: Buffer): Promise<void> {
  await tx.query(
    `with account as (
       insert into sandbox_accounts (account, webhook_key, created_at) values ($2, $19, $18)
       on conflict (account) do nothing
     )
     insert into sandbox_payouts (sandbox_refund_id, account, gateway_payment_id, refund_id, order_id,
       idempotency_key, amount_minor, currency, exponent, reason, status, failure_code, failure_message,
       arn, webhook_url, next_change, next_change_at, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $20)`,
    [
      payout.sandboxRefundId,
      payout.account,
      payout.gatewayPaymentId,
      payout.refundId,
      payout.orderId,
      payout.idempotencyKey,
      payout.amountMinor,
      payout.currency,
      payout.exponent,
      payout.reason,
      payout.status,
      payout.failureCode,
      payout.failureMessage,
      payout.arn,
      payout.webhookUrl,
      payout.nextChange,
      payout.nextChangeAt,
      payout.createdAt,
      webhookKey,
      payout.updatedAt,
    ],
  );
}

// What happens by itself --------------------------------------------------------------------------------

/** Payouts whose next change is due, held by this transaction. */
export async function claimDueChanges(tx: Queryable, now: Date, limit: number): Promise<Payout[]> {
  return tx.query<Payout>(
    `select ${PAYOUT} from sandbox_payouts where next_change_at <= $1
     order by next_change_at limit $2 for update skip locked`,
    [now, limit],
  );
}

export async function writeChanges(tx: Queryable, payouts: readonly Payout[]): Promise<void> {
  await tx.query(
    `update sandbox_payouts p
     set status = c.status, failure_code = c."failureCode", failure_message = c."failureMessage", arn = c.arn,
       next_change = null, next_change_at = null, updated_at = c."updatedAt"
     from jsonb_to_recordset($1::jsonb) as c ("sandboxRefundId" text, status text, "failureCode" text,
       "failureMessage" text, arn text, "updatedAt" timestamptz)
     where p.sandbox_refund_id = c."sandboxRefundId"`,
    [JSON.stringify(payouts)],
  );
}

export async function insertWebhooks(tx: Queryable, webhooks: readonly Webhook[], now: Date): Promise<void> {
  if (webhooks.length === 0) return;
  await tx.query(
    `insert into sandbox_webhooks (webhook_id, account, url, body, due_at, created_at)
     select "webhookId", decode("accountHex", 'hex'), url, body, "dueAt", $2
     from jsonb_to_recordset($1::jsonb)
       as w ("webhookId" uuid, "accountHex" text, url text, body text, "dueAt" timestamptz)`,
    [
      JSON.stringify(
        webhooks.map((webhook) => ({ ...webhook, accountHex: webhook.account.toString('hex') })),
      ),
      now,
    ],
  );
}

export interface ClaimedWebhook {
  readonly webhookId: string;
  readonly url: string;
  readonly body: string;
  readonly webhookKey: Buffer;
  /** Tries, this one included. */
  readonly tries: number;
  readonly createdAt: Date;
}

/** Takes due webhooks, or the named one whenever it is due; each is ours until `heldUntil`. */
export async function claimWebhooks(
  db: Queryable,
  which: { readonly dueBy: Date; readonly limit: number } | { readonly webhookId: string },
  heldUntil: Date,
): Promise<ClaimedWebhook[]> {
  const [condition, ...params] =
    'webhookId' in which
      ? ['webhook_id = $2 and tries = 0 limit 1', which.webhookId]
      : ['due_at <= $2 order by due_at limit $3', which.dueBy, which.limit];
  return db.query<ClaimedWebhook>(
    `update sandbox_webhooks w set due_at = $1, tries = tries + 1
     from sandbox_accounts a
     where a.account = w.account and w.webhook_id in (
       select webhook_id from sandbox_webhooks where ${condition} for update skip locked)
     returning w.webhook_id as "webhookId", w.url, w.body, a.webhook_key as "webhookKey", w.tries,
       w.created_at as "createdAt"`,
    [heldUntil, ...params],
  );
}

export async function deleteWebhook(db: Queryable, webhookId: string): Promise<void> {
  await db.query('delete from sandbox_webhooks where webhook_id = $1', [webhookId]);
}

export async function postponeWebhook(db: Queryable, webhookId: string, dueAt: Date): Promise<void> {
  await db.query('update sandbox_webhooks set due_at = $2 where webhook_id = $1', [webhookId, dueAt]);
}

/** When there is something to do next, or null when nothing is planned. */
export async function readNextDue(db: Queryable): Promise<Date | null> {
  const [row] = await db.query<{ at: Date | null }>(
    `select least((select min(next_change_at) from sandbox_payouts where next_change_at is not null),
                  (select min(due_at) from sandbox_webhooks)) as at`,
  );
  return row!.at;
}

// Reading -----------------------------------------------------------------------------------------------

export interface PayoutFilter {
  /** Null: every account's. */
  readonly accounts: readonly Buffer[] | null;
  readonly gatewayPaymentId?: string | undefined;
  readonly refundId?: string | undefined;
  readonly orderId?: string | undefined;
}

export async function readPayout(
  db: Queryable,
  account: Buffer,
  sandboxRefundId: string,
): Promise<Payout | null> {
  const [row] = await db.query<Payout>(
    `select ${PAYOUT} from sandbox_payouts where account = $1 and sandbox_refund_id = $2`,
    [account, sandboxRefundId],
  );
  return row ?? null;
}

/** Oldest first, after the one named. */
export async function listPayouts(
  db: Queryable,
  filter: PayoutFilter,
  after: string | undefined,
  limit: number,
): Promise<Payout[]> {
  return db.query<Payout>(
    `select ${PAYOUT} from sandbox_payouts where ${MATCHES} and ($5::text is null or sandbox_refund_id > $5)
     order by sandbox_refund_id limit $6`,
    [...filterParams(filter), after ?? null, limit],
  );
}

/** Newest first, before the one named. */
export async function listPayoutsBackwards(
  db: Queryable,
  filter: PayoutFilter,
  before: string | undefined,
  limit: number,
): Promise<Payout[]> {
  return db.query<Payout>(
    `select ${PAYOUT} from sandbox_payouts where ${MATCHES} and ($5::text is null or sandbox_refund_id < $5)
     order by sandbox_refund_id desc limit $6`,
    [...filterParams(filter), before ?? null, limit],
  );
}

export interface PayoutTotal {
  readonly currency: string;
  readonly exponent: number;
  readonly status: Payout['status'];
  readonly count: number;
  readonly amountMinor: bigint;
}

/** Of all that match, not only of one page. */
export async function totalPayouts(db: Queryable, filter: PayoutFilter): Promise<PayoutTotal[]> {
  const rows = await db.query<Omit<PayoutTotal, 'amountMinor'> & { amountMinor: string }>(
    `select currency, exponent, status, count(*) as count, sum(amount_minor)::text as "amountMinor"
     from sandbox_payouts where ${MATCHES}
     group by 1, 2, 3 order by 1, 3`,
    filterParams(filter),
  );
  return rows.map((row) => ({ ...row, amountMinor: BigInt(row.amountMinor) }));
}

const MATCHES = `($1::bytea[] is null or account = any ($1)) and ($2::text is null or gateway_payment_id = $2)
  and ($3::text is null or refund_id = $3) and ($4::text is null or order_id = $4)`;

function filterParams(filter: PayoutFilter): unknown[] {
  return [filter.accounts, filter.gatewayPaymentId ?? null, filter.refundId ?? null, filter.orderId ?? null];
}

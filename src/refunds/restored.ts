import type { FoundRefund, GatewayAccountAccess } from '../gateways/gateway.ts';
import { plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { isUuid } from '../lib/ids.ts';
import { capabilitiesOf, circumstances, type EngineDeps, timedHttp } from './engine.ts';
import { decideRestored } from './outcome.ts';
import { type Refund, refundColumns } from './refund.ts';
import { writeChanges } from './store.ts';

/** The books were restored from a backup, and refunds sent between the two may be missing in them. */
export interface Restored {
  readonly backedUpAt: Date;
  /** Until then, a payment's refunds are looked up before another one of it is first sent. */
  readonly watchUntil: Date;
}

/** Longer than gateways allow refunds of a payment, most of them half a year. */
export const WATCH_MS = 365 * 24 * 3_600_000;
const PAGE = 500;

/**
 * What a restore has to do before anything may be sent: every refund that was not final in the backup is marked as
 * decided by `decideRestored`. Runs in the restore's own transaction, so that there is no moment in between. Returns
 * how many there were.
 */
export async function markRestored(
  tx: Queryable,
  deps: Pick<EngineDeps, 'clock' | 'random' | 'gateways' | 'manualReviewAfterMs'>,
  backedUpAt: Date,
): Promise<number> {
  await insertRestore(tx, deps.clock.now(), backedUpAt);
  await recheckAll(tx, deps.clock.now());
  let marked = 0;
  let after: Refund | undefined;
  for (;;) {
    const page = await readOpenRefunds(tx, after, PAGE);
    await writeChanges(
      tx,
      deps.clock,
      page.map((refund) => ({
        ...decideRestored(refund, backedUpAt, circumstances(deps, capabilitiesOf(deps, refund))),
        refund,
        cause: { by: 'restore', backed_up_at: backedUpAt.toISOString() },
      })),
    );
    marked += page.length;
    after = page.at(-1);
    if (page.length < PAGE) return marked;
  }
}

/** The last restore whose watch has not ended; null for books that were never restored. */
export async function readRestored(db: Queryable, now: Date): Promise<Restored | null> {
  const [row] = await db.query<Restored>(
    `select min(backed_up_at) as "backedUpAt", max(watch_until) as "watchUntil" from restores
     where watch_until > $1 having count(*) > 0`,
    [now],
  );
  return row ?? null;
}

/** A payment as the gateway is asked about it. */
export interface AskedPayment {
  readonly merchantId: string;
  readonly gateway: string;
  readonly gatewayAccountId: string;
  readonly gatewayPaymentId: string;
  readonly currency: string;
  readonly exponent: number;
}

export type StrangersAnswer =
  | { readonly kind: 'asked'; readonly strangers: readonly FoundRefund[] }
  /** `answered` as in `LookAnswer`: whether anything answered. */
  | {
      readonly kind: 'busy' | 'misconfigured' | 'no_answer';
      readonly why: string;
      readonly answered: boolean;
    };

/** Asks the gateway for the refunds of a payment and returns those that these books should know and do not. */
export async function findStrangers(
  deps: Pick<EngineDeps, 'db' | 'gateways' | 'gatewayHttp'>,
  restored: Restored,
  payment: AskedPayment,
  access: GatewayAccountAccess,
): Promise<StrangersAnswer> {
  const noAnswer = (why: string) => ({ kind: 'no_answer', why, answered: false }) as const;
  const gateway = deps.gateways.get(payment.gateway);
  if (!gateway) return noAnswer(`there is no connector for ${payment.gateway}`);
  const answer = await gateway
    .findRefunds(payment, access, timedHttp(deps, gateway.capabilities))
    .catch((error: Error) => noAnswer(`the connector failed: ${error.message}`));
  if (answer.kind === 'busy') return { kind: 'busy', why: 'the gateway asks to come later', answered: true };
  if (answer.kind === 'misconfigured')
    return { kind: 'misconfigured', why: answer.errorMessage, answered: true };
  if (answer.kind === 'no_answer') return { kind: 'no_answer', why: answer.why, answered: answer.answered };
  const paidOut = answer.refunds.filter(({ news }) => news.status !== 'failed' && news.status !== 'reversed');
  const known = await readKnownIds(deps.db, payment, paidOut);
  return {
    kind: 'asked',
    strangers: paidOut.filter(
      ({ refundId, news }) =>
        !(refundId !== null && known.has(refundId)) &&
        !(news.gatewayRefundId !== null && known.has(news.gatewayRefundId)) &&
        // Made by hand at the gateway before the backup: that was so before, and is no trace of what was lost.
        !(refundId === null && news.at !== null && news.at < restored.backedUpAt),
    ),
  };
}

/** What a check has learnt of one payment. */
export type CheckedPayment =
  | {
      readonly kind: 'strangers';
      readonly payment: RestoredPayment;
      readonly strangers: readonly FoundRefund[];
    }
  | { readonly kind: 'not_asked'; readonly payment: RestoredPayment; readonly why: string };

const ASKED_AT_ONCE = 8;

/**
 * Asks the gateways for the refunds of every charged payment, and tells of those that these books should know and do
 * not, and of payments that could not be asked about. Changes nothing. Returns how many payments there were.
 */
export async function checkRestored(
  deps: Pick<EngineDeps, 'db' | 'gateways' | 'gatewayHttp' | 'openAccess'>,
  restored: Restored,
  tell: (found: CheckedPayment) => void,
): Promise<number> {
  let checked = 0;
  let after: RestoredPayment | null = null;
  for (;;) {
    const page: RestoredPayment[] = await readChargedPayments(deps.db, after, PAGE);
    for (let from = 0; from < page.length; from += ASKED_AT_ONCE) {
      await Promise.all(
        page.slice(from, from + ASKED_AT_ONCE).map(async (payment) => {
          const access = await deps.openAccess(payment.gatewayAccountId);
          const answer: StrangersAnswer = access
            ? await findStrangers(deps, restored, payment, access)
            : { kind: 'no_answer', why: 'its gateway account cannot be opened', answered: false };
          if (answer.kind !== 'asked') tell({ kind: 'not_asked', payment, why: answer.why });
          else if (answer.strangers.length > 0)
            tell({ kind: 'strangers', payment, strangers: answer.strangers });
        }),
      );
    }
    checked += page.length;
    after = page.at(-1) ?? null;
    if (page.length < PAGE) return checked;
  }
}

/** A charged payment with the order it belongs to and what is left to refund of it, in minor units. */
export interface RestoredPayment extends AskedPayment {
  readonly orderId: string;
  readonly txnId: string;
  readonly remainingMinor: number;
}

/** Charged payments page by page, in the order of their keys. */
async function readChargedPayments(
  db: Queryable,
  after: Pick<RestoredPayment, 'merchantId' | 'orderId' | 'txnId'> | null,
  limit: number,
): Promise<RestoredPayment[]> {
  return db.query<RestoredPayment>(
    `select t.merchant_id as "merchantId", t.order_id as "orderId", t.txn_id as "txnId", t.gateway,
            t.gateway_account_id as "gatewayAccountId", t.gateway_payment_id as "gatewayPaymentId",
            o.currency, o.exponent, t.effective_minor - t.reserved_minor as "remainingMinor"
     from transactions t join orders o using (merchant_id, order_id)
     where t.status = 'CHARGED' and (t.merchant_id, t.order_id, t.txn_id) > ($1, $2, $3)
     order by t.merchant_id, t.order_id, t.txn_id limit $4`,
    [after?.merchantId ?? '', after?.orderId ?? '', after?.txnId ?? '', limit],
  );
}

async function insertRestore(tx: Queryable, restoredAt: Date, backedUpAt: Date): Promise<void> {
  await tx.query('insert into restores (restored_at, backed_up_at, watch_until) values ($1, $2, $3)', [
    restoredAt,
    backedUpAt,
    plusMs(restoredAt, WATCH_MS),
  ]);
}

/** What the gateway has taken back since the backup, a webhook told to books that are gone. */
async function recheckAll(tx: Queryable, now: Date): Promise<void> {
  await tx.query('update refunds set recheck_at = $1 where recheck_at > $1', [now]);
}

async function readOpenRefunds(tx: Queryable, after: Refund | undefined, limit: number): Promise<Refund[]> {
  return tx.query<Refund>(
    `select ${refundColumns('r')} from refunds r
     where next_look_at is not null and (merchant_id, order_id, refund_id) > ($1, $2, $3)
     order by merchant_id, order_id, refund_id limit $4`,
    [
      after?.merchantId ?? '',
      after?.orderId ?? '',
      after?.refundId ?? '00000000-0000-0000-0000-000000000000',
      limit,
    ],
  );
}

/**
 * Of these refunds' ids, ours and the gateway's, those that the merchant's books have. The gateway's count for this
 * payment only: gateways number alike in every account, and a refund that was lost must not pass for another one.
 */
export async function readKnownIds(
  db: Queryable,
  { merchantId, gatewayAccountId, gatewayPaymentId }: AskedPayment,
  found: readonly FoundRefund[],
): Promise<Set<string>> {
  const rows = await db.query<{ id: string }>(
    `select refund_id::text as id from refunds where merchant_id = $1 and refund_id = any($2::uuid[])
     union select gateway_refund_id from refunds where merchant_id = $1 and gateway_refund_id = any($3)
       and gateway_account_id = $4 and gateway_payment_id = $5`,
    [
      merchantId,
      found.flatMap(({ refundId }) => (refundId !== null && isUuid(refundId) ? [refundId] : [])),
      found.flatMap(({ news }) => (news.gatewayRefundId === null ? [] : [news.gatewayRefundId])),
      gatewayAccountId,
      gatewayPaymentId,
    ],
  );
  return new Set(rows.map(({ id }) => id));
}

import type { Cause } from '../audit/events.ts';
import type { Clock } from '../lib/clock.ts';
import { jsonbOf, type Queryable } from '../lib/db.ts';
import { type OrderWithTransactions, readOrder } from './store.ts';

/** What to change of an order; what is absent stays. The amount is in minor units of the order's currency. */
export interface OrderChanges {
  readonly amountMinor?: number;
  readonly customerId?: string;
  readonly customerEmail?: string;
  readonly customerPhone?: string;
  /** Addresses, description, udf1 …: each name given replaces what is there under that name. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export type UpdateOutcome =
  | (OrderWithTransactions & { readonly ok: true })
  | { readonly ok: false; readonly refusal: 'order_not_found' | 'amount_is_final' };

/** Changes an order with its event (contract section 5.1). The amount may change only while the order is NEW. */
export async function updateOrder(
  db: Queryable,
  clock: Clock,
  merchantId: string,
  orderId: string,
  changes: OrderChanges,
  cause: Cause,
): Promise<UpdateOutcome> {
  const before = await readOrder(db, merchantId, orderId);
  if (!before) return { ok: false, refusal: 'order_not_found' };
  if (!(await writeChanges(db, clock, before, changes, cause)))
    return { ok: false, refusal: 'amount_is_final' };
  const after = await readOrder(db, merchantId, orderId);
  if (!after) throw new Error(`order ${orderId} is gone`);
  return { ok: true, ...after };
}

/** False when the amount would change and the order is no longer NEW. */
async function writeChanges(
  db: Queryable,
  clock: Clock,
  { order }: OrderWithTransactions,
  changes: OrderChanges,
  cause: Cause,
): Promise<boolean> {
  // The evidence names what changed without its values: events are for ever, and customers may be forgotten.
  const event = `event_body(merchant_id, order_id, %seq%, $10, 'order.updated', null, null, null, $9::jsonb,
    jsonb_build_object('amount_minor', $3::bigint, 'changed', $11::text[]))`;
  const rows = await db.query(
    `with changed as (
       update orders set
         amount_minor = coalesce($3, amount_minor), customer_id = coalesce($4, customer_id),
         customer_email = coalesce($5, customer_email), customer_phone = coalesce($6, customer_phone),
         details = details || $7::jsonb, metadata = metadata || $8::jsonb, updated_at = $10,
         event_seq = event_seq + 1, event_hash = event_hash(event_hash, ${event.replace('%seq%', 'event_seq + 1')})
       where merchant_id = $1 and order_id = $2
         and (status = 'NEW' or coalesce($3, amount_minor) = amount_minor)
       returning merchant_id, order_id, event_seq, event_hash
     )
     insert into events (merchant_id, order_id, seq, at, body, hash)
     select merchant_id, order_id, event_seq, $10, ${event.replace('%seq%', 'event_seq')}, event_hash from changed
     returning seq`,
    [
      order.merchantId,
      order.orderId,
      changes.amountMinor ?? null,
      changes.customerId ?? null,
      changes.customerEmail ?? null,
      changes.customerPhone ?? null,
      jsonbOf(changes.details ?? {}),
      jsonbOf(changes.metadata ?? {}),
      jsonbOf(cause),
      clock.now(),
      namesOf(changes),
    ],
  );
  return rows.length === 1;
}

function namesOf({ details = {}, metadata = {}, ...columns }: OrderChanges): string[] {
  return [
    ...Object.keys(columns),
    ...Object.keys(details),
    ...Object.keys(metadata).map((name) => `metadata.${name}`),
  ];
}

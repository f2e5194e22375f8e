import type { Cause } from '../audit/events.ts';
import type { Clock } from '../lib/clock.ts';
import { jsonbOf, type Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import { type OrderWithTransactions, readOrder } from './store.ts';

/** An order as the merchant announces it, shapes checked. The amount is in minor units of the currency. */
export interface NewOrder {
  readonly merchantId: string;
  readonly orderId: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
  readonly customerId: string | null;
  readonly customerEmail: string | null;
  readonly customerPhone: string | null;
  /** product_id, description, return_url, udf1 … udf10, addresses: under the contract's own names. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export type CreateRefusal =
  | 'exists_with_other_amount'
  | 'exists_with_other_currency'
  | 'id_differs_only_by_case';

export type CreateOutcome =
  | (OrderWithTransactions & {
      readonly ok: true /** It was there before, and stays as it was. */;
      readonly existed: boolean;
    })
  | {
      readonly ok: false;
      readonly refusal: CreateRefusal /** The order that is there. */;
      readonly existing: OrderWithTransactions;
    };

/**
 * Creates a NEW order with its event. Asking again for the same id, amount and currency gives the order as it
 * is by now; another amount or currency, or an id that differs only by case, is refused and changes nothing.
 */
export async function createOrder(
  db: Queryable,
  clock: Clock,
  input: NewOrder,
  cause: Cause,
): Promise<CreateOutcome> {
  const created = await insertOrder(db, clock, input, cause);
  const found = await readOrder(db, input.merchantId, input.orderId);
  if (!found) throw new Error(`order ${input.orderId} is neither new nor there`);
  if (created) return { ok: true, existed: false, ...found };
  const refusal = contradiction(found, input);
  return refusal ? { ok: false, refusal, existing: found } : { ok: true, existed: true, ...found };
}

function contradiction({ order }: OrderWithTransactions, input: NewOrder): CreateRefusal | null {
  if (order.orderId !== input.orderId) return 'id_differs_only_by_case';
  if (order.currency !== input.currency) return 'exists_with_other_currency';
  if (order.amountMinor !== input.amountMinor) return 'exists_with_other_amount';
  return null;
}

/** True when it was inserted, false when an order of that id, compared without case, was there. */
async function insertOrder(db: Queryable, clock: Clock, input: NewOrder, cause: Cause): Promise<boolean> {
  const rows = await db.query(
    `with turn as materialized (
       select take_turn($1, array['order ' || lower($2)])
     ), event as (
       select event_body($1, $2, 1, $11, 'order.created', null, null, 'NEW', $12::jsonb,
         jsonb_build_object('amount_minor', $4::bigint, 'currency', $5::text)) as body
     ), created as (
       insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, customer_id,
         customer_email, customer_phone, details, metadata, event_seq, event_hash, created_at, updated_at)
       select $1, $2, $3, 'NEW', $4, $5, $6, $7, $8, $9, $10::jsonb, $13::jsonb, 1, event_hash('', body), $11, $11
       from turn, event
       on conflict do nothing
       returning event_hash
     )
     insert into events (merchant_id, order_id, seq, at, body, hash)
     select $1, $2, 1, $11, body, event_hash from event, created
     returning seq`,
    [
      input.merchantId,
      input.orderId,
      newId(),
      input.amountMinor,
      input.currency,
      input.exponent,
      input.customerId,
      input.customerEmail,
      input.customerPhone,
      jsonbOf(input.details),
      clock.now(),
      jsonbOf(cause),
      jsonbOf(input.metadata),
    ],
  );
  return rows.length === 1;
}

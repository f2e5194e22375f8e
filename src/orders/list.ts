import type { Queryable } from '../lib/db.ts';
import { createWhere, lanesOf, pageOfNamed, prefixRange, type Where } from '../lib/where.ts';
import { ORDER_ID } from './order.ts';
import {
  ORDER_COLUMNS,
  type OrderRow,
  type OrderWithTransactions,
  orderOf,
  TRANSACTION_COLUMNS,
  type TransactionRow,
} from './store.ts';

export type OrderSort = 'newest' | 'oldest' | 'amount_desc' | 'amount_asc';

/** Which orders to list; what is absent does not ask. */
export interface OrderFilter {
  readonly merchantId: string;
  /** How an order id begins, or a whole transaction id, gateway payment id, e-mail address or phone number. */
  readonly search?: string | undefined;
  /** Order ids, their beginnings and e-mail addresses are compared without case, all other texts as they are. */
  readonly orderId?: string | undefined;
  readonly orderIdPrefix?: string | undefined;
  readonly txnId?: string | undefined;
  readonly gatewayPaymentId?: string | undefined;
  readonly customerEmail?: string | undefined;
  readonly customerPhone?: string | undefined;
  readonly statuses?: readonly string[] | undefined;
  readonly gateways?: readonly string[] | undefined;
  readonly currency?: string | undefined;
  /** Minor units of the currency; both ends are included. */
  readonly amountFromMinor?: number | undefined;
  readonly amountToMinor?: number | undefined;
  readonly refunded?: 'none' | 'partly' | 'fully' | undefined;
  readonly createdFrom?: Date | undefined;
  /** Not included. */
  readonly createdBefore?: Date | undefined;
  readonly sort: OrderSort;
  /** The last order of the page before: its time in milliseconds or its amount, as the sort has it, and its id. */
  readonly after?: { readonly at: number; readonly id: string } | undefined;
  readonly limit: number;
}

/** An order as a list shows it. */
export interface ListedOrder extends OrderWithTransactions {
  /** What its refunds that are not final hold. */
  readonly refundingMinor: number;
}

/** A page of orders, by keyset: it costs the same wherever it lies. Of one time or amount, ids tell the order. */
export async function listOrders(db: Queryable, filter: OrderFilter): Promise<ListedOrder[]> {
  const where = createWhere();
  const page = pageQuery(where, filter);
  const rows = await db.query<OrderRow & TransactionRow>(
    `with page as (${page})
     select ${ORDER_COLUMNS}, ${TRANSACTION_COLUMNS}
     from page o left join transactions t using (merchant_id, order_id)
     order by ${SORTS[filter.sort].order}, length(t.txn_id), t.txn_id`,
    where.params,
  );
  const found = [...Map.groupBy(rows, (row) => row.order_id).values()].map((ofOne) => orderOf(ofOne)!);
  const refunded = found.filter(({ transactions }) => transactions.some((each) => each.reservedMinor > 0));
  const inFlight = await readInFlight(
    db,
    filter.merchantId,
    refunded.map(({ order }) => order.orderId),
  );
  return found.map((each) => ({ ...each, refundingMinor: inFlight.get(each.order.orderId) ?? 0 }));
}

/** What the refunds of each order hold that are not final; orders without such refunds are left out. */
export async function readInFlight(
  db: Queryable,
  merchantId: string,
  orderIds: readonly string[],
): Promise<Map<string, number>> {
  if (orderIds.length === 0) return new Map();
  const rows = await db.query<{ id: string; held: number }>(
    `select order_id as id, sum(amount_minor)::bigint as held from refunds
     where merchant_id = $1 and order_id = any($2) and next_look_at is not null group by order_id`,
    [merchantId, orderIds],
  );
  return new Map(rows.map(({ id, held }) => [id, held]));
}

const SORTS: Readonly<
  Record<
    OrderSort,
    { readonly order: string; readonly column: string; readonly beyond: readonly [string, string] }
  >
> = {
  newest: { order: 'o.created_at desc, order_id', column: 'o.created_at', beyond: ['<', '>'] },
  oldest: { order: 'o.created_at, order_id desc', column: 'o.created_at', beyond: ['>', '<'] },
  amount_desc: { order: 'o.amount_minor desc, order_id', column: 'o.amount_minor', beyond: ['<', '>'] },
  amount_asc: { order: 'o.amount_minor, order_id desc', column: 'o.amount_minor', beyond: ['>', '<'] },
};

function pageQuery(where: Where, filter: OrderFilter): string {
  const merchant = where.value(filter.merchantId);
  const limit = where.value(filter.limit);
  const walked = walksRefunded(filter);
  // Of a refunded transaction the index has the time of its order too.
  const time = walked ? 't.ordered_at' : 'o.created_at';
  const { order, column } = SORTS[filter.sort];
  const ofMerchant = `o.merchant_id = ${merchant}`;
  where.and(ofMerchant);
  place(where, time, filter);
  const within = where.text();
  narrow(where, merchant, filter);
  const { search, statuses, gateways } = filter;
  const prefix = search ?? filter.orderIdPrefix;
  if (prefix !== undefined) {
    if (search !== undefined && filter.orderIdPrefix !== undefined) {
      where.and(beginsWith(where, filter.orderIdPrefix));
    }
    if (statuses) where.and(`o.status = any(${where.value(statuses)}::text[])`);
    if (gateways) where.and(`o.gateway = any(${where.value(gateways)}::text[])`);
    const begins = ORDER_ID.test(prefix) ? beginsWith(where, prefix) : undefined;
    return pageOfNamed({
      ...{
        table: 'orders',
        as: 'o',
        id: 'order_id',
        ofMerchant,
        within,
        asked: where.text(),
        column,
        order,
        limit,
      },
      begins: begins === undefined ? undefined : { row: begins, index: begins },
      is: search === undefined ? [] : namedSo(where, merchant, search),
    });
  }
  const { from, conditions } = lanesOf(where, [
    { column: 'o.status', values: statuses },
    { column: 'o.gateway', values: gateways },
  ]);
  for (const condition of conditions) where.and(condition);
  const walk = walked
    ? `select o.* from transactions t join orders o using (merchant_id, order_id)
       where t.merchant_id = ${merchant} and t.refunded = ${where.value(filter.refunded)} and ${where.text()}
       order by ${order.replace('o.created_at', time)} limit ${limit}`
    : `select o.* from orders o where ${where.text()} order by ${order} limit ${limit}`;
  return from === '' ? walk : `select o.* from ${from} lateral (${walk}) o order by ${order} limit ${limit}`;
}

/** Whether the refunded transactions lead: not where few orders are left by what else is asked. */
function walksRefunded(filter: OrderFilter): boolean {
  const {
    refunded,
    sort,
    search,
    orderId,
    orderIdPrefix,
    txnId,
    gatewayPaymentId,
    customerEmail,
    customerPhone,
  } = filter;
  const named = [search, orderId, orderIdPrefix, txnId, gatewayPaymentId, customerEmail, customerPhone];
  return (
    (refunded === 'partly' || refunded === 'fully') &&
    !sort.startsWith('amount') &&
    named.every((asked) => asked === undefined)
  );
}

/** Where in the order of the list the page lies. */
function place(where: Where, time: string, filter: OrderFilter): void {
  if (filter.currency !== undefined) where.and(`o.currency = ${where.value(filter.currency)}`);
  if (filter.amountFromMinor !== undefined)
    where.and(`o.amount_minor >= ${where.value(filter.amountFromMinor)}`);
  if (filter.amountToMinor !== undefined) where.and(`o.amount_minor <= ${where.value(filter.amountToMinor)}`);
  if (filter.createdFrom) where.and(`${time} >= ${where.value(filter.createdFrom)}`);
  if (filter.createdBefore) where.and(`${time} < ${where.value(filter.createdBefore)}`);
  if (filter.after) {
    const { beyond } = SORTS[filter.sort];
    const column = SORTS[filter.sort].column === 'o.created_at' ? time : SORTS[filter.sort].column;
    const at = where.value(filter.sort.startsWith('amount') ? filter.after.at : new Date(filter.after.at));
    const id = where.value(filter.after.id);
    where.and(
      `${column} ${beyond[0]}= ${at} and (${column} ${beyond[0]} ${at} or o.order_id ${beyond[1]} ${id})`,
    );
  }
}

function narrow(where: Where, merchant: string, filter: OrderFilter): void {
  if (filter.orderId !== undefined) where.and(`lower(o.order_id) = lower(${where.value(filter.orderId)})`);
  if (filter.txnId !== undefined) where.and(ofTransaction(where, merchant, 'txn_id', filter.txnId));
  if (filter.gatewayPaymentId !== undefined) {
    where.and(ofTransaction(where, merchant, 'gateway_payment_id', filter.gatewayPaymentId));
  }
  if (filter.customerEmail !== undefined) {
    where.and(`lower(o.customer_email) = lower(${where.value(filter.customerEmail)})`);
  }
  if (filter.customerPhone !== undefined)
    where.and(`o.customer_phone = ${where.value(filter.customerPhone)}`);
  if (filter.refunded && !walksRefunded(filter)) where.and(REFUNDED[filter.refunded]);
}

const TRANSACTION_OF =
  'select from transactions t where t.merchant_id = o.merchant_id and t.order_id = o.order_id';
const REFUNDED = {
  none: `not exists (${TRANSACTION_OF} and t.refunded is not null)`,
  partly: `exists (${TRANSACTION_OF} and t.refunded = 'partly')`,
  fully: `exists (${TRANSACTION_OF} and t.refunded = 'fully')`,
} as const;

function namedSo(where: Where, merchant: string, text: string): string[] {
  const value = where.value(text);
  return [
    ofTransaction(where, merchant, 'txn_id', text),
    ofTransaction(where, merchant, 'gateway_payment_id', text),
    `lower(o.customer_email) = lower(${value})`,
    `o.customer_phone = ${value}`,
  ];
}

function beginsWith(where: Where, prefix: string): string {
  const [from, before] = prefixRange(prefix.toLowerCase());
  return `lower(o.order_id) collate "C" >= ${where.value(from)} and lower(o.order_id) collate "C" < ${where.value(before)}`;
}

function ofTransaction(
  where: Where,
  merchant: string,
  column: 'txn_id' | 'gateway_payment_id',
  value: string,
): string {
  return `o.order_id = any(array(select t.order_id from transactions t
    where t.merchant_id = ${merchant} and t.${column} = ${where.value(value)}))`;
}

import type { Queryable } from '../lib/db.ts';
import { isUuid } from '../lib/ids.ts';
import { createWhere, lanesOf, pageOfNamed, prefixRange, type Where } from '../lib/where.ts';
import { type Door, type Refund, refundColumns } from './refund.ts';
import { type PublicStatus, type RefundState, STATE_NAMES, STATES } from './states.ts';

export type RefundSort = 'newest' | 'oldest' | 'due';

/** Which refunds to list; what is absent does not ask. */
export interface RefundFilter {
  readonly merchantId: string;
  /** How an order id begins, or a whole refund id, unique_request_id, gateway refund id, ARN or e-mail address. */
  readonly search?: string | undefined;
  readonly statuses?: readonly PublicStatus[] | undefined;
  readonly states?: readonly RefundState[] | undefined;
  /** Only those that need a person. */
  readonly needsPerson?: boolean | undefined;
  /** Only those that are not final and were due before. */
  readonly overdueAt?: Date | undefined;
  /** Only those that are not final and were made by then. */
  readonly pendingSince?: Date | undefined;
  /** Order ids, their beginnings and e-mail addresses are compared without case, all other texts as they are. */
  readonly orderId?: string | undefined;
  readonly orderIdPrefix?: string | undefined;
  readonly customerEmail?: string | undefined;
  readonly refundId?: string | undefined;
  readonly uniqueRequestId?: string | undefined;
  readonly gatewayAccountIds?: readonly string[] | undefined;
  readonly gatewayRefundId?: string | undefined;
  readonly arn?: string | undefined;
  readonly currency?: string | undefined;
  /** Minor units of the currency; both ends are included. */
  readonly amountFromMinor?: number | undefined;
  readonly amountToMinor?: number | undefined;
  readonly initiatedBy?: string | undefined;
  readonly door?: Door | undefined;
  readonly batchId?: string | undefined;
  readonly createdFrom?: Date | undefined;
  /** Not included. */
  readonly createdBefore?: Date | undefined;
  /** `due`: only those that are not final, the longest due first. */
  readonly sort: RefundSort;
  /** The last refund of the page before: when it was made or due, in milliseconds, and its id. */
  readonly after?: { readonly at: number; readonly id: string } | undefined;
  readonly limit: number;
}

/** A refund with what its order says of the customer. */
export interface RefundOfCustomer {
  readonly refund: Refund;
  readonly customerEmail: string | null;
}

/** A page of refunds, by keyset: it costs the same wherever it lies. */
export async function listRefunds(db: Queryable, filter: RefundFilter): Promise<RefundOfCustomer[]> {
  const where = createWhere();
  const page = pageQuery(where, filter);
  const rows = await db.query<RowOfCustomer>(
    `select ${refundColumns('r')}, ${CUSTOMER} from (${page}) r order by ${SORTS[filter.sort].order}`,
    where.params,
  );
  return rows.map(withCustomer);
}

/** The refund, or null: another merchant's refund is as absent as one that never was (invariant 8). */
export async function readRefundOfCustomer(
  db: Queryable,
  merchantId: string,
  refundId: string,
): Promise<RefundOfCustomer | null> {
  if (!isUuid(refundId)) return null;
  const rows = await db.query<RowOfCustomer>(
    `select ${refundColumns('r')}, ${CUSTOMER} from refunds r where r.merchant_id = $1 and r.refund_id = $2`,
    [merchantId, refundId],
  );
  return rows[0] ? withCustomer(rows[0]) : null;
}

const CUSTOMER = `(select o.customer_email from orders o
  where o.merchant_id = r.merchant_id and o.order_id = r.order_id) as "customerEmail"`;

type RowOfCustomer = Refund & Pick<RefundOfCustomer, 'customerEmail'>;

function withCustomer({ customerEmail, ...refund }: RowOfCustomer): RefundOfCustomer {
  return { refund, customerEmail };
}

const SORTS: Readonly<
  Record<RefundSort, { readonly order: string; readonly key: string; readonly beyond: string }>
> = {
  newest: { order: 'r.created_at desc, r.refund_id desc', key: 'r.created_at', beyond: '<' },
  oldest: { order: 'r.created_at, r.refund_id', key: 'r.created_at', beyond: '>' },
  due: { order: 'r.due_at, r.refund_id', key: 'r.due_at', beyond: '>' },
};

function pageQuery(where: Where, filter: RefundFilter): string {
  const merchant = where.value(filter.merchantId);
  const limit = where.value(filter.limit);
  const { order, key } = SORTS[filter.sort];
  const ofMerchant = `r.merchant_id = ${merchant}`;
  where.and(ofMerchant);
  place(where, filter);
  const within = where.text();
  narrow(where, merchant, filter);
  const { search, orderIdPrefix, gatewayAccountIds } = filter;
  const states = statesOf(filter);
  const prefix = search ?? orderIdPrefix;
  if (prefix !== undefined) {
    if (search !== undefined && orderIdPrefix !== undefined) where.and(beginsWith(where, 'r', orderIdPrefix));
    if (states) where.and(`r.state = any(${where.value(states)}::text[])`);
    if (gatewayAccountIds) where.and(`r.gateway_account_id = any(${where.value(gatewayAccountIds)}::text[])`);
    return pageOfNamed({
      ...{
        table: 'refunds',
        as: 'r',
        id: 'refund_id',
        ofMerchant,
        within,
        asked: where.text(),
        column: key,
        order,
        limit,
      },
      begins: VISIBLE.test(prefix)
        ? { row: beginsWith(where, 'r', prefix), index: ofOrders(merchant, beginsWith(where, 'o', prefix)) }
        : undefined,
      is: search === undefined ? [] : namedSo(where, merchant, search),
    });
  }
  const { from, conditions } = lanesOf(where, [
    { column: 'r.state', values: states },
    { column: 'r.gateway_account_id', values: gatewayAccountIds },
  ]);
  for (const condition of conditions) where.and(condition);
  const walk = `select r.* from refunds r where ${where.text()} order by ${order} limit ${limit}`;
  return from === '' ? walk : `select r.* from ${from} lateral (${walk}) r order by ${order} limit ${limit}`;
}

/** Where in the order of the list the page lies. */
function place(where: Where, filter: RefundFilter): void {
  if (filter.createdFrom) where.and(`r.created_at >= ${where.value(filter.createdFrom)}`);
  if (filter.createdBefore) where.and(`r.created_at < ${where.value(filter.createdBefore)}`);
  if (filter.sort === 'due') where.and('r.next_look_at is not null');
  if (filter.after) {
    const { key, beyond } = SORTS[filter.sort];
    where.and(
      `(${key}, r.refund_id) ${beyond} (${where.value(new Date(filter.after.at))}, ${where.value(filter.after.id)})`,
    );
  }
}

function narrow(where: Where, merchant: string, filter: RefundFilter): void {
  const is = (column: string, value: unknown) => {
    if (value !== undefined) where.and(`r.${column} = ${where.value(value)}`);
  };
  if (filter.orderId !== undefined) {
    where.and(ofOrders(merchant, `lower(o.order_id) = lower(${where.value(filter.orderId)})`));
  }
  if (filter.customerEmail !== undefined) where.and(ofCustomer(where, merchant, filter.customerEmail));
  if (filter.refundId !== undefined) where.and(refundIs(where, filter.refundId));
  is('unique_request_id', filter.uniqueRequestId);
  is('gateway_refund_id', filter.gatewayRefundId);
  is('arn', filter.arn);
  is('currency', filter.currency);
  is('initiated_by', filter.initiatedBy);
  is('door', filter.door);
  // Said once more, so that the indexes without the many that come by API are seen to fit.
  if (filter.initiatedBy !== undefined && filter.initiatedBy !== 'API') where.and(`r.initiated_by <> 'API'`);
  if (filter.door !== undefined && filter.door !== 'api') where.and(`r.door <> 'api'`);
  is('batch_id', filter.batchId);
  if (filter.amountFromMinor !== undefined)
    where.and(`r.amount_minor >= ${where.value(filter.amountFromMinor)}`);
  if (filter.amountToMinor !== undefined) where.and(`r.amount_minor <= ${where.value(filter.amountToMinor)}`);
  if (filter.needsPerson) where.and(`(r.state = 'manual_review' or r.attention is not null)`);
  if (filter.overdueAt)
    where.and(`r.next_look_at is not null and r.due_at < ${where.value(filter.overdueAt)}`);
  if (filter.pendingSince) {
    where.and(`r.next_look_at is not null and r.created_at <= ${where.value(filter.pendingSince)}`);
  }
}

function statesOf(filter: RefundFilter): RefundState[] | undefined {
  if (!filter.statuses && !filter.states && !filter.pendingSince) return undefined;
  return STATE_NAMES.filter(
    (state) =>
      (!filter.pendingSince || !STATES[state].final) &&
      (!filter.statuses || filter.statuses.includes(STATES[state].public)) &&
      (!filter.states || filter.states.includes(state)),
  );
}

function namedSo(where: Where, merchant: string, text: string): string[] {
  const value = where.value(text);
  return [
    ...(isUuid(text) ? [refundIs(where, text)] : []),
    `r.unique_request_id = ${value}`,
    `r.gateway_refund_id = ${value}`,
    `r.arn = ${value}`,
    ofCustomer(where, merchant, text),
  ];
}

const VISIBLE = /^[\x21-\x7e]{1,128}$/;

function refundIs(where: Where, refundId: string): string {
  return isUuid(refundId) ? `r.refund_id = ${where.value(refundId)}` : 'false';
}

function beginsWith(where: Where, as: 'o' | 'r', prefix: string): string {
  const [from, before] = prefixRange(prefix.toLowerCase());
  const folded = `lower(${as}.order_id) collate "C"`;
  return `${folded} >= ${where.value(from)} and ${folded} < ${where.value(before)}`;
}

function ofCustomer(where: Where, merchant: string, email: string): string {
  return ofOrders(merchant, `lower(o.customer_email) = lower(${where.value(email)})`);
}

function ofOrders(merchant: string, condition: string): string {
  return `r.order_id = any(array(select o.order_id from orders o where o.merchant_id = ${merchant} and ${condition}))`;
}

import { listGatewayAccounts } from '../../gateways/accounts.ts';
import { DAY_MS, plusMs } from '../../lib/clock.ts';
import type { Queryable } from '../../lib/db.ts';
import { isUuid } from '../../lib/ids.ts';
import type { RefundFilter } from '../../refunds/list.ts';
import { STATE_NAMES } from '../../refunds/states.ts';
import { PUBLIC_STATUSES, type RefundListQuery } from '../contract/refunds.ts';
import { amountRange, knownWords } from './filters.ts';
import { positionOf } from './pages.ts';

/** What a query of GET /v1/refunds asks for at this moment. Throws ApiError for what does not fit together. */
export async function refundFilterOf(
  db: Queryable,
  merchantId: string,
  query: Omit<RefundListQuery, 'limit'>,
  now: Date,
): Promise<Omit<RefundFilter, 'limit'>> {
  return {
    merchantId,
    search: query.search,
    statuses: knownWords('status', query.status, PUBLIC_STATUSES),
    states: knownWords('state', query.state, STATE_NAMES),
    needsPerson: query.attention === 'true',
    overdueAt: query.overdue === 'true' ? now : undefined,
    pendingSince: query.pending_days === undefined ? undefined : plusMs(now, -query.pending_days * DAY_MS),
    orderId: query.order_id,
    orderIdPrefix: query.order_id_prefix,
    customerEmail: query.customer_email,
    refundId: query.refund_id,
    uniqueRequestId: query.unique_request_id,
    gatewayAccountIds: await accountsMeant(db, merchantId, query),
    gatewayRefundId: query.gateway_refund_id,
    arn: query.arn,
    currency: query.currency,
    ...amountRange(query),
    initiatedBy: query.initiated_by,
    door: query.door,
    batchId: query.batch_id,
    createdFrom: query.created_from === undefined ? undefined : new Date(query.created_from),
    createdBefore: query.created_before === undefined ? undefined : new Date(query.created_before),
    sort: query.sort,
    after: query.cursor === undefined ? undefined : positionOf(query.cursor, query.sort, isUuid),
  };
}

/** The accounts that the filters by gateway and account leave; undefined where there are no such filters. */
async function accountsMeant(
  db: Queryable,
  merchantId: string,
  { gateway, gateway_account_id }: Pick<RefundListQuery, 'gateway' | 'gateway_account_id'>,
): Promise<string[] | undefined> {
  if (gateway === undefined && gateway_account_id === undefined) return undefined;
  const gateways = gateway?.split(',');
  return (await listGatewayAccounts(db, merchantId))
    .filter((account) => gateways === undefined || gateways.includes(account.gateway))
    .map((account) => account.gatewayAccountId)
    .filter((id) => gateway_account_id === undefined || id === gateway_account_id);
}

import { createHash } from 'node:crypto';
import type { Gateway, GatewayHttp } from '../../src/gateways/gateway.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { plusMs, systemClock } from '../../src/lib/clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { newId } from '../../src/lib/ids.ts';
import { createLogger } from '../../src/lib/log.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import type { RefundRequest } from '../../src/refunds/record.ts';
import { createChangeWriter } from '../../src/refunds/writer.ts';

/** A clock that stands until it is moved. */
export class ManualClock implements Clock {
  #now: Date;
  constructor(start = new Date('2026-03-01T10:00:00.000Z')) {
    this.#now = start;
  }
  now(): Date {
    return this.#now;
  }
  pass(durationMs: number): void {
    this.#now = plusMs(this.#now, durationMs);
  }
}

const noNetwork: GatewayHttp = async () => ({ kind: 'not_sent', why: 'this test has no network' });

/** The engine on a test's database, with no network unless one is given. */
export function engineDeps(
  db: Database,
  options: {
    readonly clock?: Clock;
    readonly gateways?: readonly Gateway[];
    readonly http?: GatewayHttp;
    readonly manualReviewAfterMs?: number;
    readonly random?: () => number;
  } = {},
): EngineDeps {
  return {
    db,
    clock: options.clock ?? systemClock,
    random: options.random ?? (() => 0),
    log: createLogger('silent'),
    write: createChangeWriter(db, options.clock ?? systemClock),
    gateways: registryOf(options.gateways ?? []),
    gatewayHttp: options.http ?? noNetwork,
    openAccess: async (accountId) => ({
      accountId,
      identity: 'acct_1 live',
      baseUrl: 'http://gateway.test',
      credentials: {},
    }),
    webhookUrlOf: (accountId) => `http://refundry.test/gateways/${accountId}/webhooks`,
    manualReviewAfterMs: options.manualReviewAfterMs ?? 10 * 24 * 3_600_000,
    wake: () => {},
  };
}

/** A merchant with a gateway account that any connector name may be given. */
export async function merchantWithAccount(
  db: Database,
  options: { merchantId?: string; gateway?: string; accountId?: string; maxConcurrent?: number } = {},
): Promise<{ merchantId: string; accountId: string }> {
  const merchantId = options.merchantId ?? 'acme';
  const accountId = options.accountId ?? `ga_${createHash('md5').update(merchantId).digest('hex')}`;
  await db.query(`insert into merchants values ($1, $1, '{}', now()) on conflict do nothing`, [merchantId]);
  await db.query(
    `insert into gateway_accounts (gateway_account_id, merchant_id, gateway, name, base_url, sealed_credentials,
       shown_credentials, max_concurrent, max_per_second, created_at, updated_at)
     values ($1, $2, $3, 'test', 'http://gateway.test', '', '{}', $4, 10000, now(), now())`,
    [accountId, merchantId, options.gateway ?? 'MODEL', options.maxConcurrent ?? 50],
  );
  await db.query(
    `insert into gateway_health (merchant_id, gateway_account_id, allowance, allowance_at)
     values ($2, $1, 10000, '2020-01-01')`,
    [accountId, merchantId],
  );
  return { merchantId, accountId };
}

export interface ChargedOrder {
  readonly merchantId?: string;
  readonly orderId: string;
  readonly amountMinor: number;
  readonly currency?: string;
  readonly exponent?: number;
  readonly surchargeMinor?: number;
  readonly offerMinor?: number;
  readonly gateway?: string;
  readonly accountId?: string;
  readonly paymentId?: string;
  readonly txnNo?: number;
  readonly status?: string;
}

/** An order and one transaction of it, straight into the tables. */
export async function putOrder(db: Database, order: ChargedOrder): Promise<void> {
  const merchantId = order.merchantId ?? 'acme';
  const status = order.status ?? 'CHARGED';
  await db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, now(), now()) on conflict do nothing`,
    [
      merchantId,
      order.orderId,
      newId(),
      status,
      order.amountMinor,
      order.currency ?? 'INR',
      order.exponent ?? 2,
    ],
  );
  await db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, surcharge_minor,
       offer_minor, gateway, gateway_account_id, gateway_payment_id, payment_method_type, charged_at, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'CARD', now(), now(), now())`,
    [
      merchantId,
      order.orderId,
      `${merchantId}-${order.orderId}-${order.txnNo ?? 1}`,
      newId(),
      status,
      order.amountMinor,
      order.surchargeMinor ?? 0,
      order.offerMinor ?? 0,
      order.gateway ?? 'MODEL',
      order.accountId ?? `ga_${createHash('md5').update(merchantId).digest('hex')}`,
      order.paymentId ?? `pay_${order.orderId}_${order.txnNo ?? 1}`,
    ],
  );
}

/** A request with everything said that most tests do not care about. */
export function refundRequest(
  asked: Partial<RefundRequest> & Pick<RefundRequest, 'orderId' | 'uniqueRequestId' | 'amount'>,
): RefundRequest {
  return {
    merchantId: 'acme',
    txnId: null,
    currency: null,
    refundType: 'STANDARD',
    reason: null,
    note: null,
    metadata: {},
    initiatedBy: 'API',
    door: 'api',
    batchId: null,
    batchRow: null,
    sameAmountWindowMs: 0,
    expectedRemaining: null,
    cause: { by: 'api', key: 'test', request_id: 'req-1' },
    ...asked,
  };
}

import type { Database } from '../../src/lib/db.ts';
import type { Vault } from '../../src/lib/vault.ts';
import { createEndpoint } from '../../src/webhooks/endpoints.ts';
import type { BatchPolicy } from './batch-auditor.ts';

export interface Order {
  readonly merchantId: string;
  readonly orderId: string;
  readonly accountId: string;
  readonly gateway: string;
  readonly payment: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
}

export interface Account {
  readonly accountId: string;
  readonly merchantId: string;
  readonly gateway: string;
}

/** Where a merchant wants to be told. */
export interface Endpoint {
  readonly url: string;
  readonly merchantId: string;
  /** Null: the defaults. */
  readonly events: readonly string[] | null;
}

export interface FirstBooks {
  /** By merchant. */
  readonly policies: ReadonlyMap<string, BatchPolicy>;
  readonly accounts: readonly Account[];
  readonly orders: readonly Order[];
  readonly endpoints: readonly Endpoint[];
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Writes the books of a world as they stand before its first refund: every order is paid. */
export async function writeFirstBooks(
  db: Database,
  vault: Vault,
  at: Date,
  { policies, accounts, orders, endpoints }: FirstBooks,
): Promise<void> {
  await db.query(
    `insert into merchants (merchant_id, name, settings, created_at)
     select id, id, settings, $3 from unnest($1::text[], $2::jsonb[]) m(id, settings)`,
    [[...policies.keys()], [...policies.values()].map(settingsOf), at],
  );
  await db.query(
    `insert into gateway_accounts (gateway_account_id, merchant_id, gateway, name, sealed_credentials,
       shown_credentials, max_concurrent, max_per_second, created_at, updated_at)
     select a.id, a.merchant_id, a.gateway, a.id, '', '{}', 60, 1000, $4, $4
     from unnest($1::text[], $2::text[], $3::text[]) a(id, merchant_id, gateway)`,
    [accounts.map((a) => a.accountId), accounts.map((a) => a.merchantId), accounts.map((a) => a.gateway), at],
  );
  await db.query(
    `insert into gateway_health (merchant_id, gateway_account_id, allowance, allowance_at)
     select a.merchant_id, a.id, 1000, $3 from unnest($1::text[], $2::text[]) a(id, merchant_id)`,
    [accounts.map((a) => a.accountId), accounts.map((a) => a.merchantId), at],
  );
  const column = (of: (order: Order) => unknown) => orders.map(of);
  await db.query(
    `with made as (
       select x.*, event_body(m, o, 1, $6, 'order.created', null, null, null, $7, null) as body
       from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::smallint[]) x(m, o, amount, currency, exponent)
     ), logged as (
       insert into events (merchant_id, order_id, seq, at, body, hash)
       select m, o, 1, $6, body, event_hash('', body) from made
     )
     insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, event_seq,
       event_hash, created_at, updated_at)
     select m, o, gen_random_uuid(), 'CHARGED', amount, currency, exponent, 1, event_hash('', body), $6, $6
     from made`,
    [
      column((o) => o.merchantId),
      column((o) => o.orderId),
      column((o) => o.amountMinor),
      column((o) => o.currency),
      column((o) => o.exponent),
      at,
      JSON.stringify({ by: 'api', key: 'simulated', request_id: 'simulated' }),
    ],
  );
  await db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway,
       gateway_account_id, gateway_payment_id, payment_method_type, charged_at, created_at, updated_at)
     select m, o, 'txn-' || o, gen_random_uuid(), 'CHARGED', amount, gateway, account, payment, 'CARD', $7, $7, $7
     from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
       x(m, o, amount, gateway, account, payment)`,
    [
      column((o) => o.merchantId),
      column((o) => o.orderId),
      column((o) => o.amountMinor),
      column((o) => o.gateway),
      column((o) => o.accountId),
      column((o) => o.payment),
      at,
    ],
  );
  for (const { merchantId, url, events } of endpoints) {
    const made = await createEndpoint(
      {
        db,
        clock: { now: () => new Date(at.getTime() - HOUR) },
        vault,
        allowPrivate: true,
      },
      merchantId,
      { url, events },
    );
    if (!made.ok) throw new Error(made.refusal.message);
  }
}

function settingsOf({ needsApproval, waitMs }: BatchPolicy): string {
  return JSON.stringify({ batch_approval: needsApproval, batch_wait_minutes: waitMs / MINUTE });
}

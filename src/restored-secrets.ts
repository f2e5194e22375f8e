import type { Queryable } from './lib/db.ts';

/** What can open doors or be believed, and came back with the books as it was then. */
export interface RestoredSecrets {
  /** API keys that sleep until somebody wakes them. */
  readonly keysAsleep: number;
  /** Gateway accounts, whose credentials are those of then. */
  readonly accounts: readonly string[];
  /** Webhook endpoints, whose passwords and signing secrets are those of then. */
  readonly endpoints: readonly string[];
}

/** Names them, for who restored the books: what was replaced since is to be replaced again. */
export async function readRestoredSecrets(tx: Queryable): Promise<RestoredSecrets> {
  const [keys] = await tx.query<Pick<RestoredSecrets, 'keysAsleep'>>(
    'select count(*) as "keysAsleep" from api_keys where asleep_since is not null and revoked_at is null',
  );
  const [named] = await tx.query<Omit<RestoredSecrets, 'keysAsleep'>>(
    `select
       array(select format('%s of merchant %s, account "%s"', gateway, merchant_id, name) from gateway_accounts
             order by merchant_id, gateway, name) as accounts,
       array(select format('%s of merchant %s', url, merchant_id) from webhook_endpoints
             order by merchant_id, url) as endpoints`,
  );
  return { ...keys!, ...named! };
}

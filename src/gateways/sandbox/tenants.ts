import type { FastifyRequest } from 'fastify';
import type { Database } from '../../lib/db.ts';
import type { Vault } from '../../lib/vault.ts';
import { openGatewayAccess } from '../accounts.ts';
import type { GatewayRegistry } from '../registry.ts';
import { sandbox } from './connector.ts';
import type { SandboxOptions } from './server.ts';

const REMEMBERED_MS = 5_000;

/**
 * Who has an account at the sandbox that the main server carries: whoever a merchant's SANDBOX gateway account
 * names, and nobody else. A merchant's callers may read the books of the merchant's own accounts.
 */
export function tenantsOf(deps: {
  readonly db: Database;
  readonly vault: Vault;
  readonly gateways: GatewayRegistry;
  /** The merchant that a request comes from, by its API key; null when it has none that works. */
  readonly merchantOf: (request: FastifyRequest) => Promise<string | null>;
}): Required<Pick<SandboxOptions, 'admits' | 'keysOf'>> {
  let known = new Set<string>();
  let knownUntilMs = 0;
  let reading: Promise<void> | null = null;

  async function keysOfMerchant(merchantId: string | null): Promise<string[]> {
    const rows = await deps.db.query<{ id: string }>(
      `select gateway_account_id as id from gateway_accounts
       where gateway = $1 and ($2::text is null or merchant_id = $2)`,
      [sandbox.name, merchantId],
    );
    const accounts = await Promise.all(rows.map(({ id }) => openGatewayAccess(deps, id)));
    return accounts.flatMap((account) => account?.access.credentials['secret_key'] ?? []);
  }

  async function readAll(): Promise<void> {
    known = new Set(await keysOfMerchant(null));
    knownUntilMs = performance.now() + REMEMBERED_MS;
  }

  return {
    async admits(secretKey) {
      if (known.has(secretKey) && performance.now() < knownUntilMs) return true;
      // An account may have been made a moment ago. Strangers cause one reading at a time, not one each.
      await reading;
      reading ??= readAll().finally(() => {
        reading = null;
      });
      await reading;
      return known.has(secretKey);
    },
    async keysOf(request) {
      const merchantId = await deps.merchantOf(request);
      return merchantId === null ? null : keysOfMerchant(merchantId);
    },
  };
}

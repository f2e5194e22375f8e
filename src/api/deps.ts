import type { Settings } from '../config.ts';
import type { GatewayHttp } from '../gateways/gateway.ts';
import type { GatewayRegistry } from '../gateways/registry.ts';
import type { Clock } from '../lib/clock.ts';
import type { Database } from '../lib/db.ts';
import type { Logger } from '../lib/log.ts';
import type { Vault } from '../lib/vault.ts';
import type { EngineDeps } from '../refunds/engine.ts';

/** What routes may reach. */
export interface ApiDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: Settings;
  readonly vault: Vault;
  readonly gateways: GatewayRegistry;
  readonly gatewayHttp: GatewayHttp;
  /** For the refund verbs: `recordRefund(deps.engine, …)`, `cancelRefund(deps.engine, …)` … */
  readonly engine: EngineDeps;
}

/** Who is calling, once the API key has been checked. */
export interface Caller {
  readonly merchantId: string;
  readonly apiKeyId: string;
  readonly apiKeyName: string;
  readonly merchantSettings: Readonly<Record<string, unknown>>;
}

import type { KeyHolder } from '../access/api-keys.ts';
import type { Role } from '../access/roles.ts';
import type { WayIn } from '../access/ways-in.ts';
import type { BatchDeps } from '../batches/deps.ts';
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
  /** For the verbs on batches. */
  readonly batches: BatchDeps;
}

/** A system of the merchant, by its API key. */
export interface KeyCaller extends KeyHolder {
  readonly kind: 'key';
}

/** A person of the merchant's team, by the session of their browser. */
export interface UserCaller {
  readonly kind: 'user';
  readonly merchantId: string;
  readonly userId: string;
  readonly userName: string;
  readonly userEmail: string;
  readonly role: Role;
  /** Whether the person has one; whether it was shown in this session, `openedBy` says. */
  readonly secondFactor: boolean;
  readonly sessionId: string;
  readonly openedBy: WayIn;
  readonly merchantSettings: Readonly<Record<string, unknown>>;
}

/** Who is calling, once key or session has been checked. */
export type Caller = KeyCaller | UserCaller;

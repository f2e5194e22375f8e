import type { AddressInfo } from 'node:net';
import { createApiKey } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { KEY_PERMISSIONS } from '../../src/access/roles.ts';
import { buildServer } from '../../src/api/server.ts';
import type { BatchDeps } from '../../src/batches/deps.ts';
import { readStoppedBatches } from '../../src/batches/store.ts';
import { readSettings } from '../../src/config.ts';
import type { Gateway } from '../../src/gateways/gateway.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { createLogger } from '../../src/lib/log.ts';
import { createVault } from '../../src/lib/vault.ts';
import { type FreshDatabase, freshDatabase } from './database.ts';
import { engineDeps, merchantWithAccount } from './engine.ts';

export interface TestApi extends FreshDatabase {
  readonly url: string;
  readonly port: number;
  /** What the server logged so far, one JSON text for each line. */
  readonly logged: () => string[];
  /** For doing the steps of batches by hand. */
  readonly batches: BatchDeps;
  /** Stops the server and drops the database. */
  close(): Promise<void>;
}

/**
 * The real server on a port of its own, with a database of its own and the merchants `acme` and `other`, each
 * with a gateway account. Their keys are `acme-key` and `other-key`, which may do all that a key can be given. No worker runs. With `db` the server uses that one.
 */
export async function startApi(
  options: {
    clock?: Clock;
    gateways?: readonly Gateway[];
    settings?: Record<string, string>;
    db?: Database;
  } = {},
): Promise<TestApi> {
  const fresh = await freshDatabase();
  const clock = options.clock ?? systemClock;
  const lines: string[] = [];
  const log = createLogger('info', {
    write: (line: string) => lines.push(line),
  } as unknown as NodeJS.WritableStream);
  const engine = {
    ...engineDeps(fresh.db, options),
    log,
    stoppedBatches: () => readStoppedBatches(fresh.db),
  };
  for (const merchantId of ['acme', 'other']) {
    await createMerchant(fresh.db, clock, { merchantId, name: merchantId });
    await merchantWithAccount(fresh.db, { merchantId });
    const name = 'test';
    await createApiKey(fresh.db, clock, {
      merchantId,
      name,
      key: `${merchantId}-key`,
      permissions: KEY_PERMISSIONS,
    });
  }
  const batches = { engine, wake: () => undefined };
  const server = await buildServer({
    db: options.db ?? fresh.db,
    clock,
    log,
    settings: readSettings({ PUBLIC_URL: 'https://refunds.shop.test', ...options.settings }),
    vault: createVault(Buffer.alloc(32, 7)),
    gateways: engine.gateways,
    gatewayHttp: engine.gatewayHttp,
    engine,
    batches,
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  return {
    ...fresh,
    url: `http://127.0.0.1:${port}`,
    port,
    logged: () => lines,
    batches,
    async close() {
      await server.close();
      await fresh.drop();
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect of it
  readonly body: any;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly form?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: NonNullable<RequestInit['body']>;
  /** The merchant that calls, by both headers of the contract; null sends neither. */
  readonly as?: string | null;
}

/** One HTTP request to the server under test; JSON answers come parsed. */
export async function call(api: TestApi, path: string, options: Call = {}): Promise<Answer> {
  const as = options.as === undefined ? 'acme' : options.as;
  const { form, json } = options;
  const body =
    options.body ??
    (form ? new URLSearchParams(form) : json !== undefined ? JSON.stringify(json) : undefined);
  const response = await fetch(`${api.url}${path}`, {
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(as !== null && {
        authorization: `Basic ${Buffer.from(`${as}-key:`).toString('base64')}`,
        'x-merchantid': as,
      }),
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(body !== undefined && { body }),
    redirect: 'manual',
  });
  const text = await response.text();
  const isJson = text !== '' && response.headers.get('content-type')?.startsWith('application/json');
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

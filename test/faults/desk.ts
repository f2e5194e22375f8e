import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createApiKey } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { KEY_PERMISSIONS } from '../../src/access/roles.ts';
import { readSettings } from '../../src/config.ts';
import { startSandbox } from '../../src/gateways/sandbox/server.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/log.ts';
import { type Refundry, startRefundry } from '../../src/main.ts';
import { freshDatabase } from '../support/database.ts';
import { type Caller, caller, chargedAtSandbox, until } from '../support/running.ts';

const KEY = 'rk_faults_test';
const log = createLogger('silent');
const ORDERS = ['o1', 'o2', 'o3', 'o4', 'o5', 'o6'];

/** Refundry on a database that things happen to, and the sandbox gateway on one where all is well. */
export interface Desk {
  readonly program: Refundry;
  readonly client: Caller;
  /** Starts Refundry with six charged orders of 1000.00, o1 to o6. */
  start(databaseUrl: string, pool?: string, settings?: Record<string, string>): Promise<void>;
  /** Starts Refundry on books that it has filled before. */
  resume(databaseUrl: string): Promise<void>;
  /** What Refundry, and its commands, are started with. */
  environment(databaseUrl: string): Record<string, string>;
  /** Over an amount of its own: the same one again would be refused as a likely mistake. */
  refund(orderId: string, key: string, amount?: string): ReturnType<Caller['form']>;
  /** The status of `/health` and its word for the database. */
  health(): Promise<[number, string]>;
  healthIs(status: number, word: string): Promise<unknown>;
  /** Refunds asked for without pause until it is stopped, `most` at most. */
  load(most?: number): Load;
  /** Which refunds the gateway paid. */
  payouts(): Promise<string[]>;
  /** The gateway's books, with its own id of each refund and ours. */
  paid(): Promise<Payout[]>;
  /** Every refund that was accepted is there and has succeeded, and the gateway paid each once. */
  booksAgree(accepted: readonly string[]): Promise<void>;
  stopRefundry(): Promise<void>;
  close(): Promise<void>;
}

export interface Payout {
  readonly id: string;
  readonly refundId: string;
  readonly orderId: string;
  readonly amount: string;
}

export interface Load {
  /** The keys of those that were accepted. */
  readonly accepted: readonly string[];
  /** What was asked for under each key. */
  readonly asked: ReadonlyMap<string, { readonly orderId: string; readonly amount: string }>;
  readonly statuses: ReadonlySet<number>;
  /** The sentences of those that were refused. */
  readonly refusals: ReadonlySet<string>;
  stop(): Promise<void>;
}

export async function openDesk(): Promise<Desk> {
  const books = await freshDatabase();
  const folder = mkdtempSync(join(tmpdir(), 'refundry-desk-'));
  const sandbox = await startSandbox({
    databaseUrl: books.connectionString,
    host: '127.0.0.1',
    port: 0,
    open: true,
    log,
    laterMs: 50,
  });
  let program: Refundry;
  let client: Caller;
  let asked = 0;
  const newAmount = () => (1 + ++asked / 100).toFixed(2);
  const endLoads: (() => Promise<void>)[] = [];
  const run = async (environment: Record<string, string>) => {
    program = await startRefundry(readSettings(environment), { log });
    client = caller(program.url!, KEY, 'acme');
  };

  const desk: Desk = {
    get program() {
      return program;
    },
    get client() {
      return client;
    },
    async start(databaseUrl, pool = '10', settings = {}) {
      await books.db.query('truncate sandbox_payouts, sandbox_keys, sandbox_webhooks, sandbox_tries');
      await run({ ...desk.environment(databaseUrl), DATABASE_POOL_SIZE: pool, ...settings });
      asked = 0;
      await createMerchant(program.db, systemClock, { merchantId: 'acme', name: 'Acme' });
      await createApiKey(program.db, systemClock, {
        merchantId: 'acme',
        name: 'test',
        key: KEY,
        permissions: KEY_PERMISSIONS,
      });
      const credentials = { secret_key: `sbx_sk_${randomBytes(12).toString('hex')}` };
      await client.post('/v1/gateway-accounts', { gateway: 'SANDBOX', name: 'default', credentials });
      for (const orderId of ORDERS)
        await chargedAtSandbox(client, orderId, '1000.00', orderId === 'o6' ? 'sbx_slow' : 'sbx_ok');
    },
    resume: (databaseUrl) => run(desk.environment(databaseUrl)),
    environment: (databaseUrl) => ({
      DATABASE_URL: databaseUrl,
      DATA_DIR: folder,
      MASTER_KEY: '7'.repeat(64),
      PORT: '0',
      SANDBOX_URL: sandbox.url,
      ALLOW_PRIVATE_WEBHOOKS: 'on',
    }),
    refund: (orderId, key, amount = newAmount()) =>
      client.form(`/orders/${orderId}/refunds`, { unique_request_id: key, amount }),
    async health() {
      const answer = await client.get('/health');
      return [answer.status, answer.body.database];
    },
    healthIs: (status, word) =>
      until(
        `health to be ${status} ${word}`,
        async () => ((await desk.health()).join(' ') === `${status} ${word}` ? true : undefined),
        60_000,
      ),
    load(most = 120) {
      const accepted: string[] = [];
      const askedFor = new Map<string, { orderId: string; amount: string }>();
      const statuses = new Set<number>();
      const refusals = new Set<string>();
      let stopped = false;
      let n = 0;
      endLoads.push(async () => {
        stopped = true;
        await Promise.all(lanes);
      });
      const lanes = Array.from({ length: 4 }, async () => {
        while (!stopped && n < most) {
          const key = `r${n++}`;
          const orderId = ORDERS[n % ORDERS.length]!;
          const amount = newAmount();
          askedFor.set(key, { orderId, amount });
          const answer = await desk.refund(orderId, key, amount);
          statuses.add(answer.status);
          if (answer.status === 200) accepted.push(key);
          else refusals.add(answer.body.error_message);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
      return { accepted, asked: askedFor, statuses, refusals, stop: endLoads.at(-1)! };
    },
    payouts: async () => (await desk.paid()).map(({ refundId }) => refundId).sort(),
    paid: () =>
      books.db.query<Payout>(
        `select sandbox_refund_id as id, refund_id as "refundId", order_id as "orderId",
                (amount_minor / 100.0)::numeric(12, 2)::text as amount from sandbox_payouts order by 1`,
      ),
    async booksAgree(accepted) {
      const refunds = await until(
        'every refund to end',
        async () => {
          const rows = await program.db
            .query<{ id: string; key: string; state: string }>(
              'select refund_id::text as id, unique_request_id as key, state from refunds order by 2',
            )
            .catch(() => []);
          return rows.length > 0 && rows.every(({ state }) => state === 'succeeded') ? rows : undefined;
        },
        90_000,
      );
      expect(refunds.map(({ key }) => key)).toEqual(expect.arrayContaining([...accepted]));
      expect(await desk.payouts()).toEqual(refunds.map(({ id }) => id).sort());
    },
    async stopRefundry() {
      for (const end of endLoads.splice(0)) await end();
      await program.stop();
    },
    async close() {
      await sandbox.stop();
      await books.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return desk;
}

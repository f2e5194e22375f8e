import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { createApiKey } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
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
  start(databaseUrl: string, pool?: string): Promise<void>;
  /** Over an amount of its own: the same one again would be refused as a likely mistake. */
  refund(orderId: string, key: string, amount?: string): ReturnType<Caller['form']>;
  /** The status of `/health` and its word for the database. */
  health(): Promise<[number, string]>;
  healthIs(status: number, word: string): Promise<unknown>;
  /** Refunds asked for without pause until it is stopped, `most` at most. */
  load(most?: number): Load;
  /** Which refunds the gateway paid. */
  payouts(): Promise<string[]>;
  /** Every refund that was accepted is there and has succeeded, and the gateway paid each once. */
  booksAgree(accepted: readonly string[]): Promise<void>;
  stopRefundry(): Promise<void>;
  close(): Promise<void>;
}

export interface Load {
  /** The keys of those that were accepted. */
  readonly accepted: readonly string[];
  readonly statuses: ReadonlySet<number>;
  /** The sentences of those that were refused. */
  readonly refusals: ReadonlySet<string>;
  stop(): Promise<void>;
}

export async function openDesk(): Promise<Desk> {
  const books = await freshDatabase();
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
  const endLoads: (() => Promise<void>)[] = [];

  const desk: Desk = {
    get program() {
      return program;
    },
    get client() {
      return client;
    },
    async start(databaseUrl, pool = '10') {
      await books.db.query('truncate sandbox_payouts, sandbox_keys, sandbox_webhooks, sandbox_tries');
      program = await startRefundry(
        readSettings({
          DATABASE_URL: databaseUrl,
          DATABASE_POOL_SIZE: pool,
          MASTER_KEY: '7'.repeat(64),
          PORT: '0',
          SANDBOX_URL: sandbox.url,
          ALLOW_PRIVATE_WEBHOOKS: 'on',
        }),
        { log },
      );
      asked = 0;
      await createMerchant(program.db, systemClock, { merchantId: 'acme', name: 'Acme' });
      await createApiKey(program.db, systemClock, { merchantId: 'acme', name: 'test', key: KEY });
      client = caller(program.url!, KEY, 'acme');
      const credentials = { secret_key: `sbx_sk_${randomBytes(12).toString('hex')}` };
      await client.post('/v1/gateway-accounts', { gateway: 'SANDBOX', name: 'default', credentials });
      for (const orderId of ORDERS)
        await chargedAtSandbox(client, orderId, '1000.00', orderId === 'o6' ? 'sbx_slow' : 'sbx_ok');
    },
    refund: (orderId, key, amount = (1 + ++asked / 100).toFixed(2)) =>
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
          const answer = await desk.refund(ORDERS[n % ORDERS.length]!, key);
          statuses.add(answer.status);
          if (answer.status === 200) accepted.push(key);
          else refusals.add(answer.body.error_message);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
      return { accepted, statuses, refusals, stop: endLoads.at(-1)! };
    },
    async payouts() {
      const rows = await books.db.query<{ id: string }>(
        'select refund_id as id from sandbox_payouts order by 1',
      );
      return rows.map(({ id }) => id);
    },
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
    },
  };
  return desk;
}

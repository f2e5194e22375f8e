import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import { type Clock, plusMs } from '../../src/lib/clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { newId } from '../../src/lib/ids.ts';
import { createLogger } from '../../src/lib/log.ts';
import type { Loop } from '../../src/lib/loop.ts';
import { createVault, type Vault } from '../../src/lib/vault.ts';
import {
  createDeliverer,
  type DelivererDeps,
  type RenderBatch,
  type RenderOrder,
} from '../../src/webhooks/deliver.ts';
import { createEndpoint, type NewEndpoint, type WebhookEndpoint } from '../../src/webhooks/endpoints.ts';
import { createWebhookSender } from '../../src/webhooks/send.ts';
import { freshDatabase } from '../support/database.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A clock that stands still until it is moved. It starts now, since receivers check timestamps against theirs. */
export interface TestClock extends Clock {
  advance(ms: number): void;
}

export interface Scene {
  readonly db: Database;
  readonly clock: TestClock;
  readonly vault: Vault;
  readonly renderOrder: RenderOrder;
  readonly renderBatch: RenderBatch;
  addOrder(input?: {
    merchantId?: string;
    orderId?: string;
    metadata?: Record<string, unknown>;
  }): Promise<string>;
  /** A public change of the order, as the engine writes it: the new status, its event, its notification. */
  change(
    orderId: string,
    eventName: string,
    input?: { merchantId?: string; status?: string; refundId?: string; bulk?: boolean },
  ): Promise<string>;
  addEndpoint(
    input: NewEndpoint,
    merchantId?: string,
  ): Promise<{ endpoint: WebhookEndpoint; signingSecret: string }>;
  /** A worker, started; stopped when the test ends. */
  startWorker(overrides?: Partial<DelivererDeps> & { allowPrivate?: boolean; timeoutMs?: number }): Loop;
  deliveries(): Promise<DeliveryRow[]>;
  tries(deliveryId?: string): Promise<TryRow[]>;
}

export interface DeliveryRow {
  readonly delivery_id: string;
  readonly endpoint_id: string | null;
  readonly event_name: string;
  readonly order_id: string;
  readonly state: string;
  readonly tries: number;
  readonly next_try_at: Date | null;
  readonly try_id: string | null;
  readonly last_outcome: string | null;
  readonly last_status: number | null;
}

export interface TryRow {
  readonly delivery_id: string;
  readonly outcome: string;
  readonly status: number | null;
  readonly detail: string | null;
  readonly response_excerpt: string | null;
  readonly url: string;
  readonly sequence: number;
}

/** A database with the merchants `acme` and `rival`, a clock, and what the tests do with them. */
export async function openScene(): Promise<Scene> {
  const { db, drop } = await freshDatabase();
  cleanups.push(drop);
  let now = new Date();
  const clock: TestClock = {
    now: () => now,
    advance: (ms) => {
      now = plusMs(now, ms);
    },
  };
  const vault = createVault(randomBytes(32));
  for (const merchantId of ['acme', 'rival']) {
    await db.query('insert into merchants (merchant_id, name, created_at) values ($1, $1, $2)', [
      merchantId,
      now,
    ]);
  }
  const { renderOrder, renderBatch, addOrder, change } = sceneOn(db, clock);
  const endpointDeps = { db, clock, vault, allowPrivate: true };

  return {
    db,
    clock,
    vault,
    renderOrder,
    renderBatch,
    addOrder,
    change,
    async addEndpoint(input, merchantId = 'acme') {
      const made = await createEndpoint(endpointDeps, merchantId, input);
      if (!made.ok) throw new Error(made.refusal.message);
      return made.value;
    },
    startWorker({ allowPrivate = true, timeoutMs = 15_000, ...overrides } = {}) {
      const sender = createWebhookSender({ clock, allowPrivate, timeoutMs });
      const worker = createDeliverer({
        db,
        clock,
        random: () => 0.5,
        log: createLogger('silent'),
        vault,
        sender,
        renderOrder,
        renderBatch,
        ...overrides,
      });
      worker.start();
      cleanups.push(sender.close, () => worker.stop());
      return worker;
    },
    deliveries: () => db.query('select * from deliveries order by created_at, delivery_id'),
    tries: (deliveryId) =>
      db.query(
        'select * from delivery_tries where $1::uuid is null or delivery_id = $1 order by at, try_id',
        [deliveryId ?? null],
      ),
  };
}

/** Orders and their public changes on any database. */
export function sceneOn(
  db: Database,
  clock: Clock,
): Pick<Scene, 'renderOrder' | 'renderBatch' | 'addOrder' | 'change'> {
  const renderOrder: RenderOrder = async (merchantId, orderId) => {
    const [row] = await db.query<{ status: string; event_seq: number }>(
      'select status, event_seq from orders where merchant_id = $1 and order_id = $2',
      [merchantId, orderId],
    );
    return row ? { order: { order_id: orderId, status: row.status }, sequence: row.event_seq } : null;
  };
  return {
    renderOrder,
    renderBatch: async () => null,
    async addOrder({ merchantId = 'acme', orderId = `order-${newId()}`, metadata = {} } = {}) {
      await db.query(
        `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, metadata,
           created_at, updated_at)
         values ($1, $2, $3, 'NEW', 10000, 'INR', 2, $4, $5, $5)`,
        [merchantId, orderId, newId(), JSON.stringify(metadata), clock.now()],
      );
      return orderId;
    },
    async change(
      orderId,
      eventName,
      { merchantId = 'acme', status = eventName, refundId, bulk = false } = {},
    ) {
      const notificationId = newId();
      await db.query(
        `with moved as (
           update orders set status = $4, event_seq = event_seq + 1 where merchant_id = $1 and order_id = $2
           returning event_seq)
         insert into notifications (merchant_id, order_id, notification_id, event_name, refund_id, event_seq,
           created_at, spread_at, bulk)
         select $1, $2, $3, $5, $6, event_seq, $7, $7, $8 from moved`,
        [merchantId, orderId, notificationId, status, eventName, refundId ?? null, clock.now(), bulk],
      );
      return notificationId;
    },
  };
}

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly rawBody: string;
  readonly body: {
    readonly id: string;
    readonly event_name: string;
    readonly date_created: string;
    readonly sequence: number;
    readonly content: {
      readonly order: { readonly order_id: string; readonly status: string };
      readonly batch?: unknown;
    };
  };
}

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** Requests that have come in whole and are not answered yet. */
  readonly open: () => number;
}

/** A merchant's server: keeps what it gets and answers as it is told, with 200 at once where it is not. */
export async function startReceiver(
  answer: (response: ServerResponse, received: Received, count: number) => unknown = (response) =>
    response.end(),
): Promise<Receiver> {
  const received: Received[] = [];
  let open = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const rawBody = Buffer.concat(chunks).toString('utf8');
      const one: Received = { headers: request.headers, rawBody, body: JSON.parse(rawBody) };
      received.push(one);
      open++;
      response.on('close', () => open--);
      answer(response, one, received.length);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/hook`, received, open: () => open };
}

/** Answers with a status and nothing else. */
export function status(code: number, headers: Record<string, string> = {}) {
  return (response: ServerResponse) => response.writeHead(code, headers).end();
}

/** Registers something to be undone when the test ends. */
export function afterTest(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

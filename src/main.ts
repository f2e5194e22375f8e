import { ensureDemoKey } from './access/demo-key.ts';
import { ensureDemoPeople } from './access/demo-people.ts';
import { createSettingsKeeper } from './access/waiting-changes.ts';
import { createAuthenticate } from './api/auth.ts';
import type { ApiDeps } from './api/deps.ts';
import { createRenderOrder } from './api/juspay/render-order.ts';
import { buildServer } from './api/server.ts';
import { createRenderBatch } from './api/v1/render-batch.ts';
import { createSealer } from './audit/checkpoint.ts';
import type { BatchDeps } from './batches/deps.ts';
import { createBatchWorker, createStoppedWatch } from './batches/worker.ts';
import { type Doubt, doubtSentence } from './books.ts';
import { createBooksWatch } from './books-watch.ts';
import { createClockWatch, requireRightClock } from './clock-watch.ts';
import { type Settings, withPort } from './config.ts';
import { openConfiguredDatabase } from './database.ts';
import { loadDemo } from './demo.ts';
import { openForWork } from './gateways/accounts.ts';
import type { GatewayHttp } from './gateways/gateway.ts';
import { type GatewayRegistry, registryOf } from './gateways/registry.ts';
import { sandbox } from './gateways/sandbox/connector.ts';
import { type SandboxOptions, sandboxServer } from './gateways/sandbox/server.ts';
import { tenantsOf } from './gateways/sandbox/tenants.ts';
import { stripe } from './gateways/stripe.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import type { Database } from './lib/db.ts';
import { createHttp } from './lib/http.ts';
import { createLogger, type Logger } from './lib/log.ts';
import type { Loop } from './lib/loop.ts';
import { migrate } from './lib/migrate.ts';
import { OperatorError } from './lib/operator-error.ts';
import { freePort, listenOn } from './lib/port.ts';
import { openVault } from './master-key.ts';
import type { EngineDeps } from './refunds/engine.ts';
import { createFigureKeeper } from './refunds/figures.ts';
import { createRefundWorker } from './refunds/worker.ts';
import { createChangeWriter } from './refunds/writer.ts';
import { createDeliverer } from './webhooks/deliver.ts';
import { createWebhookSender } from './webhooks/send.ts';

/** A running Refundry. */
export interface Refundry {
  /** Where its API answers; null for a worker, which has none. */
  readonly url: string | null;
  /** The settings in force: the port is the one it listens on. */
  readonly settings: Settings;
  readonly db: Database;
  /** Where the data lie, for people. */
  readonly place: string;
  /** Why nothing is sent from these books, in sentences; null while they are trusted. */
  readonly inDoubt: () => string | null;
  /** The names of the migrations that this start applied. */
  readonly migrated: readonly string[];
  /** Null without the demo. */
  readonly demoKey: string | null;
  /** What the demo's people sign in with; null without the demo, and once it was changed. */
  readonly demoPassword: string | null;
  /** Takes nothing new, finishes what is in flight, closes the database. May be called again. */
  stop(): Promise<void>;
  /** Ends the embedded PostgreSQL cleanly without waiting for work in flight: leases and retries pick that up. */
  abandon(): Promise<void>;
}

export interface StartOptions {
  readonly clock?: Clock;
  readonly log?: Logger;
  /** Told when the embedded PostgreSQL ended although nobody asked it to; there is nothing left to do but stop. */
  readonly onLost?: (why: string) => void;
}

/** Callers wait; with what follows it, an answer or a 503 comes before most of them give up. */
const STATEMENT_TIMEOUT_MS = 25_000;
const GATEWAY_HTTP = { timeoutMs: 30_000, maxAnswerBytes: 4_000_000, userAgent: 'Refundry/1' };

/**
 * The composition root: settings → database → migrations → gateways → the loops and the server that the role asks
 * for. Everything started is stopped again when a later part fails. Throws OperatorError for what people must mend.
 */
export async function startRefundry(asked: Settings, options: StartOptions = {}): Promise<Refundry> {
  const clock = options.clock ?? systemClock;
  const log = options.log ?? createLogger(asked.logLevel);
  const started: (() => Promise<unknown>)[] = [];
  const stopAll = async () => {
    for (const stopOne of started.splice(0).reverse()) {
      await stopOne().catch((error: unknown) => log.error({ err: error }, 'a part did not stop cleanly'));
    }
  };

  try {
    const settings = await withChosenPort(asked);
    const opened = await openConfiguredDatabase(settings, {
      whenOwned: 'refuse',
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      applicationName: 'refundry serve',
      onIdleError: (error) => log.warn({ err: error }, 'a database connection was lost; another is opened'),
      ...(options.onLost && { onLost: options.onLost }),
    });
    started.push(opened.close);
    const { db } = opened;
    const migrated = await migrate(db, clock);
    await requireRightClock(db, clock);
    const vault = await openVault(settings, db, clock);
    if (settings.databaseUrl !== null && !settings.publicUrlIsSet) {
      log.warn({ public_url: settings.publicUrl }, 'PUBLIC_URL is not set; gateways are given this address');
    }

    const { gateways, gatewayHttp, close: closeHttp } = reachGateways(settings);
    started.push(closeHttp);

    const clockWatch = createClockWatch(db, clock, log);
    const booksWatch = await createBooksWatch(db, clock, log, settings);
    const write = createChangeWriter(db, clock);
    const loops: Loop[] = [];
    const wake = () => {
      booksWatch.changed();
      for (const loop of loops) loop.wake();
    };
    const engine: EngineDeps = {
      db,
      clock,
      write: async (change) => {
        const written = await write(change);
        booksWatch.changed();
        return written;
      },
      random: Math.random,
      log,
      gateways,
      gatewayHttp,
      openAccess: async (id) => {
        const account = await openForWork({ db, clock, vault, gateways, gatewayHttp }, id);
        return account?.enabled ? account.access : null;
      },
      webhookUrlOf: (id) => `${settings.publicUrl}/gateways/${id}/webhooks`,
      manualReviewAfterMs: settings.manualReviewAfterMs,
      get restored() {
        return booksWatch.restored();
      },
      booksInDoubt: booksWatch.inDoubt,
      clockIsRight: clockWatch.isRight,
      stoppedBatches: createStoppedWatch(db),
      wake,
    };
    const batchWorker = createBatchWorker({ engine, wake: () => batchWorker.wake() });
    const batches: BatchDeps = { engine, wake: () => batchWorker.wake() };
    loops.push(booksWatch.loop);
    if (settings.role !== 'api') {
      const sender = createWebhookSender({ clock, allowPrivate: settings.allowPrivateWebhooks });
      started.push(sender.close);
      const renderOrder = createRenderOrder(db, { publicUrl: settings.publicUrl, gateways });
      const renderBatch = createRenderBatch(db);
      loops.push(
        clockWatch.loop,
        createRefundWorker(engine),
        createDeliverer({ db, clock, random: Math.random, log, vault, sender, renderOrder, renderBatch }),
        createSealer({ db, clock, vault, log }),
        createFigureKeeper({ db, log }),
        // Of all that happens, little is about a batch or a setting.
        { ...batchWorker, wake: () => undefined },
        { ...createSettingsKeeper({ db, clock, log }), wake: () => undefined },
      );
    }
    const demoKey = settings.demo ? await ensureDemoKey(db, clock, settings) : null;
    const demoPassword = settings.demo ? await ensureDemoPeople(db, clock, vault) : null;
    if (demoKey !== null) await loadDemo({ db, clock, vault, gateways });
    if (settings.role !== 'worker') {
      const api: ApiDeps = { db, clock, log, settings, vault, gateways, gatewayHttp, engine, batches };
      const server = await buildServer(api);
      if (settings.sandbox !== 'off') {
        await server.register(sandboxServer, { prefix: '/sandbox', ...sandboxOptions(api) });
      }
      started.push(() => server.close());
      await listenOn(settings, () => server.listen({ host: settings.host, port: settings.port }));
    }
    // Stopped before the server is: what they have in flight may need the sandbox to answer.
    for (const loop of loops) {
      started.push(() => loop.stop());
      loop.start();
    }

    let stopping: Promise<void> | undefined;
    return {
      url: settings.role === 'worker' ? null : settings.publicUrl,
      settings,
      db,
      place: opened.place,
      inDoubt: () => sentenceOf(booksWatch.doubt()),
      migrated,
      demoKey,
      demoPassword,
      stop() {
        stopping ??= stopAll();
        return stopping;
      },
      abandon: opened.abandon,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

function sentenceOf(doubt: Doubt | null): string | null {
  return doubt && doubtSentence(doubt);
}

/** Every connector there is, and the way out to their gateways. */
export function reachGateways(settings: Settings): {
  readonly gateways: GatewayRegistry;
  readonly gatewayHttp: GatewayHttp;
  close(): Promise<void>;
} {
  const gateways = registryOf([{ ...sandbox, defaultBaseUrl: settings.sandboxUrl }, stripe]);
  // A merchant chooses where its account lies, so only the sandbox may be near us, unless a setting says otherwise.
  const outside = createHttp({ ...GATEWAY_HTTP, allowPrivate: settings.allowPrivateWebhooks });
  const inside = createHttp({ ...GATEWAY_HTTP, allowPrivate: true });
  const sandboxOrigin = new URL(settings.sandboxUrl).origin;
  return {
    gateways,
    gatewayHttp: (request) =>
      (settings.sandbox !== 'off' && URL.parse(request.url)?.origin === sandboxOrigin
        ? inside
        : outside
      ).send(request),
    async close() {
      await Promise.all([outside.close(), inside.close()]);
    },
  };
}

/** The sandbox as a part of this server: its webhooks come back here, and a caller's API key opens its own books. */
function sandboxOptions(api: ApiDeps): SandboxOptions {
  const { db, clock, log, settings } = api;
  const authenticate = createAuthenticate(api);
  return {
    db,
    clock,
    log,
    open: settings.sandbox === 'open',
    webhookOrigins: [new URL(settings.publicUrl).origin],
    ...tenantsOf({
      ...api,
      async merchantOf(request) {
        const known = await authenticate(request, false);
        return known.ok ? known.caller.merchantId : null;
      },
    }),
  };
}

/** Addresses that gateways and people are given hold the port, so it is chosen before anything is made. */
async function withChosenPort(settings: Settings): Promise<Settings> {
  if (settings.port !== 0 || settings.role === 'worker') return settings;
  const port = await freePort(settings.host, 0);
  if (port === null) throw new OperatorError(`HOST ${settings.host} is not an address of this machine.`);
  return withPort(settings, port);
}

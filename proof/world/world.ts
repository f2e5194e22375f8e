import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApiKey } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { KEY_PERMISSIONS } from '../../src/access/roles.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { type Database, openDatabase } from '../../src/lib/db.ts';
import { newSecret } from '../../src/lib/ids.ts';
import { freePort } from '../../src/lib/port.ts';
import { WEBHOOK_EVENT_NAMES } from '../../src/webhooks/events.ts';
import { runProgram } from '../../test/support/program.ts';
import { type Client, clientOf } from './client.ts';
import { type Kept, keepPostgres, keepRefundry } from './processes.ts';
import { RECEIVER_CREDENTIALS, type Receiver, startReceiver } from './receiver.ts';

/**
 * Everything that a refund meets, in processes of their own: PostgreSQL, Refundry's server and workers on it, the
 * sandbox gateway with a PostgreSQL of its own, and a merchant, whose books and receiver are in this process.
 */
export interface World {
  readonly server: Kept;
  readonly workers: readonly Kept[];
  readonly postgres: Kept;
  readonly sandbox: Kept;
  /** The merchant's programs. */
  readonly client: Client;
  /** Who reads the gateway's books. */
  readonly gatewayBooks: Client;
  readonly receiver: Receiver;
  /** Refundry's database, for looking. */
  readonly db: Database;
  /** Kills one process of PostgreSQL that works for Refundry; the others end with it and start again. */
  killBackend(): Promise<void>;
  /** Lets the holds of killed workers run out at once; no worker may be running. */
  passHolds(): Promise<void>;
  /** `refundry audit verify`: its exit status and what it said. */
  audit(): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }>;
  /** What ended although nobody ended it. */
  endedByItself(): readonly string[];
  close(): Promise<void>;
}

const MERCHANT = 'shop';
const HOST = '127.0.0.1';

/** Where systems take the ports of outgoing connections from, and of servers that do not choose: above these. */
const KEPT_PORTS = { from: 20_000, count: 10_000 };

/** A port that stays free while nobody listens there: the program is killed and started again on it. */
async function keptPort(): Promise<number> {
  for (;;) {
    const port = KEPT_PORTS.from + Math.floor(Math.random() * KEPT_PORTS.count);
    if ((await freePort(HOST, port)) !== null) return port;
  }
}

export async function openWorld(options: {
  readonly workers: number;
  readonly manualReviewAfter: string;
}): Promise<World> {
  const home = await mkdtemp(join(tmpdir(), 'refundry-proof-'));
  // PostgreSQL may run as another user than the proof.
  await chmod(home, 0o755);
  const opened: (() => Promise<unknown>)[] = [() => rm(home, { recursive: true, force: true })];
  const close = async () => {
    for (const closeOne of opened.splice(0).reverse()) await closeOne();
  };
  try {
    const postgres = keepPostgres(join(home, 'refundry'));
    const sandboxPort = String(await keptPort());
    const sandboxDataDir = join(home, 'sandbox');
    const sandboxPostgres = keepPostgres(sandboxDataDir);
    await Promise.all([postgres.start(), sandboxPostgres.start()]);
    opened.push(postgres.stop, sandboxPostgres.stop);
    const quiet = { LOG_LEVEL: 'error', HOST };
    const sandbox = keepRefundry(
      'sandbox gateway',
      { ...quiet, PORT: sandboxPort, DATABASE_URL: sandboxPostgres.connectionString, SANDBOX: 'open' },
      ['sandbox'],
    );
    const serverPort = String(await keptPort());
    const environment = {
      ...quiet,
      DATABASE_URL: postgres.connectionString,
      DATA_DIR: home,
      MASTER_KEY: randomBytes(32).toString('hex'),
      PUBLIC_URL: `http://${HOST}:${serverPort}`,
      SANDBOX_URL: `http://${HOST}:${sandboxPort}/sandbox`,
      ALLOW_PRIVATE_WEBHOOKS: 'on',
      MANUAL_REVIEW_AFTER: options.manualReviewAfter,
      // Left alone, V8 lets the space for young objects grow to some 100 MB, sooner or later by chance; what a process
      // really keeps would not be seen beside that.
      NODE_OPTIONS: '--max-semi-space-size=8',
    };
    const server = keepRefundry('server', { ...environment, ROLE: 'api', PORT: serverPort });
    opened.push(server.stop, sandbox.stop);
    await Promise.all([sandbox.start(), server.start()]);

    const db = openDatabase({
      connectionString: postgres.connectionString,
      maxConnections: 2,
      applicationName: 'proof',
      onIdleError: () => undefined,
    });
    opened.push(db.close);
    const receiver = await startReceiver();
    opened.push(receiver.close);
    const client = await openShop(db, environment.PUBLIC_URL, receiver);

    const workers = Array.from({ length: options.workers }, (_, n) =>
      keepRefundry(`worker ${n + 1}`, { ...environment, ROLE: 'worker' }),
    );
    opened.push(() => Promise.all(workers.map((worker) => worker.stop())));
    await Promise.all(workers.map((worker) => worker.start()));
    return {
      server,
      workers,
      postgres,
      sandbox,
      client,
      gatewayBooks: clientOf(environment.SANDBOX_URL),
      receiver,
      db,
      killBackend: () => killBackend(db),
      passHolds: () => passHolds(db),
      audit: () => runProgram(['audit', 'verify'], environment),
      endedByItself: () => [server, sandbox, ...workers].flatMap((kept) => kept.endedByItself() ?? []),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The merchant, their key, their account at the gateway and their webhook endpoint. */
async function openShop(db: Database, url: string, receiver: Receiver): Promise<Client> {
  await createMerchant(db, systemClock, { merchantId: MERCHANT, name: 'Shop' });
  const { key } = await createApiKey(db, systemClock, {
    merchantId: MERCHANT,
    name: 'proof',
    permissions: KEY_PERMISSIONS,
  });
  const client = clientOf(url, {
    authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}`,
    'x-merchantid': MERCHANT,
  });
  const account = await client.post('/v1/gateway-accounts', {
    gateway: 'SANDBOX',
    credentials: { secret_key: newSecret('sbx_sk_') },
  });
  const endpoint = await client.post('/v1/webhook-endpoints', {
    url: receiver.url,
    ...RECEIVER_CREDENTIALS,
    events: WEBHOOK_EVENT_NAMES,
  });
  if (account.status !== 201 || endpoint.status !== 201) {
    throw new Error(`the shop could not be set up: ${JSON.stringify([account, endpoint])}`);
  }
  receiver.trust(endpoint.body.signing_secret);
  return client;
}

async function killBackend(db: Database): Promise<void> {
  const [backend] = await db.query<{ pid: number }>(
    `select pid from pg_stat_activity where application_name = 'refundry' order by random() limit 1`,
  );
  if (backend) process.kill(backend.pid, 'SIGKILL');
  await sleep(100);
}

async function passHolds(db: Database): Promise<void> {
  const now = systemClock.now();
  await db.query(`update refunds set next_look_at = $1 where state = 'sending'`, [now]);
  await db.query('update deliveries set next_try_at = $1 where try_id is not null', [now]);
}

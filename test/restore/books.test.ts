/** Books that go back in time are noticed, and nothing is sent from them until somebody has said what they are (invariant 3). */
import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createApiKey } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { KEY_PERMISSIONS } from '../../src/access/roles.ts';
import { markBooks } from '../../src/backup.ts';
import { beginEdition, doubtSentence, judgeBooks, type SeenBooks } from '../../src/books.ts';
import { readSettings } from '../../src/config.ts';
import { type RunningSandbox, startSandbox } from '../../src/gateways/sandbox/server.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { openDatabase } from '../../src/lib/db.ts';
import { startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { newId } from '../../src/lib/ids.ts';
import { createLogger } from '../../src/lib/log.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { freePort } from '../../src/lib/port.ts';
import { type Refundry, reachGateways, startRefundry } from '../../src/main.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { runProgram, type Started, startProgram } from '../support/program.ts';
import { type Caller, caller, chargedAtSandbox, DEMO_KEY, newDataDir, until } from '../support/running.ts';

const KEY = 'rk_books_test';
const MASTER_KEY = randomBytes(32).toString('hex');
const log = createLogger('silent');

let gatewaysBooks: FreshDatabase;
let sandbox: RunningSandbox;
let folder: string;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  gatewaysBooks = await freshDatabase();
  sandbox = await startSandbox({
    databaseUrl: gatewaysBooks.connectionString,
    host: '127.0.0.1',
    port: 0,
    open: true,
    log,
    laterMs: 100,
  });
});
afterAll(async () => {
  await sandbox.stop();
  await gatewaysBooks.drop();
});
beforeEach(async () => {
  const home = await newDataDir();
  folder = home.path;
  cleanups.push(home.remove);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const payouts = (orderId: string) =>
  gatewaysBooks.db.query<{ refundId: string }>(
    'select refund_id as "refundId" from sandbox_payouts where order_id = $1 order by created_at',
    [orderId],
  );
const statusOf = async (client: Caller, orderId: string, key: string) => {
  const { body } = await client.get(`/orders/${orderId}`);
  return body.refunds?.find((refund: { unique_request_id: string }) => refund.unique_request_id === key)
    ?.status;
};
const becomes = (client: Caller, orderId: string, key: string, word: string) =>
  until(
    `${key} of ${orderId} to be ${word}`,
    async () => (await statusOf(client, orderId, key)) === word || undefined,
  );
const ask = (client: Caller, orderId: string, key: string, amount: string) =>
  client.form(`/orders/${orderId}/refunds`, { unique_request_id: key, amount });
const health = async (url: string) =>
  (await fetch(`${url}/health`)).json() as Promise<Record<string, string>>;

describe('the embedded database, its folder copied and put back', () => {
  let data: string;
  let environment: Record<string, string>;
  let program: Started | undefined;

  beforeEach(async () => {
    data = join(folder, 'data');
    environment = {
      DATA_DIR: data,
      PORT: String(await freePort('127.0.0.1', 0)),
      DEMO_API_KEY: DEMO_KEY,
      SANDBOX_URL: sandbox.url,
      LOG_LEVEL: 'info',
    };
    cleanups.push(stop);
  });

  async function start(): Promise<Caller> {
    program = await startProgram(environment);
    return caller(program.url!);
  }
  async function stop() {
    const ended = await program?.end('SIGTERM');
    program = undefined;
    return ended?.stderr ?? '';
  }
  /** Everything in the folder, but what is named, becomes what it was in the copy. */
  function putBack(copy: string, keep: (name: string) => boolean) {
    for (const name of readdirSync(data).filter((name) => !keep(name)))
      rmSync(join(data, name), { recursive: true });
    cpSync(copy, data, {
      recursive: true,
      preserveTimestamps: true,
      filter: (path) => !keep(path.split('/').at(-1)!),
    });
  }

  test('beside a mark that stayed, nothing is sent; marked by the command that is named, the lost refund is found', async () => {
    const first = await start();
    await chargedAtSandbox(first, 'o1', '100.00', 'sbx_ok');
    await chargedAtSandbox(first, 'o2', '100.00', 'sbx_ok');
    await stop();
    const copy = join(folder, 'copy');
    cpSync(data, copy, { recursive: true });

    const second = await start();
    await ask(second, 'o1', 'lost', '50.00');
    await becomes(second, 'o1', 'lost', 'SUCCESS');
    await stop();
    putBack(copy, (name) => name.startsWith('books-'));

    const third = await start();
    expect(program!.page).toContain('Nothing is sent. These books went back in time: the mark in');
    expect(await health(program!.url!)).toMatchObject({ status: 'failing', books: 'in_doubt' });
    expect((await ask(third, 'o1', 'lost', '50.00')).status).toBe(200);
    const said = await runProgram(['doctor'], environment);
    const command = /refundry restore --as-of (\S+)"/.exec(said.stdout)![1]!;
    expect(said).toMatchObject({ status: 1, stdout: expect.stringContaining('✗ Books') });
    const confirmed = await runProgram(['confirm-books', '--reason', 'it will be all right'], environment);
    expect(confirmed).toMatchObject({ status: 1, stderr: expect.stringContaining('went back in time') });
    const beside = await runProgram(['restore', '--as-of', command], environment);
    expect(beside).toMatchObject({ status: 1, stderr: expect.stringContaining('Stop every process first') });
    const logged = await stop();
    expect(logged).toMatch(/"level":50.*nothing is sent: These books went back/);
    expect(await payouts('o1')).toHaveLength(1);

    expect(await runProgram(['restore', '--as-of', command], environment)).toMatchObject({ status: 0 });
    const fourth = await start();
    expect(await health(program!.url!)).toMatchObject({ status: 'ok' });
    await becomes(fourth, 'o1', 'lost', 'MANUAL_REVIEW');
    await ask(fourth, 'o2', 'new', '10.00');
    await becomes(fourth, 'o2', 'new', 'SUCCESS');
    expect(await payouts('o1')).toHaveLength(1);
    await stop();
    // What was said stays said.
    await start();
    expect(await health(program!.url!)).toMatchObject({ status: 'ok' });
  }, 300_000);

  test('together with its mark, the webhook of the lost refund stops the account, and the mark elsewhere all', async () => {
    const first = await start();
    await chargedAtSandbox(first, 'o3', '100.00', 'sbx_slow');
    await stop();
    const copy = join(folder, 'copy');
    cpSync(data, copy, { recursive: true });

    const second = await start();
    await ask(second, 'o3', 'lost', '50.00');
    await until('it to be taken by the gateway', async () => (await payouts('o3')).length === 1 || undefined);
    // Killed: the gateway's webhook finds nobody, and is brought again.
    await program!.end('SIGKILL');
    program = undefined;
    await runProgram(['doctor'], environment);
    rmSync(data, { recursive: true });
    renameSync(copy, data);

    const third = await start();
    const account = async () =>
      (await third.get('/v1/gateway-accounts')).body.gateway_accounts.find(
        (one: { gateway: string }) => one.gateway === 'SANDBOX',
      );
    const held = await until(
      'the account to be held',
      async () => (await account()).held ?? undefined,
      60_000,
    );
    const [payout] = await payouts('o3');
    expect(held.refunds).toMatchObject([{ refund_id: payout!.refundId, gateway_payment_id: 'sbx_slow_o3' }]);
    expect((await ask(third, 'o3', 'lost', '50.00')).status).toBe(200);
    const said = await runProgram(['doctor'], environment);
    expect(said.stdout).toMatch(/✗ Accounts .*Nothing is sent through ga_/);
    expect(await statusOf(third, 'o3', 'lost')).toBe('PENDING');
    const logged = await stop();
    expect(logged).toMatch(/"level":50.*nothing more is sent through this gateway account/);

    const asOf = new Date(statSync(join(data, 'master.key')).mtimeMs).toISOString();
    expect(await runProgram(['restore', '--as-of', asOf], environment)).toMatchObject({ status: 0 });
    const fourth = await start();
    await becomes(fourth, 'o3', 'lost', 'MANUAL_REVIEW');
    expect((await fourth.get('/v1/gateway-accounts')).body.gateway_accounts[0].held).toBeNull();
    expect(await payouts('o3')).toHaveLength(1);
  }, 300_000);

  test('a second folder elsewhere notices what a copy of the whole folder hides', async () => {
    environment = { ...environment, WITNESS_DIR: join(folder, 'elsewhere') };
    await start();
    await stop();
    const copy = join(folder, 'copy');
    cpSync(data, copy, { recursive: true });
    const second = await start();
    await chargedAtSandbox(second, 'o4', '100.00', 'sbx_ok');
    await ask(second, 'o4', 'lost', '50.00');
    await becomes(second, 'o4', 'lost', 'SUCCESS');
    await stop();
    rmSync(data, { recursive: true });
    renameSync(copy, data);
    await start();
    expect(program!.page).toContain(`the mark in ${join(folder, 'elsewhere')} was written by later ones`);
  }, 120_000);
});

describe('a database of one’s own', () => {
  let books: FreshDatabase;
  const programs: Refundry[] = [];

  beforeEach(async () => {
    books = await freshDatabase();
    cleanups.push(books.drop, async () => {
      for (const program of programs.splice(0)) await program.stop();
    });
  });

  const environment = (databaseUrl = books.connectionString, dataDir = 'here'): Record<string, string> => ({
    DATABASE_URL: databaseUrl,
    MASTER_KEY,
    PORT: '0',
    DATA_DIR: join(folder, dataDir),
    SANDBOX_URL: sandbox.url,
    ALLOW_PRIVATE_WEBHOOKS: 'on',
  });
  async function start(settings = environment()): Promise<Refundry> {
    const program = await startRefundry(readSettings(settings), { log });
    programs.push(program);
    return program;
  }
  async function merchant(program: Refundry): Promise<Caller> {
    await createMerchant(program.db, systemClock, { merchantId: 'acme', name: 'Acme' });
    await createApiKey(program.db, systemClock, {
      merchantId: 'acme',
      name: 'test',
      key: KEY,
      permissions: KEY_PERMISSIONS,
    });
    const client = caller(program.url!, KEY, 'acme');
    const credentials = { secret_key: `sbx_sk_${randomBytes(12).toString('hex')}` };
    const made = await client.post('/v1/gateway-accounts', {
      gateway: 'SANDBOX',
      name: 'default',
      credentials,
    });
    expect(made.status).toBe(201);
    return client;
  }
  const markFiles = (dataDir: string) =>
    readdirSync(join(folder, dataDir)).filter((name) => name.startsWith('books-'));
  const markOf = (dataDir: string) =>
    JSON.parse(readFileSync(join(folder, dataDir, markFiles(dataDir)[0]!), 'utf8')) as {
      mark: number;
      mark_id: string;
    };
  const insideOf = async (markId: string) =>
    (await books.db.query<{ mark: number }>('select mark from books_marks where mark_id = $1', [markId]))[0]!
      .mark;
  /** Everything in the database of this moment, as another database of the same server. */
  async function copyOf(name: string): Promise<string> {
    const url = new URL(books.connectionString);
    const admin = new URL(books.connectionString);
    admin.pathname = '/postgres';
    const original = url.pathname.slice(1);
    url.pathname = `/${original}_${name}`;
    const run = async (sql: string) => {
      const client = new pg.Client(admin.href);
      await client.connect();
      await client.query(sql).finally(() => client.end());
    };
    await books.db.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`);
    // A template may have no connection: not even the one that asks.
    await run(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${original}'`);
    await run(`create database ${original}_${name} template ${original}`);
    cleanups.push(() => run(`drop database if exists ${original}_${name} with (force)`));
    return url.href;
  }

  test('every process has a mark of its own, which follows what is done and is never ahead of the database', async () => {
    const one = await start(environment(books.connectionString, 'one'));
    await start({ ...environment(books.connectionString, 'two'), ROLE: 'worker' });
    await until(
      'two marks',
      async () => (existsSync(join(folder, 'two')) && markFiles('two').length === 1) || undefined,
    );
    const before = markOf('one').mark;
    const client = await merchant(one);
    for (let n = 0; n < 5; n++) {
      await chargedAtSandbox(client, `m${n}`, '100.00', 'sbx_ok');
      await ask(client, `m${n}`, 'r', '1.00');
      await becomes(client, `m${n}`, 'r', 'SUCCESS');
      for (const dataDir of ['one', 'two']) {
        const { mark, mark_id } = markOf(dataDir);
        expect(mark).toBeLessThanOrEqual(await insideOf(mark_id));
      }
    }
    await until('the mark to follow', async () => markOf('one').mark > before || undefined);
    expect(markOf('one').mark_id).not.toBe(markOf('two').mark_id);
    expect(statSync(join(folder, 'one', markFiles('one')[0]!)).mode & 0o777).toBe(0o600);
    expect((await health(one.url!)).status).toBe('ok');
  }, 60_000);

  test('a copy of an earlier moment is noticed by who has a mark, and stops who has none', async () => {
    const client = await merchant(await start());
    await chargedAtSandbox(client, 'c1', '100.00', 'sbx_ok');
    await programs.pop()!.stop();
    const earlier = await copyOf('earlier');
    const later = await start();
    // A word that the copy will not know of.
    await beginEdition(later.db, systemClock, 'moved');
    await ask(caller(later.url!, KEY, 'acme'), 'c1', 'lost', '50.00');
    await becomes(caller(later.url!, KEY, 'acme'), 'c1', 'lost', 'SUCCESS');
    await programs.pop()!.stop();

    const fresh = await start(environment(earlier, 'a new machine'));
    expect(fresh.inDoubt()).toBeNull();
    const marked = await start(environment(earlier));
    expect(marked.inDoubt()).toContain('These books went back in time');
    await until(
      'the other to stop',
      async () => (await health(fresh.url!)).books === 'in_doubt' || undefined,
    );
    const other = caller(fresh.url!, KEY, 'acme');
    expect((await ask(other, 'c1', 'lost', '50.00')).status).toBe(200);
    expect(await payouts('c1')).toHaveLength(1);
    expect(await statusOf(other, 'c1', 'lost')).toBe('PENDING');

    for (const program of programs.splice(0)) await program.stop();
    const [asOf] = /\d{4}-\S+Z/.exec(marked.inDoubt()!) ?? [new Date(Date.now() - 600_000).toISOString()];
    const said = await runProgram(['restore', '--as-of', asOf], environment(earlier));
    expect(said).toMatchObject({ status: 0, stderr: '' });
    await wakeKeys(environment(earlier));
    const again = await start(environment(earlier));
    expect(again.inDoubt()).toBeNull();
    await becomes(caller(again.url!, KEY, 'acme'), 'c1', 'lost', 'MANUAL_REVIEW');
    expect(await payouts('c1')).toHaveLength(1);
  }, 120_000);

  test('another database under the same folder is other books, and a file that is no mark counts as none', async () => {
    await start();
    await programs.pop()!.stop();
    const other = await freshDatabase();
    cleanups.push(other.drop);
    expect((await start(environment(other.connectionString))).inDoubt()).toBeNull();
    await programs.pop()!.stop();
    expect(markFiles('here')).toHaveLength(2);
    for (const name of markFiles('here')) writeFileSync(join(folder, 'here', name), '{"mark":');
    expect((await start()).inDoubt()).toBeNull();
  }, 60_000);

  test('PostgreSQL that is killed and recovers under a running program raises no alarm', async () => {
    const dataDir = join(folder, 'server');
    const settings = { dataDir, whenOwned: 'refuse' as const, onLost: () => undefined };
    let server = await startEmbeddedPostgres(settings);
    cleanups.push(() => server.stop());
    const db = openDatabase({ connectionString: server.connectionString, maxConnections: 1 });
    await migrate(db);
    await db.close();
    const client = await merchant(await start(environment(server.connectionString)));
    const program = programs.at(-1)!;
    for (let round = 0; round < 2; round++) {
      await chargedAtSandbox(client, `k${round}`, '100.00', 'sbx_ok');
      await ask(client, `k${round}`, 'r', '1.00');
      await becomes(client, `k${round}`, 'r', 'SUCCESS');
      process.kill(
        Number(readFileSync(join(dataDir, 'postgres/cluster/postmaster.pid'), 'utf8').split('\n')[0]),
        'SIGKILL',
      );
      await server.stop();
      server = await startEmbeddedPostgres(settings);
      await until(
        'it to be well',
        async () => (await health(program.url!)).status === 'ok' || undefined,
        60_000,
      );
    }
    await chargedAtSandbox(client, 'k9', '100.00', 'sbx_ok');
    await ask(client, 'k9', 'r', '1.00');
    await becomes(client, 'k9', 'r', 'SUCCESS');
    expect(program.inDoubt()).toBeNull();
    await programs.pop()!.stop();
  }, 180_000);

  test('a restore that was made beside a running program is heeded from its next send on', async () => {
    const program = await start();
    const client = await merchant(program);
    await chargedAtSandbox(client, 'b1', '100.00', 'sbx_ok');
    await ask(client, 'b1', 'first', '10.00');
    await becomes(client, 'b1', 'first', 'SUCCESS');
    const { gateways, close } = reachGateways(program.settings);
    cleanups.push(close);
    const deps = { clock: systemClock, random: () => 0, gateways, manualReviewAfterMs: 864_000_000 };
    await books.db.transaction((tx) => markBooks(tx, deps, new Date(Date.now() - 1_800_000)));
    await wakeKeys(environment());
    await chargedAtSandbox(client, 'b2', '100.00', 'sbx_ok');
    // The gateway has a refund of the payment under an id of ours that these books lost.
    await gatewaysBooks.db.query(
      `update sandbox_payouts set gateway_payment_id = 'sbx_ok_b2', sandbox_refund_id = 'sbxr_lost', refund_id = $1
       where order_id = 'b1'`,
      [newId()],
    );
    expect((await health(program.url!)).status).toBe('ok');
    await ask(client, 'b2', 'second', '20.00');
    await becomes(client, 'b2', 'second', 'MANUAL_REVIEW');
    expect(await payouts('b2')).toEqual([]);
  }, 60_000);
});

/** Restored keys sleep until somebody wakes them. */
async function wakeKeys(settings: Parameters<typeof runProgram>[1]): Promise<void> {
  const woken = await runProgram(['api-key', 'wake', '--all', '--merchant', 'acme'], settings);
  expect(woken).toMatchObject({ status: 0 });
}

describe('the judgement', () => {
  const [first, second, markId] = ['edition-1', 'edition-2', 'mark-1'];
  const at = new Date('2026-03-01T10:00:30.000Z');
  const seen = (changes: Partial<SeenBooks> = {}, books: Partial<SeenBooks['books']> = {}): SeenBooks => ({
    books: {
      booksId: 'b',
      edition: second,
      editionBegunAt: at,
      serverId: '7',
      timeline: 3,
      doubt: null,
      ...books,
    },
    editions: [first, second],
    marks: new Map([[markId, { mark: 100, at }]]),
    latestMarkAt: at,
    server: { serverId: '7', timeline: 3 },
    ...changes,
  });
  const outside = (mark: number, edition = second, writtenAt = at) => [
    { folder: '/data', known: { markId, edition, mark, writtenAt } },
  ];
  const kindOf = (...args: Parameters<typeof judgeBooks>) => judgeBooks(...args)?.kind ?? null;
  const trusting = { losesNothing: true };
  const strict = { losesNothing: false };

  test.each([
    ['no mark yet', [{ folder: '/data', known: null }], null],
    ['a mark that is behind: a commit came after the file', outside(99), null],
    ['a mark that is level', outside(100), null],
    ['a mark that is ahead', outside(101), 'went_back'],
    ['a mark that is ahead, of an edition before the last restore', outside(500, first), null],
    ['an edition that the books do not know', outside(1, 'edition-3'), 'went_back'],
    ['one that they do not know, and a word about them since', outside(1, 'edition-3', new Date(0)), null],
    [
      'a mark that the books have no inside of',
      [{ folder: '/d', known: { markId: 'x', edition: second, mark: 1, writtenAt: at } }],
      'went_back',
    ],
    ['one of two marks that is ahead', [...outside(100), ...outside(101)], 'went_back'],
  ])('%s', (_, marks, kind) => {
    expect(kindOf(seen(), marks, strict)).toBe(kind);
    expect(kindOf(seen(), marks, trusting)).toBe(kind);
  });

  test.each([
    ['the same server and timeline', { serverId: '7', timeline: 3 }, {}, null, null],
    ['another server', { serverId: '8', timeline: 3 }, {}, 'other_server', 'other_server'],
    ['a later timeline', { serverId: '7', timeline: 4 }, {}, 'other_timeline', null],
    ['an earlier timeline', { serverId: '7', timeline: 2 }, {}, 'other_timeline', 'other_timeline'],
    ['a server that tells nothing', { serverId: null, timeline: null }, {}, null, null],
    [
      'books that have not been anywhere yet',
      { serverId: '7', timeline: 9 },
      { serverId: null, timeline: null },
      null,
      null,
    ],
  ])('%s', (_, server, books, kind, whenNothingIsLost) => {
    expect(kindOf(seen({ server }, books), outside(100), strict)).toBe(kind);
    expect(kindOf(seen({ server }, books), outside(100), trusting)).toBe(whenNothingIsLost);
  });

  test('names a time at which the books were surely no further, and the commands that go on', () => {
    const back = judgeBooks(seen(), outside(101), strict)!;
    expect(doubtSentence(back)).toContain(
      'run "refundry restore --as-of 2026-03-01T09:59:30Z" and start again',
    );
    expect(doubtSentence(back)).not.toContain('confirm-books');
    const moved = judgeBooks(seen({ server: { serverId: '8', timeline: 1 } }), outside(100), strict)!;
    expect(doubtSentence(moved)).toContain('"refundry confirm-books --reason …"');
    expect(doubtSentence(moved)).toContain('refundry restore --as-of 2026-03-01T09:59:30Z');
  });
});

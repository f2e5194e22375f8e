import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createApiKey, findCaller, listApiKeys, revokeApiKey } from '../../src/access/api-keys.ts';
import { makeLink, readLink } from '../../src/access/links.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { KEY_PERMISSIONS } from '../../src/access/roles.ts';
import { readTeamMember } from '../../src/access/users.ts';
import { restoreBackup, writeBackup } from '../../src/backup.ts';
import { readSettings } from '../../src/config.ts';
import { type RunningSandbox, startSandbox } from '../../src/gateways/sandbox/server.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/log.ts';
import { type Refundry, reachGateways, startRefundry } from '../../src/main.ts';
import { blankDatabase, type FreshDatabase, freshDatabase } from '../support/database.ts';
import { addPerson } from '../support/people.ts';
import { runProgram } from '../support/program.ts';
import { caller, chargedAtSandbox, until } from '../support/running.ts';

const KEY = 'rk_restore_test';
const MASTER_KEY = randomBytes(32).toString('hex');
const log = createLogger('silent');

let gatewaysBooks: FreshDatabase;
let sandbox: RunningSandbox;
let folder: string;
let original: FreshDatabase;
let empty: FreshDatabase;
let program: Refundry | undefined;

beforeAll(async () => {
  gatewaysBooks = await freshDatabase();
  sandbox = await startSandbox({
    databaseUrl: gatewaysBooks.connectionString,
    host: '127.0.0.1',
    port: 0,
    open: true,
    log,
    laterMs: 100,
    silenceMs: 300,
  });
});
afterAll(async () => {
  await sandbox.stop();
  await gatewaysBooks.drop();
});

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'refundry-restore-'));
  original = await freshDatabase();
  empty = await blankDatabase();
});
afterEach(async () => {
  await program?.stop();
  program = undefined;
  await original.drop();
  await empty.drop();
  rmSync(folder, { recursive: true, force: true });
});

const environment = (database: FreshDatabase): Record<string, string> => ({
  DATABASE_URL: database.connectionString,
  MASTER_KEY,
  PORT: '0',
  DATA_DIR: folder,
  SANDBOX_URL: sandbox.url,
  ALLOW_PRIVATE_WEBHOOKS: 'on',
});

async function start(database: FreshDatabase) {
  // Keys sleep in restored books, and these tests are about the money.
  if (database === empty) await database.db.query('update api_keys set asleep_since = null');
  program = await startRefundry(readSettings(environment(database)), { log });
  return caller(program.url!, KEY, 'acme');
}

async function startWithAccount() {
  await createMerchant(original.db, systemClock, { merchantId: 'acme', name: 'Acme' });
  await createApiKey(original.db, systemClock, {
    merchantId: 'acme',
    name: 'test',
    key: KEY,
    permissions: KEY_PERMISSIONS,
  });
  const client = await start(original);
  const made = await client.post('/v1/gateway-accounts', {
    gateway: 'SANDBOX',
    name: 'default',
    credentials: { secret_key: `sbx_sk_${randomBytes(12).toString('hex')}` },
  });
  expect(made.status).toBe(201);
  return { client, accountId: made.body.gateway_account_id as string };
}

const restore = (path: string, into = empty, masterKey = MASTER_KEY) => {
  const settings = readSettings({ ...environment(into), MASTER_KEY: masterKey });
  const { gateways } = reachGateways(settings);
  const deps = { clock: systemClock, random: () => 0, gateways, manualReviewAfterMs: 864_000_000 };
  return restoreBackup(into.db, settings, deps, path);
};

type Client = Awaited<ReturnType<typeof start>>;
const statusOf = async (client: Client, orderId: string) => (await client.get(`/orders/${orderId}`)).body;
const ended = (client: Client, orderId: string, word: string) =>
  until(`${orderId} to be ${word}`, async () => {
    const order = await statusOf(client, orderId);
    return order.refunds?.length > 0 && order.refunds.every((r: { status: string }) => r.status === word)
      ? order
      : undefined;
  });
const payouts = (orderId: string) =>
  gatewaysBooks.db.query<{ amount: number; status: string }>(
    'select amount_minor as amount, status from sandbox_payouts where order_id = $1 order by amount_minor',
    [orderId],
  );
const switchAccount = (url: string, accountId: string, enabled: boolean) =>
  fetch(`${url}/v1/gateway-accounts/${accountId}`, {
    method: 'PATCH',
    headers: { authorization: `Basic ${btoa(`${KEY}:`)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ enabled }),
  });

test('backed up, refunded on, destroyed, restored: nothing is sent twice, and what was sent since is found', async () => {
  const file = join(folder, 'backup.gz');
  const { client, accountId } = await startWithAccount();
  for (const behaviour of ['sbx_ok', 'sbx_slow', 'sbx_fail', 'sbx_stuck']) {
    await chargedAtSandbox(client, `before-${behaviour}`, '100.00', behaviour);
    await client.form(`/orders/before-${behaviour}/refunds`, { unique_request_id: 'r1', amount: '10.00' });
  }
  await ended(client, 'before-sbx_ok', 'SUCCESS');
  await ended(client, 'before-sbx_slow', 'SUCCESS');
  await ended(client, 'before-sbx_fail', 'FAILURE');
  for (const orderId of ['queued-sent', 'queued-lost', 'since-1', 'since-2'])
    await chargedAtSandbox(client, orderId, '100.00', orderId === 'queued-lost' ? 'sbx_lost' : 'sbx_ok');
  await switchAccount(program!.url!, accountId, false);
  for (const orderId of ['queued-sent', 'queued-lost'])
    await client.form(`/orders/${orderId}/refunds`, { unique_request_id: 'r1', amount: '10.00' });

  const backup = await runProgram(['backup', file], environment(original));
  expect(backup).toMatchObject({ status: 0, stderr: '' });
  expect(statSync(file).mode & 0o777).toBe(0o600);

  await switchAccount(program!.url!, accountId, true);
  await original.db.query('update refunds set next_look_at = now() where next_look_at is not null');
  await ended(client, 'queued-sent', 'SUCCESS');
  await ended(client, 'queued-lost', 'SUCCESS');
  for (const amount of ['20.00', '30.00'])
    await client.form('/orders/since-1/refunds', { unique_request_id: `lost-${amount}`, amount });
  await client.form('/orders/before-sbx_ok/refunds', { unique_request_id: 'lost', amount: '7.00' });
  await ended(client, 'since-1', 'SUCCESS');
  await ended(client, 'before-sbx_ok', 'SUCCESS');
  await program!.stop();
  await original.db.query('drop schema public cascade');

  const restored = await runProgram(['restore', file], environment(empty));
  expect(restored).toMatchObject({ status: 0, stderr: '' });
  expect(restored.stdout).toContain('3 refunds were under way');
  expect(restored.stdout).toContain('1 API keys sleep');
  expect(restored.stdout).toContain('SANDBOX of merchant acme, account "default"');
  expect(restored.stdout).toContain('Nothing was changed behind the back of Refundry.');

  const check = await runProgram(['restore', '--check'], environment(empty));
  expect(check.status).toBe(3);
  const lines = check.stdout.split('\n').filter((line) => line.startsWith('merchant acme'));
  expect(lines.map((line) => /order (\S+),.* over (\S+ INR)/.exec(line)!.slice(1).join(' ')).sort()).toEqual([
    'before-sbx_ok 7.00 INR',
    'since-1 20.00 INR',
    'since-1 30.00 INR',
  ]);

  const again = await start(empty);
  await switchAccount(program!.url!, accountId, true);
  await empty.db.query('update refunds set next_look_at = now() where next_look_at is not null');
  await ended(again, 'queued-sent', 'SUCCESS');
  await ended(again, 'queued-lost', 'SUCCESS');
  // The shop asks again for what it finds no more; and for something that nobody had asked for before.
  await again.form('/orders/since-1/refunds', { unique_request_id: 'lost-20.00', amount: '20.00' });
  await again.form('/orders/since-2/refunds', { unique_request_id: 'new', amount: '40.00' });
  const held = await ended(again, 'since-1', 'MANUAL_REVIEW');
  await ended(again, 'since-2', 'SUCCESS');

  expect(await payouts('queued-sent')).toEqual([{ amount: 1000, status: 'succeeded' }]);
  expect(await payouts('queued-lost')).toEqual([{ amount: 1000, status: 'succeeded' }]);
  expect(await payouts('since-1')).toEqual([
    { amount: 2000, status: 'succeeded' },
    { amount: 3000, status: 'succeeded' },
  ]);
  expect(await payouts('since-2')).toEqual([{ amount: 4000, status: 'succeeded' }]);
  const [{ attention, refund_id }] = (await again.get('/v1/refunds?order_id=since-1')).body.refunds;
  expect(attention).toContain('20.00 INR');
  expect(held.amount_refunded).toBe(20);

  // A person says which refund of the gateway it is; the other one of the payment is still not in the books.
  const [payout] = await gatewaysBooks.db.query<{ id: string }>(
    `select sandbox_refund_id as id from sandbox_payouts where order_id = 'since-1' and amount_minor = 2000`,
  );
  // By our id the gateway knows none, so that one alone may say so only where it cannot be asked.
  const account = `/v1/gateway-accounts/${(await again.get(`/v1/refunds/${refund_id}`)).body.gateway_account_id}`;
  expect((await again.patch(account, { enabled: false })).status).toBe(200);
  const resolved = await again.post(`/v1/refunds/${refund_id}/resolve`, {
    outcome: 'succeeded',
    gateway_refund_id: payout!.id,
    evidence: 'The refund of that day at the gateway.',
  });
  expect((await again.patch(account, { enabled: true })).status).toBe(200);
  expect(resolved.status).toBe(200);
  const after = await runProgram(['restore', '--check'], environment(empty));
  expect(after.stdout).not.toContain(payout!.id);
  expect(after.stdout).toContain('over 30.00 INR');
  const verified = await runProgram(['audit', 'verify'], environment(empty));
  expect(verified).toMatchObject({ status: 0 });
}, 120_000);

test('a refund that was waiting, and that the gateway never got, is sent once after the restore', async () => {
  const file = join(folder, 'backup.gz');
  const { client, accountId } = await startWithAccount();
  await chargedAtSandbox(client, 'never-sent', '100.00', 'sbx_ok');
  await switchAccount(program!.url!, accountId, false);
  await client.form('/orders/never-sent/refunds', { unique_request_id: 'r1', amount: '10.00' });
  await writeBackup(original.db, systemClock, file);
  await program!.stop();
  expect(await restore(file)).toMatchObject({ marked: 1 });

  const again = await start(empty);
  const [refund] = await empty.db.query<Record<string, unknown>>(
    'select state, key_used_at, unanswered from refunds',
  );
  expect(refund).toMatchObject({ state: 'unknown', key_used_at: expect.any(Date), unanswered: 1 });
  await switchAccount(program!.url!, accountId, true);
  await ended(again, 'never-sent', 'SUCCESS');
  expect(await payouts('never-sent')).toEqual([{ amount: 1000, status: 'succeeded' }]);
}, 60_000);

test('a batch that had rows left goes on only when somebody says so, and nothing of it is paid twice', async () => {
  const file = join(folder, 'backup.gz');
  const { client } = await startWithAccount();
  const ids = ['b1', 'b2', 'b3'];
  for (const id of ids) await chargedAtSandbox(client, id, '100.00', 'sbx_ok');
  const rows = ids.map((id) => `${id},r1,10.00,INR,\n`).join('');
  const made = await client.patch('/v1/settings', { batch_wait_minutes: 1 });
  expect(made.status).toBe(200);
  const uploaded = await client.file(
    '/v1/batches',
    `order_id,unique_request_id,amount,currency,note\n${rows}`,
  );
  const path = `/v1/batches/${uploaded.body.batch_id}`;
  await until('the check', async () => (await client.get(path)).body.status === 'checked' || undefined);
  await client.post(`${path}/confirm`, { totals: { INR: '30.00' } });
  await writeBackup(original.db, systemClock, file);
  // Since the backup, its rows were sent.
  await original.db.query(`update batches set next_step_at = now()`);
  for (const id of ids) await ended(client, id, 'SUCCESS');
  await program!.stop();
  expect(await restore(file)).toMatchObject({ paused: 1 });

  const again = await start(empty);
  expect((await again.get(path)).body).toMatchObject({ status: 'paused', rows: { made: 0, left: 3 } });
  expect(await empty.db.query('select 1 from refunds')).toEqual([]);
  await again.post(`${path}/resume`, {});
  for (const id of ids) await ended(again, id, 'MANUAL_REVIEW');
  for (const id of ids) expect(await payouts(id)).toEqual([{ amount: 1000, status: 'succeeded' }]);
}, 60_000);

test('a restore keeps the people, but signs them out and ends their links', async () => {
  const file = join(folder, 'backup.gz');
  const { db } = original;
  await startWithAccount();
  await program!.stop();
  const userId = await addPerson(db, { role: 'admin' });
  const now = systemClock.now();
  await db.query(
    `insert into sessions (id, user_id, token, expires_at, created_at, updated_at) values ($1, $1, 't', $2, $2, $2)`,
    [userId, now],
  );
  const link = {
    merchantId: 'acme',
    userId,
    email: 'admin@acme.test',
    name: 'A',
    role: 'admin',
    madeBy: 'test',
    madeById: null,
  };
  const { token } = await makeLink(db, systemClock, { ...link, role: 'admin' });
  expect(await readLink(db, systemClock, token)).toMatchObject({ userId });
  await writeBackup(db, systemClock, file);
  await restore(file);
  expect(await readTeamMember(empty.db, 'acme', userId)).toMatchObject({ role: 'admin', hasPassword: true });
  expect(await empty.db.query('select from sessions')).toEqual([]);
  expect(await readLink(empty.db, systemClock, token)).toBeNull();
});

test('a key that was revoked since the backup does not work after the restore, until somebody wakes it', async () => {
  const file = join(folder, 'backup.gz');
  const { client } = await startWithAccount();
  await client.post('/v1/webhook-endpoints', { url: 'http://127.0.0.1:9/hook' });
  await createApiKey(original.db, systemClock, { merchantId: 'acme', name: 'gone before', key: 'gone' });
  const [gone] = (await listApiKeys(original.db, 'acme')).filter(({ name }) => name === 'gone before');
  await revokeApiKey(original.db, systemClock, 'acme', gone!.apiKeyId);
  await writeBackup(original.db, systemClock, file);
  const [key] = (await listApiKeys(original.db, 'acme')).filter(({ name }) => name === 'test');
  await revokeApiKey(original.db, systemClock, 'acme', key!.apiKeyId);
  await program!.stop();
  expect(await restore(file)).toMatchObject({
    secrets: {
      keysAsleep: 1,
      accounts: ['SANDBOX of merchant acme, account "default"'],
      endpoints: ['http://127.0.0.1:9/hook of merchant acme'],
    },
  });
  expect(await findCaller(empty.db, systemClock, KEY)).toBeNull();

  const api = (...words: string[]) =>
    runProgram(['api-key', ...words, '--merchant', 'acme'], environment(empty));
  expect((await api('list')).stdout).toMatch(/test .* sleeps since the restore of /);
  expect((await api('wake')).status).toBe(2);
  expect((await api('wake', gone!.apiKeyId)).status).toBe(1);
  expect(await api('wake', key!.apiKeyId)).toMatchObject({ status: 0 });
  expect(await findCaller(empty.db, systemClock, KEY)).toMatchObject({ apiKeyName: 'test' });
  expect(await findCaller(empty.db, systemClock, 'gone')).toBeNull();
}, 120_000);

test('the guards of the tables are on after a restore', async () => {
  const file = join(folder, 'backup.gz');
  const { client } = await startWithAccount();
  await chargedAtSandbox(client, 'o1', '100.00', 'sbx_stuck');
  await client.form('/orders/o1/refunds', { unique_request_id: 'r1', amount: '60.00' });
  await program!.stop();
  await writeBackup(original.db, systemClock, file);
  await restore(file);
  const { db } = empty;
  await expect(db.query('delete from refunds')).rejects.toThrow('only ever inserted');
  await expect(db.query('update events set hash = $1', [Buffer.alloc(32)])).rejects.toThrow(
    'only ever inserted',
  );
  await expect(db.query(`update refunds set state = 'cancelled', next_look_at = null`)).rejects.toThrow(
    'may not go',
  );
  expect(await db.query(`select tgname from pg_trigger where not tgisinternal and tgenabled <> 'O'`)).toEqual(
    [],
  );
  const [{ reserved }] = (await db.query('select reserved_minor as reserved from transactions')) as [
    { reserved: number },
  ];
  expect(reserved).toBe(6000);
  await expect(restore(file)).rejects.toThrow('The database is not empty');
});

test.each([
  ['cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length - 40)],
  ['cut off at the end of a line', (bytes: Buffer) => gzipSync(gunzipSync(bytes).subarray(0, -18))],
  [
    'changed in one row',
    (bytes: Buffer) => gzipSync(gunzipSync(bytes).toString('utf8').replace('r1\t', 'r2\t')),
  ],
  [
    'without one row',
    (bytes: Buffer) =>
      gzipSync(
        gunzipSync(bytes)
          .toString('utf8')
          .replace(/\n[^\n]*NEW[^\n]*\n/, '\n'),
      ),
  ],
  ['not a backup', () => gzipSync('{"a":1}\n')],
  ['no gzip', () => Buffer.from('hello')],
])('a file that is %s restores nothing, and the database can still be filled', async (_, damage) => {
  const file = join(folder, 'backup.gz');
  const damaged = join(folder, 'damaged.gz');
  const { client } = await startWithAccount();
  await chargedAtSandbox(client, 'o1', '100.00', 'sbx_stuck');
  await client.post('/orders', { order_id: 'o2', amount: 5, customer_id: 'NEW' });
  await client.form('/orders/o1/refunds', { unique_request_id: 'r1', amount: '60.00' });
  await program!.stop();
  await writeBackup(original.db, systemClock, file);
  writeFileSync(damaged, damage(readFileSync(file)));
  await expect(restore(damaged)).rejects.toThrow(/is damaged.*the file holds|ends too early|is not a/);
  expect(await empty.db.query(`select 1 from pg_class where relname = 'refunds'`)).toEqual([]);
  expect((await restore(file)).tables.find(({ table }) => table === 'refunds')).toMatchObject({ rows: 1 });
});

test('a database that keeps something otherwise than it was given is not filled', async () => {
  const file = join(folder, 'backup.gz');
  await startWithAccount();
  await program!.stop();
  await writeBackup(original.db, systemClock, file);
  const other = await freshDatabase();
  try {
    // It fills names up with spaces, and says nothing about it.
    await other.db.query('alter table merchants alter column name type char(50)');
    await expect(restore(file, other)).rejects.toThrow('the database now holds');
    expect(await other.db.query('select 1 from merchants')).toEqual([]);
  } finally {
    await other.drop();
  }
});

test('a backup whose migrations this program does not have so restores nothing', async () => {
  const file = join(folder, 'backup.gz');
  await startWithAccount();
  await program!.stop();
  await writeBackup(original.db, systemClock, file);
  const [first, ...rest] = gunzipSync(readFileSync(file)).toString('latin1').split('\n');
  const header = JSON.parse(first!) as {
    migrations: { name: string; sha256: string }[];
    verbs: { name: string; sha256: string; program: string }[];
  };
  for (const changed of [
    header.migrations.with(1, { ...header.migrations[1]!, sha256: '0'.repeat(64) }),
    [...header.migrations, { name: '9999_later.sql', sha256: '0'.repeat(64) }],
  ]) {
    const text = [JSON.stringify({ ...header, migrations: changed }), ...rest].join('\n');
    writeFileSync(file, gzipSync(Buffer.from(text, 'latin1')));
    await expect(restore(file)).rejects.toThrow('does not have in that form');
  }
  const { verbs } = header;
  for (const changed of [
    verbs.with(1, { ...verbs[1]!, sha256: '0'.repeat(64), program: '999.0.0' }),
    [...verbs, { name: 'verbs/later.sql', sha256: '0'.repeat(64), program: '999.0.0' }],
  ]) {
    const text = [JSON.stringify({ ...header, verbs: changed }), ...rest].join('\n');
    writeFileSync(file, gzipSync(Buffer.from(text, 'latin1')));
    await expect(restore(file)).rejects.toThrow('Refundry 999.0.0 had migrated');
  }
  expect(await empty.db.query(`select 1 from pg_class where relname = 'refunds'`)).toEqual([]);
});

test('another master key restores nothing', async () => {
  const file = join(folder, 'backup.gz');
  await startWithAccount();
  await program!.stop();
  await writeBackup(original.db, systemClock, file);
  await expect(restore(file, empty, 'a'.repeat(64))).rejects.toThrow('is not the key');
  expect(await empty.db.query(`select 1 from pg_class where relname = 'refunds'`)).toEqual([]);
});

test('a backup under traffic is of one moment: its books balance, and each order is whole', async () => {
  const file = join(folder, 'backup.gz');
  const { client } = await startWithAccount();
  let stopped = false;
  let n = 0;
  const traffic = Array.from({ length: 4 }, async () => {
    while (!stopped) {
      const orderId = `traffic-${n++}`;
      await chargedAtSandbox(client, orderId, '100.00', 'sbx_ok');
      await client.form(`/orders/${orderId}/refunds`, { unique_request_id: 'r1', amount: '60.00' });
    }
  });
  await until('some traffic', async () => (n > 20 ? true : undefined));
  await writeBackup(original.db, systemClock, file);
  stopped = true;
  await Promise.all(traffic);
  await program!.stop();
  const { tables } = await restore(file);
  expect(tables.find(({ table }) => table === 'orders')!.rows).toBeGreaterThan(5);
  const verified = await runProgram(['audit', 'verify'], environment(empty));
  expect(verified).toMatchObject({ status: 0 });
}, 60_000);

test('a database that was restored by other means is marked as of that time', async () => {
  const { client, accountId } = await startWithAccount();
  await chargedAtSandbox(client, 'o1', '100.00', 'sbx_ok');
  await switchAccount(program!.url!, accountId, false);
  await client.form('/orders/o1/refunds', { unique_request_id: 'r1', amount: '60.00' });
  await program!.stop();
  const asOf = new Date(Date.now() - 1000).toISOString();
  const marked = await runProgram(['restore', '--as-of', asOf], environment(original));
  expect(marked).toMatchObject({ status: 0, stderr: '' });
  expect(marked.stdout).toContain('1 refunds were under way');
  const found = await original.db.query('select state, key_used_at from refunds');
  expect(found).toEqual([{ state: 'unknown', key_used_at: new Date(asOf) }]);
  for (const wrong of ['yesterday', '2026-02-30', '2999-01-01T00:00:00Z']) {
    const refused = await runProgram(['restore', '--as-of', wrong], environment(original));
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('is not a time in the past'),
    });
  }
});

test('the command line says what it wants', async () => {
  expect(await runProgram(['restore'], environment(empty))).toMatchObject({ status: 2 });
  const missing = await runProgram(['restore', join(folder, 'none.gz')], environment(empty));
  expect(missing).toMatchObject({ status: 1, stderr: `There is no file ${join(folder, 'none.gz')}.\n` });
  const check = await runProgram(['restore', '--check'], environment(original));
  expect(check).toMatchObject({ status: 1 });
  expect(check.stderr).toContain('was not restored from a backup');
  writeFileSync(join(folder, 'there.gz'), '');
  const twice = await runProgram(['backup', join(folder, 'there.gz')], environment(original));
  expect(twice).toMatchObject({ status: 1 });
  expect(twice.stderr).toContain('is there already');
});

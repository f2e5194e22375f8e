/**
 * How fast a file of refunds is taken, checked and made into refunds: `node bench/batch.ts` (`--rows 100000` for another size).
 * The limits beside the figures are plain SQL on the same database in the same run, on as many rows: one COPY of the file
 * into a table, one join of it with orders and payments, and one INSERT of the rows that a batch leaves behind (refunds, events,
 * notifications, heads of orders, reservations), into tables with the same indexes, without checking anything.
 *
 * It fails where the whole takes more than twice as long as plain SQL, or the server needs more than 512 MB.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { from as copyFrom } from 'pg-copy-streams';
import { createApiKey } from '../src/access/api-keys.ts';
import { createMerchant } from '../src/access/merchants.ts';
import { buildServer } from '../src/api/server.ts';
import { doNextStep } from '../src/batches/worker.ts';
import { readSettings } from '../src/config.ts';
import { registryOf } from '../src/gateways/registry.ts';
import { sandbox } from '../src/gateways/sandbox/connector.ts';
import { systemClock } from '../src/lib/clock.ts';
import type { Database } from '../src/lib/db.ts';
import { createLogger } from '../src/lib/log.ts';
import { createVault } from '../src/lib/vault.ts';
import type { EngineDeps } from '../src/refunds/engine.ts';
import { foldFigures } from '../src/refunds/figures.ts';
import { createChangeWriter } from '../src/refunds/writer.ts';
import { onFreshDatabase } from './support.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '1000000' }, slice: { type: 'string' } },
});
const ROWS = Number(values.rows);
const MOST_TIMES = 2;
const MOST_BYTES = 512 * 1024 * 1024;
const KEY = 'bench_key_for_batches';
const MERCHANT = 'bench';
const ACCOUNT = 'ga_bench';

await onFreshDatabase(async (db) => {
  await fill(db);
  console.log(`${ROWS} rows, as many orders`);
  const limits = {
    upload: await timed(() => plainCopy(db)),
    check: await timed(() => plainJoin(db)),
    creation: await timed(() => plainInsert(db)),
  };
  await db.query('vacuum analyze');
  await db.query('checkpoint');

  const engine = engineOf(db);
  const batches = { engine, wake: () => undefined };
  const server = await buildServer({
    ...engine,
    settings: readSettings({ PUBLIC_URL: 'http://127.0.0.1:1', SANDBOX: 'off', LOG_LEVEL: 'silent' }),
    vault: createVault(Buffer.alloc(32, 7)),
    engine,
    batches,
  });
  await createApiKey(db, systemClock, { merchantId: MERCHANT, name: 'bench', key: KEY });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  const bytesBefore = process.memoryUsage.rss();
  let mostBytes = 0;
  const watch = setInterval(() => {
    mostBytes = Math.max(mostBytes, process.memoryUsage.rss());
  }, 50);
  const ask = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Basic ${Buffer.from(`${KEY}:`).toString('base64')}`, ...init.headers },
    });
    // biome-ignore lint/suspicious/noExplicitAny: what the API says
    const body: any = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${JSON.stringify(body)}`);
    return body;
  };
  const options = {
    runAhead: Number.POSITIVE_INFINITY,
    ...(values.slice && { slice: Number(values.slice) }),
  };
  const untilStatus = async (
    id: string,
    done: (batch: { status: string; rows: { total: number; left: number } }) => boolean,
  ) => {
    for (;;) {
      await doNextStep(batches, options);
      const [row] = await db.query<{ status: string; total: number; left: number; file: boolean }>(
        `select status, rows_total as total, rows_confirmed - rows_tried as left from batches where batch_id = $1`,
        [id],
      );
      if (done({ status: row!.status, rows: row! })) return;
    }
  };

  let batch = { batch_id: '', check: { totals: {} }, rows: { good: 0, made: 0 } };
  const uploaded = await timed(async () => {
    batch = await ask('/v1/batches?name=bench', {
      method: 'POST',
      body: Readable.toWeb(Readable.from(file())) as ReadableStream,
      headers: { 'content-type': 'text/csv' },
      duplex: 'half',
    } as RequestInit);
    await untilStatus(batch.batch_id, () => true);
  });
  const checked = await timed(() => untilStatus(batch.batch_id, ({ status }) => status === 'checked'));
  batch = await ask(`/v1/batches/${batch.batch_id}`);
  if (batch.rows.good !== ROWS) throw new Error(`not all rows are good: ${JSON.stringify(batch)}`);
  await ask(`/v1/batches/${batch.batch_id}/confirm`, {
    method: 'POST',
    body: JSON.stringify({ totals: batch.check.totals }),
    headers: { 'content-type': 'application/json' },
  });
  const folding = setInterval(() => void foldFigures(db).catch(() => undefined), 2_000);
  const created = await timed(() => untilStatus(batch.batch_id, ({ rows }) => rows.left === 0));
  clearInterval(folding);
  batch = await ask(`/v1/batches/${batch.batch_id}`);
  if (batch.rows.made !== ROWS) throw new Error(`not all rows became refunds: ${JSON.stringify(batch)}`);
  clearInterval(watch);
  await server.close();

  print('upload (bytes kept, rows read into the database)', uploaded, limits.upload);
  print('check', checked, limits.check);
  print('creation', created, limits.creation);
  const whole = uploaded + checked + created;
  const limit = limits.upload + limits.check + limits.creation;
  print('the whole', whole, limit);
  console.log(
    `memory of the server and this program: at most ${megabytes(mostBytes)}, before the upload ${megabytes(bytesBefore)}`,
  );
  if (whole > MOST_TIMES * limit) fail(`The whole took more than ${MOST_TIMES} times as long as plain SQL.`);
  if (mostBytes > MOST_BYTES) fail('The server needed more than 512 MB.');
});

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`;
}

function fail(why: string): void {
  console.error(why);
  process.exitCode = 1;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

function print(what: string, seconds: number, limitSeconds: number): void {
  const rate = (took: number) => `${Math.round(ROWS / took)}/s`.padStart(10);
  console.log(
    `${what.padEnd(50)} ${rate(seconds)} (${seconds.toFixed(1)} s)   plain SQL ${rate(limitSeconds)} (${limitSeconds.toFixed(1)} s)` +
      `   ${(seconds / limitSeconds).toFixed(2)} times as long`,
  );
}

function* file(header = true): Generator<string> {
  if (header) yield 'order_id,unique_request_id,amount,currency,note\r\n';
  const at = 5_000;
  for (let from = 1; from <= ROWS; from += at) {
    let lines = '';
    for (let n = from; n < Math.min(from + at, ROWS + 1); n++) {
      lines += `b-${String(n).padStart(9, '0')},refund-${n},${1 + (n % 900)}.${String(n % 100).padStart(2, '0')},INR,"Return ${n}, as agreed"\r\n`;
    }
    yield lines;
  }
}

function engineOf(db: Database): EngineDeps {
  const clock = systemClock;
  return {
    db,
    clock,
    write: createChangeWriter(db, clock),
    random: Math.random,
    log: createLogger('silent'),
    gateways: registryOf([sandbox]),
    gatewayHttp: () => Promise.reject(new Error('nothing is sent here')),
    openAccess: async () => null,
    webhookUrlOf: () => '',
    manualReviewAfterMs: 864_000_000,
    wake: () => undefined,
  };
}

async function fill(db: Database): Promise<void> {
  await createMerchant(db, systemClock, { merchantId: MERCHANT, name: MERCHANT });
  await db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, gateway, created_at, updated_at)
     select $1, 'b-' || lpad(n::text, 9, '0'), gen_random_uuid(), 'CHARGED', 1000000, 'INR', 2, 'SANDBOX', now(), now()
     from generate_series(1, $2::int) n`,
    [MERCHANT, ROWS],
  );
  await db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
       gateway_payment_id, payment_method_type, charged_at, created_at, updated_at)
     select $1, 'b-' || lpad(n::text, 9, '0'), $1 || '-b-' || n || '-1', gen_random_uuid(), 'CHARGED', 1000000, 'SANDBOX', $3,
       'pay_' || n, 'CARD', now(), now(), now() from generate_series(1, $2::int) n`,
    [MERCHANT, ROWS, ACCOUNT],
  );
  await db.query('vacuum analyze');
  await db.query('checkpoint');
}

// Plain SQL ----------------------------------------------------------------------------------------------------------

async function plainCopy(db: Database): Promise<void> {
  await db.query(
    'create table plain_rows (order_id text, request_id text, amount text, currency text, note text)',
  );
  const client = await db.connect();
  try {
    await pipeline(
      Readable.from(file(false)),
      client.query(copyFrom('copy plain_rows from stdin (format csv)')),
    );
  } finally {
    client.release();
  }
  await db.query('analyze plain_rows');
}

async function plainJoin(db: Database): Promise<void> {
  await db.query(
    `create table plain_found as
     select p.*, t.txn_id, t.gateway, t.effective_minor - t.reserved_minor as rest_minor, (p.amount::numeric * 100)::bigint as asked_minor
     from plain_rows p
     join orders o on o.merchant_id = $1 and lower(o.order_id) = lower(p.order_id)
     join transactions t on t.merchant_id = o.merchant_id and t.order_id = o.order_id and t.status = 'CHARGED'
     where (p.amount::numeric * 100)::bigint <= t.effective_minor - t.reserved_minor`.replace(
      '$1',
      `'${MERCHANT}'`,
    ),
  );
}

/** The same rows into the same indexes, in slices, with no question asked. */
async function plainInsert(db: Database): Promise<void> {
  for (const table of ['refunds', 'events', 'notifications', 'unsealed_orders']) {
    await db.query(`create table plain_${table} (like ${table} including all)`);
  }
  await db.query('create table plain_orders (like orders including all)');
  await db.query('insert into plain_orders select * from orders');
  await db.query(
    'create table plain_transactions (merchant_id text, order_id text, txn_id text, reserved_minor bigint not null default 0, primary key (merchant_id, order_id, txn_id))',
  );
  await db.query('insert into plain_transactions select merchant_id, order_id, txn_id, 0 from transactions');
  await db.query('vacuum analyze plain_orders');
  const slice = 10_000;
  for (let from = 1; from <= ROWS; from += slice) {
    await db.query(
      `with taken as (
         select f.*, gen_random_uuid() as refund_id, 'b' || n as batch,
                jsonb_build_object('merchant_id', $1::text, 'order_id', f.order_id, 'seq', 1, 'at', now(), 'kind', 'refund.recorded',
                  'refund_id', null, 'from', null, 'to', 'queued', 'cause', jsonb_build_object('by', 'batch', 'row', n),
                  'evidence', jsonb_build_object('amount_minor', asked_minor, 'currency', currency)) as body
         from generate_series($2::int, $3::int) n
         join plain_found f on f.order_id = 'b-' || lpad(n::text, 9, '0')
       ), made as (
         insert into plain_refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency, exponent, state,
           gateway, gateway_account_id, gateway_payment_id, payment_method_type, refund_type, idempotency_key, note, initiated_by, door,
           batch_id, batch_row, lane, created_at, updated_at, due_at, next_look_at, review_at, event_seq)
         select $1, order_id, refund_id, request_id, txn_id, asked_minor, currency, 2, 'queued', gateway, $4, 'pay_' || order_id, 'CARD',
           'STANDARD', substr(md5(order_id), 1, 22), note, 'bench', 'batch', $5::uuid, 1, 2, now(), now(), now(), now(), now(), 1
         from taken
       ), logged as (
         insert into plain_events (merchant_id, order_id, seq, at, body, hash)
         select $1, order_id, 1, now(), body, sha256(body::text::bytea) from taken
       ), told as (
         insert into plain_notifications (merchant_id, order_id, notification_id, event_name, refund_id, event_seq, created_at, spread_at, bulk)
         select $1, order_id, gen_random_uuid(), 'REFUND_INITIATED', refund_id, 1, now(), now(), true from taken
       ), unsealed as (
         insert into plain_unsealed_orders select $1, order_id from taken
       ), heads as (
         update plain_orders o set event_seq = 1, event_hash = sha256(t.body::text::bytea), updated_at = now()
         from taken t where o.merchant_id = $1 and o.order_id = t.order_id
       )
       update plain_transactions x set reserved_minor = reserved_minor + t.asked_minor
       from taken t where x.merchant_id = $1 and x.order_id = t.order_id and x.txn_id = t.txn_id`,
      [MERCHANT, from, Math.min(from + slice - 1, ROWS), ACCOUNT, '01900000-0000-7000-8000-000000000001'],
    );
  }
}

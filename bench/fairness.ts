/**
 * Whether a batch holds up single refunds: `node bench/fairness.ts`. A single refund every 200 ms, through one gateway account
 * that allows 100 calls in a second: from the answer to its caller until it goes out to the gateway, first by themselves, which is
 * the limit, then while a batch of 100,000 rows (`--rows`) runs on the same account. Everything in one process and one embedded
 * PostgreSQL, on durable storage.
 *
 * It fails where half of the single refunds take more than three times as long while the batch runs, and more than 100 ms.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readSettings } from '../src/config.ts';
import { startRefundry } from '../src/main.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '100000' }, seconds: { type: 'string', default: '30' } },
});
const ROWS = Number(values.rows);
const SINGLES = Number(values.seconds) * 5;
const EVERY_MS = 200;
const PER_SECOND = 100;
const MOST_TIMES = 3;
const UNNOTICED_MS = 100;
const KEY = `bench_${randomBytes(12).toString('hex')}`;

const dataDir = await mkdtemp(join(tmpdir(), 'refundry-bench-'));
const running = await startRefundry(
  readSettings({
    DATA_DIR: dataDir,
    PORT: '0',
    DEMO_API_KEY: KEY,
    LOG_LEVEL: 'silent',
    DATABASE_POOL_SIZE: '16',
  }),
);
try {
  const account = await post('/v1/gateway-accounts', {
    gateway: 'SANDBOX',
    name: 'bench',
    credentials: { secret_key: `sbx_sk_${randomBytes(12).toString('hex')}` },
    max_concurrent: 32,
    max_per_second: PER_SECOND,
  });
  await fill(account.gateway_account_id);
  const alone = await singles('alone');
  const file = Array.from({ length: ROWS }, (_, n) => `row-${n},b,1.00,INR,\n`).join('');
  const batch = await call(
    '/v1/batches?name=bench',
    `order_id,unique_request_id,amount,currency,note\n${file}`,
    'text/csv',
  );
  const path = `/v1/batches/${batch.batch_id}`;
  const checked = await untilBatch(path, ({ status }) => status === 'checked');
  await post(`${path}/confirm`, { totals: checked.check.totals });
  const before = await untilBatch(path, ({ refunds }) => refunds.sent > 10);
  const begun = performance.now();
  const beside = await singles('beside');
  const seconds = (performance.now() - begun) / 1000;
  const after = await get(path);
  if (after.status !== 'running') throw new Error(`the batch came to its end too soon: ${after.status}`);

  print('alone', alone);
  print(`while a batch of ${ROWS} rows runs`, beside);
  console.log(
    `rows of the batch sent meanwhile: ${Math.round((after.refunds.sent - before.refunds.sent) / seconds)}/s, ` +
      `${5} single ones/s, of ${PER_SECOND}/s that the account allows`,
  );
  console.log(`${(beside.p50 / alone.p50).toFixed(2)} times as long (p50)`);
  if (beside.p50 > MOST_TIMES * alone.p50 && beside.p50 > UNNOTICED_MS) {
    console.error('A batch holds up single refunds.');
    process.exitCode = 1;
  }
} finally {
  await running.stop();
  await rm(dataDir, { recursive: true, force: true });
}

interface Times {
  readonly p50: number;
  readonly p95: number;
  readonly most: number;
}

/** Milliseconds from when a refund was recorded until it went out. */
async function singles(name: string): Promise<Times> {
  const made: Promise<string>[] = [];
  for (let n = 0; n < SINGLES; n++) {
    made.push(
      post('/v1/refunds', { order_id: `single-${n}`, unique_request_id: name, amount: '1.00' }).then(
        ({ refund_id }) => refund_id,
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
  const ids = await Promise.all(made);
  for (;;) {
    const rows = await running.db.query<{ ms: number | null }>(
      `select extract(epoch from sent_at - created_at)::double precision * 1000 as ms from refunds
       where merchant_id = 'demo' and refund_id = any($1::uuid[])`,
      [ids],
    );
    const took = rows.map(({ ms }) => ms);
    if (took.every((ms) => ms !== null)) {
      const sorted = (took as number[]).sort((a, b) => a - b);
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
      return { p50: at(0.5), p95: at(0.95), most: at(1) };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function print(what: string, { p50, p95, most }: Times): void {
  console.log(
    `a single refund until it goes out, ${what.padEnd(36)} p50 ${p50.toFixed(0)} ms  p95 ${p95.toFixed(0)} ms  most ${most.toFixed(0)} ms`,
  );
}

async function fill(accountId: string): Promise<void> {
  const orders = `select 'single-' || n as id from generate_series(0, ${SINGLES}) n union all select 'row-' || n from generate_series(0, ${ROWS}) n`;
  await running.db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, gateway, created_at, updated_at)
     select 'demo', id, gen_random_uuid(), 'CHARGED', 10000, 'INR', 2, 'SANDBOX', now(), now() from (${orders}) o`,
  );
  await running.db.query(
    `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway, gateway_account_id,
       gateway_payment_id, payment_method_type, charged_at, created_at, updated_at)
     select 'demo', id, 'demo-' || id || '-1', gen_random_uuid(), 'CHARGED', 10000, 'SANDBOX', $1, 'sbx_ok_' || id, 'CARD',
       now(), now(), now() from (${orders}) o`,
    [accountId],
  );
  await running.db.query('analyze');
}

// biome-ignore lint/suspicious/noExplicitAny: what the API says
async function untilBatch(path: string, done: (batch: any) => boolean): Promise<any> {
  for (;;) {
    const batch = await get(path);
    if (done(batch)) return batch;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function post(path: string, body: object) {
  return call(path, JSON.stringify(body), 'application/json');
}

function get(path: string) {
  return call(path);
}

// biome-ignore lint/suspicious/noExplicitAny: what the API says
async function call(path: string, body?: string, type?: string): Promise<any> {
  const response = await fetch(running.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${KEY}:`).toString('base64')}`,
      ...(type !== undefined && { 'content-type': type }),
    },
    ...(body !== undefined && { body }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

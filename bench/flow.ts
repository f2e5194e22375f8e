/**
 * How fast refunds go the whole way: `node bench/flow.ts`. In over HTTP, recorded, sent to the sandbox gateway over
 * HTTP, settled, told by webhook: everything in one process and one embedded PostgreSQL, on durable storage. The
 * limit is what the sandbox alone does when asked directly, in the same run.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '../src/config.ts';
import { startRefundry } from '../src/main.ts';
import { printRate, rateOf } from './support.ts';

const REFUNDS = 2_000;
const AT_ONCE = 32;
const KEY = `bench_${randomBytes(12).toString('hex')}`;
const SANDBOX_KEY = `sbx_sk_${randomBytes(12).toString('hex')}`;

const dataDir = await mkdtemp(join(tmpdir(), 'refundry-bench-'));
let heard = 0;
const receiver = createServer((request, response) => {
  request.resume().on('end', () => {
    heard++;
    response.end();
  });
}).listen(0, '127.0.0.1');
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
  const call = async (path: string, body: string, type: string) => {
    const response = await fetch(running.url + path, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${KEY}:`).toString('base64')}`,
        'x-merchantid': 'demo',
        'content-type': type,
      },
      body,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return text;
  };
  const port = (receiver.address() as AddressInfo).port;
  await call(
    '/v1/webhook-endpoints',
    JSON.stringify({ url: `http://127.0.0.1:${port}/` }),
    'application/json',
  );
  await call(
    '/v1/gateway-accounts',
    JSON.stringify({
      gateway: 'SANDBOX',
      name: 'bench',
      credentials: { secret_key: SANDBOX_KEY },
      max_concurrent: 32,
      max_per_second: 10_000,
    }),
    'application/json',
  );
  const lines = Array.from({ length: REFUNDS }, (_, n) =>
    JSON.stringify({
      order_id: `flow-${n}`,
      amount: '100.00',
      currency: 'INR',
      status: 'CHARGED',
      gateway: 'SANDBOX',
      gateway_account: 'bench',
      gateway_payment_id: `sbx_ok_flow_${n}`,
      payment_method_type: 'CARD',
    }),
  );
  await call('/v1/transactions', lines.join('\n'), 'application/x-ndjson');

  let direct = 0;
  const limit = await rateOf(AT_ONCE, async () => {
    const n = direct++;
    await fetch(`${running.url}/sandbox/v1/refunds`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${SANDBOX_KEY}`,
        'content-type': 'application/json',
        'idempotency-key': `direct-${n}`,
      },
      body: JSON.stringify({
        payment: `sbx_ok_direct_${n}`,
        order_id: `direct-${n}`,
        refund_id: `direct-${n}`,
        amount: 100,
        currency: 'INR',
      }),
    }).then((response) => response.text());
    return 1;
  });
  printRate(`limit: the sandbox alone, ${AT_ONCE} at once`, limit);

  let asked = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (asked < REFUNDS) {
        const n = asked++;
        await call(
          `/orders/flow-${n}/refunds`,
          `unique_request_id=r&amount=10.00`,
          'application/x-www-form-urlencoded',
        );
      }
    }),
  );
  const accepted = (performance.now() - start) / 1_000;
  await until(async () => (await countOf('succeeded')) >= REFUNDS);
  const succeeded = (performance.now() - start) / 1_000;
  await until(async () => heard >= REFUNDS);
  const told = (performance.now() - start) / 1_000;
  console.log(`${REFUNDS} refunds, ${AT_ONCE} callers at once:`);
  for (const [what, seconds] of Object.entries({ accepted, succeeded, told })) {
    const perSecond = REFUNDS / seconds;
    console.log(
      `  ${what.padEnd(10)} ${Math.round(perSecond)}/s  ${(perSecond / limit.perSecond).toFixed(2)} of the limit`,
    );
  }
} finally {
  await running.stop();
  receiver.close();
  await rm(dataDir, { recursive: true, force: true });
}

async function countOf(state: string): Promise<number> {
  const [row] = await running.db.query<{ n: number }>('select count(*) as n from refunds where state = $1', [
    state,
  ]);
  return row!.n;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50));
}

import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  caller,
  chargedAtSandbox,
  newDataDir,
  type Running,
  startRunning,
  until,
} from '../support/running.ts';

let folder: Awaited<ReturnType<typeof newDataDir>>;
let program: Running | undefined;
beforeAll(async () => {
  folder = await newDataDir();
});
afterAll(async () => {
  await program?.stop();
  await folder.remove();
}, 60_000);

const BEHAVIOURS = [
  'sbx_ok',
  'sbx_slow',
  'sbx_fail',
  'sbx_refuse',
  'sbx_lost',
  'sbx_busy',
  'sbx_dup',
  'sbx_funds',
  'sbx_ok',
  'sbx_ok',
];
const FINAL = ['SUCCESS', 'FAILURE', 'MANUAL_REVIEW'];

test('kill -9 under load, three times: every accepted refund ends, and the books agree to the last unit', async () => {
  const accepted = new Map<string, { orderId: string; amountMinor: number }>();
  let n = 0;
  for (let round = 0; round < 3; round++) {
    program = await startRunning(folder.path);
    const client = caller(program.url);
    const orders = Array.from({ length: 40 }, () => `crash-${n++}`);
    for (const orderId of orders)
      await chargedAtSandbox(client, orderId, '100.00', BEHAVIOURS[n++ % BEHAVIOURS.length]!);
    let sent = 0;
    const load = orders.flatMap((orderId) =>
      ['10.01', '20.02', '30.03'].map(async (amount, i) => {
        await new Promise((resolve) => setTimeout(resolve, sent++ * 8));
        const key = `${orderId}-${i}`;
        const answer = await client
          .form(`/orders/${orderId}/refunds`, { unique_request_id: key, amount })
          .catch(() => null);
        if (answer?.status === 200)
          accepted.set(key, { orderId, amountMinor: Math.round(Number(amount) * 100) });
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 450 + 200 * round));
    await program.kill();
    await Promise.all(load);
  }
  expect(accepted.size).toBeGreaterThan(20);

  program = await startRunning(folder.path);
  const client = caller(program.url);
  type Ours = {
    unique_request_id: string;
    refund_id: string;
    order_id: string;
    status: string;
    amount: string;
  };
  const readAll = async (path: string): Promise<Ours[]> => {
    const all: Ours[] = [];
    let next: string | null = '';
    while (next !== null) {
      const page: { body: { refunds: Ours[]; next_cursor: string | null } } = await client.get(
        `${path}?limit=100${next}`,
      );
      all.push(...page.body.refunds);
      next = page.body.next_cursor ? `&cursor=${encodeURIComponent(page.body.next_cursor)}` : null;
    }
    return all.filter((refund) => refund.order_id.startsWith('crash-'));
  };
  const ours = await until(
    'every refund to end',
    async () => {
      const refunds = await readAll('/v1/refunds');
      return refunds.every((refund) => FINAL.includes(refund.status)) ? refunds : undefined;
    },
    120_000,
  );
  // Accepted means kept: each is there once, whatever was killed when.
  for (const key of accepted.keys())
    expect(ours.filter((refund) => refund.unique_request_id === key)).toHaveLength(1);

  const books = await readAll('/sandbox/refunds');
  const paid = books.filter((entry) => entry.status === 'succeeded');
  expect(new Set(books.map((entry) => entry.refund_id)).size).toBe(books.length);
  expect(paid.map((entry) => `${entry.refund_id} ${entry.amount}`).sort()).toEqual(
    ours
      .filter((refund) => refund.status === 'SUCCESS')
      .map((refund) => `${refund.refund_id} ${refund.amount}`)
      .sort(),
  );
}, 300_000);

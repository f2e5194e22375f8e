import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { type DatabaseProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/running.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
let ours: FreshDatabase;
let proxy: DatabaseProxy;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.close());
beforeEach(async () => {
  ours = await freshDatabase();
  proxy = await startProxy(ours.connectionString);
});
afterEach(async () => {
  proxy.silent = false;
  await desk.stopRefundry();
  await proxy.close();
  await ours.drop();
});

test('the network swallows what is sent to the database: 503 in bounded time, and what was kept is found again', async () => {
  await desk.start(proxy.connectionString);
  const traffic = desk.load(2_000);
  await until('traffic', async () => (traffic.accepted.length > 10 ? true : undefined));
  proxy.silent = true;
  await desk.healthIs(503, 'slow');
  const answers = await Promise.all(
    ['o1', 'o2', 'o3'].map((order, n) => desk.refund(order, `silent-${n}`, '3.33')),
  );
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
  const soFar = traffic.accepted.length;
  await until(
    'those under way to be answered',
    async () => (traffic.refusals.size > 0 ? true : undefined),
    60_000,
  );
  expect(traffic.accepted.length).toBe(soFar);
  proxy.silent = false;
  await desk.healthIs(200, 'reachable');
  // The same question again, under the same key, is answered by what was kept, or done now.
  for (const [n, order] of ['o1', 'o2', 'o3'].entries())
    await until(`silent-${n} to be taken`, async () =>
      (await desk.refund(order, `silent-${n}`, '3.33')).status === 200 ? true : undefined,
    );
  await until(
    'traffic to go on',
    async () => (traffic.accepted.length > soFar + 10 ? true : undefined),
    60_000,
  );
  await traffic.stop();
  expect([...traffic.statuses].sort()).toEqual([200, 503]);
  await desk.booksAgree([...traffic.accepted, 'silent-0', 'silent-1', 'silent-2']);
}, 240_000);

import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDatabase } from '../../src/lib/db.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { startProxy } from '../support/proxy.ts';
import { newDataDir, until } from '../support/running.ts';
import { startPair } from '../support/standby.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  desk = await openDesk();
  cleanups.push(desk.close);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test('the primary is gone under load and its synchronous standby takes over: nothing is lost, nothing sent twice', async () => {
  const home = await newDataDir();
  cleanups.push(home.remove);
  const pair = await startPair(home.path);
  cleanups.push(pair.stop);
  const db = openDatabase({ connectionString: pair.primary.connectionString, maxConnections: 1 });
  await migrate(db);
  await db.close();
  // What stands for a virtual address, or a name that leads to the primary.
  const address = await startProxy(pair.primary.connectionString);
  cleanups.push(address.close.bind(address));
  await desk.start(address.connectionString);
  cleanups.push(desk.stopRefundry);

  const traffic = desk.load(3_000);
  await until('traffic', async () => (traffic.accepted.length > 30 ? true : undefined));
  pair.killPrimary();
  await desk.healthIs(503, 'unreachable');
  expect((await desk.refund('o1', 'while-gone')).status).toBe(503);
  // The address may move before the standby takes changes.
  address.leadTo(pair.standby.connectionString);
  await desk.healthIs(503, 'read_only');
  await pair.promoteStandby();
  await desk.healthIs(200, 'reachable');
  const soFar = traffic.accepted.length;
  await until(
    'traffic to go on',
    async () => (traffic.accepted.length > soFar + 20 ? true : undefined),
    60_000,
  );
  await traffic.stop();
  expect([...traffic.statuses].sort()).toEqual([200, 503]);
  await desk.booksAgree(traffic.accepted);
}, 240_000);

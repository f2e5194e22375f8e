import { afterAll, afterEach, beforeAll, expect, type TestContext, test } from 'vitest';
import { openDatabase } from '../../src/lib/db.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { until } from '../support/running.ts';
import { NO_VOLUME, type SmallVolume, startOnSmallVolume } from '../support/volume.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
let volume: SmallVolume | null = null;

beforeAll(async () => {
  desk = await openDesk();
});
afterAll(() => desk.close());
afterEach(async () => {
  if (volume) await desk.stopRefundry();
  await volume?.stop();
  volume = null;
});

async function start(what: 'data' | 'wal', { skip }: TestContext): Promise<SmallVolume> {
  volume = (await startOnSmallVolume(what)) ?? skip(NO_VOLUME);
  const db = openDatabase({ connectionString: volume.connectionString, maxConnections: 1 });
  await migrate(db);
  // Room in the log beyond the segment in use, as any server has that has run for a while.
  if (what === 'data') {
    for (let n = 0; n < 2; n++) {
      await db.query('select pg_switch_wal()');
      await db.query(`select pg_logical_emit_message(true, 'test', 'so that there is something to switch')`);
    }
    await db.query('checkpoint');
  }
  await db.close();
  await desk.start(volume.connectionString);
  return volume;
}

test("the data's volume is full under load: 503 by name, and with room again it goes on by itself", async (context) => {
  const small = await start('data', context);
  const traffic = desk.load(3_000);
  await until('traffic', async () => (traffic.accepted.length > 10 ? true : undefined));
  await small.fill();
  await desk.healthIs(503, 'full');
  const whileFull = traffic.accepted.length;
  await until('refusals', async () => (traffic.refusals.size > 0 ? true : undefined));
  expect([...traffic.refusals].join(' ')).toContain('disk is full');
  await small.room();
  expect(await small.ended()).toBe(0);
  await until('traffic to go on', async () => (traffic.accepted.length > whileFull + 20 ? true : undefined));
  await traffic.stop();
  await desk.healthIs(200, 'reachable');
  expect([...traffic.statuses].sort()).toEqual([200, 503]);
  await desk.booksAgree(traffic.accepted);
}, 180_000);

test("the log's volume is full under load: PostgreSQL gives up, is started again, and nothing accepted is lost", async (context) => {
  const small = await start('wal', context);
  const traffic = desk.load(20_000);
  await until('traffic', async () => (traffic.accepted.length > 10 ? true : undefined));
  await small.fill();
  const others = openDatabase({ connectionString: small.connectionString, onIdleError: () => undefined });
  await until('PostgreSQL to end', async () => {
    // Others write to the same log; the refunds alone would need some minutes for what was set aside.
    await others
      .query(`select pg_logical_emit_message(false, 'test', repeat('x', 1000000))`)
      .catch(() => undefined);
    return (await small.ended()) > 0 ? true : undefined;
  });
  await others.close();
  await desk.healthIs(503, 'unreachable');
  expect(await desk.refund('o1', 'while-full')).toMatchObject({
    status: 503,
    body: { error_message: expect.stringContaining('cannot be reached') },
  });
  await small.room();
  await desk.healthIs(200, 'reachable');
  const soFar = traffic.accepted.length;
  await until('traffic to go on', async () => (traffic.accepted.length > soFar + 20 ? true : undefined));
  await traffic.stop();
  expect([...traffic.statuses].sort()).toEqual([200, 503]);
  await desk.booksAgree(traffic.accepted);
}, 180_000);

import { afterEach, beforeEach, expect, test } from 'vitest';
import { readPage } from '../../docs/make.ts';
import { type Database, openDatabase } from '../../src/lib/db.ts';
import { migrate } from '../../src/lib/migrate.ts';
import { runProgram } from '../support/program.ts';
import { startProxy } from '../support/proxy.ts';
import { chargedAtSandbox, newDataDir, until } from '../support/running.ts';
import { type Pair, startPair } from '../support/standby.ts';
import { type Desk, openDesk, type Payout } from './desk.ts';

let desk: Desk;
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  desk = await openDesk();
  cleanups.push(desk.close);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function migratedPair(options: { synchronous?: boolean } = {}): Promise<Pair> {
  const home = await newDataDir();
  cleanups.push(home.remove);
  const pair = await startPair(home.path, options);
  cleanups.push(pair.stop);
  const db = openDatabase({ connectionString: pair.primary.connectionString, maxConnections: 1 });
  await migrate(db);
  await db.close();
  return pair;
}

test('the primary is gone under load and its synchronous standby takes over: nothing is lost, nothing sent twice', async () => {
  const pair = await migratedPair();
  // What stands for a virtual address, or a name that leads to the primary.
  const address = await startProxy(pair.primary.connectionString);
  cleanups.push(address.close.bind(address));
  await desk.start(address.connectionString, '10', { SYNCHRONOUS_STANDBY: 'on' });
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

test('a standby that may lack something takes over: nothing is sent until somebody says that it does not', async () => {
  const pair = await migratedPair();
  const address = await startProxy(pair.primary.connectionString);
  cleanups.push(address.close.bind(address));
  await desk.start(address.connectionString);
  cleanups.push(desk.stopRefundry);
  expect((await desk.refund('o1', 'before')).status).toBe(200);
  await until('it to be paid', async () => (await desk.payouts()).length === 1 || undefined);
  pair.killPrimary();
  await desk.healthIs(503, 'unreachable');
  address.leadTo(pair.standby.connectionString);
  await pair.promoteStandby();
  await until('the books to be in doubt', async () => {
    const { status, body } = await desk.client.get('/health');
    return (status === 503 && body.books === 'in_doubt') || undefined;
  });
  expect((await desk.refund('o2', 'since')).status).toBe(200);
  // Who decides now, decides by books that may have forgotten a send.
  const [waits] = (await desk.client.get('/v1/refunds?order_id=o2')).body.refunds;
  const cancelled = await desk.client.post(`/v1/refunds/${waits.refund_id}/cancel`, {});
  expect([cancelled.status, cancelled.body.error.code]).toEqual([503, 'books_in_doubt']);

  const refundry = (...args: string[]) => runProgram(args, desk.environment(pair.standby.connectionString));
  const said = await refundry('doctor');
  expect(said.status).toBe(1);
  expect(said.stdout).toMatch(/✗ Books .*timeline 2, and was on 1: .*"refundry confirm-books --reason …"/);
  expect(await desk.payouts()).toHaveLength(1);
  // Marking is for books that nobody uses.
  const beside = await refundry('restore', '--as-of', '2026-03-01T04:00:00Z');
  expect(beside).toMatchObject({ status: 1, stdout: '' });
  expect(beside.stderr).toMatch(
    /^Refundry is using this database: refundry serve, connection \d+ since .*Nothing was changed\.$/m,
  );

  expect(await refundry('confirm-books', '--reason', 'db2 was synchronous')).toMatchObject({
    status: 0,
    stderr: '',
  });
  await desk.healthIs(200, 'reachable');
  await until('the other to be paid', async () => (await desk.payouts()).length === 2 || undefined);
  const twice = await refundry('confirm-books', '--reason', 'again');
  expect(twice).toMatchObject({ status: 1, stderr: expect.stringContaining('there is nothing to confirm') });
}, 240_000);

test('an asynchronous standby takes over by the guide: nothing that was paid is sent again, and what it lacks is named', async () => {
  const pair = await migratedPair({ synchronous: false });
  await desk.start(pair.primary.connectionString);
  cleanups.push(desk.stopRefundry);
  const standby = openDatabase({
    connectionString: pair.standby.connectionString,
    maxConnections: 1,
    applicationName: 'a test',
  });
  cleanups.push(standby.close.bind(standby));
  const asked: Ask[] = [];
  const ask = async (one: Ask) => {
    asked.push(one);
    expect((await desk.refund(one.orderId, one.key, one.amount)).status).toBe(200);
  };
  const charged = (orderId: string, behaviour = 'sbx_ok') =>
    chargedAtSandbox(desk.client, orderId, '1000.00', behaviour);
  for (const [orderId, behaviour] of [['quiet'], ['busy', 'sbx_busy'], ['silent', 'sbx_lost']] as const)
    await charged(orderId, behaviour);
  const traffic = desk.load();
  await until('traffic', async () => (traffic.accepted.length > 20 ? true : undefined));

  // Told to come later, and never answered: both are on their way for seconds, and the stream breaks meanwhile.
  await ask({ orderId: 'busy', key: 'under-way', amount: '7.01' });
  await ask({ orderId: 'silent', key: 'under-way', amount: '7.02' });
  await until('them to reach the standby', async () =>
    (await refundsIn(standby)).filter(({ key }) => key === 'under-way').length === 2 ? true : undefined,
  );
  await pair.cutStream();
  const kept = await refundsIn(standby);
  const underWay = kept.filter(({ open }) => open);
  expect(underWay.map(({ orderId }) => orderId)).toEqual(expect.arrayContaining(['busy', 'silent']));
  const isLost = ({ refundId }: { refundId: string }) => !kept.some((refund) => refund.refundId === refundId);

  await charged('told-since');
  await ask({ orderId: 'told-since', key: 'since', amount: '8.00' });
  await until('all that was under way, and more than the standby knows of, to be paid', async () => {
    const payouts = await desk.payouts();
    const done = underWay.every(({ refundId }) => payouts.includes(refundId));
    const since = (await desk.paid()).filter(isLost);
    return (done && since.length > 15 && since.some(({ orderId }) => orderId === 'told-since')) || undefined;
  });
  // What is asked for from here on is accepted, and not sent.
  await switchAccountOff();
  for (const [n, orderId] of ['quiet', 'o1', 'o6'].entries())
    await ask({ orderId, key: 'never-sent', amount: `9.0${n}` });
  pair.killPrimary();
  await desk.healthIs(503, 'unreachable');
  await desk.stopRefundry();
  const paid = await desk.paid();
  const unknown = paid.filter(isLost);

  const [{ to_char: asOf }] = (await standby.query(guidesStatement())) as [{ to_char: string }];
  await pair.promoteStandby();
  const refundry = (...args: string[]) => runProgram(args, desk.environment(pair.standby.connectionString));
  const marked = await refundry('restore', '--as-of', asOf);
  expect(marked).toMatchObject({ status: 0, stderr: '' });
  expect(marked.stdout).toContain(` ${underWay.length} refunds were under way then`);
  const named = async () => {
    const { status, stdout } = await refundry('restore', '--check');
    expect(status).toBe(3);
    return [...stdout.matchAll(/^merchant acme, order (\S+),.* has refund (\S+) over (\S+) INR/gm)]
      .map(([, ...found]) => found.join(' '))
      .sort();
  };
  const asNamed = (payouts: readonly Payout[]) =>
    payouts.map(({ orderId, id, amount }) => `${orderId} ${id} ${amount}`).sort();
  const ofKnownOrders = unknown.filter(({ orderId }) => orderId !== 'told-since');
  expect(await named()).toEqual(asNamed(ofKnownOrders));
  expect(await refundry('api-key', 'wake', '--all', '--merchant', 'acme')).toMatchObject({ status: 0 });
  await desk.resume(pair.standby.connectionString);

  // With its order a payment is lost too, and the gateway can be asked about it once it has been told again.
  expect((await desk.refund('told-since', 'since', '8.00')).status).toBe(400);
  await charged('told-since');
  expect(await named()).toEqual(asNamed(unknown));
  // The shop asks again for all that it does not find, under the same ids.
  for (const [key, { orderId, amount }] of traffic.asked) asked.push({ orderId, key, amount });
  const missing = asked.filter(
    (one) => !kept.some(({ orderId, key }) => orderId === one.orderId && key === one.key),
  );
  for (const { orderId, key, amount } of missing)
    expect((await desk.refund(orderId, key, amount)).status).toBe(200);

  const refunds = await until(
    'every refund to end, or to be held',
    async () => {
      const now = await refundsIn(desk.program.db);
      return now.every(({ state }) => ['succeeded', 'manual_review'].includes(state)) ? now : undefined;
    },
    90_000,
  );
  expect(refunds).toHaveLength(kept.length + missing.length);
  const suspect = new Set(unknown.map(({ orderId }) => orderId));
  expect(suspect).not.toContain('quiet');
  for (const refund of refunds) {
    const held = isLost(refund) && suspect.has(refund.orderId);
    expect(refund).toMatchObject(held ? { state: 'manual_review', sends: 0 } : { state: 'succeeded' });
  }
  // Each was asked for over an amount of its own, so a payout that was repeated under another id would show.
  const payouts = await desk.paid();
  const sent = (list: readonly { orderId: string; amount: string }[]) =>
    list.map(({ orderId, amount }) => `${orderId} ${amount}`).sort();
  expect(sent(payouts)).toEqual(sent([...paid, ...missing.filter(({ orderId }) => !suspect.has(orderId))]));
  expect(new Set(sent(payouts)).size).toBe(payouts.length);
  expect(await refundry('audit', 'verify')).toMatchObject({ status: 0 });
}, 240_000);

/** What the guide has an operator ask the standby. */
function guidesStatement(): string {
  const [, section] = readPage('docs/operating.md').split('## A standby\n');
  return /^```sql\n(.*?)^```/ms.exec(section!)![1]!;
}

interface Ask {
  readonly orderId: string;
  readonly key: string;
  readonly amount: string;
}

const refundsIn = (db: Database) =>
  db.query<{ refundId: string; orderId: string; key: string; state: string; sends: number; open: boolean }>(
    `select refund_id::text as "refundId", order_id as "orderId", unique_request_id as key, state, sends,
            next_look_at is not null as open
     from refunds order by order_id, unique_request_id`,
  );

async function switchAccountOff(): Promise<void> {
  const [account] = (await desk.client.get('/v1/gateway-accounts')).body.gateway_accounts;
  const path = `/v1/gateway-accounts/${account.gateway_account_id}`;
  expect((await desk.client.patch(path, { enabled: false })).status).toBe(200);
}

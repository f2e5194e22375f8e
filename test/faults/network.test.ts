import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createApiKey } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { KEY_PERMISSIONS } from '../../src/access/roles.ts';
import { readSettings } from '../../src/config.ts';
import { type RunningSandbox, startSandbox } from '../../src/gateways/sandbox/server.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/log.ts';
import { type Refundry, startRefundry } from '../../src/main.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { type Caller, caller, chargedAtSandbox, receiver, until } from '../support/running.ts';

const KEY = 'rk_faults_test';
const log = createLogger('silent');
const pem = (name: string) => readFileSync(join(import.meta.dirname, 'data', name), 'utf8');
const certificate = (name: 'expired.pem' | 'valid.pem') => ({ key: pem('localhost.key'), cert: pem(name) });

let gatewaysBooks: FreshDatabase;
let sandbox: RunningSandbox;
let ours: FreshDatabase;
let program: Refundry;
let client: Caller;
let trusted: string[];
let front: Server | undefined;

beforeAll(async () => {
  trusted = tls.getCACertificates('default');
  tls.setDefaultCACertificates([...trusted, pem('ca.pem')]);
  gatewaysBooks = await freshDatabase();
  const databaseUrl = gatewaysBooks.connectionString;
  sandbox = await startSandbox({ databaseUrl, host: '127.0.0.1', port: 0, open: true, log });
});
afterAll(async () => {
  tls.setDefaultCACertificates(trusted);
  await sandbox.stop();
  await gatewaysBooks.drop();
});
beforeEach(async () => {
  ours = await freshDatabase();
  await createMerchant(ours.db, systemClock, { merchantId: 'acme', name: 'Acme' });
  await createApiKey(ours.db, systemClock, {
    merchantId: 'acme',
    name: 'test',
    key: KEY,
    permissions: KEY_PERMISSIONS,
  });
});
afterEach(async () => {
  await program.stop();
  front?.closeAllConnections();
  front?.close();
  front = undefined;
  await ours.drop();
});

async function start(sandboxUrl: string) {
  program = await startRefundry(
    readSettings({
      DATABASE_URL: ours.connectionString,
      MASTER_KEY: '7'.repeat(64),
      PORT: '0',
      SANDBOX_URL: sandboxUrl,
      ALLOW_PRIVATE_WEBHOOKS: 'on',
    }),
    { log },
  );
  client = caller(program.url!, KEY, 'acme');
}

async function addAccount() {
  const credentials = { secret_key: `sbx_sk_${randomBytes(12).toString('hex')}` };
  const made = await client.post('/v1/gateway-accounts', {
    gateway: 'SANDBOX',
    name: 'default',
    credentials,
  });
  expect(made.status).toBe(201);
}

/** HTTPS on localhost before a plain HTTP address, with a certificate that can be renewed. */
async function startFront(target: string, cert: 'expired.pem' | 'valid.pem'): Promise<string> {
  const to = new URL(target);
  front = createServer(certificate(cert), (incoming, outgoing) => {
    const { method, headers } = incoming;
    const passed = request(
      { host: to.hostname, port: to.port, path: incoming.url, method, headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      },
    );
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => front!.listen(0, '127.0.0.1', resolve));
  return `https://localhost:${(front.address() as AddressInfo).port}`;
}

const stateOf = async (orderId: string) =>
  (
    await ours.db.query<{ state: string; sends: number; key_used_at: Date | null }>(
      'select state, sends, key_used_at from refunds where order_id = $1',
      [orderId],
    )
  )[0]!;
const notSent = (orderId: string) =>
  until('the gateway to be out of reach', async () => {
    const [attempt] = await ours.db.query<{ outcome: string; answer: { why: string } }>(
      'select outcome, answer from attempts where order_id = $1 and outcome is not null',
      [orderId],
    );
    return attempt;
  });
const succeeded = (orderId: string) =>
  until('the refund to succeed', async () =>
    (await stateOf(orderId)).state === 'succeeded' ? true : undefined,
  );
const payouts = async (orderId: string) =>
  (await gatewaysBooks.db.query('select 1 from sandbox_payouts where order_id = $1', [orderId])).length;
const refund = (orderId: string) =>
  client.form(`/orders/${orderId}/refunds`, { unique_request_id: 'r1', amount: '1.00' });

test('the gateway’s name leads nowhere: certainly not sent, and sent once when it does again', async () => {
  await start('http://gateway.invalid/sandbox');
  await addAccount();
  await chargedAtSandbox(client, 'dns', '10.00', 'sbx_ok');
  expect((await refund('dns')).status).toBe(200);
  const attempt = await notSent('dns');
  expect(attempt).toMatchObject({
    outcome: 'not_sent',
    answer: { why: expect.stringContaining('gateway.invalid') },
  });
  await until('it to be queued again, its key unused', async () => {
    const { state, key_used_at } = await stateOf('dns');
    return state === 'queued' && key_used_at === null ? true : undefined;
  });
  expect((await client.get('/orders/dns')).body.refunds[0]).toMatchObject({
    status: 'PENDING',
    sent_to_gateway: false,
  });
  await program.stop();
  await start(sandbox.url);
  await succeeded('dns');
  expect(await payouts('dns')).toBe(1);
}, 60_000);

test('the gateway’s certificate has expired: certainly not sent, and sent once when it is renewed', async () => {
  await start(`${await startFront(sandbox.url, 'expired.pem')}/sandbox`);
  await addAccount();
  await chargedAtSandbox(client, 'tls', '10.00', 'sbx_ok');
  expect((await refund('tls')).status).toBe(200);
  const attempt = await notSent('tls');
  expect(attempt).toMatchObject({
    outcome: 'not_sent',
    answer: { why: expect.stringContaining('certificate has expired') },
  });
  const [account] = (await client.get('/v1/gateway-accounts')).body.gateway_accounts;
  expect(account.health.last_error).not.toBeNull();
  front!.setSecureContext(certificate('valid.pem'));
  await succeeded('tls');
  expect(await payouts('tls')).toBe(1);
}, 60_000);

test('a webhook endpoint’s certificate has expired: nothing is lost, and all arrives when it is renewed', async () => {
  await start(sandbox.url);
  await addAccount();
  const hooks = await receiver();
  const url = `${await startFront(hooks.url, 'expired.pem')}/hook`;
  const made = await client.post('/v1/webhook-endpoints', { url, username: 'u', password: 'pw-1234567' });
  expect(made.status).toBe(201);
  await chargedAtSandbox(client, 'hook', '10.00', 'sbx_ok');
  await refund('hook');
  await succeeded('hook');
  const [{ outcome, detail }] = await until('a try to fail', async () => {
    const tries = await ours.db.query<{ outcome: string; detail: string }>(
      'select outcome, detail from delivery_tries',
    );
    return tries.length > 0 ? (tries as [(typeof tries)[0]]) : undefined;
  });
  expect([outcome, detail]).toEqual(['tls', expect.stringContaining('certificate has expired')]);
  expect(hooks.got).toEqual([]);
  front!.setSecureContext(certificate('valid.pem'));
  await until('the delivery', async () => {
    // The next try is a minute away.
    await ours.db.query(
      `update deliveries set next_try_at = now() where state = 'pending' and try_id is null`,
    );
    return hooks.got.some(({ body }) => body.event_name === 'ORDER_REFUNDED') ? true : undefined;
  });
  await hooks.close();
}, 60_000);

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openForWork, openGatewayAccess } from '../../src/gateways/accounts.ts';
import type { AccessCheck, IdentityAnswer, PaymentAnswer } from '../../src/gateways/gateway.ts';
import { noteCall, takeAllowance, takeWebhookTrouble } from '../../src/gateways/health.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createVault } from '../../src/lib/vault.ts';
import { type Answer, call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { ScriptedGateway } from './scripted-gateway.ts';

// The vault of startApi.
const vault = createVault(Buffer.alloc(32, 7));
const SECRET = 'sk_abcdefghij1234';
const credentials = { secret_key: SECRET, merchant_code: 'SHOP-7' };
let api: TestApi;
beforeAll(async () => {
  api = await startApi({ gateways: [scripted], settings: { ALLOW_PRIVATE_WEBHOOKS: 'false' } });
});
afterAll(() => api.close());

let count = 0;
const add = (body: Record<string, unknown> = {}, as = 'acme') =>
  call(api, '/v1/gateway-accounts', {
    as,
    json: { gateway: 'SCRIPTED', name: `account ${++count}`, credentials, ...body },
  });
const script = new ScriptedGateway();
const scripted = script.gateway;
const open = (id: string) => openGatewayAccess({ db: api.db, vault, gateways: registryOf([scripted]) }, id);
const patch = (id: string, json: unknown, as = 'acme') =>
  call(api, `/v1/gateway-accounts/${id}`, { method: 'PATCH', as, json });
const read = (id: string, as = 'acme') => call(api, `/v1/gateway-accounts/${id}`, { as });

describe('adding an account', () => {
  test('answers with secrets by their last four, the gateway’s defaults and its webhook address', async () => {
    const answer = await add({ name: 'main' });
    expect(answer.status).toBe(201);
    const id: string = answer.body.gateway_account_id;
    expect(id).toMatch(/^ga_[0-9a-f]{32}$/);
    expect(answer.body).toMatchObject({
      gateway: 'SCRIPTED',
      name: 'main',
      base_url: null,
      credentials: { secret_key: '****1234', merchant_code: 'SHOP-7' },
      enabled: true,
      max_concurrent: 7,
      max_per_second: 40,
      webhook_url: `http://refundry.test/gateways/${id}/webhooks`,
      health: { failures_in_a_row: 0, paused_until: null, last_error: null, last_error_at: null },
    });
    expect((await read(id)).body).toEqual(answer.body);
    const list = await call(api, '/v1/gateway-accounts');
    expect(list.body.gateway_accounts).toContainEqual(answer.body);
  });

  test('is called default when no name is given', async () => {
    expect((await add({ name: undefined })).body.name).toBe('default');
  });

  test('a short secret shows nothing of itself; blanks around a pasted one are dropped', async () => {
    const answer = await add({ credentials: { ...credentials, secret_key: '  sk_abcdefgh\n' } });
    expect(answer.body.credentials.secret_key).toBe('****');
    const opened = await open(answer.body.gateway_account_id);
    expect(opened?.access.credentials['secret_key']).toBe('sk_abcdefgh');
  });

  test('is written down with who did it, and so is each change of it; its secrets are not', async () => {
    const { gateway_account_id: id } = (await add()).body;
    await patch(id, { enabled: false, credentials: { secret_key: 'sk_another0987654321' } });
    const rows = await api.db.query<{ action: string; by_name: string; text: string }>(
      `select action, by_name, to_jsonb(l)::text as text from access_log l
       where details ->> 'gateway_account_id' = $1 order by at, entry_id`,
      [id],
    );
    expect(rows.map(({ action, by_name }) => `${action} by ${by_name}`)).toEqual([
      'gateway_account_made by test',
      'gateway_account_changed by test',
    ]);
    for (const { text } of rows) expect(text).not.toMatch(/sk_a/);
  });

  test('opens to exactly what was given, for whoever has the master key', async () => {
    const { gateway_account_id: id } = (await add({ max_concurrent: 3 })).body;
    expect(await open(id)).toEqual({
      merchantId: 'acme',
      gateway: 'SCRIPTED',
      access: {
        accountId: id,
        identity: expect.stringMatching(/^key:[0-9a-f]{32} SCRIPTED$/),
        baseUrl: scripted.defaultBaseUrl,
        credentials,
      },
      identityAskedAt: expect.any(Date),
      enabled: true,
      limits: { maxConcurrent: 3, maxPerSecond: 40 },
    });
    expect(await open('ga_00000000000000000000000000000000')).toBeNull();
  });

  test.each<[string, Record<string, unknown>, string, string]>([
    ['an unknown gateway', { gateway: 'NOPAY' }, 'unknown_gateway', 'gateway'],
    ['no credentials', { credentials: {} }, 'missing_credential_field', 'credentials.secret_key'],
    [
      'an empty required field',
      { credentials: { secret_key: SECRET, merchant_code: ' ' } },
      'missing_credential_field',
      'credentials.merchant_code',
    ],
    [
      'a field the gateway does not have',
      { credentials: { ...credentials, api_token: 'sk_leaky12345' } },
      'unknown_credential_field',
      'credentials.api_token',
    ],
    [
      'a secret of another form',
      { credentials: { ...credentials, secret_key: 'rk_leaky12345' } },
      'invalid_credential',
      'credentials.secret_key',
    ],
    [
      'a secret with the right form inside only',
      { credentials: { ...credentials, secret_key: 'x sk_leaky12345' } },
      'invalid_credential',
      'credentials.secret_key',
    ],
    [
      'a value without end',
      { credentials: { ...credentials, merchant_code: 'x'.repeat(16_385) } },
      'invalid_credential',
      'credentials.merchant_code',
    ],
    [
      'a number as secret',
      { credentials: { ...credentials, secret_key: 7 } },
      'invalid_field',
      'credentials.secret_key',
    ],
    ['a name of blanks', { name: '  ' }, 'invalid_name', 'name'],
    ['a name in two lines', { name: 'a\nb' }, 'invalid_name', 'name'],
    ['no concurrency', { max_concurrent: 0 }, 'invalid_field', 'max_concurrent'],
    ['half a call a second', { max_per_second: 0.5 }, 'invalid_field', 'max_per_second'],
    ['a field of no meaning', { enable: true }, 'invalid_field', 'enable'],
    ['no URL', { base_url: 'api.scripted.test' }, 'invalid_base_url', 'base_url'],
    ['another protocol', { base_url: 'file:///etc/passwd' }, 'invalid_base_url', 'base_url'],
    ['credentials in clear', { base_url: 'http://api.scripted.test' }, 'invalid_base_url', 'base_url'],
    ['a user in the URL', { base_url: 'https://me:pw@api.scripted.test' }, 'invalid_base_url', 'base_url'],
    ['a query in the URL', { base_url: 'https://api.scripted.test/?a=b' }, 'invalid_base_url', 'base_url'],
    ['loopback', { base_url: 'https://127.0.0.1' }, 'invalid_base_url', 'base_url'],
    ['loopback by name', { base_url: 'https://localhost:8443' }, 'invalid_base_url', 'base_url'],
    ['loopback in hexadecimal', { base_url: 'https://0x7f000001' }, 'invalid_base_url', 'base_url'],
    ['a cloud’s metadata', { base_url: 'https://169.254.169.254/' }, 'invalid_base_url', 'base_url'],
    ['a private IPv6', { base_url: 'https://[fd00::1]' }, 'invalid_base_url', 'base_url'],
    ['a wrapped IPv4', { base_url: 'https://[::ffff:10.0.0.1]' }, 'invalid_base_url', 'base_url'],
  ])('%s is refused by name, and no secret comes back', async (_, body, code, field) => {
    const answer = await add(body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ code, field });
    expect(JSON.stringify(answer.body)).not.toMatch(/leaky|abcdefghij|pw@/);
  });

  test.each([
    'https://evil.example/v1',
    'https://api.scripted.test.evil.example',
    'https://api.scripted.test:8443/v1',
    'https://93.184.216.34',
  ])('money never goes by a host that is not the gateway’s: %s', async (base_url) => {
    const answer = await add({ base_url });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ code: 'invalid_base_url', field: 'base_url' });
    expect(answer.body.error.accepted).toContain('ALLOW_OTHER_GATEWAY_HOSTS');
  });

  test('another host of the gateway is taken', async () => {
    const answer = await add({ base_url: 'https://eu.api.scripted.test/v1/' });
    expect(answer.body.base_url).toBe('https://eu.api.scripted.test/v1');
  });

  test('a name twice at one gateway is refused; another merchant may use it', async () => {
    await add({ name: 'twice' });
    const again = await add({ name: 'twice' });
    expect(again.status).toBe(409);
    expect(again.body.error).toMatchObject({ code: 'gateway_account_name_taken', field: 'name' });
    expect((await add({ name: 'twice' }, 'other')).status).toBe(201);
  });
});

describe('changing an account', () => {
  test('rotates one field, adds and removes an optional one, and keeps the rest', async () => {
    const { gateway_account_id: id } = (await add()).body;
    await open(id);
    const rotated = await patch(id, {
      credentials: { secret_key: 'sk_klmnopqrst5678', webhook_secret: 'whsec_123456789' },
    });
    expect(rotated.status).toBe(200);
    expect(rotated.body.credentials).toEqual({
      secret_key: '****5678',
      merchant_code: 'SHOP-7',
      webhook_secret: '****6789',
    });
    const opened = await open(id);
    expect(opened?.access.credentials).toEqual({
      secret_key: 'sk_klmnopqrst5678',
      merchant_code: 'SHOP-7',
      webhook_secret: 'whsec_123456789',
    });
    const removed = await patch(id, { credentials: { webhook_secret: null } });
    expect(removed.body.credentials).toEqual({ secret_key: '****5678', merchant_code: 'SHOP-7' });
  });

  test('switches it off and sets limits and name', async () => {
    const { gateway_account_id: id } = (await add()).body;
    const answer = await patch(id, {
      enabled: false,
      max_concurrent: 2,
      max_per_second: 9,
      name: `renamed ${id}`,
    });
    expect(answer.body).toMatchObject({
      enabled: false,
      max_concurrent: 2,
      max_per_second: 9,
      name: `renamed ${id}`,
      credentials: { secret_key: '****1234' },
    });
    const opened = await open(id);
    expect(opened).toMatchObject({ enabled: false, limits: { maxConcurrent: 2, maxPerSecond: 9 } });
  });

  test.each<[string, unknown, number, string]>([
    ['a required secret taken away', { credentials: { secret_key: null } }, 400, 'missing_credential_field'],
    [
      'a secret of another form',
      { enabled: false, credentials: { secret_key: 'nope' } },
      400,
      'invalid_credential',
    ],
    ['an unknown field', { credentials: { token: 'x' } }, 400, 'unknown_credential_field'],
    ['where the secrets are sent', { base_url: 'https://evil.test' }, 400, 'invalid_field'],
    ['the gateway', { gateway: 'MODEL' }, 400, 'invalid_field'],
    ['a list', [], 400, 'invalid_field'],
  ])('%s is refused and nothing changes', async (_, json, status, code) => {
    const before = (await add()).body;
    const answer = await patch(before.gateway_account_id, json);
    expect(answer.status).toBe(status);
    expect(answer.body.error.code).toBe(code);
    expect((await read(before.gateway_account_id)).body).toEqual(before);
  });

  test('a taken name is refused', async () => {
    const [one, two] = [(await add()).body, (await add()).body];
    const answer = await patch(two.gateway_account_id, { name: one.name });
    expect(answer.body.error.code).toBe('gateway_account_name_taken');
  });

  test('changes at once lose nothing', async () => {
    const { gateway_account_id: id } = (await add()).body;
    await Promise.all([
      patch(id, { credentials: { merchant_code: 'NEW' } }),
      patch(id, { credentials: { webhook_secret: 'whsec_123456789' } }),
      patch(id, { max_per_second: 11 }),
    ]);
    expect((await read(id)).body).toMatchObject({
      credentials: { merchant_code: 'NEW', webhook_secret: '****6789' },
      max_per_second: 11,
    });
  });
});

describe('merchants are apart', () => {
  test('another merchant’s account is as absent as one that never was', async () => {
    const { gateway_account_id: id } = (await add()).body;
    const absent = 'ga_00000000000000000000000000000000';
    const same = (one: Answer, other: Answer) => {
      expect(one.status).toBe(404);
      expect(one.body).toEqual(other.body);
    };
    same(await read(id, 'other'), await read(absent, 'other'));
    same(await patch(id, { enabled: false }, 'other'), await patch(absent, { enabled: false }, 'other'));
    expect((await read(id)).body.enabled).toBe(true);
    const list = await call(api, '/v1/gateway-accounts', { as: 'other' });
    expect(JSON.stringify(list.body)).not.toContain(id);
  });

  test('sealed credentials moved to another account do not open', async () => {
    const [from, to] = [
      (await add()).body.gateway_account_id,
      (await add({}, 'other')).body.gateway_account_id,
    ];
    await api.db.query(
      `update gateway_accounts set sealed_credentials =
         (select sealed_credentials from gateway_accounts where gateway_account_id = $1)
       where gateway_account_id = $2`,
      [from, to],
    );
    await expect(open(to)).rejects.toThrow();
  });
});

test('secrets are in no row, no answer and no log line', async () => {
  const marked = {
    secret_key: 'sk_needleneedle42',
    merchant_code: 'SHOP-7',
    webhook_secret: 'needle-needle-needle',
  };
  const created = await add({ credentials: marked });
  const id = created.body.gateway_account_id;
  const answers = [
    created,
    await read(id),
    await call(api, '/v1/gateway-accounts'),
    await patch(id, { credentials: { secret_key: 'sk_needleneedle43' } }),
    await patch(id, { credentials: { secret_key: 'needle' } }),
    await add({ credentials: { ...marked, needle: 'needle' }, name: 'x' }),
    await call(api, '/v1/gateway-accounts', {
      body: '{"credentials":{"secret_key":"needle"',
      headers: { 'content-type': 'application/json' },
    }),
  ];
  for (const answer of answers.slice(0, 5)) expect(JSON.stringify(answer.body)).not.toMatch(/needle/);
  expect(JSON.stringify(answers[5]!.body)).not.toMatch(/needleneedle|needle-needle/);
  expect(answers[6]!.status).toBe(400);
  const rows = await api.db.query<{ row: string }>(
    `select to_jsonb(a)::text || encode(sealed_credentials, 'escape') as row from gateway_accounts a`,
  );
  expect(rows.map((row) => row.row).join('\n')).not.toMatch(/needle/);
  expect(api.logged().join('\n')).toMatch(/gateway account added/);
  expect(api.logged().join('\n')).not.toMatch(/needle|abcdefghij/);
});

test('GET /v1/gateways describes each gateway as its connector does', async () => {
  const answer = await call(api, '/v1/gateways');
  expect(answer.body.gateways).toEqual([
    {
      gateway: 'SCRIPTED',
      label: 'Scripted PG',
      gateway_id: 78,
      base_url: 'https://api.scripted.test/v1',
      docs_url: null,
      moves_real_money: true,
      credential_fields: [
        {
          name: 'secret_key',
          label: 'Secret key',
          type: 'secret',
          secret: true,
          required: true,
          pattern: 'sk_[a-z0-9]{4,40}',
          help: 'sk_ and letters or digits',
        },
        expect.objectContaining({ name: 'merchant_code', secret: false, pattern: null }),
        expect.objectContaining({ name: 'webhook_secret', required: false }),
      ],
      capabilities: {
        partial_refunds: true,
        instant_refunds: false,
        key_life_seconds: null,
        webhook_proof: 'none',
        max_concurrent: 7,
        max_per_second: 40,
      },
      capabilities_say: [
        'A part of a payment can be refunded, several times until nothing is left.',
        'There are no instant refunds.',
        expect.stringContaining('has no idempotency keys'),
        expect.stringContaining('sends no webhooks'),
      ],
    },
  ]);
});

describe('testing an account', () => {
  const tryOut = (id: string, as = 'acme') =>
    call(api, `/v1/gateway-accounts/${id}/test`, { method: 'POST', as });

  test.each<[AccessCheck['answer'], string, RegExp]>([
    [{ kind: 'works', evidence: { http_status: 200 } }, 'works', /Scripted PG accepts the credentials/],
    [
      { kind: 'misconfigured', errorMessage: 'no such key', evidence: {} },
      'refused',
      /refuses the credentials: no such key\./,
    ],
    [{ kind: 'busy', retryAfterMs: 3, evidence: {} }, 'busy', /too busy/],
    [
      { kind: 'no_answer', why: 'ECONNREFUSED', answered: false, evidence: {} },
      'no_answer',
      /ECONNREFUSED\. .* not judged/,
    ],
  ])('says what was tried and what came back: %o', async (answer, outcome, says) => {
    const { gateway_account_id: id } = (await add()).body;
    script.access = (opened) => {
      expect(opened.credentials).toEqual(credentials);
      return { tried: 'GET /v1/refunds?limit=1', answer };
    };
    const tested = await tryOut(id);
    expect(tested.status).toBe(200);
    expect(tested.body).toMatchObject({ outcome, tried: 'GET /v1/refunds?limit=1' });
    expect(tested.body.says).toMatch(says);
    expect(tested.body.answer).toEqual(answer.evidence);
  });

  test('is not for another merchant, and not for what is not there', async () => {
    const { gateway_account_id: id } = (await add()).body;
    script.access = () => expect.fail('asked for a stranger');
    expect((await tryOut(id, 'other')).status).toBe(404);
    expect((await tryOut('ga_0')).status).toBe(404);
  });
});

test('an account shows the refunds that have no end yet and the calls of the last second', async () => {
  const clock = new ManualClock();
  const still = await startApi({ gateways: [scripted], clock });
  const made = await call(still, '/v1/gateway-accounts', { json: { gateway: 'SCRIPTED', credentials } });
  const { gateway_account_id: accountId } = made.body;
  expect(made.body.health).toMatchObject({ pending_refunds: 0, calls_in_last_second: 0 });
  await putOrder(still.db, { orderId: 'P-1', amountMinor: 10_000, gateway: 'SCRIPTED', accountId });
  for (const [key, amount] of Object.entries({ a: '1.00', b: '2.00' })) {
    const asked = { order_id: 'P-1', unique_request_id: key, amount };
    expect((await call(still, '/v1/refunds', { json: asked })).status).toBe(201);
  }
  await takeAllowance(still.db, clock, new Map([[accountId, 11]]));
  const { health } = (await call(still, `/v1/gateway-accounts/${accountId}`)).body;
  expect(health).toMatchObject({ pending_refunds: 2, calls_in_last_second: 11 });
  clock.pass(500);
  const later = (await call(still, '/v1/gateway-accounts')).body.gateway_accounts;
  expect(later.at(-1).health.calls_in_last_second).toBe(0);
  await still.close();
});

test('a merchant has a hundred accounts at most, however many are asked for at once', async () => {
  const few = await startApi({ gateways: [scripted] });
  const answers = await Promise.all(
    Array.from({ length: 103 }, (_, n) =>
      call(few, '/v1/gateway-accounts', { json: { gateway: 'SCRIPTED', name: `n${n}`, credentials } }),
    ),
  );
  // One was there before.
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(99);
  const refused = answers.filter(({ status }) => status === 409);
  expect(refused).toHaveLength(4);
  expect(refused[0]!.body.error.code).toBe('too_many_gateway_accounts');
  await few.close();
});

test('other public hosts are taken where the operator allows them, private ones are not thereby', async () => {
  const lenient = await startApi({
    gateways: [scripted],
    settings: { ALLOW_PRIVATE_WEBHOOKS: 'false', ALLOW_OTHER_GATEWAY_HOSTS: 'true' },
  });
  const at = (base_url: string) =>
    call(lenient, '/v1/gateway-accounts', {
      json: { gateway: 'SCRIPTED', name: base_url, credentials, base_url },
    });
  expect((await at('https://proxy.shop.test/pg')).body.base_url).toBe('https://proxy.shop.test/pg');
  expect((await at('https://127.0.0.1/pg')).status).toBe(400);
  await lenient.close();
});

test('private addresses are taken where the setting allows them', async () => {
  const lenient = await startApi({
    gateways: [scripted],
    settings: { ALLOW_PRIVATE_WEBHOOKS: 'true' },
  });
  const answer = await call(lenient, '/v1/gateway-accounts', {
    json: { gateway: 'SCRIPTED', credentials, base_url: 'http://127.0.0.1:9999/pg' },
  });
  expect(answer.body.base_url).toBe('http://127.0.0.1:9999/pg');
  const elsewhere = await call(lenient, '/v1/gateway-accounts', {
    json: { gateway: 'SCRIPTED', name: 'elsewhere', credentials, base_url: 'https://evil.example' },
  });
  expect(elsewhere.body.error.code).toBe('invalid_base_url');
  await lenient.close();
});

describe('whose account it is', () => {
  /** A gateway at which a key opens the account that stands in it: sk_one1234 opens acct_one. */
  const accountOf = (access: { credentials: Readonly<Record<string, string>> }): IdentityAnswer => ({
    kind: 'told',
    identity: `acct_${/^sk_([a-z]+)/.exec(access.credentials['secret_key'] ?? '')?.[1]} live`,
    evidence: {},
  });
  const unreachable: IdentityAnswer = {
    kind: 'no_answer',
    why: 'ECONNREFUSED',
    answered: false,
    evidence: {},
  };
  const withKey = (secret_key: string) => ({ credentials: { secret_key, merchant_code: 'SHOP-7' } });
  let letters = 0;
  /** A name of letters that no other test has. */
  const someone = () =>
    `zzz${(++letters).toString().replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)]!)}`;
  beforeEach(() => {
    script.identity = accountOf;
  });
  afterAll(() => {
    script.identity = () => ({ kind: 'not_told', why: 'nothing was scripted' });
  });
  /** A refund of the account that was made at the gateway, or of which nobody knows. */
  const putRefund = async (accountId: string, sent: 'made' | 'unknown' | 'not made') => {
    const orderId = `W-${accountId}`;
    await putOrder(api.db, { orderId, amountMinor: 10_000, gateway: 'SCRIPTED', accountId });
    const asked = { order_id: orderId, unique_request_id: accountId, amount: '1.00' };
    expect((await call(api, '/v1/refunds', { json: asked })).status).toBe(201);
    await api.db.query(
      `update refunds set gateway_refund_id = $2, key_used_at = $3 where gateway_account_id = $1`,
      [accountId, sent === 'made' ? `re_${accountId}` : null, sent === 'unknown' ? new Date() : null],
    );
  };

  test('is asked when it is made, shown, and part of what a connector is given', async () => {
    const who = someone();
    const made = await add(withKey(`sk_${who}1`));
    expect(made.body.identity).toBe(`acct_${who} live`);
    expect((await open(made.body.gateway_account_id))?.access.identity).toBe(`acct_${who} live SCRIPTED`);
  });

  test('the same books are no second account, by another key, name or way of writing the address', async () => {
    const who = someone();
    const first = await add({ ...withKey(`sk_${who}1`), name: `first ${who}` });
    for (const body of [
      withKey(`sk_${who}1`),
      withKey(`sk_${who}2`),
      { ...withKey(`sk_${who}3`), base_url: 'https://api.scripted.test/v1/' },
    ]) {
      const again = await add(body);
      expect(again.status).toBe(409);
      expect(again.body.error).toMatchObject({ code: 'same_identity', field: 'credentials' });
      expect(again.body.error.message).toContain(`first ${who}`);
    }
    // Switched off it is there all the same; another merchant's is nobody's business here.
    await patch(first.body.gateway_account_id, { enabled: false });
    expect((await add(withKey(`sk_${who}4`))).status).toBe(409);
    expect((await add(withKey(`sk_${who}4`), 'other')).status).toBe(201);
    const both = await Promise.all([add(withKey(`sk_${who}x1`)), add(withKey(`sk_${who}x2`))]);
    expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
  });

  test('keys of the same account may be rolled, whatever was sent', async () => {
    const who = someone();
    const { gateway_account_id: id } = (await add(withKey(`sk_${who}1`))).body;
    await putRefund(id, 'made');
    const rolled = await patch(id, { credentials: { secret_key: `sk_${who}2` } });
    expect(rolled.status).toBe(200);
    expect((await open(id))?.access).toMatchObject({
      identity: `acct_${who} live SCRIPTED`,
      credentials: { secret_key: `sk_${who}2` },
    });
  });

  test.each(['made', 'unknown'] as const)(
    'another account’s key is refused once a refund is %s, with what to do',
    async (sent) => {
      const [who, other] = [someone(), someone()];
      const { gateway_account_id: id } = (await add(withKey(`sk_${who}1`))).body;
      await putRefund(id, sent);
      const refused = await patch(id, { credentials: { secret_key: `sk_${other}1` } });
      expect(refused.status).toBe(409);
      expect(refused.body.error).toMatchObject({ code: 'another_identity', field: 'credentials' });
      expect(refused.body.error.message).toContain(`acct_${who} live`);
      expect(refused.body.error.message).toContain(`acct_${other} live`);
      expect(refused.body.error.accepted).toContain('POST /v1/gateway-accounts');
      expect((await open(id))?.access.credentials['secret_key']).toBe(`sk_${who}1`);
      // The way that it names works.
      expect((await add(withKey(`sk_${other}1`))).status).toBe(201);
    },
  );

  test('a wrong key that made nothing can be put right', async () => {
    const [wrong, right] = [someone(), someone()];
    const { gateway_account_id: id } = (await add(withKey(`sk_${wrong}1`))).body;
    await putRefund(id, 'not made');
    await noteCall(
      api.db,
      systemClock,
      { merchantId: 'acme', gatewayAccountId: id },
      {
        answered: true,
        refusesUs: true,
        why: 'no such key',
        begunAt: new Date(),
      },
    );
    const put = await patch(id, { credentials: { secret_key: `sk_${right}1` } });
    expect(put.body).toMatchObject({ identity: `acct_${right} live`, health: { paused_until: null } });
  });

  test('a gateway that does not answer is no reason to take what may be another account’s', async () => {
    const [who, other] = [someone(), someone()];
    const { gateway_account_id: id } = (await add(withKey(`sk_${who}1`))).body;
    await putRefund(id, 'unknown');
    for (const answer of [
      unreachable,
      { kind: 'misconfigured', errorMessage: 'Invalid API key', evidence: {} },
      { kind: 'busy', retryAfterMs: null, evidence: {} },
    ] satisfies IdentityAnswer[]) {
      script.identity = () => answer;
      const refused = await patch(id, { credentials: { secret_key: `sk_${other}1` } });
      expect(refused.body.error).toMatchObject({ code: 'identity_not_told' });
    }
    // What does not sign in is no question of identity.
    expect((await patch(id, { credentials: { webhook_secret: 'any text' } })).status).toBe(200);
    expect((await patch(id, { max_per_second: 3 })).status).toBe(200);
  });

  test('where the gateway does not tell, other credentials are another identity, and webhook secrets are not', async () => {
    script.identity = () => ({ kind: 'not_told', why: 'it has no such question' });
    const { gateway_account_id: id } = (await add(withKey('sk_untold1'))).body;
    await putRefund(id, 'unknown');
    const identity = async () => (await open(id))?.access.identity;
    const before = await identity();
    expect(before).toMatch(/^key:[0-9a-f]{32} SCRIPTED$/);
    await patch(id, { credentials: { webhook_secret: 'any text' } });
    expect(await identity()).toBe(before);
    expect((await patch(id, { credentials: { secret_key: 'sk_untold2' } })).status).toBe(200);
    expect(await identity()).not.toBe(before);
    await patch(id, { credentials: { secret_key: 'sk_untold1' } });
    expect(await identity()).toBe(before);
    const [row] = await api.db.query<{ text: string }>(
      'select to_jsonb(a)::text as text from gateway_accounts a where gateway_account_id = $1',
      [id],
    );
    expect(row!.text).not.toContain(before!.slice(4, 36));
  });

  test('an account made while its gateway was away learns it before its first send, once', async () => {
    script.identity = () => unreachable;
    const who = someone();
    const made = await add(withKey(`sk_${who}1`));
    expect(made.body.identity).toBeNull();
    const id: string = made.body.gateway_account_id;
    const deps = {
      db: api.db,
      clock: new ManualClock(new Date(Date.now() + 3_600_000)),
      vault,
      gateways: registryOf([scripted]),
      gatewayHttp: async () => ({ kind: 'not_sent' as const, why: 'scripted' }),
    };
    let asked = 0;
    script.identity = (access) => {
      asked++;
      return accountOf(access);
    };
    for (const account of [await openForWork(deps, id), await openForWork(deps, id)])
      expect(account?.access.identity).toBe(`acct_${who} live SCRIPTED`);
    await openForWork(deps, id);
    expect(asked).toBe(1);
    expect((await read(id)).body.identity).toBe(`acct_${who} live`);
  });

  test('a gateway that tells nothing is asked once an hour, not at each send', async () => {
    script.identity = () => unreachable;
    const { gateway_account_id: id } = (await add(withKey('sk_silent1'))).body;
    const clock = new ManualClock(new Date(Date.now() + 3_600_000));
    const deps = {
      db: api.db,
      clock,
      vault,
      gateways: registryOf([scripted]),
      gatewayHttp: async () => ({ kind: 'not_sent' as const, why: 'scripted' }),
    };
    let asked = 0;
    script.identity = () => {
      asked++;
      return unreachable;
    };
    for (let n = 0; n < 5; n++) {
      expect((await openForWork(deps, id))?.access.identity).toMatch(/^key:/);
      clock.pass(600_000);
    }
    expect(asked).toBe(1);
  });
});

describe('the test of an account', () => {
  const works: AccessCheck = { tried: 'GET /', answer: { kind: 'works', evidence: {} } };
  const tryOut = async (id: string) =>
    (await call(api, `/v1/gateway-accounts/${id}/test`, { method: 'POST' })).body;
  beforeEach(() => {
    script.access = () => works;
  });
  afterAll(() => {
    script.identity = () => ({ kind: 'not_told', why: 'nothing was scripted' });
    script.payment = () => ({ kind: 'known', evidence: {} });
  });

  test('says whose account it is, and learns it', async () => {
    const { gateway_account_id: id } = (
      await add({ credentials: { ...credentials, secret_key: 'sk_t1aaa' } })
    ).body;
    script.identity = () => ({ kind: 'told', identity: 'acct_tested live', evidence: {} });
    const tested = await tryOut(id);
    expect(tested).toMatchObject({ outcome: 'works', identity: 'acct_tested live', payment: null });
    expect(tested.says).toContain('They open acct_tested live.');
    expect((await read(id)).body.identity).toBe('acct_tested live');
    script.identity = () => ({ kind: 'told', identity: 'acct_exchanged live', evidence: {} });
    expect((await tryOut(id)).says).toMatch(
      /they open acct_exchanged live, and this account is acct_tested live/,
    );
    expect((await read(id)).body.identity).toBe('acct_tested live');
    script.identity = () => ({ kind: 'not_told', why: 'this key may not ask' });
    expect((await tryOut(id)).says).toMatch(/does not say whose account they open: this key may not ask\./);
  });

  test('says where two accounts of before are one', async () => {
    const one = (await add({ credentials: { ...credentials, secret_key: 'sk_t2aaa' } })).body;
    const two = (await add({ credentials: { ...credentials, secret_key: 'sk_t2bbb' } })).body;
    script.identity = () => ({ kind: 'told', identity: 'acct_twice live', evidence: {} });
    expect((await tryOut(one.gateway_account_id)).says).toContain('They open acct_twice live.');
    expect((await tryOut(two.gateway_account_id)).says).toContain(`"${one.name}"`);
  });

  test('asks for a payment that was told, and says when it is not there', async () => {
    script.identity = () => ({ kind: 'not_told', why: 'no' });
    const { gateway_account_id: id } = (
      await add({ credentials: { ...credentials, secret_key: 'sk_t3aaa' } })
    ).body;
    expect((await tryOut(id)).payment).toBeNull();
    await putOrder(api.db, {
      orderId: 'T-3',
      amountMinor: 100,
      gateway: 'SCRIPTED',
      accountId: id,
      paymentId: 'p3',
    });
    const says = async (answer: PaymentAnswer) => {
      script.payment = (facts) => {
        expect(facts).toMatchObject({ gatewayPaymentId: 'p3', currency: 'INR' });
        return answer;
      };
      const { outcome, payment, says } = await tryOut(id);
      expect(outcome).toBe('works');
      return `${JSON.stringify(payment)} ${says}`;
    };
    expect(await says({ kind: 'known', evidence: {} })).toMatch(/"known":true.*It knows p3/);
    expect(await says({ kind: 'unknown', evidence: {} })).toMatch(
      /"known":false.*does not know p3.*another account/,
    );
    expect(await says({ kind: 'misfit', why: 'the payment is in USD, not in INR', evidence: {} })).toMatch(
      /"known":true.*in USD, not in INR/,
    );
    expect(await says({ kind: 'no_answer', why: 'reset', answered: false, evidence: {} })).toMatch(
      /"known":null.*could not be learnt/,
    );
  });
});

test('an account shows refusals in a row and rejected webhooks', async () => {
  const { gateway_account_id: id } = (await add({ credentials: { ...credentials, secret_key: 'sk_t4aaa' } }))
    .body;
  expect((await read(id)).body.health).toMatchObject({ refusals_in_a_row: 0, webhook_rejected_at: null });
  const refusal = { code: 'x', message: 'No such charge' };
  for (let n = 0; n < 20; n++)
    await noteCall(
      api.db,
      systemClock,
      { merchantId: 'acme', gatewayAccountId: id },
      {
        answered: true,
        refusesUs: false,
        why: null,
        refusal,
        begunAt: systemClock.now(),
      },
    );
  script.readWebhook = () => ({ kind: 'rejected', why: 'the signature is wrong' });
  const hook = await fetch(`${api.url}/gateways/${id}/webhooks`, { method: 'POST', body: '{}' });
  expect(hook.status).toBe(400);
  expect((await read(id)).body.health).toMatchObject({
    refusals_in_a_row: 20,
    paused_until: expect.any(String),
    last_error: 'The last 20 refunds were refused alike: No such charge',
    webhook_rejected_at: expect.any(String),
    webhook_rejected_because: 'the signature is wrong',
  });
  expect(
    (await takeWebhookTrouble(api.db, systemClock)).map(({ gatewayAccountId }) => gatewayAccountId),
  ).toContain(id);
  // Switched off and on, it begins anew.
  await patch(id, { enabled: false });
  expect((await read(id)).body.health.refusals_in_a_row).toBe(20);
  await patch(id, { enabled: true });
  expect((await read(id)).body.health).toMatchObject({ refusals_in_a_row: 0, paused_until: null });
});

test('where payments lie that name no account does not move without a trace', async () => {
  const desk = await startApi({ gateways: [scripted] });
  const make = async (name?: string) =>
    (await call(desk, '/v1/gateway-accounts', { json: { gateway: 'SCRIPTED', name, credentials } })).body
      .gateway_account_id as string;
  const change = (id: string, json: object) =>
    call(desk, `/v1/gateway-accounts/${id}`, { method: 'PATCH', json });
  const moves = async () =>
    (
      await desk.db.query<{ from: string | null; to: string | null }>(
        `select details -> 'from' ->> 'gateway_account_id' as from, details -> 'to' ->> 'gateway_account_id' as to
         from access_log where action = 'unnamed_payments_moved' order by at, entry_id`,
      )
    ).map(({ from, to }) => [from, to]);
  const first = await make();
  const second = await make('second');
  expect(await moves()).toEqual([[null, first]]);
  await change(first, { name: 'old' });
  await change(second, { name: 'default' });
  await change(second, { enabled: false });
  await change(second, { max_concurrent: 3 });
  expect((await moves()).slice(1)).toEqual([
    [first, null],
    [null, second],
    [second, first],
  ]);
  await desk.close();
});

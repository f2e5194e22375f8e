import { isAbsolute, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { describeSettings, readSettings, withPort } from '../src/config.ts';
import { OperatorError } from '../src/lib/operator-error.ts';

const KEY = 'ab'.repeat(32);

function problemsOf(environment: Record<string, string>): string[] {
  try {
    readSettings(environment);
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    return (error as Error).message.split('\n');
  }
  return [];
}

test('nothing set: the embedded demo on this machine alone', () => {
  expect(readSettings({})).toEqual({
    port: 8080,
    host: '127.0.0.1',
    databaseUrl: null,
    databasePoolSize: 10,
    dataDir: resolve('data'),
    role: 'all',
    masterKey: null,
    demo: true,
    demoApiKey: null,
    manualReviewAfterMs: 10 * 24 * 3_600_000,
    logLevel: 'info',
    allowPrivateWebhooks: true,
    allowOtherGatewayHosts: false,
    synchronousStandby: false,
    witnessDir: null,
    publicUrl: 'http://127.0.0.1:8080',
    publicUrlIsSet: false,
    sandbox: 'open',
    sandboxUrl: 'http://127.0.0.1:8080/sandbox',
    requestLogMs: 14 * 24 * 3_600_000,
    sessionIdleMs: 12 * 3_600_000,
    sessionLifeMs: 7 * 24 * 3_600_000,
    trustedProxies: [],
    requestsPerSecondOfKey: 2_000,
    requestsPerSecondOfAddress: 300,
  });
  expect(Object.isFrozen(readSettings({}))).toBe(true);
});

test('an own database: no demo, no sandbox, no private webhooks unless asked', () => {
  const environment = { DATABASE_URL: 'postgres://u:p@db/refunds', MASTER_KEY: KEY };
  expect(readSettings(environment)).toMatchObject({
    demo: false,
    sandbox: 'off',
    allowPrivateWebhooks: false,
    allowOtherGatewayHosts: false,
  });
  expect(readSettings({ ...environment, DEMO: 'on' })).toMatchObject({
    demo: true,
    sandbox: 'open',
    allowPrivateWebhooks: false,
    allowOtherGatewayHosts: false,
  });
  expect(readSettings({ ...environment, SANDBOX: 'keyed' }).sandbox).toBe('keyed');
  expect(readSettings({ DEMO: 'off' })).toMatchObject({
    demo: false,
    sandbox: 'off',
    allowPrivateWebhooks: false,
    allowOtherGatewayHosts: false,
  });
});

test('the master key is required with an own database, unless the command does not need it', () => {
  const environment = { DATABASE_URL: 'postgres://u:p@db/refunds' };
  expect(problemsOf(environment)).toEqual([expect.stringMatching(/^MASTER_KEY is not set.*64 hex digits/)]);
  expect(readSettings(environment, { needsMasterKey: false }).masterKey).toBeNull();
});

test.each([
  ['64 hex digits', KEY],
  ['base64', Buffer.from(KEY, 'hex').toString('base64')],
  ['base64url', Buffer.from(KEY, 'hex').toString('base64url')],
])('the master key is read as %s', (_form, text) => {
  expect(readSettings({ MASTER_KEY: text }).masterKey).toEqual(Buffer.alloc(32, 0xab));
});

test.each([
  ['250ms', 250],
  ['2s', 2_000],
  ['15m', 900_000],
  ['12h', 43_200_000],
  ['10d', 864_000_000],
])('MANUAL_REVIEW_AFTER=%s', (text, ms) => {
  expect(readSettings({ MANUAL_REVIEW_AFTER: text }).manualReviewAfterMs).toBe(ms);
});

test.each([
  ['PORT', '65536'],
  ['PORT', '-1'],
  ['PORT', '80a'],
  ['PORT', '1e3'],
  ['HOST', 'not a host'],
  ['DATABASE_POOL_SIZE', '1'],
  ['ROLE', 'boss'],
  ['DEMO', 'maybe'],
  ['MANUAL_REVIEW_AFTER', '10'],
  ['MANUAL_REVIEW_AFTER', '0s'],
  ['MANUAL_REVIEW_AFTER', '366d'],
  ['MANUAL_REVIEW_AFTER', '-1d'],
  ['LOG_LEVEL', 'loud'],
  ['ALLOW_PRIVATE_WEBHOOKS', '2'],
  ['ALLOW_OTHER_GATEWAY_HOSTS', 'stripe.com'],
  ['PUBLIC_URL', 'refunds.shop.example'],
  ['PUBLIC_URL', 'ftp://refunds.shop.example'],
  ['PUBLIC_URL', 'https://shop.example/?a=b'],
  ['SANDBOX', 'on'],
  ['SANDBOX_URL', 'sandbox'],
  ['SESSION_IDLE', '4m'],
  ['SESSION_LIFE', 'a week'],
  ['TRUSTED_PROXIES', '10.0.0.0/33'],
  ['TRUSTED_PROXIES', 'proxy.shop.example'],
])('%s=%s is refused by name, value and what is accepted', (name, value) => {
  expect(problemsOf({ [name]: value })).toEqual([
    expect.stringMatching(
      new RegExp(`^${name} ${JSON.stringify(value).replace(/[?.]/g, '\\$&')} is not accepted\\. Give .+\\.$`),
    ),
  ]);
});

test.each([
  ['DATABASE_URL', 'mysql://user:hunter2@db/x'],
  ['MASTER_KEY', 'hunter2'],
  ['DEMO_API_KEY', 'hunter2:'],
])('%s is refused without showing it', (name, value) => {
  const problems = problemsOf({ [name]: value, ...(name === 'DATABASE_URL' && { MASTER_KEY: KEY }) });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(name);
  expect(problems[0]).not.toContain('hunter2');
});

test('all problems are told at once', () => {
  const problems = problemsOf({
    PORT: 'x',
    ROLE: 'y',
    MANUAL_REVIEW_AFTER: 'z',
    DATABASE_URL: 'postgres://db/x',
  });
  expect(problems.map((problem) => problem.split(' ')[0]).sort()).toEqual([
    'MANUAL_REVIEW_AFTER',
    'MASTER_KEY',
    'PORT',
    'ROLE',
  ]);
});

test('an empty variable is one that is not set', () => {
  expect(readSettings({ PORT: '', DATABASE_URL: ' ', DEMO: '' })).toEqual(readSettings({}));
});

test('addresses follow from host and port, also when the port is chosen later, unless they are given', () => {
  expect(readSettings({ HOST: '0.0.0.0', PORT: '9000' }).publicUrl).toBe('http://127.0.0.1:9000');
  expect(readSettings({ HOST: '::1' }).sandboxUrl).toBe('http://[::1]:8080/sandbox');
  expect(withPort(readSettings({ PORT: '0' }), 4321)).toMatchObject({
    port: 4321,
    publicUrl: 'http://127.0.0.1:4321',
    sandboxUrl: 'http://127.0.0.1:4321/sandbox',
  });
  const given = withPort(readSettings({ PORT: '0', PUBLIC_URL: 'https://refunds.shop.example/desk/' }), 4321);
  expect(given.publicUrl).toBe('https://refunds.shop.example/desk');
});

test('the list of settings names every one, and no secret', () => {
  const secrets = { DATABASE_URL: 'postgres://u:hunter2@db/x', MASTER_KEY: KEY, DEMO_API_KEY: 'hunter2' };
  const list = describeSettings({ ...secrets, PORT: '9000' });
  expect(list.find(({ name }) => name === 'PORT')?.value).toBe('9000');
  expect(list.find(({ name }) => name === 'MASTER_KEY')?.value).toBe('(set)');
  expect(JSON.stringify(list)).not.toMatch(new RegExp(`hunter2|${KEY}`));
  for (const setting of list) expect(setting.about).toMatch(/\.$/);
  expect(isAbsolute(readSettings({ DATA_DIR: './elsewhere' }).dataDir)).toBe(true);
});

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isAlive } from '../../src/lib/embedded-postgres.ts';
import { blankDatabase } from '../support/database.ts';
import { PROGRAM, runProgram, type Started, startProgram } from '../support/program.ts';

let folder: string;
let dataDir: string;
let embedded: Record<string, string>;
const running: Started[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refundry-serve-'));
  dataDir = join(folder, 'data');
  embedded = { DATA_DIR: dataDir, PORT: '0' };
});

afterEach(async () => {
  for (const program of running.splice(0)) {
    if (program.process.exitCode === null && !program.process.signalCode) await program.end('SIGTERM');
  }
  rmSync(folder, { recursive: true, force: true });
});

async function start(environment = embedded): Promise<Started> {
  const program = await startProgram(environment);
  running.push(program);
  return program;
}

/** What a command tells of the running program's secrets, which its start page keeps to itself outside a terminal. */
async function told(command: 'demo-key' | 'demo-password'): Promise<string> {
  const { status, stdout } = await runProgram([command], embedded);
  expect(status).toBe(0);
  return stdout.trim();
}

const lockFile = () => join(dataDir, 'postgres/cluster/postmaster.pid');
const healthOf = async (program: Started) => (await fetch(`${program.url}/health`)).status;

test('an empty folder becomes a running demo; SIGINT ends it with 0 and PostgreSQL with it; the next start goes on', async () => {
  const first = await start();
  expect(await healthOf(first)).toBe(200);
  const key = await told('demo-key');
  const authorization = `Basic ${Buffer.from(`${key}:`).toString('base64')}`;
  expect((await fetch(`${first.url}/v1/orders`, { headers: { authorization } })).status).toBe(200);
  expect(statSync(join(dataDir, 'master.key')).mode & 0o777).toBe(0o600);
  expect(statSync(join(dataDir, 'demo.key')).mode & 0o777).toBe(0o600);
  const pid = Number(readFileSync(lockFile(), 'utf8').split('\n')[0]);

  expect(await first.end('SIGINT')).toMatchObject({ status: 0 });
  expect(existsSync(lockFile())).toBe(false);
  expect(existsSync(`/proc/${pid}/cwd`)).toBe(false);

  const second = await start();
  expect(await told('demo-key')).toBe(key);
  expect((await fetch(`${second.url}/v1/orders`, { headers: { authorization } })).status).toBe(200);
  expect(await second.end('SIGTERM')).toMatchObject({ status: 0 });
});

test('the demo has a person of each role, who come in by a password that is told but not written to a journal', async () => {
  const { url, page } = await start();
  expect(page).not.toMatch(/demo[-_][0-9a-f]{12}/);
  expect(page).toContain('npm run -s refundry demo-password');
  const password = await told('demo-password');
  expect(/Sign in\s+(.+)/.exec(page)![1]).toBe('admin@demo.test  or operations@, support@, viewer@');
  const roles = [];
  for (const role of ['admin', 'operations', 'support', 'viewer']) {
    const headers = {
      'content-type': 'application/json',
      'x-refundry': 'dashboard',
      origin: new URL(url!).origin,
    };
    const body = JSON.stringify({ email: `${role}@demo.test`, password });
    const signedIn = await fetch(`${url}/auth/sign-in`, { method: 'POST', headers, body });
    expect(signedIn.status).toBe(200);
    const cookie = signedIn.headers.getSetCookie().map((line) => line.split(';')[0]);
    const me = await fetch(`${url}/v1/me`, { headers: { cookie: cookie.join('; ') } });
    roles.push((await me.json()) as object);
  }
  expect(roles).toMatchObject(
    ['admin', 'operations', 'support', 'viewer'].map((role) => ({
      role,
      demo: true,
      merchant: { merchant_id: 'demo', sandbox: true },
    })),
  );
});

test('the start page fits a small window and has no colour codes where there is no terminal', async () => {
  const { page } = await start();
  const lines = page.trimEnd().split('\n');
  expect(lines.length).toBeLessThanOrEqual(24);
  expect(page).not.toContain('\x1b');
  for (const word of ['/docs', '/sandbox/refunds', '/health', dataDir, 'Ctrl-C'])
    expect(page).toContain(word);
});

test('a Ctrl-C that arrives twice at once, as through npm, still ends cleanly', async () => {
  const program = await start();
  program.process.kill('SIGINT');
  expect(await program.end('SIGINT')).toMatchObject({ status: 0 });
  expect(existsSync(lockFile())).toBe(false);
});

test('a second Ctrl-C does not wait for what is in flight, and still stops PostgreSQL cleanly', async () => {
  const program = await start();
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{')),
  });
  const headers = {
    authorization: `Basic ${btoa(`${readFileSync(join(dataDir, 'demo.key'), 'utf8').trim()}:`)}`,
    'content-type': 'application/x-ndjson',
  };
  const hanging = fetch(`${program.url}/v1/transactions`, { method: 'POST', headers, body, duplex: 'half' });
  hanging.catch(() => undefined);
  // Once the server has the request, a stop waits for its body.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const again = setInterval(() => program.process.kill('SIGINT'), 300);
  const { status, stderr } = await program.end();
  clearInterval(again);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^Stopping: .*^Stopped at once: /ms);
  expect(existsSync(lockFile())).toBe(false);
  expect(await healthOf(await start())).toBe(200);
});

test('killed without warning, the next start takes the database over and goes on', async () => {
  const first = await start();
  await first.end('SIGKILL');
  const pid = Number(readFileSync(lockFile(), 'utf8').split('\n')[0]);
  expect(isAlive(pid)).toBe(true);
  const second = await start();
  expect(await healthOf(second)).toBe(200);
  expect(Number(readFileSync(lockFile(), 'utf8').split('\n')[0])).toBe(pid);
  expect(await second.end('SIGINT')).toMatchObject({ status: 0 });
  expect(existsSync(lockFile())).toBe(false);
});

test('ends with 1 and a reason when PostgreSQL is killed under it', async () => {
  const program = await start();
  process.kill(Number(readFileSync(lockFile(), 'utf8').split('\n')[0]), 'SIGKILL');
  const { status, stderr } = await program.end();
  expect(status).toBe(1);
  expect(stderr).toMatch(/The embedded PostgreSQL ended; .*server\.log says why\.$/m);
});

test('a folder in use: one sentence, status 1, and the first goes on', async () => {
  const first = await start();
  expect(await runProgram(['serve'], embedded)).toEqual({
    status: 1,
    stdout: '',
    stderr: `Another Refundry is using the data in ${dataDir}. Stop it first, or choose another folder with DATA_DIR.\n`,
  });
  expect(await healthOf(first)).toBe(200);
});

test('a taken port: one sentence, status 1, nothing left running', async () => {
  const stranger = createServer().listen(0, '127.0.0.1');
  await vi.waitUntil(() => stranger.listening);
  const port = (stranger.address() as AddressInfo).port;
  const { status, stdout, stderr } = await runProgram(['serve'], {
    ...embedded,
    PORT: String(port),
    LOG_LEVEL: 'warn',
  });
  stranger.close();
  expect({ status, stdout, stderr }).toEqual({
    status: 1,
    stdout: '',
    stderr: `Port ${port} on 127.0.0.1 is taken by another program. Stop it, or choose another port with PORT.\n`,
  });
  expect(existsSync(lockFile())).toBe(false);
});

test('wrong settings: a sentence each, status 1, nothing made', async () => {
  const { status, stdout, stderr } = await runProgram(['serve'], { ...embedded, PORT: 'http', ROLE: 'boss' });
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toBe(
    'PORT "http" is not accepted. Give a whole number from 0 to 65535; 0 lets the system choose.\n' +
      'ROLE "boss" is not accepted. Give all, api or worker.\n',
  );
  expect(existsSync(dataDir)).toBe(false);
});

test('the address of another machine is refused in one sentence', async () => {
  const refused = await runProgram(['serve'], {
    ...embedded,
    HOST: '192.0.2.1',
    PORT: '8080',
    LOG_LEVEL: 'warn',
  });
  expect(refused).toEqual({
    status: 1,
    stdout: '',
    stderr: 'HOST 192.0.2.1 is not an address of this machine.\n',
  });
});

test('api and worker processes start at once on one blank database, and refuse another master key', async () => {
  const database = await blankDatabase();
  const own = {
    DATABASE_URL: database.connectionString,
    MASTER_KEY: '0f'.repeat(32),
    PORT: '0',
    DATA_DIR: dataDir,
  };
  const [api, second, worker] = await Promise.all([
    start({ ...own, ROLE: 'api' }),
    start({ ...own, ROLE: 'api' }),
    start({ ...own, ROLE: 'worker' }),
  ]);
  expect(await Promise.all([healthOf(api), healthOf(second)])).toEqual([200, 200]);
  expect(worker.url).toBeNull();
  expect(await runProgram(['serve'], { ...own, MASTER_KEY: 'f0'.repeat(32) })).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(
      /^MASTER_KEY is not the key that this database's secrets were sealed with\..*\n$/,
    ),
  });
  for (const program of [api, second, worker]) {
    expect(await program.end('SIGTERM')).toMatchObject({
      status: 0,
      stderr: expect.stringContaining('PUBLIC_URL is not set; gateways are given this address'),
    });
  }
  // The mark by which books that went back are noticed, and no key or data.
  expect(readdirSync(dataDir)).toEqual([expect.stringMatching(/^books-.*\.json$/)]);
  await database.drop();
});

test('a database that refuses us: one sentence without the password', async () => {
  const database = await blankDatabase();
  const url = new URL(database.connectionString);
  url.password ||= 'hunter2';
  url.pathname = '/no_such_database';
  const refused = await runProgram(['serve'], {
    DATABASE_URL: url.href,
    MASTER_KEY: '0f'.repeat(32),
    DATA_DIR: dataDir,
  });
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(
    /^The database at \S+\/no_such_database cannot be used: .*does not exist\..*\n$/,
  );
  expect(refused.stderr).not.toContain(url.password);
  await database.drop();
});

test('a master key that was lost is asked for, not replaced', async () => {
  await (await start()).end('SIGINT');
  rmSync(join(dataDir, 'master.key'));
  const refused = await runProgram(['serve'], embedded);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain(`${join(dataDir, 'master.key')} is missing`);
  expect(existsSync(join(dataDir, 'master.key'))).toBe(false);
});

test('an old Node.js and missing parts are told in one sentence', async () => {
  const preload = join(folder, 'old.cjs');
  writeFileSync(
    preload,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })`,
  );
  const old = await runProgram(['serve'], { ...embedded, NODE_OPTIONS: `--require ${preload}` });
  expect(old).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(/^Refundry needs Node\.js 22\.18 or newer, and this is 20\.20\.2: .+\n$/),
  });

  const bare = join(folder, 'bare');
  mkdirSync(bare);
  const root = dirname(dirname(PROGRAM));
  for (const part of ['bin', 'src', 'package.json'])
    cpSync(join(root, part), join(bare, part), { recursive: true });
  const missing = await runProgram([], embedded, join(bare, 'bin/refundry.js'));
  expect(missing).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(/^A needed part is not installed \(\S+\): run "npm ci" again\.\n$/),
  });
});

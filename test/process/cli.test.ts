import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLine } from '../../src/cli.ts';
import { blankDatabase } from '../support/database.ts';
import { runProgram, type Started, startProgram } from '../support/program.ts';

let folder: string;
let environment: Record<string, string>;
let server: Started;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'refundry-cli-'));
  environment = { DATA_DIR: join(folder, 'data'), PORT: '0' };
  server = await startProgram(environment);
});

afterAll(async () => {
  await server.end('SIGINT');
  rmSync(folder, { recursive: true, force: true });
});

const refundry = (...args: string[]) => runProgram(args, { ...environment, PORT: new URL(server.url!).port });
const isKnown = async (key: string) =>
  (await fetch(`${server.url}/v1/orders`, { headers: { authorization: `Basic ${btoa(`${key}:`)}` } }))
    .status === 200;

test('merchants and keys are made, listed and ended beside the running server', async () => {
  expect(await refundry('merchant', 'create', 'acme', '--name', 'Acme Ltd')).toMatchObject({
    status: 0,
    stderr: '',
  });
  expect(await refundry('merchant', 'create', 'acme')).toMatchObject({
    status: 1,
    stderr: 'There is a merchant acme already. Choose another id.\n',
  });
  const made = await refundry('api-key', 'create', '--merchant', 'acme', '--name', 'shop');
  expect(made).toMatchObject({ status: 0, stderr: '' });
  const key = made.stdout.trim();
  expect(await isKnown(key)).toBe(true);

  const listed = await refundry('api-key', 'list', '--merchant', 'acme');
  expect(listed.stdout).toMatch(
    new RegExp(`^\\S+ {2}…${key.slice(-4)} {2}shop {2}made \\S+ {2}may \\S+ {2}works\\n$`),
  );
  expect(listed.stdout).not.toContain(key);
  const id = listed.stdout.split(' ')[0]!;
  expect(await refundry('api-key', 'revoke', id, '--merchant', 'demo')).toMatchObject({ status: 1 });
  expect(await isKnown(key)).toBe(true);
  expect(await refundry('api-key', 'revoke', id, '--merchant', 'acme')).toMatchObject({ status: 0 });
  expect((await refundry('api-key', 'list', '--merchant', 'acme')).stdout).toMatch(/revoked \S+\n$/);
  expect(await refundry('api-key', 'revoke', 'nonsense', '--merchant', 'acme')).toMatchObject({ status: 1 });
  expect(await refundry('api-key', 'create', '--merchant', 'nobody')).toMatchObject({
    status: 1,
    stderr: 'There is no merchant nobody. "refundry merchant create nobody" makes it.\n',
  });
});

test('merchants are listed, the oldest first', async () => {
  await refundry('merchant', 'create', 'listed', '--name', 'Listed Ltd');
  const { status, stdout } = await refundry('merchant', 'list');
  expect(status).toBe(0);
  expect(stdout).toMatch(/^demo {2}Demo Store {2}made \S+\n(.+\n)*listed {2}Listed Ltd {2}made \S+\n$/);
});

test('the version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(await refundry('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
});

test.each([
  ['merchant', 'list'],
  ['merchant', 'create', 'acme'],
  ['api-key', 'list', '--merchant', 'acme'],
  ['audit', 'verify'],
  ['backup', 'never-written.gz'],
])('where there is no database, %s %s makes none', async (...command) => {
  const nowhere = join(folder, 'nowhere');
  expect(await runProgram(command, { DATA_DIR: nowhere })).toEqual({
    status: 1,
    stdout: '',
    stderr:
      `There is no database in ${nowhere} yet: "refundry serve" makes it. ` +
      'If yours is elsewhere, DATA_DIR or DATABASE_URL says where.\n',
  });
  expect(existsSync(nowhere)).toBe(false);
});

test('the demo key is printed alone, for scripts', async () => {
  const { status, stdout } = await refundry('demo-key');
  expect(status).toBe(0);
  expect(server.page).not.toContain(stdout.trim());
  expect(await isKnown(stdout.trim())).toBe(true);
});

test('people are invited, changed and reset beside the running server', async () => {
  await refundry('merchant', 'create', 'people');
  const merchant = ['--merchant', 'people'];
  const post = (path: string, body: object) =>
    fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-refundry': 'dashboard',
        origin: new URL(server.url!).origin,
      },
      body: JSON.stringify(body),
    });
  const follow = async (link: string, password: string) => {
    const [, token] = /^http:\/\/127\.0\.0\.1:\d+\/(?:join|reset)#(\S+)\n$/.exec(link)!;
    return (await post('/auth/link/use', { token, password })).status;
  };
  const mayEnter = async (password: string) =>
    (await post('/auth/sign-in', { email: 'asha@people.test', password })).status === 200;

  const invited = await refundry('user', 'add', 'Asha@people.test', ...merchant, '--name', 'Asha Nair');
  expect(invited).toMatchObject({ status: 0, stderr: expect.stringContaining('works once, for 72 hours') });
  expect(await follow(invited.stdout, 'a first long password')).toBe(200);
  expect(await refundry('user', 'add', 'asha@people.test', ...merchant)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('is in the team already'),
  });
  expect((await refundry('user', 'list', ...merchant)).stdout).toBe(
    'asha@people.test  admin  Asha Nair  password only  may sign in\n',
  );
  for (const command of [
    ['role', 'asha@people.test', 'viewer'],
    ['disable', 'asha@people.test'],
  ]) {
    expect(await refundry('user', ...command, ...merchant)).toMatchObject({
      status: 1,
      stderr: 'asha@people.test is the last admin who can sign in. Make another one first.\n',
    });
  }
  const reset = await refundry('user', 'reset', 'asha@people.test', ...merchant);
  expect(reset.status).toBe(0);
  expect(await mayEnter('a first long password')).toBe(false);
  expect(await follow(reset.stdout, 'a second long password')).toBe(200);
  expect(await mayEnter('a second long password')).toBe(true);
  expect(await refundry('user', 'role', 'asha@people.test', 'boss', ...merchant)).toMatchObject({
    status: 2,
  });
  expect(await refundry('user', 'disable', 'nobody@people.test', ...merchant)).toMatchObject({
    status: 1,
    stderr: 'Nobody of merchant people has the e-mail nobody@people.test.\n',
  });
}, 240_000);

test('the doctor finds all of a running Refundry good, but for merchants without an admin', async () => {
  await refundry('merchant', 'create', 'unmanned');
  const { status, stdout } = await refundry('doctor');
  expect(stdout).not.toMatch(/^✗/m);
  expect(stdout.match(/^! .*$/gm)).toEqual([
    expect.stringMatching(/^! Admins .*unmanned.*"refundry user add <e-mail> --merchant \w+" invites one\.$/),
  ]);
  for (const what of [
    'Node.js',
    'Data folder',
    'Port',
    'Public URL',
    'PostgreSQL',
    'Clock',
    'Migrations',
    'Master key',
  ]) {
    expect(stdout).toMatch(new RegExp(`^✓ ${what} `, 'm'));
  }
  expect(status).toBe(0);
});

test('the doctor names what is bad and ends with 1', async () => {
  const wrongKey = await runProgram(['doctor'], { ...environment, MASTER_KEY: '0f'.repeat(32) });
  expect(wrongKey).toMatchObject({ status: 1, stdout: expect.stringMatching(/^✗ Master key/m) });
});

test('the doctor of an own database says when commits do not wait for the disk, and when PUBLIC_URL is missing', async () => {
  const database = await blankDatabase();
  const own = { ...environment, DATABASE_URL: database.connectionString, MASTER_KEY: '0f'.repeat(32) };
  const name = new URL(database.connectionString).pathname.slice(1);
  await database.db.query(`alter database ${name} set synchronous_commit = off`);
  expect(await runProgram(['doctor'], own)).toMatchObject({
    status: 1,
    stdout: expect.stringMatching(
      /^! Public URL .*PUBLIC_URL is not set.*^✗ PostgreSQL .* runs with [^:]*synchronous_commit off: .*$/ms,
    ),
  });
  await database.db.query(`alter database ${name} reset synchronous_commit`);
  const { stdout } = await runProgram(['doctor'], { ...own, PUBLIC_URL: 'https://refunds.shop.test' });
  expect(stdout).toMatch(/^✓ Public URL .*https:\/\/refunds\.shop\.test/m);
  expect(stdout).not.toContain('synchronous_commit');
  await database.drop();
});

test('migrate says that there is nothing to do, and changes nothing', async () => {
  const { status, stdout } = await refundry('migrate');
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: `The database at ${environment['DATA_DIR']} (embedded PostgreSQL) is up to date.\n`,
  });
});

test('a file of payments is imported beside the running server, and refused lines end it with 3', async () => {
  const file = join(folder, 'payments.ndjson');
  writeFileSync(file, '{"order_id": "o-1"}\n');
  expect(await refundry('import', file, '--merchant', 'demo')).toMatchObject({ status: 3 });
  expect(existsSync(`${file}.errors.csv`)).toBe(true);
  expect(await refundry('import', join(folder, 'none.csv'), '--merchant', 'demo')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('none.csv'),
  });
});

test('the sandbox gateway runs as a process of its own', async () => {
  const sandbox = await startProgram({ ...environment, DATA_DIR: join(folder, 'sandbox') }, ['sandbox']);
  const url = /answers on (http\S+)\. Stop/.exec(sandbox.page)![1]!;
  expect((await fetch(`${url}/refunds`)).status).toBe(200);
  expect(await sandbox.end('SIGINT')).toMatchObject({ status: 0 });
});

test('the audit of a running Refundry finds nothing', async () => {
  expect(await refundry('audit', 'verify')).toMatchObject({ status: 0 });
  expect(await refundry('audit', 'verify', '--witness', 'nonsense')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('"nonsense" is not a witness'),
  });
});

test('the settings are listed, without secrets', async () => {
  const { status, stdout } = await runProgram(['settings'], { ...environment, MASTER_KEY: '0f'.repeat(32) });
  expect(status).toBe(0);
  expect(stdout).toContain('MASTER_KEY = (set)');
  expect(stdout).not.toContain('0f0f');
});

test('a command line that cannot be read ends with 2 and says what is wrong', async () => {
  expect(await refundry('refund')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("unknown command 'refund'"),
  });
  expect(await refundry('api-key', 'list')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('--merchant'),
  });
  expect(await refundry('--help')).toMatchObject({ status: 0, stderr: '' });
});

test('every command teaches: a sentence, an example, what its statuses mean', () => {
  const leaves = (command: Command): Command[] =>
    command.commands.length === 0 ? [command] : command.commands.flatMap((child) => leaves(child));
  for (const command of leaves(commandLine())) {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    expect(command.description(), command.name()).toMatch(/\.$/);
    expect(help, command.name()).toMatch(/\nExample: .*refundry/);
    expect(help, command.name()).toMatch(/\nExit status: 0/);
  }
});

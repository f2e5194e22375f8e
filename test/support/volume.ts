import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A PostgreSQL on a small file system, which can be filled to the last block: the kernel itself says ENOSPC. */
export interface SmallVolume {
  readonly connectionString: string;
  fill(): Promise<void>;
  /** Gives the space back. */
  room(): Promise<void>;
  /** How often PostgreSQL has ended by itself. It is started again until it runs. */
  ended(): Promise<number>;
  stop(): Promise<void>;
}

const HOLDER = fileURLToPath(new URL('./hold-volume.ts', import.meta.url));
const SIZE_MB = 300;

/** How a process gets the right to mount a volume that only it sees: as root, in a user's own namespace, or by sudo. */
const WAYS: readonly (readonly string[])[] = [
  ['unshare', '-m'],
  ['unshare', '-Um', '--map-current-user', '--keep-caps'],
  ['sudo', '-n', 'unshare', '-m'],
];

export const NO_VOLUME =
  'no small volume can be had: run as root, allow user namespaces, or give /dev/shm less than 1 GB';

/** What of it lies on the small volume: everything, or only the log (WAL). Null where no such volume can be had. */
export async function startOnSmallVolume(what: 'data' | 'wal'): Promise<SmallVolume | null> {
  const home = mkdtempSync(join(tmpdir(), 'refundry-volume-'));
  // PostgreSQL may run as another user.
  chmodSync(home, 0o755);
  const mountPoint = join(home, 'volume');
  mkdirSync(mountPoint);
  const way = WAYS.find(([program, ...args]) => {
    const probe = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mountPoint];
    return spawnSync(program!, [...args, ...probe]).status === 0;
  });
  const shared = way ? null : smallSharedMemory();
  if (!way && !shared) {
    rmSync(home, { recursive: true });
    return null;
  }
  const [program, ...args] = [
    ...(way ?? []),
    process.execPath,
    HOLDER,
    join(home, 'data'),
    ...(shared ? [shared, '0'] : [mountPoint, String(SIZE_MB)]),
    what,
  ];
  const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const answers = answersOf(child);
  const tell = (word: string) => {
    child.stdin.write(`${word}\n`);
    return answers();
  };
  const connectionString = (await answers()).slice('ready '.length);
  return {
    connectionString,
    fill: async () => void (await tell('fill')),
    room: async () => void (await tell('room')),
    ended: async () => Number((await tell('ended')).slice('ended '.length)),
    async stop() {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.stdin.write('stop\n');
      await ended;
      rmSync(home, { recursive: true, force: true });
      if (shared) rmSync(shared, { recursive: true, force: true });
    },
  };
}

/** A container's shared memory is small, and anybody may fill it. */
function smallSharedMemory(): string | null {
  if (!existsSync('/dev/shm')) return null;
  const { bavail, bsize } = statfsSync('/dev/shm');
  const freeMb = (bavail * bsize) / 1_048_576;
  if (freeMb < 200 || freeMb > 1_000) return null;
  const folder = mkdtempSync('/dev/shm/refundry-volume-');
  chmodSync(folder, 0o755);
  return folder;
}

function answersOf(child: ChildProcess): () => Promise<string> {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return async () => {
    const line = await lines.next();
    if (line.done) throw new Error(`the volume's PostgreSQL ended: ${said}`);
    return line.value;
  };
}

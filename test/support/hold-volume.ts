// Runs a PostgreSQL whose data, or whose log (WAL), lie on a small volume of their own, and fills that volume on demand.
// Arguments: the data folder, the folder for the volume, its size in MB (0: it is a small volume already), what lies on it.
// Standard input takes a word a line: fill, room, ended, stop. Each is answered by a line that begins with the same word.
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';

const [dataDir, volume, sizeMb, what] = process.argv.slice(2) as [string, string, string, 'data' | 'wal'];
if (sizeMb !== '0') {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMb}m,mode=755`, 'tmpfs', volume]);
}
const home = what === 'data' ? join(volume, 'data') : dataDir;
const ballast = join(volume, 'ballast');
let stopping = false;
let filling = false;
let ended = 0;
let server = await start();
if (what === 'wal') {
  await server.stop();
  const wal = join(home, 'postgres/cluster/pg_wal');
  execFileSync('cp', ['-a', wal, join(volume, 'pg_wal')]);
  fs.rmSync(wal, { recursive: true });
  fs.symlinkSync(join(volume, 'pg_wal'), wal);
  server = await start();
}
say(`ready ${server.connectionString}`);

for await (const word of createInterface({ input: process.stdin })) {
  if (word === 'fill') {
    filling = true;
    fill();
    say('fill');
  }
  if (word === 'room') {
    filling = false;
    fs.rmSync(ballast, { force: true });
    say('room');
  }
  if (word === 'ended') say(`ended ${ended}`);
  if (word === 'stop') break;
}
stopping = true;
fs.rmSync(ballast, { force: true });
await server.stop();
process.exit(0);

function start(): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({
    dataDir: home,
    whenOwned: 'refuse',
    settings: { max_wal_size: '64MB', min_wal_size: '32MB', shared_buffers: '16MB' },
    onLost: () => {
      ended++;
      void startAgain();
    },
  });
}

/** As a service manager does. */
async function startAgain(): Promise<void> {
  while (!stopping) {
    await sleep(500);
    const again = await start().catch(() => null);
    if (again === null) continue;
    server = again;
    if (stopping) await server.stop();
    return;
  }
}

/** Takes what is left to the last block, and whatever becomes free meanwhile. */
function fill(): void {
  if (!filling) return;
  const file = fs.openSync(ballast, 'a');
  try {
    for (let size = 1_048_576; size >= 4_096; size /= 16) {
      const block = Buffer.alloc(size, 1);
      try {
        for (;;) fs.writeSync(file, block);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    fs.closeSync(file);
  }
  setTimeout(fill, 50);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

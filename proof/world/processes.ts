import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Started, startProgram } from '../../test/support/program.ts';

/** A process that is started again whenever it was killed, as a service manager would. */
export interface Kept {
  readonly name: string;
  readonly pid: number;
  start(): Promise<void>;
  /** As a power cut does. Returns once it is gone. */
  kill(): Promise<void>;
  /** As a service manager does; returns once it is gone, with its exit status. */
  stop(): Promise<number | null>;
  /** Why it ended although nobody ended it; null while it did not. */
  endedByItself(): string | null;
}

const START_PATIENCE_MS = 60_000;

/** A command of Refundry in a process of its own. What it needs may be down: it is started until it runs. */
export function keepRefundry(
  name: string,
  environment: Readonly<Record<string, string>>,
  args: readonly string[] = ['serve'],
): Kept {
  let running: Started | null = null;
  let byItself: string | null = null;
  async function end(signal: NodeJS.Signals): Promise<number | null> {
    const ending = running;
    running = null;
    return ending ? (await ending.end(signal)).status : null;
  }
  return {
    name,
    get pid() {
      return running?.process.pid ?? 0;
    },
    async start() {
      const giveUpAt = Date.now() + START_PATIENCE_MS;
      for (;;) {
        try {
          const started = await startProgram(environment, args);
          running = started;
          void started.end().then(({ status, stderr }) => {
            if (running !== started) return;
            running = null;
            byItself = `the ${name} ended by itself with ${status}: ${stderr.slice(-2_000)}`;
          });
          return;
        } catch (error) {
          if (Date.now() > giveUpAt) throw error;
          await sleep(200);
        }
      }
    },
    async kill() {
      await end('SIGKILL');
    },
    stop: () => end('SIGTERM'),
    endedByItself: () => byItself,
  };
}

const HOLDER = fileURLToPath(new URL('../../test/support/hold-postgres.ts', import.meta.url));

/** An embedded PostgreSQL in a folder, owned by a process that does nothing else. Its port stays the same. */
export interface KeptPostgres extends Kept {
  /** Known once it has started. */
  readonly connectionString: string;
}

export function keepPostgres(dataDir: string): KeptPostgres {
  let owner: ChildProcess | null = null;
  let connectionString = '';
  const serverPid = () =>
    Number(readFileSync(join(dataDir, 'postgres/cluster/postmaster.pid'), 'utf8').split('\n')[0]);
  async function end(signal: NodeJS.Signals): Promise<number | null> {
    const ending = owner;
    owner = null;
    if (!ending || ending.exitCode !== null || ending.signalCode) return null;
    const ended = new Promise<number | null>((resolve) => ending.once('close', resolve));
    ending.kill(signal);
    return ended;
  }
  return {
    name: 'PostgreSQL',
    get pid() {
      return serverPid();
    },
    get connectionString() {
      return connectionString;
    },
    async start() {
      const child = spawn(process.execPath, [HOLDER, dataDir], { stdio: ['ignore', 'pipe', 'pipe'] });
      connectionString = await new Promise<string>((resolve, reject) => {
        let said = '';
        child.stderr.setEncoding('utf8').on('data', (text: string) => {
          said += text;
        });
        child.stdout.setEncoding('utf8').once('data', (line: string) => resolve(line.trim()));
        child.once('close', (status) => reject(new Error(`PostgreSQL did not start (${status}): ${said}`)));
      });
      owner = child;
    },
    async kill() {
      // The server first, so that its owner has no time to end it cleanly.
      process.kill(serverPid(), 'SIGKILL');
      await end('SIGKILL');
    },
    stop: () => end('SIGTERM'),
    endedByItself: () => null,
  };
}

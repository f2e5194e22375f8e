import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const PROGRAM = fileURLToPath(new URL('../../bin/refundry.js', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly process: ChildProcess;
  /** Where its API answers, from its start page; null for a worker. */
  readonly url: string | null;
  readonly page: string;
  /** Sends the signal, if one is given, and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<Ended>;
}

/** Runs a command line of the real program with only this environment, to its end. */
export async function runProgram(
  args: readonly string[],
  environment: Record<string, string>,
  program = PROGRAM,
): Promise<Ended> {
  return launch(args, environment, program).ended;
}

/** Starts a command that serves as its own process, and waits until it says so. Throws what it said when it ended instead. */
export async function startProgram(
  environment: Record<string, string>,
  args: readonly string[] = ['serve'],
): Promise<Started> {
  const { child, ended, output } = launch(args, environment, PROGRAM);
  const shown = new Promise<string>((resolve) => {
    child.stdout?.on('data', () => output().includes('Stop ') && resolve(output()));
  });
  const page = await Promise.race([
    shown,
    ended.then(({ status, stderr }) => {
      throw new Error(`ended with ${status}: ${stderr}`);
    }),
  ]);
  return {
    process: child,
    url: /Dashboard\s+(http\S+)/.exec(page)?.[1] ?? null,
    page,
    end(signal) {
      if (signal) child.kill(signal);
      return ended;
    },
  };
}

function launch(args: readonly string[], environment: Record<string, string>, program: string) {
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: '/usr/bin:/bin', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
  return { child, ended, output: () => stdout };
}

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from './program.ts';

export const DEMO_KEY = 'rk_demo_000000000000000000000000000000000000000000000000';

/** A real Refundry in its own process with an embedded PostgreSQL in a folder of its own. */
export interface Running {
  readonly url: string;
  /** Ends it as Ctrl-C does; the exit status. */
  stop(): Promise<number | null>;
  /** Ends it as a power cut does. */
  kill(): Promise<void>;
}

export async function newDataDir(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'refundry-test-'));
  // The database may run as another user than the test.
  await chmod(path, 0o755);
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

export async function startRunning(
  dataDir: string,
  environment: Record<string, string> = {},
): Promise<Running> {
  const started = await startProgram({
    PORT: '0',
    DATA_DIR: dataDir,
    DEMO_API_KEY: DEMO_KEY,
    ...environment,
  });
  return {
    url: started.url!,
    stop: async () => (await started.end('SIGINT')).status,
    kill: async () => {
      await started.end('SIGKILL');
    },
  };
}

/** A caller with the demo key. Answers carry the parsed body. */
export function caller(url: string, key = DEMO_KEY, merchantId = 'demo') {
  const headers = {
    authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}`,
    'x-merchantid': merchantId,
  };
  const call = async (method: string, path: string, body?: unknown, form = false) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...headers,
        ...(body === undefined
          ? {}
          : { 'content-type': form ? 'application/x-www-form-urlencoded' : 'application/json' }),
      },
      ...(body === undefined
        ? {}
        : {
            body: form
              ? new URLSearchParams(body as Record<string, string>).toString()
              : JSON.stringify(body),
          }),
    });
    const text = await response.text();
    return { status: response.status, body: (text ? JSON.parse(text) : null) as Answer };
  };
  return {
    get: (path: string) => call('GET', path),
    post: (path: string, body: unknown) => call('POST', path, body),
    patch: (path: string, body: unknown) => call('PATCH', path, body),
    form: (path: string, body: Record<string, string>) => call('POST', path, body, true),
    /** A file of comma-separated values. */
    file: async (path: string, csv: string) => {
      const response = await fetch(url + path, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'text/csv' },
        body: csv,
      });
      return { status: response.status, body: (await response.json()) as Answer };
    },
  };
}

export type Caller = ReturnType<typeof caller>;
// biome-ignore lint/suspicious/noExplicitAny: answers are read by the tests as a client would read them
type Answer = any;

/** Records an order charged at the sandbox under a payment id that chooses what its refunds do. */
export async function chargedAtSandbox(
  client: Caller,
  orderId: string,
  amount: string,
  behaviour: string,
): Promise<void> {
  const answer = await client.post('/v1/transactions', {
    order_id: orderId,
    amount,
    currency: 'INR',
    status: 'CHARGED',
    gateway: 'SANDBOX',
    gateway_payment_id: `${behaviour}_${orderId}`,
    payment_method_type: 'CARD',
    payment_method: 'VISA',
  });
  if (answer.status !== 200)
    throw new Error(`recording ${orderId}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

/** Waits until `look` gives something, asking again; fails with what was seen last. */
export async function until<Result>(
  what: string,
  look: () => Promise<Result | undefined>,
  withinMs = 30_000,
): Promise<Result> {
  const end = Date.now() + withinMs;
  for (;;) {
    const result = await look();
    if (result !== undefined) return result;
    if (Date.now() > end) throw new Error(`still waiting for ${what} after ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A merchant's webhook receiver that keeps what it gets. */
export async function receiver(answer: (n: number) => number = () => 200) {
  const got: { headers: Record<string, string | string[] | undefined>; body: Answer; raw: string }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const raw = Buffer.concat(chunks).toString();
      got.push({ headers: request.headers, body: JSON.parse(raw), raw });
      response.statusCode = answer(got.length);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    got,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

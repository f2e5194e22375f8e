import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent } from 'undici';
import type { Ask } from './asks.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Undefined where it is not JSON. */
  readonly json: unknown;
}

export interface Wire {
  /** The answer, or in words why there was none. */
  readonly send: (ask: Pick<Ask, 'method' | 'target' | 'headers' | 'body'>) => Promise<Answer | string>;
  readonly close: () => Promise<void>;
}

/** Longer than anything may take: the slowest thing that is asked for waits 3 s for a gateway that says nothing. */
const DEADLINE_MS = 20_000;

export function openWire(url: string): Wire {
  const agent = new Agent({ connections: 32, pipelining: 1, keepAliveTimeout: 3_000 });
  return {
    async send(ask) {
      try {
        const answer = await agent.request({
          origin: url,
          path: ask.target,
          method: ask.method as 'GET',
          headers: { ...ask.headers },
          body: ask.body,
          signal: AbortSignal.timeout(DEADLINE_MS),
        });
        const text = await answer.body.text();
        const isJson = /^application\/json/.test(String(answer.headers['content-type']));
        return {
          status: answer.statusCode,
          headers: answer.headers,
          text,
          json: isJson ? parsed(text) : undefined,
        };
      } catch (error) {
        return `no answer: ${(error as Error).message || (error as Error).name}`;
      }
    },
    close: () => agent.close(),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const KEPT = join(import.meta.dirname, '../../data/proof');

/** Keeps bytes that broke something, and says how to send them again. */
export function keep(name: string, bytes: Buffer): string {
  mkdirSync(KEPT, { recursive: true });
  const path = join(KEPT, name);
  writeFileSync(path, bytes);
  return path;
}

/** A request as a command that sends it again. */
export function asCurl(
  url: string,
  ask: Pick<Ask, 'method' | 'target' | 'headers' | 'body'>,
  name: string,
): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const headers = Object.entries(ask.headers).map(([header, value]) => `-H ${quoted(`${header}: ${value}`)}`);
  const body = ask.body === null ? [] : [`--data-binary @${keep(name, ask.body)}`];
  return ['curl -sS -i --path-as-is -X', ask.method, quoted(url + ask.target), ...headers, ...body].join(' ');
}

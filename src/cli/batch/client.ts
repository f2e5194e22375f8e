import { setTimeout as sleep } from 'node:timers/promises';
import type { ErrorBody } from '../../api/contract/errors.ts';
import type { Remote } from '../../config.ts';
import { OperatorError } from '../../lib/operator-error.ts';

/** The server said no. */
export class Refused extends OperatorError {
  readonly status: number;
  readonly code: string;
  readonly accepted: string | undefined;
  constructor(status: number, { code, message, field, accepted }: ErrorBody) {
    super(`${message}${accepted ? ` Accepted${field ? ` as ${field}` : ''}: ${accepted}.` : ''}`);
    this.status = status;
    this.code = code;
    this.accepted = accepted;
  }
}

/** There was no answer, or one that says nothing about the question: it may be asked again. */
export class NoAnswer extends OperatorError {}

export interface Question {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly json?: unknown;
  readonly body?: AsyncIterable<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface Client {
  /** Asks once. */
  ask<Answer>(method: string, path: string, question?: Question): Promise<Answer>;
  /** Asks what may be asked any number of times, until there is an answer; once where there has never been one. */
  insist<Answer>(method: string, path: string, question?: Question): Promise<Answer>;
  /** A file, as it comes. */
  download(path: string): Promise<AsyncIterable<Uint8Array>>;
}

const ANSWER_MS = 60_000;

export function createClient(remote: Remote): Client {
  let answered = false;

  async function send(method: string, path: string, question: Question): Promise<Response> {
    const { query = {}, json, body, headers = {}, timeoutMs = ANSWER_MS } = question;
    const url = new URL(`${remote.url}${path}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    let answer: Response;
    try {
      answer = await fetch(url, {
        method,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          authorization: `Basic ${Buffer.from(`${remote.apiKey}:`).toString('base64')}`,
          ...(json !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(json !== undefined && { body: JSON.stringify(json) }),
        ...(body && ({ body, duplex: 'half' } as unknown as RequestInit)),
      });
    } catch (error) {
      throw new NoAnswer(
        `There is no answer from ${remote.url}: ${whyOf(error)}. REFUNDRY_URL says where it is.`,
      );
    }
    answered = true;
    if (answer.ok) return answer;
    throw await refusalOf(answer, remote);
  }

  async function ask<Answer>(method: string, path: string, question: Question = {}): Promise<Answer> {
    const answer = await send(method, path, question);
    try {
      return (await answer.json()) as Answer;
    } catch (error) {
      throw new NoAnswer(`The answer of ${remote.url} cannot be read: ${whyOf(error)}.`);
    }
  }

  return {
    ask,
    insist: (method, path, question) =>
      answered ? insistently(() => ask(method, path, question)) : ask(method, path, question),
    async download(path) {
      const { body } = await send('GET', path, { timeoutMs: 3_600_000 });
      return body ?? emptiness();
    },
  };
}

async function* emptiness(): AsyncGenerator<Uint8Array> {}

async function refusalOf(answer: Response, { url }: Remote): Promise<OperatorError> {
  const said = await answer
    .json()
    .then((body: unknown) => (body as { error?: ErrorBody }).error)
    .catch(() => undefined);
  if (answer.status >= 500 || answer.status === 429) {
    return new NoAnswer(said?.message ?? `${url} answers with status ${answer.status}.`);
  }
  if (answer.status === 401) {
    return new OperatorError(`${url} does not know this API key. REFUNDRY_API_KEY has to be one of it.`);
  }
  if (said === undefined) {
    return new OperatorError(
      `${url} answers with status ${answer.status}, not like a Refundry. REFUNDRY_URL says where it is.`,
    );
  }
  return new Refused(answer.status, said);
}

function whyOf(error: unknown): string {
  const { cause, message } = error as Error;
  const { code, message: inner } = (cause ?? {}) as { code?: string; message?: string };
  return code ?? inner ?? message;
}

// Insisting ---------------------------------------------------------------------------------------------

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** With these pauses, about two minutes. */
const MOST_TRIES = 16;

/** Waits before the next try, longer each time; throws the error when there were enough. */
export function createPatience(): {
  readonly pause: (error: unknown) => Promise<void>;
  readonly renew: () => void;
} {
  let tries = 0;
  return {
    async pause(error) {
      if (!(error instanceof NoAnswer) || ++tries >= MOST_TRIES) throw error;
      await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (tries - 1)));
    },
    renew: () => {
      tries = 0;
    },
  };
}

async function insistently<Answer>(question: () => Promise<Answer>): Promise<Answer> {
  const patience = createPatience();
  for (;;) {
    try {
      return await question();
    } catch (error) {
      await patience.pause(error);
    }
  }
}

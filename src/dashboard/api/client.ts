import type { ErrorBody } from '../../api/contract/errors.ts';

/** What the server refused, or what kept the question from reaching it, in words for people. */
export class Problem extends Error {
  /** 0: no answer. */
  readonly status: number;
  readonly code: string;
  readonly field: string | null;
  readonly value: string | null;
  readonly accepted: string | null;
  readonly requestId: string | null;
  /** All that the answer said, for problems that carry more. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(status: number, error: ErrorBody, requestId: string | null) {
    super(error.message);
    this.name = 'Problem';
    this.status = status;
    this.code = error.code;
    this.field = error.field ?? null;
    this.value = error.value ?? null;
    this.accepted = error.accepted ?? null;
    this.requestId = requestId;
    this.details = { ...error };
  }
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

interface Question {
  readonly query?: Query;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * Asks the server and gives its JSON answer. Throws `Problem` for a refusal, and for no answer at all: then whether
 * a change was made is unknown, and the same question under the same key is the way to know.
 */
export async function ask<Answer>(method: Method, path: string, question: Question = {}): Promise<Answer> {
  let answer: Response;
  try {
    answer = await fetch(address(path, question.query), {
      method,
      credentials: 'same-origin',
      headers: {
        // Shows that a page of ours asks: a foreign one cannot send it without leave.
        'x-refundry': 'dashboard',
        ...(question.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(question.body === undefined ? {} : { body: JSON.stringify(question.body) }),
      ...(question.signal ? { signal: question.signal } : {}),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw refusalOf(0, null, null);
  }
  const requestId = answer.headers.get('x-request-id');
  const json: unknown = await answer.json().catch(() => null);
  if (answer.ok) return json as Answer;
  throw refusalOf(answer.status, json, requestId);
}

/** What an answer other than a good one means; status 0 is none at all. */
export function refusalOf(status: number, json: unknown, requestId: string | null): Problem {
  if (status === 0) return new Problem(0, NO_ANSWER, null);
  if (status === 401) window.dispatchEvent(new Event(SIGNED_OUT));
  return new Problem(status, errorIn(json) ?? unreadable(status), requestId);
}

/** Sent to the window when the server no longer knows the session. */
export const SIGNED_OUT = 'refundry:signed-out';

/** The address of an answer that the browser itself opens, such as a file. */
export function address(path: string, query: Query = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') asked.set(name, String(value));
  }
  return asked.size > 0 ? `${path}?${asked}` : path;
}

/** Where a CSV file is. People open it in a spreadsheet, which knows UTF-8 by the byte order mark alone. */
export function csvAddress(path: string, query: Query = {}): string {
  return address(path, { ...query, bom: 'true' });
}

const NO_ANSWER: ErrorBody = {
  code: 'no_answer',
  message: 'The server did not answer. Check your connection; nothing here is lost.',
};

function unreadable(status: number): ErrorBody {
  return {
    code: 'unreadable_answer',
    message: `The server answered ${status} in words this page cannot read.`,
  };
}

function errorIn(json: unknown): ErrorBody | null {
  const error = (json as { error?: Partial<ErrorBody> } | null)?.error;
  return typeof error?.message === 'string' ? { code: 'refused', ...error, message: error.message } : null;
}

/**
 * What an exchange with a gateway means, once for all connectors that speak JSON. A connector says how its
 * gateway's refunds and errors read; the rest follows from the HTTP status.
 */
import { evidenceOf, parseJson } from './evidence.ts';
import type {
  AccessCheck,
  CreateAnswer,
  Evidence,
  Exchange,
  GatewayAccountAccess,
  LookAnswer,
  RefundNews,
} from './gateway.ts';

/** What a refund in an answer says; its evidence is added here. */
export type News = Omit<RefundNews, 'evidence'>;

/** An error that the gateway itself wrote, told from a proxy's page by its shape. */
export interface GatewayError {
  readonly code: string | null;
  readonly message: string;
  /** Set where the gateway's error means something else than "refused". */
  readonly means?: 'no_funds' | 'absent' | 'misconfigured' | 'unknown';
}

export interface Reading {
  /** Reads a 2xx body. A text says why it is not the refund that was asked about. Must not throw. */
  readonly refund: (json: unknown) => News | string;
  /** Reads a body that is not 2xx; null when the gateway did not write it. Must not throw. */
  readonly error: (json: unknown) => GatewayError | null;
}

type Response = Extract<Exchange, { kind: 'response' }>;

/** Classifies the answer to "make this refund". When in doubt it is `unknown`: then the gateway is asked. */
export function readCreateAnswer(
  exchange: Exchange,
  access: GatewayAccountAccess,
  reading: Reading,
): CreateAnswer {
  if (exchange.kind === 'not_sent') return { kind: 'not_sent', why: exchange.why, evidence: {} };
  if (exchange.kind === 'no_answer') return { kind: 'unknown', why: exchange.why, evidence: {} };
  const evidence = evidenceOf(exchange, access.credentials);
  const { status } = exchange;
  if (status === 429) return { kind: 'busy', retryAfterMs: retryAfterMs(exchange), evidence };
  const json = readJson(exchange);
  if (isSuccess(status)) {
    const news = json === undefined ? unreadable(exchange) : reading.refund(json);
    return typeof news === 'string'
      ? { kind: 'unknown', why: news, evidence }
      : { kind: 'news', news: { ...news, evidence } };
  }
  const error = json === undefined ? null : reading.error(json);
  if (isOurs(status, error)) {
    return {
      kind: 'misconfigured',
      errorMessage: error?.message ?? `the gateway answered ${status}`,
      evidence,
    };
  }
  if (error === null || error.means === 'unknown' || !saysNo(status)) {
    return { kind: 'unknown', why: saying(status, error), evidence };
  }
  if (error.means === 'no_funds') return { kind: 'no_funds', errorMessage: error.message, evidence };
  return { kind: 'refused', errorCode: error.code, errorMessage: error.message, evidence };
}

/** Classifies the answer to a question. Only the gateway's own "no such refund" is `absent`. */
export function readLookAnswer(
  exchange: Exchange,
  access: GatewayAccountAccess,
  reading: Reading,
): LookAnswer {
  const answer = readQuestion(exchange, access, reading.error);
  if (answer.kind !== 'json') return answer;
  const news = reading.refund(answer.json);
  return typeof news === 'string'
    ? { kind: 'no_answer', why: news, evidence: answer.evidence }
    : { kind: 'news', news: { ...news, evidence: answer.evidence } };
}

/** The same for an answer of any shape: its JSON, or what came instead. */
export function readQuestion(
  exchange: Exchange,
  access: GatewayAccountAccess,
  readError: Reading['error'],
):
  | Exclude<LookAnswer, { kind: 'news' }>
  | { readonly kind: 'json'; readonly json: unknown; readonly evidence: Evidence } {
  if (exchange.kind !== 'response') return { kind: 'no_answer', why: exchange.why, evidence: {} };
  const evidence = evidenceOf(exchange, access.credentials);
  const { status } = exchange;
  if (status === 429) return { kind: 'busy', retryAfterMs: retryAfterMs(exchange), evidence };
  const json = readJson(exchange);
  if (isSuccess(status)) {
    return json === undefined
      ? { kind: 'no_answer', why: unreadable(exchange), evidence }
      : { kind: 'json', json, evidence };
  }
  const error = json === undefined ? null : readError(json);
  if (isOurs(status, error)) {
    return {
      kind: 'misconfigured',
      errorMessage: error?.message ?? `the gateway answered ${status}`,
      evidence,
    };
  }
  if (error?.means === 'absent' && saysNo(status)) return { kind: 'absent', evidence };
  return { kind: 'no_answer', why: saying(status, error), evidence };
}

/**
 * What it means that no entry of a whole list is our refund. What carries our id can be edited by hand at the gateway: an
 * entry that still names ours, only not where it should, may well be ours.
 */
export function notListed(entries: readonly unknown[], refundId: string, evidence: Evidence): LookAnswer {
  return entries.some((json) => JSON.stringify(json).includes(refundId))
    ? { kind: 'no_answer', why: 'a refund of the payment names ours where it cannot be read', evidence }
    : { kind: 'absent', evidence };
}

const NEAREST_TO_PAID = ['succeeded', 'pending', 'waiting_for_funds', 'reversed', 'failed'] as const;

/**
 * Of the refunds that carry our id, the one to know of. Several are no doing of ours (what carries the id can be edited by
 * hand at the gateway), and one that has failed says nothing of another that may be paid.
 */
export function nearestToPaid(found: readonly RefundNews[]): RefundNews | undefined {
  const place = ({ status }: RefundNews) => NEAREST_TO_PAID.indexOf(status);
  return found.toSorted((a, b) => place(a) - place(b))[0];
}

/** The answer to a check of the credentials by asking for a list: it works where that is what came. */
export function checkedList(
  answer: ReturnType<typeof readQuestion>,
  isList: (json: unknown) => boolean,
): AccessCheck['answer'] {
  const { evidence } = answer;
  if (answer.kind === 'absent') return { kind: 'no_answer', why: 'the gateway has no such list', evidence };
  if (answer.kind !== 'json') return answer;
  return isList(answer.json)
    ? { kind: 'works', evidence }
    : { kind: 'no_answer', why: 'the answer is not a list of refunds', evidence };
}

function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}

/** The account's credentials or settings are wrong. */
function isOurs(status: number, error: GatewayError | null): boolean {
  return status === 401 || status === 403 || (error?.means === 'misconfigured' && saysNo(status));
}

/** Time-outs, "in progress" and "failed behind me" (424, which Stripe uses): it has not come to an answer. */
const UNDECIDED = new Set([408, 409, 424, 425, 499]);

/** A 4xx with the gateway's own error says no. */
function saysNo(status: number): boolean {
  return status >= 400 && status <= 499 && !UNDECIDED.has(status);
}

/** JSON that is declared as JSON: a proxy's page that happens to parse is not the gateway's word. */
function readJson(response: Response): unknown {
  const type = response.headers['content-type'] ?? '';
  return /^application\/(?:[\w.-]+\+)?json\b/i.test(type) ? parseJson(response.body) : undefined;
}

function unreadable(response: Response): string {
  return `the gateway answered ${response.status} with a body that cannot be read`;
}

function saying(status: number, error: GatewayError | null): string {
  return error === null
    ? `the gateway answered ${status}`
    : `the gateway answered ${status}: ${error.message}`;
}

/** Seconds only: no gateway we know sends a date. */
function retryAfterMs(response: Response): number | null {
  const seconds = response.headers['retry-after'] ?? '';
  return /^\d{1,5}$/.test(seconds) ? Number(seconds) * 1000 : null;
}

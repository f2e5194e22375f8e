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
  NothingLearnt,
  RefundNews,
} from './gateway.ts';

/** What a refund in an answer says; its evidence is added here. */
export type News = Omit<RefundNews, 'evidence'>;

/** Why a refund that carries our id, or answers our own request, is not the one that was asked for. */
export interface Misfit {
  readonly misfit: string;
}

/** An error that the gateway itself wrote, told from a proxy's page by its shape. */
export interface GatewayError {
  readonly code: string | null;
  readonly message: string;
  /** Set where the gateway's error means something else than "refused". */
  readonly means?:
    | 'no_funds'
    | 'no_payment'
    | 'refunded_elsewhere'
    | 'disputed'
    | 'absent'
    | 'misconfigured'
    | 'unknown';
}

export type Response = Extract<Exchange, { kind: 'response' }>;

export interface Reading {
  /** Reads a 2xx body. A text says why it is not the refund that was asked about. Must not throw. */
  readonly refund: (json: unknown) => News | Misfit | string;
  /** Reads a body that is not 2xx; null when it is not proved that the gateway wrote it. Must not throw. */
  readonly error: (json: unknown, response: Response) => GatewayError | null;
}

/**
 * Classifies the answer to "make this refund". When in doubt it is `unknown`: then the gateway is asked. Whatever else
 * says "not made" says it in the gateway's own error: a box on the way back can put any page and any status in the
 * place of the answer, after the money has moved.
 */
export function readCreateAnswer(
  exchange: Exchange,
  access: GatewayAccountAccess,
  reading: Reading,
): CreateAnswer {
  if (exchange.kind === 'not_sent') return { kind: 'not_sent', why: exchange.why, evidence: {} };
  if (exchange.kind === 'no_answer') {
    return { kind: 'unknown', why: exchange.why, answered: false, evidence: {} };
  }
  const evidence = evidenceOf(exchange, access.credentials);
  const { status } = exchange;
  const unknown = (why: string): CreateAnswer => ({
    kind: 'unknown',
    why,
    answered: status < 500,
    evidence,
  });
  const json = readJson(exchange);
  if (isSuccess(status)) {
    const news = json === undefined ? unreadable(exchange) : reading.refund(json);
    if (typeof news === 'string') return unknown(news);
    return 'misfit' in news
      ? { kind: 'misfit', why: news.misfit, evidence }
      : { kind: 'news', news: { ...news, evidence } };
  }
  const error = json === undefined ? null : reading.error(json, exchange);
  if (error === null || error.means === 'unknown' || !saysNo(status)) return unknown(saying(status, error));
  const nothing = nothingLearnt(exchange, error, evidence);
  if (nothing !== null) return nothing;
  const { code: errorCode, message: errorMessage, means } = error;
  switch (means) {
    case 'no_funds':
      return { kind: 'no_funds', errorMessage, evidence };
    case 'no_payment':
      return { kind: 'no_payment', errorCode, errorMessage, evidence };
    case 'refunded_elsewhere':
    case 'disputed':
      return { kind: 'refused', errorCode, errorMessage, because: means, evidence };
    default:
      return { kind: 'refused', errorCode, errorMessage, evidence };
  }
}

/**
 * Classifies the answer to a question about one refund. Only the gateway's own "no such refund" is `absent`; whether the
 * account that was asked has the payment at all is for the connector to see.
 */
export function readLookAnswer(
  exchange: Exchange,
  access: GatewayAccountAccess,
  reading: Reading,
): LookAnswer {
  const answer = readQuestion(exchange, access, reading.error);
  if (answer.kind !== 'json') return answer;
  const { evidence } = answer;
  const news = reading.refund(answer.json);
  if (typeof news === 'string') return { kind: 'no_answer', why: news, answered: true, evidence };
  return 'misfit' in news
    ? { kind: 'misfit', why: news.misfit, evidence }
    : { kind: 'news', news: { ...news, evidence } };
}

/** The same for an answer of any shape: its JSON, or what came instead. */
export function readQuestion(
  exchange: Exchange,
  access: GatewayAccountAccess,
  readError: Reading['error'],
):
  | NothingLearnt
  | Extract<LookAnswer, { kind: 'absent' }>
  | { readonly kind: 'json'; readonly json: unknown; readonly evidence: Evidence } {
  if (exchange.kind !== 'response') {
    return { kind: 'no_answer', why: exchange.why, answered: false, evidence: {} };
  }
  const evidence = evidenceOf(exchange, access.credentials);
  const { status } = exchange;
  const noAnswer = (why: string): NothingLearnt => ({
    kind: 'no_answer',
    why,
    answered: status < 500,
    evidence,
  });
  const json = readJson(exchange);
  if (isSuccess(status)) {
    return json === undefined ? noAnswer(unreadable(exchange)) : { kind: 'json', json, evidence };
  }
  const error = json === undefined ? null : readError(json, exchange);
  if (error === null || !saysNo(status)) return noAnswer(saying(status, error));
  if (error.means === 'absent') return { kind: 'absent', evidence };
  return nothingLearnt(exchange, error, evidence) ?? noAnswer(saying(status, error));
}

/** Answers of the gateway itself that no question gets an answer to: our settings are wrong, or it has no time. */
function nothingLearnt(
  exchange: Response,
  error: GatewayError,
  evidence: Evidence,
): Extract<NothingLearnt, { kind: 'misconfigured' | 'busy' }> | null {
  const { status } = exchange;
  if (status === 429) return { kind: 'busy', retryAfterMs: retryAfterMs(exchange), evidence };
  return status === 401 || status === 403 || error.means === 'misconfigured'
    ? { kind: 'misconfigured', errorMessage: error.message, evidence }
    : null;
}

/**
 * What it means that no entry of a whole list is our refund. What carries our id can be edited by hand at the gateway: an
 * entry that still names ours, only not where it should, may well be ours.
 */
export function notListed(entries: readonly unknown[], refundId: string, evidence: Evidence): LookAnswer {
  return entries.some((json) => JSON.stringify(json).includes(refundId))
    ? {
        kind: 'no_answer',
        why: 'a refund of the payment names ours where it cannot be read',
        answered: true,
        evidence,
      }
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
  const noAnswer = (why: string) => ({ kind: 'no_answer' as const, why, answered: true, evidence });
  if (answer.kind === 'absent') return noAnswer('the gateway has no such list');
  if (answer.kind !== 'json') return answer;
  return isList(answer.json) ? { kind: 'works', evidence } : noAnswer('the answer is not a list of refunds');
}

function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}

/** Time-outs, "in progress" and "failed behind me" (424, which Stripe uses): it has not come to an answer. */
const UNDECIDED = new Set([408, 409, 424, 425, 499]);

/** A 4xx with the gateway's own error says no. */
function saysNo(status: number): boolean {
  return status >= 400 && status <= 499 && !UNDECIDED.has(status);
}

/** JSON that is declared as JSON, once: a proxy's page that happens to parse is not the gateway's word. */
function readJson(response: Response): unknown {
  const type = response.headers['content-type'] ?? '';
  return /^application\/(?:[\w.-]+\+)?json\s*(?:;[^,]*)?$/i.test(type) ? parseJson(response.body) : undefined;
}

function unreadable(response: Response): string {
  return `the gateway answered ${response.status} with a body that cannot be read`;
}

function saying(status: number, error: GatewayError | null): string {
  return error === null
    ? `the answer is ${status}, and not in the gateway’s own words`
    : `the gateway answered ${status}: ${error.message}`;
}

/** Seconds only: no gateway we know sends a date. */
function retryAfterMs(response: Response): number | null {
  const seconds = response.headers['retry-after'] ?? '';
  return /^\d{1,5}$/.test(seconds) ? Number(seconds) * 1000 : null;
}

import { createHash } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { createHttp, type HttpResult, urlProblem } from '../lib/http.ts';
import { hexOf } from '../lib/ids.ts';
import type { TryOutcome } from './outcomes.ts';
import { basicAuthorization, signatureHeaders } from './sign.ts';

export interface TryResult {
  readonly at: Date;
  readonly durationMs: number;
  readonly url: string;
  readonly outcome: TryOutcome;
  /** What went wrong, in one sentence; null when it was acknowledged or answered. */
  readonly detail: string | null;
  readonly status: number | null;
  /** The first 2 KB of the answer, without what was secret in the request. */
  readonly responseExcerpt: string | null;
  readonly sequence: number;
  readonly requestBytes: number;
  readonly requestSha256: Buffer;
}

/** What a merchant gave us to show the receiver who is calling; in clear, never logged. */
export interface WebhookCredentials {
  readonly username: string | null;
  readonly password: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Where something is sent and with what. */
export interface WebhookTarget {
  readonly url: string;
  readonly credentials: WebhookCredentials;
  /** The signing secrets that are valid now, the newest first. */
  readonly secrets: readonly string[];
}

/** The object of the API as it is now. */
export type MessageContent =
  | { readonly order: unknown; readonly batch?: undefined }
  | { readonly batch: unknown; readonly order?: undefined };

export type WebhookMessage = MessageContent & {
  /** The public id of the event, the same at every try and at every endpoint. */
  readonly eventId: string;
  readonly eventName: string;
  /** When it happened. */
  readonly createdAt: Date;
  /** How far what it tells of had come (invariant 7). */
  readonly sequence: number;
};

export const TRY_TIMEOUT_MS = 15_000;
export const EXCERPT_BYTES = 2_048;
const MAX_ANSWER_BYTES = 65_536;

/** `evt_V2_` and the 32 hex digits of the notification (contract section 6.1). */
export function eventIdOf(notificationId: string): string {
  return `evt_V2_${hexOf(notificationId)}`;
}

/** Why webhooks may not go to this URL, in one sentence, or null. */
export function webhookUrlProblem(url: string, allowPrivate: boolean): string | null {
  if (url.length > 2048) return 'the URL is longer than 2048 characters';
  if (!/^[\x21-\x7e]+$/.test(url)) return 'the URL holds blanks or characters outside ASCII';
  const problem = urlProblem(url, allowPrivate);
  if (problem !== null) return problem;
  // Contract section 6.1 asks for HTTPS; on a private network, plain HTTP is what people have.
  if (!allowPrivate && !/^https:/i.test(url)) return 'the URL starts with http:, and only https: is allowed';
  return null;
}

export interface WebhookSender {
  /** Sends one message once. Never throws, and never takes longer than the time-out. */
  readonly send: (target: WebhookTarget, message: WebhookMessage) => Promise<TryResult>;
  /** Lets what is under way finish. */
  readonly close: () => Promise<void>;
}

/** The way out for webhooks: no redirect is followed, and an answer of any length is read only to its beginning. */
export function createWebhookSender(options: {
  readonly clock: Clock;
  /** Whether addresses outside the public internet, and plain http, may be used. */
  readonly allowPrivate: boolean;
  readonly timeoutMs?: number;
}): WebhookSender {
  const http = createHttp({
    allowPrivate: options.allowPrivate,
    timeoutMs: options.timeoutMs ?? TRY_TIMEOUT_MS,
    maxAnswerBytes: MAX_ANSWER_BYTES,
    // How many go to one address at once is decided before they come here; merchants may share a host.
    maxConnectionsPerOrigin: 512,
    longAnswer: 'cut',
    userAgent: 'Refundry-Webhooks/1',
  });
  return {
    async send(target, message) {
      const body = bodyOf(message);
      const at = options.clock.now();
      const headers = headersOf(target, message, at, body);
      const problem = webhookUrlProblem(target.url, options.allowPrivate);
      const result: HttpResult =
        problem === null
          ? await http.send({ method: 'POST', url: target.url, headers, body })
          : { kind: 'not_sent', why: problem, ms: 0 };
      return {
        at,
        durationMs: result.ms,
        url: target.url,
        ...outcomeOf(result),
        status: result.kind === 'response' ? result.status : null,
        responseExcerpt: result.kind === 'response' ? excerptOf(result.body, target.credentials) : null,
        sequence: message.sequence,
        requestBytes: Buffer.byteLength(body),
        requestSha256: createHash('sha256').update(body).digest(),
      };
    },
    close: http.close,
  };
}

/** The contract's envelope (section 6.1), and the sequence number. */
function bodyOf(message: WebhookMessage): string {
  return JSON.stringify({
    id: message.eventId,
    event_name: message.eventName,
    date_created: message.createdAt.toISOString().replace(/\.\d+Z$/, 'Z'),
    sequence: message.sequence,
    content: { order: message.order, batch: message.batch },
  });
}

function headersOf(
  { credentials, secrets }: WebhookTarget,
  message: WebhookMessage,
  at: Date,
  body: string,
): Record<string, string> {
  return {
    ...credentials.headers,
    'content-type': 'application/json',
    ...signatureHeaders(secrets, message.eventId, at, body),
    'webhook-sequence': String(message.sequence),
    ...(credentials.username !== null && {
      authorization: basicAuthorization(credentials.username, credentials.password ?? ''),
    }),
  };
}

const TROUBLE: readonly (readonly [RegExp, TryOutcome])[] = [
  [/not on the public internet/, 'private_address'],
  [/^the URL /, 'bad_url'],
  [/ within \d+ ms$|timeout|ETIMEDOUT/i, 'timeout'],
  [/ECONNREFUSED/, 'connection_refused'],
  [/ENOTFOUND|EAI_/, 'dns'],
  [/certificate|CERT_|ERR_TLS|ERR_SSL|_SSL_|altnames|TLS/i, 'tls'],
  [/^the answer broke off|other side closed|ECONNRESET|EPIPE|UND_ERR_SOCKET/, 'connection_lost'],
];

function outcomeOf(result: HttpResult): { outcome: TryOutcome; detail: string | null } {
  if (result.kind === 'response') {
    const { status } = result;
    if (status === 200) return { outcome: 'acknowledged', detail: null };
    return { outcome: status >= 300 && status < 400 ? 'redirect' : 'refused_status', detail: null };
  }
  const known = TROUBLE.find(([pattern]) => pattern.test(result.why));
  return { outcome: known?.[1] ?? 'network', detail: result.why };
}

// A receiver that echoes what it got would otherwise write credentials into the log (invariant 9).
function excerptOf(answer: string, { username, password, headers }: WebhookCredentials): string {
  const secrets = [...Object.values(headers), password ?? ''];
  if (username !== null) secrets.push(basicAuthorization(username, password ?? '').slice('Basic '.length));
  let text = answer.replaceAll('\0', '');
  for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, '********');
  // A character that the cut would split is left out.
  return new TextDecoder().decode(Buffer.from(text).subarray(0, EXCERPT_BYTES), { stream: true });
}

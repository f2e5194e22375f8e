import dns from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { Agent, buildConnector } from 'undici';

/** The one way out of this program over HTTP: to gateways and to merchants' webhook addresses. */
export interface Http {
  /**
   * One request, sent at most once: nothing is retried, no redirect is followed, the body goes out and comes back
   * as it is. Never throws. Needs no `this`.
   */
  readonly send: (request: HttpRequest) => Promise<HttpResult>;
  /** Lets what is in flight finish, then closes the idle connections; a send after this is `not_sent`. */
  readonly close: () => Promise<void>;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** From the call to the last byte of the answer; the client's own limit when absent. */
  readonly timeoutMs?: number;
}

/** What came of it, and how long that took. */
export type HttpResult = { readonly ms: number } & (
  | {
      /**
       * No byte of the request can have reached the peer: a bad address, no connection, a failed TLS handshake, or no
       * free connection in time. Whatever goes wrong from the first byte on is `no_answer`, a reused connection that
       * turns out to be closed included.
       */
      readonly kind: 'not_sent';
      readonly why: string;
    }
  /** The peer may have acted on it; no complete answer came. */
  | { readonly kind: 'no_answer'; readonly why: string }
  | {
      readonly kind: 'response';
      readonly status: number;
      /** Names in small letters; values of a repeated header joined by ", ". */
      readonly headers: Readonly<Record<string, string>>;
      /** Read as UTF-8. */
      readonly body: string;
    }
);

export interface HttpOptions {
  /** False: only addresses of the public internet, checked on the address that is really connected to. */
  readonly allowPrivate: boolean;
  /** For the whole exchange: waiting for a connection, connecting, sending, headers and body. */
  readonly timeoutMs: number;
  /** For name, TCP and TLS; 5 s when absent. */
  readonly connectTimeoutMs?: number;
  /** Bytes of an answer's body. */
  readonly maxAnswerBytes: number;
  /** What a longer answer becomes: `no_answer` when absent, since half an answer proves nothing. */
  readonly longAnswer?: 'no_answer' | 'cut';
  readonly userAgent: string;
  /** Requests at once to one origin; the others wait. 64 when absent. */
  readonly maxConnectionsPerOrigin?: number;
}

// Shorter than the idle time-outs of common servers and balancers, so that a reused connection is rarely a dead one.
const KEEP_ALIVE_MS = 4_000;
const CONNECT_TIMEOUT_MS = 5_000;
const CONNECTIONS_PER_ORIGIN = 64;

export function createHttp(options: HttpOptions): Http {
  const connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const agent = new Agent({
    connect: buildConnector({
      timeout: connectTimeoutMs,
      rejectUnauthorized: true,
      ...(options.allowPrivate ? {} : { lookup: publicLookup }),
    }),
    connections: options.maxConnectionsPerOrigin ?? CONNECTIONS_PER_ORIGIN,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    // The deadline below covers both, to the millisecond.
    headersTimeout: 0,
    bodyTimeout: 0,
  });

  const send = (request: HttpRequest): Promise<HttpResult> => {
    const startedAt = performance.now();
    const ms = () => Math.round(performance.now() - startedAt);
    const problem = urlProblem(request.url, options.allowPrivate);
    if (problem !== null) return Promise.resolve({ kind: 'not_sent', why: problem, ms: ms() });
    const url = new URL(request.url);
    const timeoutMs = request.timeoutMs ?? options.timeoutMs;

    return new Promise((resolve) => {
      let over = false;
      let stop: ((reason: Error) => void) | null = null;
      let status = 0;
      let headers: Record<string, string> = {};
      let size = 0;
      const chunks: Buffer[] = [];

      const finish = (result: HttpResult) => {
        if (over) return;
        over = true;
        clearTimeout(deadline);
        resolve(result);
      };
      const finishAnswer = () =>
        finish({ kind: 'response', status, headers, body: Buffer.concat(chunks).toString('utf8'), ms: ms() });
      const fail = (why: string) => {
        if (stop === null) finish({ kind: 'not_sent', why, ms: ms() });
        else
          finish({
            kind: 'no_answer',
            why: status === 0 ? why : `the answer broke off after status ${status}: ${why}`,
            ms: ms(),
          });
      };
      const deadline = setTimeout(() => {
        fail(
          stop === null
            ? `no connection within ${timeoutMs} ms`
            : `no complete answer within ${timeoutMs} ms`,
        );
        stop?.(new Error('deadline'));
      }, timeoutMs);

      agent.dispatch(
        {
          origin: url.origin,
          path: url.pathname + url.search,
          method: request.method,
          headers: { 'user-agent': options.userAgent, ...request.headers },
          body: request.body,
        },
        {
          // Called right before the first byte is written. A second call would be a repeat, and one after the
          // deadline would send what was reported as not sent.
          onRequestStart(controller) {
            if (over || stop !== null) return controller.abort(new Error('sent at most once'));
            stop = (reason) => controller.abort(reason);
          },
          onResponseStart(_controller, statusCode, rawHeaders) {
            if (statusCode < 200) return;
            status = statusCode;
            headers = Object.fromEntries(
              Object.entries(rawHeaders).map(([name, value]) => [
                name,
                Array.isArray(value) ? value.join(', ') : (value ?? ''),
              ]),
            );
          },
          onResponseData(controller, chunk) {
            const room = options.maxAnswerBytes - size;
            size += chunk.length;
            chunks.push(chunk.subarray(0, room));
            if (chunk.length <= room) return;
            if (options.longAnswer === 'cut') finishAnswer();
            else fail(`it is longer than ${options.maxAnswerBytes} bytes`);
            controller.abort(new Error('too long'));
          },
          onResponseEnd: finishAnswer,
          onResponseError(_controller, error) {
            fail(describe(error));
          },
        },
      );
    });
  };

  let closed: Promise<void> | null = null;
  return {
    send,
    close() {
      closed ??= agent.close();
      return closed;
    },
  };
}

/**
 * Why a request may not go to this URL, in one sentence, or null. Names are only checked when they are resolved:
 * what a name points to can change between a check and its use.
 */
export function urlProblem(text: string, allowPrivate: boolean): string | null {
  if (!URL.canParse(text)) return 'the URL is not valid';
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return `the URL starts with ${url.protocol}, not http: or https:`;
  if (url.username !== '' || url.password !== '') return 'the URL carries a user name or password';
  if (allowPrivate) return null;
  // URL has already turned decimal, hexadecimal, octal and short spellings into dotted ones.
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (host === 'localhost' || host.endsWith('.localhost') || (isIP(host) !== 0 && !isPublicAddress(host))) {
    return `the address ${host} is not on the public internet`;
  }
  return null;
}

const GLOBAL_UNICAST = ipaddr.IPv6.parse('2000::');
// Azure's host agent answers here on every virtual machine, on an address that looks public.
const CLOUD_INTERNAL = new Set(['168.63.129.16']);

/**
 * Whether an IP address is one of the public internet: not private, loopback, link-local (the clouds' metadata
 * services), carrier-grade NAT, multicast, reserved, nor an IPv6 form that carries an IPv4 address inside.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed instanceof ipaddr.IPv6
    ? parsed.match(GLOBAL_UNICAST, 3)
    : !CLOUD_INTERNAL.has(parsed.toString());
}

/** Gives the connection only public addresses, at the moment it is made: a name cannot change its mind in between. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  dns.lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, []);
    const allowed = addresses.filter(({ address }) => isPublicAddress(address));
    const [first] = allowed;
    if (first === undefined) {
      return callback(
        new Error(`the name ${hostname} leads to an address that is not on the public internet`),
        [],
      );
    }
    if (options.all) callback(null, allowed);
    else callback(null, first.address, first.family);
  });
};

function describe(error: Error): string {
  const causes = error instanceof AggregateError ? error.errors : [error];
  const texts = causes.map((cause: NodeJS.ErrnoException) => {
    const code = cause.code ?? '';
    return cause.message.includes(code) ? cause.message : `${cause.message} (${code})`;
  });
  return [...new Set(texts)].join('; ') || error.name;
}

import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import type { Traces } from '../access/traces.ts';
import type { Settings } from '../config.ts';
import { createTokenBuckets, type TokenBuckets } from '../lib/token-buckets.ts';
import type { Caller } from './deps.ts';
import { speaksContract, tooManyRequests } from './error-answers.ts';
import type { ApiError, ContractError } from './errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Refused because too many came: counted with its like, and not worth a line of its own. */
    overLimit?: boolean;
  }
}

/** A burst may be as long as so many seconds of what is allowed steadily. */
const BURST_SECONDS = 10;
/** A person's page asks less than a shop's server. */
const SESSION_SHARE = 1 / 20;
/** Keys that do not work, and gateway webhooks that prove nothing, from one address. */
const REFUSED = { atOnce: 200, perSecond: 5 };

/** How much one caller or one address may ask of this process; `Settings` say how much, and what is over is a 429. */
export interface RequestLimits {
  /** Throws where the key or session has asked too much. */
  requireRoomFor(request: FastifyRequest, caller: Caller): void;
  /** Throws where the address, whoever stands behind it, has asked too much without a key. */
  requireRoomForStranger(request: FastifyRequest): void;
  /** What an address may try that is then refused: whoever has to wait is not let try, and a refusal takes one. */
  readonly keys: TokenBuckets;
  readonly webhooks: TokenBuckets;
  /** The refusal of what is over a limit, which leaves a trace. */
  refusal(request: FastifyRequest, waitMs: number, what: string): ApiError | ContractError;
}

export function createRequestLimits(
  settings: Pick<Settings, 'requestsPerSecondOfKey' | 'requestsPerSecondOfAddress'>,
  traces: Traces,
): RequestLimits {
  const { requestsPerSecondOfKey: ofKey, requestsPerSecondOfAddress: ofAddress } = settings;
  const keyRequests = steadily(ofKey);
  const sessionRequests = steadily(ofKey && ofKey * SESSION_SHARE);
  const strangers = steadily(ofAddress);
  const refused = () => (ofAddress === 0 ? NO_LIMIT : createTokenBuckets(REFUSED));

  function refusal(request: FastifyRequest, waitMs: number, what: string) {
    request.overLimit = true;
    const { caller } = request;
    traces.note({
      what: 'rate_limited',
      address: request.ip,
      requestId: request.id,
      details: { limit: what, ...(caller && { merchant: caller.merchantId, caller: idOf(caller) }) },
    });
    return tooManyRequests(speaksContract(request.url), waitMs, what);
  }

  return {
    requireRoomFor(request, caller) {
      const waitMs = (caller.kind === 'key' ? keyRequests : sessionRequests).take(idOf(caller));
      if (waitMs === 0) return;
      throw refusal(
        request,
        waitMs,
        caller.kind === 'key' ? 'requests with this API key' : 'requests of this session',
      );
    },
    requireRoomForStranger(request) {
      const waitMs = strangers.take(networkOf(request.ip));
      if (waitMs > 0) throw refusal(request, waitMs, 'requests without a key from this address');
    },
    keys: refused(),
    webhooks: refused(),
    refusal,
  };
}

/** One household has 2^64 addresses of IPv6, so the first half of one stands for it. */
export function networkOf(ip: string): string {
  if (!ipaddr.isValid(ip)) return ip;
  const address = ipaddr.process(ip);
  return address instanceof ipaddr.IPv6 ? address.parts.slice(0, 4).join(':') : address.toString();
}

const NO_LIMIT: TokenBuckets = { take: () => 0, waitMs: () => 0 };

function steadily(perSecond: number): TokenBuckets {
  if (perSecond === 0) return NO_LIMIT;
  return createTokenBuckets({ atOnce: perSecond * BURST_SECONDS, perSecond });
}

function idOf(caller: Caller): string {
  return caller.kind === 'key' ? caller.apiKeyId : caller.sessionId;
}

import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { isUuid } from '../lib/ids.ts';
import { amountText } from '../lib/money.ts';
import {
  checkedList,
  type GatewayError,
  type Misfit,
  type News,
  nearestToPaid,
  notListed,
  type Response,
  readCreateAnswer,
  readLookAnswer,
  readQuestion,
} from './answers.ts';
import { cleanText, member, parseJson, scrub } from './evidence.ts';
import type {
  AccessCheck,
  CreateAnswer,
  Evidence,
  Exchange,
  FindAnswer,
  FoundRefund,
  Gateway,
  GatewayAccountAccess,
  GatewayHttp,
  IdentityAnswer,
  IncomingWebhook,
  LookAnswer,
  NothingLearnt,
  PaymentAnswer,
  PreparedRequest,
  RefundFacts,
  RefundNews,
  WebhookEvent,
  WebhookReading,
} from './gateway.ts';

/** Answers and webhooks are read as this version of Stripe's API has them (docs.stripe.com/api/versioning). */
const API_VERSION = '2026-10-28.endive';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Stripe's Refunds API: docs.stripe.com/api/refunds. */
export const stripe: Gateway = {
  name: 'STRIPE',
  label: 'Stripe',
  gatewayId: 1_001,
  defaultBaseUrl: 'https://api.stripe.com',
  docsUrl: 'https://docs.stripe.com/refunds',
  movesRealMoney: true,
  credentialFields: [
    {
      name: 'secret_key',
      label: 'Secret or restricted key',
      secret: true,
      required: true,
      pattern: '^(sk|rk)_[A-Za-z0-9_]{8,250}$',
      help: 'Starts with sk_ or rk_. A restricted key needs "write" on refunds and "read" on charges and payment intents.',
    },
    {
      name: 'webhook_secret',
      label: 'Webhook signing secret',
      secret: true,
      required: false,
      provesWebhooksOnly: true,
      pattern: '^whsec_[A-Za-z0-9+/=_-]{8,250}$',
      help: 'Starts with whsec_. Without it webhooks are refused: outcomes are learnt by asking Stripe; that a success was taken back, days later.',
    },
    {
      name: 'webhook_secret_previous',
      label: 'Previous signing secret',
      secret: true,
      required: false,
      provesWebhooksOnly: true,
      pattern: '^whsec_[A-Za-z0-9+/=_-]{8,250}$',
      help: 'Accepted beside the other one while you roll the secret; remove it afterwards.',
    },
  ],
  capabilities: {
    partialRefunds: true,
    instantRefunds: false,
    // Stripe removes keys "after they're at least 24 hours old" (docs.stripe.com/api/idempotent_requests).
    keyLifeMs: 23 * HOUR,
    // Stripe's lists show a refund as soon as it exists; the waits let a request that is still running finish.
    absenceProof: { answers: 3, spacingMs: MINUTE },
    pollDelaysMs: [MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR],
    // A refund may come back for about a month after it succeeded (docs.stripe.com/refunds, "Failed refunds").
    recheckDelaysMs: [DAY, 2 * DAY, 4 * DAY, 7 * DAY, 16 * DAY],
    lookDelaysMs: [MINUTE, MINUTE, 2 * MINUTE, 10 * MINUTE, HOUR],
    resendDelaysMs: [2 * SECOND, 10 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR],
    maxSends: 10,
    webhookProof: 'signed',
    maxConcurrent: 20,
    maxPerSecond: 20,
  },
  prepareRefund,
  createRefund,
  fetchRefund,
  findRefunds,
  checkAccess,
  findPayment,
  identify,
  readWebhook,
};

// Asking for a refund --------------------------------------------------------------------------------------

function prepareRefund(facts: RefundFacts): PreparedRequest {
  const reason = reasonOf(facts.reason);
  const form: [string, string][] = [
    [paymentParameter(facts.gatewayPaymentId), facts.gatewayPaymentId],
    ['amount', stripeAmount(facts).text],
    ...(reason === null ? [] : [['reason', reason] as [string, string]]),
    ['metadata[refundry_refund_id]', facts.refundId],
    ['metadata[refundry_order_id]', facts.orderId],
  ];
  return {
    method: 'POST',
    path: '/v1/refunds',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'idempotency-key': facts.idempotencyKey,
      'stripe-version': API_VERSION,
    },
    body: form.map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join('&'),
  };
}

async function createRefund(
  prepared: PreparedRequest,
  facts: RefundFacts,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<CreateAnswer> {
  const impossible = whyImpossible(facts);
  if (impossible !== null) return { kind: 'refused', ...impossible, evidence: { sent: false } };
  return readCreateAnswer(await send(prepared, access, http), access, {
    refund: (json) => ours(json, facts, (refund) => refund.created),
    error: errorsOf(access),
  });
}

/** Stripe's three reasons; it keeps no other text, and takes "fraudulent" as an order to block the card. */
function reasonOf(reason: string | null): string | null {
  const word = reason?.trim().toLowerCase().replaceAll(/[ -]/g, '_') ?? '';
  return ['duplicate', 'fraudulent', 'requested_by_customer'].includes(word) ? word : null;
}

function paymentParameter(gatewayPaymentId: string): 'charge' | 'payment_intent' {
  return gatewayPaymentId.startsWith('pi_') ? 'payment_intent' : 'charge';
}

function whyImpossible(facts: RefundFacts): { errorCode: string; errorMessage: string } | null {
  if (!/^(ch|py|pi)_[A-Za-z0-9_]+$/.test(facts.gatewayPaymentId)) {
    return {
      errorCode: 'gateway_payment_id_invalid',
      errorMessage: `"${facts.gatewayPaymentId}" is not a Stripe payment: ch_…, py_… or pi_… is needed.`,
    };
  }
  if (!stripeAmount(facts).possible) {
    return {
      errorCode: 'amount_not_payable',
      errorMessage: `Stripe cannot refund this amount of ${facts.currency}: ${stepText(facts.currency)}.`,
    };
  }
  return null;
}

// Asking about refunds --------------------------------------------------------------------------------------

async function fetchRefund(
  facts: RefundFacts,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<LookAnswer> {
  if (facts.gatewayRefundId !== null) {
    const path = `/v1/refunds/${encodeURIComponent(facts.gatewayRefundId)}`;
    const answer = readLookAnswer(await send(get(path), access, http), access, {
      refund: (json) => ours(json, facts, () => null),
      error: (json, response) => {
        const error = readError(json, response, access);
        return error?.code === 'resource_missing' ? { ...error, means: 'absent' } : error;
      },
    });
    return answer.kind === 'absent' ? absentWherePaid(facts, access, http, answer.evidence) : answer;
  }
  const listing = await list(facts.gatewayPaymentId, access, http);
  if (listing.kind !== 'listed') return listing;
  const found: RefundNews[] = [];
  let misfit: LookAnswer | null = null;
  for (const { refund, json, evidence: refundEvidence } of listing.entries) {
    if (refund.refundryId !== facts.refundId) continue;
    const evidence = { ...listing.evidence, refund: refundEvidence };
    const news = ours(json, facts, () => null);
    if (typeof news === 'string') return { kind: 'no_answer', why: news, answered: true, evidence };
    if ('misfit' in news) misfit ??= { kind: 'misfit', why: news.misfit, evidence };
    else found.push({ ...news, evidence });
  }
  // Of several that carry our id, one that fits is ours; the others were given it by hand.
  const news = nearestToPaid(found);
  if (news) return { kind: 'news', news };
  if (misfit) return misfit;
  const entries = listing.entries.map(({ json }) => json);
  const answer = notListed(entries, facts.refundId, listing.evidence);
  // A list that holds refunds of the payment shows by itself that the account has the payment.
  return answer.kind === 'absent' && entries.length === 0
    ? absentWherePaid(facts, access, http, answer.evidence)
    : answer;
}

/** "No such refund" says something only where the account that was asked has the payment: the key may be another's. */
async function absentWherePaid(
  facts: RefundFacts,
  access: GatewayAccountAccess,
  http: GatewayHttp,
  evidence: Evidence,
): Promise<LookAnswer> {
  const payment = await findPayment(facts, access, http);
  switch (payment.kind) {
    case 'known':
    case 'misfit':
      return { kind: 'absent', evidence: { ...evidence, payment_is_known: true } };
    case 'unknown':
      return {
        kind: 'no_answer',
        why: `this account has no payment ${facts.gatewayPaymentId}`,
        answered: true,
        evidence: payment.evidence,
      };
    default:
      return payment;
  }
}

async function findPayment(
  { gatewayPaymentId, currency }: Pick<RefundFacts, 'gatewayPaymentId' | 'currency'>,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<PaymentAnswer> {
  const folder = paymentParameter(gatewayPaymentId) === 'charge' ? 'charges' : 'payment_intents';
  const path = `/v1/${folder}/${encodeURIComponent(gatewayPaymentId)}`;
  const answer = readQuestion(await send(get(path), access, http), access, (json, response) => {
    const error = readError(json, response, access);
    return error?.means === 'no_payment' ? { ...error, means: 'absent' } : error;
  });
  if (answer.kind === 'absent') return { kind: 'unknown', evidence: answer.evidence };
  if (answer.kind !== 'json') return answer;
  const { evidence } = answer;
  const payment = Payment.safeParse(answer.json).data;
  if (payment?.id !== gatewayPaymentId) {
    return { kind: 'no_answer', why: 'the answer is not the payment', answered: true, evidence };
  }
  return payment.currency === currency
    ? { kind: 'known', evidence }
    : { kind: 'misfit', why: `the payment is in ${payment.currency}, not in ${currency}`, evidence };
}

async function findRefunds(
  facts: Pick<RefundFacts, 'gatewayPaymentId' | 'currency' | 'exponent'>,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<FindAnswer> {
  const listing = await list(facts.gatewayPaymentId, access, http);
  if (listing.kind !== 'listed') return listing;
  const { evidence } = listing;
  const refunds: FoundRefund[] = [];
  for (const { refund, evidence: refundEvidence } of listing.entries) {
    const amountMinor = refund.currency === facts.currency ? ourAmount(refund.amount, facts) : null;
    if (amountMinor === null) {
      const why = `Stripe lists a refund of ${refund.amount} ${refund.currency}, which is no amount of ${facts.currency}`;
      return { kind: 'no_answer', why, answered: true, evidence };
    }
    refunds.push({
      refundId: refund.refundryId,
      amountMinor,
      currency: refund.currency,
      news: { ...newsOf(refund, null), evidence: { refund: refundEvidence } },
    });
  }
  return { kind: 'found', refunds, evidence };
}

interface Entry {
  readonly refund: Refund;
  readonly json: unknown;
  readonly evidence: unknown;
}

type Listing =
  | { readonly kind: 'listed'; readonly entries: readonly Entry[]; readonly evidence: Evidence }
  | NothingLearnt;

const PAGE_SIZE = 100;
const MAX_PAGES = 20;

/** Every refund of the payment, or nothing: half a list cannot prove that a refund is absent. */
async function list(
  gatewayPaymentId: string,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<Listing> {
  const entries: Entry[] = [];
  for (let page = 0; page < MAX_PAGES; page++) {
    const last = entries.at(-1);
    const query = new URLSearchParams({
      [paymentParameter(gatewayPaymentId)]: gatewayPaymentId,
      limit: String(PAGE_SIZE),
      ...(last ? { starting_after: last.refund.id } : {}),
    });
    const answer = readQuestion(
      await send(get(`/v1/refunds?${query}`), access, http),
      access,
      errorsOf(access),
    );
    const noAnswer = (why: string, evidence: Evidence): Listing => ({
      kind: 'no_answer',
      why,
      answered: true,
      evidence,
    });
    if (answer.kind === 'absent') return noAnswer('no such payment', answer.evidence);
    if (answer.kind !== 'json') return answer;
    const parsed = List.safeParse(answer.json).data;
    const more = parsed?.data.map((json) => entryOf(json, access)) ?? [null];
    if (!parsed || more.includes(null)) {
      return noAnswer('the answer is not a list of refunds', answer.evidence);
    }
    const stray = more.map((entry) => entry && paymentMisfitOf(entry.refund, gatewayPaymentId)).find(Boolean);
    if (stray) return noAnswer(stray, answer.evidence);
    entries.push(...more.filter((entry) => entry !== null));
    if (!parsed.has_more) {
      return {
        kind: 'listed',
        entries,
        evidence: { payment: gatewayPaymentId, refunds_listed: entries.length },
      };
    }
  }
  const why = 'the list of the payment’s refunds does not end';
  return { kind: 'no_answer', why, answered: true, evidence: {} };
}

function entryOf(json: unknown, access: GatewayAccountAccess): Entry | null {
  const refund = Refund.safeParse(json).data;
  return refund ? { refund, json, evidence: scrub(json, access.credentials) } : null;
}

/** Its newest refund; a restricted key without the right to refunds is refused here too. */
async function checkAccess(access: GatewayAccountAccess, http: GatewayHttp): Promise<AccessCheck> {
  const path = '/v1/refunds?limit=1';
  const answer = readQuestion(await send(get(path), access, http), access, errorsOf(access));
  return {
    tried: `GET ${path}`,
    answer: checkedList(answer, (json) => List.safeParse(json).success),
  };
}

/**
 * The account's id and the key's mode. A restricted key may lack the right to read the account; Stripe's refusal names the
 * account then ("… does not have the required permissions for this endpoint on account 'acct_…'").
 */
async function identify(access: GatewayAccountAccess, http: GatewayHttp): Promise<IdentityAnswer> {
  const mode = /^(?:sk|rk)_(live|test)_/.exec(access.credentials['secret_key'] ?? '')?.[1];
  if (mode === undefined) return { kind: 'not_told', why: 'the key does not tell its mode, live or test' };
  const exchange = await send(get('/v1/account'), access, http);
  const answer = readQuestion(exchange, access, errorsOf(access));
  if (answer.kind === 'json') {
    const id = member(answer.json, 'object') === 'account' ? member(answer.json, 'id') : undefined;
    return typeof id === 'string' && ACCOUNT_ID.test(id)
      ? { kind: 'told', identity: `${id} ${mode}`, evidence: { account: id, mode } }
      : { kind: 'no_answer', why: 'the answer is not an account', answered: true, evidence: answer.evidence };
  }
  if (exchange.kind !== 'response' || exchange.status === 401) return withoutAbsent(answer);
  const error = readError(parseJson(exchange.body), exchange, access);
  const named = / on account '(acct_[A-Za-z0-9]{1,64})'/.exec(error?.message ?? '')?.[1];
  if (named !== undefined) {
    return { kind: 'told', identity: `${named} ${mode}`, evidence: { account: named, mode } };
  }
  return answer.kind === 'misconfigured'
    ? { kind: 'not_told', why: answer.errorMessage }
    : withoutAbsent(answer);
}

const ACCOUNT_ID = /^acct_[A-Za-z0-9]{1,64}$/;

function withoutAbsent(
  answer: NothingLearnt | { readonly kind: 'absent'; readonly evidence: Evidence },
): NothingLearnt {
  return answer.kind === 'absent'
    ? {
        kind: 'no_answer',
        why: 'there is nothing at this address',
        answered: true,
        evidence: answer.evidence,
      }
    : answer;
}

function get(path: string): PreparedRequest {
  return { method: 'GET', path, headers: { 'stripe-version': API_VERSION }, body: null };
}

// Amounts --------------------------------------------------------------------------------------------------

/*
 * Stripe counts a few currencies differently from ISO 4217, and wants some amounts in steps
 * (docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies" and "Special cases";
 * support.stripe.com, "Deprecation of fractional ISK charges and refunds"). HUF and TWD are restricted in
 * pay-outs to the merchant only, not here.
 */
const NO_DECIMALS = new Set([
  'BIF',
  'CLP',
  'DJF',
  'GNF',
  'JPY',
  'KMF',
  'KRW',
  'MGA',
  'PYG',
  'RWF',
  'VND',
  'VUV',
  'XAF',
  'XOF',
  'XPF',
]);
const THREE_DECIMALS = new Set(['BHD', 'JOD', 'KWD', 'OMR', 'TND']);
const TWO_EMPTY_DECIMALS = new Set(['ISK', 'UGX']);

function unitsOf(currency: string): { decimals: number; step: bigint } {
  if (NO_DECIMALS.has(currency)) return { decimals: 0, step: 1n };
  if (THREE_DECIMALS.has(currency)) return { decimals: 3, step: 10n };
  return { decimals: 2, step: TWO_EMPTY_DECIMALS.has(currency) ? 100n : 1n };
}

/**
 * The amount as Stripe counts it. Where that is no whole number the text says so exactly, so that what cannot be
 * paid can never become another amount.
 */
function stripeAmount(facts: Pick<RefundFacts, 'amountMinor' | 'currency' | 'exponent'>): {
  text: string;
  possible: boolean;
} {
  const { decimals, step } = unitsOf(facts.currency);
  const scaled = BigInt(facts.amountMinor) * 10n ** BigInt(decimals);
  const unit = 10n ** BigInt(facts.exponent);
  const whole = scaled / unit;
  const rest = scaled % unit;
  if (rest !== 0n) {
    return {
      text: `${whole}.${rest.toString().padStart(facts.exponent, '0').replace(/0+$/, '')}`,
      possible: false,
    };
  }
  return { text: whole.toString(), possible: whole > 0n && whole % step === 0n };
}

function ourAmount(stripeUnits: number, facts: Pick<RefundFacts, 'currency' | 'exponent'>): number | null {
  const scaled = BigInt(stripeUnits) * 10n ** BigInt(facts.exponent);
  const unit = 10n ** BigInt(unitsOf(facts.currency).decimals);
  return scaled % unit === 0n ? Number(scaled / unit) : null;
}

function stepText(currency: string): string {
  const { decimals, step } = unitsOf(currency);
  if (decimals === 3) return 'the third decimal must be 0';
  return decimals === 0 || step === 100n
    ? 'only whole units can be refunded'
    : 'at most two decimals can be refunded';
}

// What Stripe says -----------------------------------------------------------------------------------------

const Word = z
  .unknown()
  .transform((value) => cleanText(value, 300))
  .prefault(null);
const Id = z.string().regex(/^[A-Za-z0-9_]{1,255}$/);
/** An id, or the object itself where it was expanded. */
const Reference = z
  .union([Id, z.object({ id: Id }).transform((object) => object.id)])
  .nullable()
  .catch(null);
const Seconds = z.int().min(0).max(8_640_000_000_000).nullable().catch(null);

const Refund = z
  .object({
    object: z.literal('refund'),
    id: Id,
    amount: z.int().min(0),
    currency: z
      .string()
      .regex(/^[A-Za-z]{3}$/)
      .toUpperCase(),
    status: Word,
    created: Seconds,
    charge: Reference,
    payment_intent: Reference,
    balance_transaction: Reference,
    failure_reason: Word,
    pending_reason: Word,
    metadata: z.object({ refundry_refund_id: Word }).catch({ refundry_refund_id: null }),
    destination_details: z.unknown().optional(),
  })
  .transform(({ metadata, destination_details, ...refund }) => ({
    ...refund,
    // Metadata can be edited by hand in Stripe's dashboard.
    refundryId: isUuid(metadata.refundry_refund_id ?? '') ? metadata.refundry_refund_id : null,
    /** The card networks' reference, or the bank's: destination_details.TYPE.reference. */
    arn: cleanText(
      member(member(destination_details, String(member(destination_details, 'type'))), 'reference'),
      100,
    ),
  }));
type Refund = z.output<typeof Refund>;

const List = z.object({ object: z.literal('list'), data: z.array(z.unknown()), has_more: z.boolean() });

/** The refund that was asked about, or why this is not it. */
function ours(
  json: unknown,
  facts: RefundFacts,
  at: (refund: Refund) => number | null,
): News | Misfit | string {
  const refund = Refund.safeParse(json).data;
  if (!refund) return 'the answer is not a refund';
  if (
    (refund.refundryId !== null && refund.refundryId !== facts.refundId) ||
    (facts.gatewayRefundId !== null && refund.id !== facts.gatewayRefundId)
  ) {
    return `refund ${refund.id} is another one than was asked about`;
  }
  const misfit = misfitOf(refund, facts);
  return misfit === null ? newsOf(refund, at(refund)) : { misfit };
}

function misfitOf(refund: Refund, facts: RefundFacts): string | null {
  return amountMisfitOf(refund, facts) ?? paymentMisfitOf(refund, facts.gatewayPaymentId);
}

function amountMisfitOf(refund: Refund, facts: RefundFacts): string | null {
  return String(refund.amount) === stripeAmount(facts).text && refund.currency === facts.currency
    ? null
    : `refund ${refund.id} is of ${amountText(refund.amount, unitsOf(refund.currency).decimals, refund.currency)}, ` +
        `not ${amountText(facts.amountMinor, facts.exponent, facts.currency)}`;
}

/** A refund names its payment as a charge and, where there is one, as a payment intent: like is compared with like. */
function paymentMisfitOf(refund: Refund, gatewayPaymentId: string): string | null {
  const payment = refund[paymentParameter(gatewayPaymentId)];
  return payment === null || payment === gatewayPaymentId
    ? null
    : `refund ${refund.id} is of payment ${payment}, not ${gatewayPaymentId}`;
}

const Payment = z.object({
  id: Id,
  currency: z
    .string()
    .regex(/^[A-Za-z]{3}$/)
    .toUpperCase(),
});

const STATUSES: ReadonlyMap<string, RefundNews['status']> = new Map([
  ['pending', 'pending'],
  ['requires_action', 'pending'],
  ['succeeded', 'succeeded'],
  ['failed', 'failed'],
  ['canceled', 'failed'],
]);

/** `atSeconds`: when Stripe says that this became so, where it says that. */
function newsOf(refund: Refund, atSeconds: number | null): News {
  const rawStatus = refund.status ?? '';
  const known = STATUSES.get(rawStatus);
  const status = known ?? 'pending';
  return {
    status,
    gatewayRefundId: refund.id,
    gatewayReference: refund.balance_transaction,
    rawStatus,
    ...(known === undefined ? { unknownWord: true } : {}),
    // The customer is asked for bank details by e-mail, and the refund fails after weeks without them.
    ...(rawStatus === 'requires_action' ? { waitsFor: 'customer' as const } : {}),
    ...detailOf(refund, status),
    arn: refund.arn,
    at: atSeconds === null ? null : new Date(atSeconds * SECOND),
  };
}

function detailOf(refund: Refund, status: RefundNews['status']): Pick<News, 'errorCode' | 'errorMessage'> {
  if (status === 'failed') {
    const errorCode = refund.failure_reason ?? refund.status;
    return { errorCode, errorMessage: `Stripe could not refund it: ${errorCode?.replaceAll('_', ' ')}.` };
  }
  // Such a refund exists, and Stripe pays it by itself once there is balance: asking again would be wrong.
  if (status === 'pending' && refund.pending_reason === 'insufficient_funds') {
    return { errorCode: 'insufficient_funds', errorMessage: 'Stripe waits for balance in the account.' };
  }
  return { errorCode: null, errorMessage: null };
}

const ErrorBody = z.object({
  // Proxies, balancers and other APIs write {"error": …} too: only Stripe's own types prove that Stripe wrote it.
  error: z.object({
    type: z.enum([
      'api_error',
      'authentication_error',
      'card_error',
      'idempotency_error',
      'invalid_request_error',
      'rate_limit_error',
    ]),
    code: Word,
    message_code: Word,
    message: Word,
  }),
});

/** Stripe's own hosts, which name each request that got past the key. Stand-ins need not. */
const STRIPES_HOST = /^https:\/\/(?:[a-z0-9-]+\.)*stripe\.com(?::443)?(?:\/|$)/i;
/** Answers that Stripe gives before a request has an id. */
const BEFORE_ANY_ID = new Set([401, 429]);

const errorsOf = (access: GatewayAccountAccess) => (json: unknown, response: Response) =>
  readError(json, response, access);

/** docs.stripe.com/api/errors */
function readError(json: unknown, response: Response, access: GatewayAccountAccess): GatewayError | null {
  const error = ErrorBody.safeParse(json).data?.error;
  if (!error) return null;
  const hasId = /^req_[A-Za-z0-9]+$/.test(response.headers['request-id'] ?? '');
  if (STRIPES_HOST.test(access.baseUrl) && !hasId && !BEFORE_ANY_ID.has(response.status)) return null;
  const message = error.message ?? 'Stripe gave no reason.';
  const means = meaningOf(error);
  return { code: error.code ?? error.type, message, ...(means ? { means } : {}) };
}

function meaningOf(error: z.output<typeof ErrorBody>['error']): GatewayError['means'] {
  // Another body came under this key before, and that one may have been made; or Stripe itself failed.
  if (error.type === 'idempotency_error' || error.type === 'api_error') return 'unknown';
  if (error.code === 'idempotency_key_in_use') return 'unknown';
  // The payment is the only thing that a request for a refund names. A key of the other mode (live or test) lacks it too.
  if (error.code === 'resource_missing' || error.code === 'livemode_mismatch') return 'no_payment';
  // Somebody has given it back by another way: in Stripe's dashboard, or another program.
  if (error.code === 'charge_already_refunded') return 'refunded_elsewhere';
  // Our books hold so much of the payment for this refund: what is not left there went back by another way.
  if (/greater than unrefunded amount/i.test(error.message ?? '')) return 'refunded_elsewhere';
  if (error.code === 'charge_disputed') return 'disputed';
  // Refunds name this case by message code only; the others are the documented codes for a lack of balance.
  const noBalance =
    error.message_code === 'insufficient_balance_for_refund' ||
    error.code === 'balance_insufficient' ||
    error.code === 'insufficient_funds' ||
    /^insufficient funds in your stripe (balance|account)/i.test(error.message ?? '');
  return noBalance ? 'no_funds' : undefined;
}

async function send(
  prepared: PreparedRequest,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<Exchange> {
  return await http({
    method: prepared.method,
    url: access.baseUrl.replace(/\/+$/, '') + prepared.path,
    headers: { ...prepared.headers, authorization: `Bearer ${access.credentials['secret_key'] ?? ''}` },
    body: prepared.body,
  });
}

// Webhooks -------------------------------------------------------------------------------------------------

const MAX_AGE_SECONDS = 300;
const MAX_SIGNATURES = 10;

/** Checks Stripe-Signature (docs.stripe.com/webhooks/signature) before a byte of the body is parsed. */
function readWebhook(webhook: IncomingWebhook, access: GatewayAccountAccess): WebhookReading {
  const secrets = ['webhook_secret', 'webhook_secret_previous']
    .map((name) => access.credentials[name] ?? '')
    .filter((secret) => secret !== '');
  if (secrets.length === 0) return { kind: 'rejected', why: 'the account has no webhook signing secret' };
  const header = webhook.headers['stripe-signature'] ?? '';
  const parts = header
    .slice(0, 4_096)
    .split(',')
    .map((part) => part.trim());
  const timestamp = parts.find((part) => /^t=\d{1,12}$/.test(part))?.slice(2);
  const signatures = parts.filter((part) => /^v1=[0-9a-f]{64}$/.test(part)).slice(0, MAX_SIGNATURES);
  if (timestamp === undefined || signatures.length === 0) {
    return { kind: 'rejected', why: 'the Stripe-Signature header has no t and v1' };
  }
  const genuine = secrets.some((secret) => {
    const expected = createHmac('sha256', secret).update(`${timestamp}.`).update(webhook.rawBody).digest();
    return signatures.some((one) => timingSafeEqual(expected, Buffer.from(one.slice('v1='.length), 'hex')));
  });
  if (!genuine) return { kind: 'rejected', why: 'no signature fits the body and the signing secret' };
  const ageSeconds = webhook.receivedAt.getTime() / SECOND - Number(timestamp);
  if (Math.abs(ageSeconds) > MAX_AGE_SECONDS) {
    const why = `it was signed ${Math.round(ageSeconds)} seconds ago, and ${MAX_AGE_SECONDS} are allowed`;
    return { kind: 'rejected', why };
  }
  const event = Event.safeParse(parseJson(webhook.rawBody.toString('utf8'))).data;
  if (!event) return { kind: 'rejected', why: 'the body is not a Stripe event' };
  return { kind: 'authentic', events: eventsOf(event, access) };
}

const Event = z.object({
  id: Id,
  type: z.string(),
  created: Seconds,
  data: z.object({ object: z.unknown() }).catch({ object: null }),
  /** Thin events carry this instead of `data`. */
  related_object: z.object({ id: Id }).nullable().catch(null),
});

const REFUND_EVENTS = new Set(['refund.created', 'refund.updated', 'refund.failed', 'charge.refund.updated']);

/** Events that are not about refunds come out empty: they are authentic, and nothing to us. */
function eventsOf(event: z.output<typeof Event>, access: GatewayAccountAccess): WebhookEvent[] {
  const hint = {
    eventId: event.id,
    refundId: null,
    gatewayRefundId: null,
    gatewayPaymentId: null,
    news: null,
  };
  // The status counts, not the event's name: refund.created may already say succeeded.
  const about = ({ refund, evidence }: Entry): WebhookEvent => ({
    eventId: event.id,
    refundId: refund.refundryId,
    gatewayRefundId: refund.id,
    gatewayPaymentId: refund.payment_intent ?? refund.charge,
    news: {
      ...newsOf(refund, event.created),
      evidence: { event: event.id, event_type: cleanText(event.type, 100), refund: evidence },
    },
    misfit: (facts) => misfitOf(refund, facts),
  });
  // Thin events prefix the type.
  const type = event.type.replace(/^v1\./, '');
  if (REFUND_EVENTS.has(type)) {
    if (event.related_object) return [{ ...hint, gatewayRefundId: event.related_object.id }];
    const entry = entryOf(event.data.object, access);
    return entry ? [about(entry)] : [];
  }
  if (type !== 'charge.refunded') return [];
  if (event.related_object) return [{ ...hint, gatewayPaymentId: event.related_object.id }];
  const charge = Charge.safeParse(event.data.object).data;
  if (!charge) return [];
  // The charge lists its refunds only for endpoints of API versions before 2022-11-15.
  const entries = charge.refunds?.data.map((json) => entryOf(json, access)).filter((entry) => entry !== null);
  if (entries && entries.length > 0) return entries.map(about);
  return [charge.id, charge.payment_intent]
    .filter((payment) => payment !== null)
    .map((gatewayPaymentId) => ({ ...hint, gatewayPaymentId }));
}

const Charge = z.object({
  object: z.literal('charge'),
  id: Id,
  payment_intent: Reference,
  refunds: List.nullable().catch(null),
});

import {
  type GatewayError,
  type News,
  readCreateAnswer,
  readLookAnswer,
  readQuestion,
} from '../../src/gateways/answers.ts';
import { scrub } from '../../src/gateways/evidence.ts';
import type {
  Capabilities,
  Gateway,
  IncomingWebhook,
  PreparedRequest,
  RefundFacts,
  RefundNews,
  WebhookReading,
} from '../../src/gateways/gateway.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** One kind of gateway, by what refund APIs differ in. A new one joins by a row in `MODEL_GATEWAYS`. */
export interface ModelProfile {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Whether it says when something became so. */
  readonly timesItsNews: boolean;
  readonly hasLookUps: boolean;
  /** Whether it refuses what would give back more than was paid. One that does not shows money sent twice. */
  readonly guardsPayment: boolean;
  /** Whether it refuses a reference that it has made already, so that even a wrong proof of absence pays nothing twice. */
  readonly refusesRepeats: boolean;
  /** How long look-ups may lag, as a share of the time in which they are said to prove absence. */
  readonly mostLag: number;
}

const COMMON = {
  partialRefunds: true,
  instantRefunds: false,
  absenceProof: { answers: 2, spacingMs: 2 * MINUTE },
  pollDelaysMs: [MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR],
  lookDelaysMs: [30_000, 2 * MINUTE, 10 * MINUTE, HOUR],
  resendDelaysMs: [10_000, MINUTE, 10 * MINUTE, HOUR],
  maxSends: 4,
  webhookProof: 'signed',
  answerWithinMs: 30_000,
  maxConcurrent: 60,
  maxPerSecond: 1_000,
} as const;

export const MODEL_GATEWAYS: readonly ModelProfile[] = [
  {
    name: 'KEYED',
    capabilities: { ...COMMON, keyLifeMs: 24 * HOUR },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
  },
  {
    name: 'GUARDED',
    capabilities: { ...COMMON, keyLifeMs: 24 * HOUR, absenceProof: { answers: 3, spacingMs: 2 * MINUTE } },
    timesItsNews: false,
    hasLookUps: true,
    guardsPayment: true,
    refusesRepeats: false,
    mostLag: 0.95,
  },
  {
    name: 'FORGETFUL',
    capabilities: { ...COMMON, keyLifeMs: HOUR },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
  },
  {
    name: 'KEYLESS',
    capabilities: { ...COMMON, keyLifeMs: null, webhookProof: 'unsigned' },
    timesItsNews: false,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
  },
  {
    name: 'UNPROVABLE',
    capabilities: { ...COMMON, keyLifeMs: null, absenceProof: null, webhookProof: 'unsigned' },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
  },
  {
    name: 'SILENT',
    capabilities: { ...COMMON, keyLifeMs: 24 * HOUR, absenceProof: null },
    timesItsNews: true,
    hasLookUps: false,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
  },
  {
    name: 'REFERENCED',
    capabilities: { ...COMMON, keyLifeMs: null },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: true,
    // It does not keep its promise: whoever believes the refusal of a repeat shows as failed what was paid.
    mostLag: 1.6,
  },
];

export function profileOf(name: string): ModelProfile {
  return MODEL_GATEWAYS.find((profile) => profile.name === name)!;
}

/** A refund as the model gateway shows it. */
export interface WireRefund {
  readonly id: string;
  readonly reference: string | null;
  readonly payment: string;
  readonly amount: number;
  readonly status: string;
  readonly at: string | null;
  readonly arn: string | null;
  /** What gateways say besides, and nobody may keep. */
  readonly payer: { readonly card: string; readonly note: string };
}

/** What never may stand in our books (invariant 9): what a merchant's account is opened with, and how the customer paid. */
export const SECRETS = { credential: 'model_live_5f0c2a7be1', card: '4111 1111 1111 1111' } as const;
export const PAYER: WireRefund['payer'] = {
  card: SECRETS.card,
  note: `to ${SECRETS.card} by ${SECRETS.credential}`,
};

export interface WireRequest {
  readonly reference: string;
  readonly payment: string;
  readonly amount: number;
}

export const JSON_HEADERS = { 'content-type': 'application/json' };
export const SIGNATURE = 'signed with the shared secret';

/** The connector of a model gateway: plain JSON, told apart by its profile. */
export function modelConnector(profile: ModelProfile): Gateway {
  return {
    name: profile.name,
    label: profile.name,
    gatewayId: 1,
    defaultBaseUrl: 'http://gateway.test',
    docsUrl: null,
    movesRealMoney: true,
    credentialFields: [],
    capabilities: profile.capabilities,
    prepareRefund: (facts) => ({
      method: 'POST',
      path: '/refunds',
      headers: profile.capabilities.keyLifeMs === null ? {} : { 'idempotency-key': facts.idempotencyKey },
      body: JSON.stringify({
        reference: facts.refundId,
        payment: facts.gatewayPaymentId,
        amount: facts.amountMinor,
      } satisfies WireRequest),
    }),
    async createRefund(prepared: PreparedRequest, facts, access, http) {
      const exchange = await http({
        method: prepared.method,
        url: access.baseUrl + prepared.path,
        headers: prepared.headers,
        body: prepared.body,
      });
      return readCreateAnswer(exchange, access, reading(facts));
    },
    async fetchRefund(facts, access, http) {
      if (!profile.hasLookUps) return { kind: 'no_answer', why: 'it has no look-ups', evidence: {} };
      const exchange = await http({
        method: 'GET',
        url: `${access.baseUrl}/refunds/${facts.refundId}`,
        headers: {},
        body: null,
      });
      return readLookAnswer(exchange, access, reading(facts));
    },
    async findRefunds(facts, access, http) {
      if (!profile.hasLookUps) return { kind: 'no_answer', why: 'it has no look-ups', evidence: {} };
      const url = `${access.baseUrl}/refunds?payment=${facts.gatewayPaymentId}`;
      const exchange = await http({ method: 'GET', url, headers: {}, body: null });
      const answer = readQuestion(exchange, access, readError);
      if (answer.kind === 'absent') return { kind: 'no_answer', why: 'no such list', evidence: {} };
      if (answer.kind !== 'json') return answer;
      const refunds = (answer.json as WireRefund[]).map((refund) => ({
        refundId: refund.reference,
        amountMinor: refund.amount,
        currency: facts.currency,
        news: { ...newsOf(refund), evidence: { body: scrub(refund, access.credentials) } },
      }));
      return { kind: 'found', refunds, evidence: {} };
    },
    checkAccess: async () => ({ tried: 'nothing', answer: { kind: 'works', evidence: {} } }),
    readWebhook: (webhook, access) => readWebhook(profile, webhook, access.credentials),
  };
}

function reading(facts: Pick<RefundFacts, 'refundId'>) {
  return {
    refund: (json: unknown) => {
      const refund = json as WireRefund;
      return refund.reference === facts.refundId ? newsOf(refund) : 'another refund than was asked about';
    },
    error: readError,
  };
}

function readError(json: unknown): GatewayError | null {
  const { code } = (json as { error?: { code?: string } }).error ?? {};
  if (code === undefined) return null;
  if (code === 'no_such_refund') return { code, message: code, means: 'absent' };
  return { code, message: code, ...(code === 'no_funds' ? { means: 'no_funds' } : {}) };
}

function readWebhook(
  profile: ModelProfile,
  webhook: IncomingWebhook,
  credentials: Readonly<Record<string, string>>,
): WebhookReading {
  const proof = profile.capabilities.webhookProof;
  if (proof === 'signed' && webhook.headers['signature'] !== SIGNATURE)
    return { kind: 'rejected', why: 'the signature is wrong' };
  const refund = JSON.parse(webhook.rawBody.toString()) as WireRefund;
  const event = {
    eventId: `${refund.id} ${refund.status}`,
    refundId: refund.reference,
    gatewayRefundId: refund.id,
    gatewayPaymentId: refund.payment,
    news: { ...newsOf(refund), evidence: { body: scrub(refund, credentials) } } satisfies RefundNews,
  };
  return { kind: proof === 'signed' ? 'authentic' : 'unproven', events: [event] };
}

const STATUS: Readonly<Record<string, News['status']>> = {
  accepted: 'pending',
  no_balance: 'waiting_for_funds',
  paid: 'succeeded',
  failed: 'failed',
  returned: 'reversed',
};

function newsOf(refund: WireRefund): News {
  return {
    status: STATUS[refund.status] ?? 'pending',
    gatewayRefundId: refund.id,
    gatewayReference: null,
    rawStatus: refund.status,
    errorCode: refund.status === 'failed' ? 'bank_declined' : null,
    errorMessage: refund.status === 'failed' ? 'The bank declined it.' : null,
    arn: refund.arn,
    at: refund.at === null ? null : new Date(refund.at),
  };
}

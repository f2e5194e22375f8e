import {
  type GatewayError,
  type Misfit,
  type News,
  type Reading,
  readCreateAnswer,
  readLookAnswer,
  readQuestion,
} from '../../src/gateways/answers.ts';
import { member, scrub } from '../../src/gateways/evidence.ts';
import type {
  Capabilities,
  Evidence,
  Gateway,
  GatewayAccountAccess,
  IncomingWebhook,
  NothingLearnt,
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
  /** Whether it says of a payment of another account that there is none. One that does not pays whatever it is asked for. */
  readonly knowsPayments: boolean;
}

const DAY = 24 * HOUR;

const COMMON = {
  partialRefunds: true,
  instantRefunds: false,
  absenceProof: { answers: 2, spacingMs: 2 * MINUTE },
  recheckDelaysMs: [],
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
    capabilities: { ...COMMON, recheckDelaysMs: [DAY, 3 * DAY, 7 * DAY], keyLifeMs: 24 * HOUR },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
    knowsPayments: true,
  },
  {
    name: 'GUARDED',
    capabilities: { ...COMMON, keyLifeMs: 24 * HOUR, absenceProof: { answers: 3, spacingMs: 2 * MINUTE } },
    timesItsNews: false,
    hasLookUps: true,
    guardsPayment: true,
    refusesRepeats: false,
    mostLag: 0.95,
    knowsPayments: true,
  },
  {
    name: 'FORGETFUL',
    capabilities: { ...COMMON, recheckDelaysMs: [6 * HOUR, 2 * DAY, 10 * DAY], keyLifeMs: HOUR },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
    knowsPayments: false,
  },
  {
    name: 'KEYLESS',
    capabilities: {
      ...COMMON,
      recheckDelaysMs: [DAY, 7 * DAY, 14 * DAY],
      keyLifeMs: null,
      webhookProof: 'unsigned',
    },
    timesItsNews: false,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
    knowsPayments: false,
  },
  {
    name: 'UNPROVABLE',
    capabilities: { ...COMMON, keyLifeMs: null, absenceProof: null, webhookProof: 'unsigned' },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
    knowsPayments: true,
  },
  {
    name: 'SILENT',
    capabilities: { ...COMMON, keyLifeMs: 24 * HOUR, absenceProof: null },
    timesItsNews: true,
    hasLookUps: false,
    guardsPayment: false,
    refusesRepeats: false,
    mostLag: 0.95,
    knowsPayments: false,
  },
  {
    name: 'REFERENCED',
    capabilities: { ...COMMON, recheckDelaysMs: [12 * HOUR, 5 * DAY], keyLifeMs: null },
    timesItsNews: true,
    hasLookUps: true,
    guardsPayment: false,
    refusesRepeats: true,
    // It does not keep its promise: whoever believes the refusal of a repeat shows as failed what was paid.
    mostLag: 1.6,
    knowsPayments: true,
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
  readonly currency: string;
  readonly status: string;
  readonly at: string | null;
  readonly arn: string | null;
  /** What gateways say besides, and nobody may keep. */
  readonly payer: { readonly card: string; readonly note: string };
}

/** What never may stand in our books (invariant 9): what accounts are opened with, and how the customer paid. */
export const SECRETS = {
  credential: 'model_live_5f0c2a7be1',
  'credential of another account': 'model_live_c41d90b7e2',
  'webhook secret': 'model_hook_77aa01d35c',
  card: '4111 1111 1111 1111',
} as const;
/** What the gateway signs with when its secret was changed there and nobody has entered the new one here. */
export const NEW_WEBHOOK_SECRET = 'model_hook_of_tomorrow';

export function payerOf(credential: string): WireRefund['payer'] {
  return { card: SECRETS.card, note: `to ${SECRETS.card} by ${credential}` };
}

export interface WireRequest {
  readonly reference: string;
  readonly payment: string;
  readonly amount: number;
  readonly currency: string;
}

export const JSON_HEADERS = { 'content-type': 'application/json' };

export function signatureBy(secret: string): string {
  return `signed with ${secret}`;
}

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
        currency: facts.currency,
      } satisfies WireRequest),
    }),
    async createRefund(prepared: PreparedRequest, facts, access, http) {
      const exchange = await http({
        method: prepared.method,
        url: access.baseUrl + prepared.path,
        headers: { ...prepared.headers, ...openedBy(access) },
        body: prepared.body,
      });
      return readCreateAnswer(exchange, access, reading(facts));
    },
    async fetchRefund(facts, access, http) {
      if (!profile.hasLookUps) return NO_LOOK_UPS;
      const exchange = await http({
        method: 'GET',
        url: `${access.baseUrl}/refunds/${facts.refundId}?of=${facts.gatewayPaymentId}`,
        headers: openedBy(access),
        body: null,
      });
      return readLookAnswer(exchange, access, reading(facts));
    },
    async findRefunds(facts, access, http) {
      if (!profile.hasLookUps) return NO_LOOK_UPS;
      const url = `${access.baseUrl}/refunds?payment=${facts.gatewayPaymentId}`;
      const exchange = await http({ method: 'GET', url, headers: openedBy(access), body: null });
      const answer = readQuestion(exchange, access, readError);
      if (answer.kind === 'absent') return notLearnt('no such list', answer.evidence);
      if (answer.kind !== 'json') return answer;
      if (!Array.isArray(answer.json)) return notLearnt('it is not a list', answer.evidence);
      const refunds = (answer.json as WireRefund[]).map((refund) => ({
        refundId: refund.reference,
        amountMinor: refund.amount,
        currency: refund.currency,
        news: { ...newsOf(refund), evidence: { body: scrub(refund, access.credentials) } },
      }));
      return { kind: 'found', refunds, evidence: {} };
    },
    checkAccess: async () => ({ tried: 'nothing', answer: { kind: 'works', evidence: {} } }),
    identify: async () => ({ kind: 'not_told', why: 'the world says whose books are opened' }),
    readWebhook: (webhook, access) => readWebhook(profile, webhook, access.credentials),
  };
}

/** Requests are stored without what opens the account. */
function openedBy({ credentials }: GatewayAccountAccess): Readonly<Record<string, string>> {
  return { authorization: credentials['secret_key'] ?? '' };
}

function notLearnt(why: string, evidence: Evidence): NothingLearnt {
  return { kind: 'no_answer', why, answered: true, evidence };
}

const NO_LOOK_UPS = { kind: 'no_answer', why: 'it has no look-ups', answered: true, evidence: {} } as const;

function reading(facts: RefundFacts): Reading {
  return {
    refund: (json) => {
      const refund = json as WireRefund;
      if (refund.reference !== facts.refundId) return 'another refund than was asked about';
      const misfit = misfitOf(refund, facts);
      return misfit === null ? newsOf(refund) : ({ misfit } satisfies Misfit);
    },
    error: readError,
  };
}

function misfitOf(
  { payment, amount, currency }: WireRefund,
  facts: Pick<RefundFacts, 'gatewayPaymentId' | 'amountMinor' | 'currency'>,
): string | null {
  const isAsAsked =
    payment === facts.gatewayPaymentId && amount === facts.amountMinor && currency === facts.currency;
  return isAsAsked ? null : `it is of ${amount} ${currency} of ${payment}`;
}

const MEANS: Readonly<Record<string, GatewayError['means']>> = {
  no_such_refund: 'absent',
  no_such_payment: 'no_payment',
  no_funds: 'no_funds',
  already_refunded: 'refunded_elsewhere',
  bad_credentials: 'misconfigured',
};

function readError(json: unknown): GatewayError | null {
  const code = member(member(json, 'error'), 'code');
  if (typeof code !== 'string') return null;
  const means = MEANS[code];
  return { code, message: code, ...(means !== undefined && { means }) };
}

function readWebhook(
  profile: ModelProfile,
  webhook: IncomingWebhook,
  credentials: Readonly<Record<string, string>>,
): WebhookReading {
  const proof = profile.capabilities.webhookProof;
  const isSigned = webhook.headers['signature'] === signatureBy(credentials['webhook_secret'] ?? '');
  if (proof === 'signed' && !isSigned) return { kind: 'rejected', why: 'the signature is wrong' };
  const refund = JSON.parse(webhook.rawBody.toString()) as WireRefund;
  const event = {
    eventId: `${refund.id} ${refund.status}`,
    refundId: refund.reference,
    gatewayRefundId: refund.id,
    gatewayPaymentId: refund.payment,
    news: { ...newsOf(refund), evidence: { body: scrub(refund, credentials) } } satisfies RefundNews,
    misfit: (facts: RefundFacts) => misfitOf(refund, facts),
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

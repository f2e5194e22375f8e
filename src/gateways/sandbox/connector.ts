import { amountText, exponentOf } from '../../lib/money.ts';
import {
  checkedList,
  type News,
  nearestToPaid,
  notListed,
  type Reading,
  readCreateAnswer,
  readLookAnswer,
  readQuestion,
} from '../answers.ts';
import { cleanText, member, parseJson, scrub } from '../evidence.ts';
import type {
  Evidence,
  FoundRefund,
  Gateway,
  GatewayAccountAccess,
  GatewayHttp,
  LookAnswer,
  NothingLearnt,
  PaymentAnswer,
  RefundFacts,
  RefundNews,
} from '../gateway.ts';
import { SIGNATURE_HEADER, signatureProblem, webhookKeyOf } from './signing.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The connector of the sandbox that ships with the program (docs/sandbox.md). It waits less than others would. */
export const sandbox: Gateway = {
  name: 'SANDBOX',
  label: 'Sandbox',
  gatewayId: 100,
  defaultBaseUrl: 'http://127.0.0.1:8080/sandbox',
  docsUrl: null,
  movesRealMoney: false,
  credentialFields: [
    {
      name: 'secret_key',
      label: 'Secret key',
      secret: true,
      required: true,
      pattern: '[A-Za-z0-9_-]{12,128}',
      help: 'Any 12 to 128 letters, digits, _ and -. The sandbox takes keys that start with sbx_sk_ and refuses others.',
    },
    {
      name: 'previous_secret_key',
      label: 'Previous secret key',
      secret: true,
      required: false,
      provesWebhooksOnly: true,
      pattern: '[A-Za-z0-9_-]{12,128}',
      help: 'Its webhooks are accepted beside those of the secret key.',
    },
  ],
  capabilities: {
    partialRefunds: true,
    instantRefunds: true,
    keyLifeMs: 24 * HOUR,
    absenceProof: { answers: 2, spacingMs: 700 },
    pollDelaysMs: [SECOND, 2 * SECOND, 5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, HOUR],
    recheckDelaysMs: [10 * SECOND, MINUTE, HOUR],
    lookDelaysMs: [300, SECOND, 2 * SECOND, 5 * SECOND, 15 * SECOND, MINUTE],
    resendDelaysMs: [500, SECOND, 2 * SECOND, 5 * SECOND, 15 * SECOND, MINUTE],
    maxSends: 6,
    webhookProof: 'signed',
    answerWithinMs: 3 * SECOND,
    maxConcurrent: 50,
    maxPerSecond: 500,
  },

  prepareRefund(facts) {
    return {
      method: 'POST',
      path: '/v1/refunds',
      headers: { 'content-type': 'application/json', 'idempotency-key': facts.idempotencyKey },
      body: JSON.stringify({
        payment: facts.gatewayPaymentId,
        refund_id: facts.refundId,
        order_id: facts.orderId,
        amount: facts.amountMinor,
        currency: facts.currency,
        reason: cleanText(facts.reason, 500),
        webhook_url: facts.webhookUrl,
      }),
    };
  },

  async createRefund(prepared, facts, access, http) {
    const exchange = await http({
      method: prepared.method,
      url: access.baseUrl + prepared.path,
      headers: { ...prepared.headers, ...authorization(access) },
      body: prepared.body,
    });
    return readCreateAnswer(exchange, access, readingOf(facts));
  },

  async fetchRefund(facts, access, http) {
    if (facts.gatewayRefundId === null) return fetchByOurId(facts, access, http);
    const exchange = await http(ask(access, `/v1/refunds/${encodeURIComponent(facts.gatewayRefundId)}`));
    const answer = readLookAnswer(exchange, access, readingOf(facts));
    if (answer.kind !== 'absent') return answer;
    const payment = await findPayment(facts, access, http);
    if (payment.kind === 'known') return answer;
    return payment.kind === 'unknown'
      ? unlike(`this account has no payment ${facts.gatewayPaymentId}`, payment.evidence)
      : payment;
  },

  async findRefunds(facts, access, http) {
    const listed = await listRefunds({ payment: facts.gatewayPaymentId }, access, http);
    if (listed.kind !== 'found') return listed;
    const refunds: FoundRefund[] = [];
    for (const entry of listed.entries) {
      const found = readRefund(entry);
      if (found === null || found.payment !== facts.gatewayPaymentId)
        return unreadable(listed.entries, access);
      refunds.push({
        refundId: found.refundId,
        amountMinor: found.amountMinor,
        currency: found.currency,
        news: { ...found.news, evidence: { body: scrub(entry, access.credentials) } },
      });
    }
    return { kind: 'found', refunds, evidence: { refunds: refunds.length } };
  },

  findPayment,

  async identify(access, http) {
    const answer = readQuestion(await http(ask(access, '/v1/account')), access, readError);
    if (answer.kind === 'absent') return unlike('the gateway has no such page', answer.evidence);
    if (answer.kind !== 'json') return answer;
    const account = member(answer.json, 'account');
    return typeof account === 'string' && /^sbxa_[0-9a-f]{32}$/.test(account)
      ? { kind: 'told', identity: account, evidence: { account } }
      : unlike('the answer is not an account', answer.evidence);
  },

  async checkAccess(access, http) {
    // The sandbox lists refunds by payment; it need not know the one that is asked about.
    const path = '/v1/refunds?payment=any&limit=1';
    const answer = readQuestion(await http(ask(access, path)), access, readError);
    return {
      tried: `GET ${path}`,
      answer: checkedList(answer, (json) => Array.isArray(member(json, 'refunds'))),
    };
  },

  readWebhook(webhook, access) {
    const { secret_key: current, previous_secret_key: previous } = access.credentials;
    const keys = [current, previous].flatMap((key) => (key ? [webhookKeyOf(key)] : []));
    const problem = signatureProblem(
      webhook.headers[SIGNATURE_HEADER],
      webhook.rawBody,
      keys,
      webhook.receivedAt,
    );
    if (problem !== null) return { kind: 'rejected', why: problem };
    const body = parseJson(webhook.rawBody.toString('utf8'));
    const found = readRefund(member(member(body, 'data'), 'refund'));
    if (found === null) return { kind: 'authentic', events: [] };
    return {
      kind: 'authentic',
      events: [
        {
          eventId: cleanText(member(body, 'id'), 100),
          refundId: found.refundId,
          gatewayRefundId: found.news.gatewayRefundId,
          gatewayPaymentId: found.payment,
          news: { ...found.news, evidence: { body: scrub(body, access.credentials) } },
          misfit: (facts) => misfitOf(found, facts),
        },
      ],
    };
  },
};

/** The sandbox takes every payment id for a payment of the account, except those of one behaviour. */
async function findPayment(
  { gatewayPaymentId }: Pick<RefundFacts, 'gatewayPaymentId'>,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<Exclude<PaymentAnswer, { kind: 'misfit' }>> {
  const query = new URLSearchParams({ payment: gatewayPaymentId, limit: '1' });
  const answer = readQuestion(await http(ask(access, `/v1/refunds?${query}`)), access, (json) => {
    const error = readError(json);
    return error?.means === 'no_payment' ? { ...error, means: 'absent' } : error;
  });
  if (answer.kind === 'absent') return { kind: 'unknown', evidence: answer.evidence };
  if (answer.kind !== 'json') return answer;
  return Array.isArray(member(answer.json, 'refunds'))
    ? { kind: 'known', evidence: answer.evidence }
    : unlike('the answer is not a list of refunds', answer.evidence);
}

/** By our own id: the look-up for refunds whose answer never came. */
async function fetchByOurId(
  facts: RefundFacts,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<LookAnswer> {
  const listed = await listRefunds(
    { payment: facts.gatewayPaymentId, refund_id: facts.refundId },
    access,
    http,
  );
  if (listed.kind !== 'found') return listed;
  const ours: RefundNews[] = [];
  let misfit: LookAnswer | null = null;
  for (const entry of listed.entries) {
    const found = readRefund(entry);
    if (found?.refundId == null) return unreadable(listed.entries, access);
    if (found.refundId !== facts.refundId) continue;
    const evidence = { body: scrub(entry, access.credentials) };
    const why = misfitOf(found, facts);
    if (why !== null) misfit ??= { kind: 'misfit', why, evidence };
    else ours.push({ ...found.news, evidence });
  }
  const news = nearestToPaid(ours);
  if (news) return { kind: 'news', news };
  return misfit ?? notListed(listed.entries, facts.refundId, { refunds_of_payment: listed.entries.length });
}

const PAGE = 100;
const MOST_PAGES = 100;

/** All refunds that match, or why the list is not known to be whole. */
async function listRefunds(
  filter: Readonly<Record<string, string>>,
  access: GatewayAccountAccess,
  http: GatewayHttp,
): Promise<NothingLearnt | { readonly kind: 'found'; readonly entries: unknown[] }> {
  const entries: unknown[] = [];
  let after = '';
  for (let page = 0; page < MOST_PAGES; page++) {
    const query = new URLSearchParams({ ...filter, limit: String(PAGE), ...(after === '' ? {} : { after }) });
    const answer = await readQuestion(await http(ask(access, `/v1/refunds?${query}`)), access, readError);
    if (answer.kind === 'absent') return unlike('the gateway has no such list', answer.evidence);
    if (answer.kind !== 'json') return answer;
    const part = member(answer.json, 'refunds');
    const next = member(answer.json, 'next_after');
    if (
      !Array.isArray(part) ||
      (next !== null && (typeof next !== 'string' || next === after || next === ''))
    ) {
      return unlike('the gateway’s list cannot be read', answer.evidence);
    }
    entries.push(...part);
    if (next === null) return { kind: 'found', entries };
    after = next;
  }
  return unlike(`the gateway’s list is longer than ${PAGE * MOST_PAGES}`, {});
}

function ask(access: GatewayAccountAccess, path: string): Parameters<GatewayHttp>[0] {
  return { method: 'GET', url: access.baseUrl + path, headers: authorization(access), body: null };
}

function authorization(access: GatewayAccountAccess): Record<string, string> {
  return { authorization: `Bearer ${access.credentials['secret_key'] ?? ''}` };
}

// The sandbox's words ----------------------------------------------------------------------------------

const STATUSES = new Map<string, RefundNews['status']>([
  ['pending', 'pending'],
  ['succeeded', 'succeeded'],
  ['failed', 'failed'],
  ['reversed', 'reversed'],
]);

interface ReadRefund {
  readonly payment: string;
  readonly refundId: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  readonly news: News & { readonly gatewayRefundId: string };
}

function readingOf(facts: RefundFacts): Reading {
  return {
    refund(json) {
      const found = readRefund(json);
      if (found === null) return 'the answer is not a refund';
      const otherId = facts.gatewayRefundId !== null && found.news.gatewayRefundId !== facts.gatewayRefundId;
      if (otherId || found.refundId !== facts.refundId) {
        return `the answer is about refund ${found.news.gatewayRefundId}, which is not ours`;
      }
      const misfit = misfitOf(found, facts);
      return misfit === null ? found.news : { misfit };
    },
    error: readError,
  };
}

/** A refund object, or null for anything that is not quite one. */
function readRefund(json: unknown): ReadRefund | null {
  const id = member(json, 'id');
  const payment = cleanText(member(json, 'payment'), 255);
  const amount = member(json, 'amount');
  const currency = member(json, 'currency');
  const word = member(json, 'status');
  if (typeof id !== 'string' || !/^sbxr_[0-9a-z]{1,64}$/.test(id)) return null;
  if (payment === null || !Number.isSafeInteger(amount)) return null;
  if (typeof currency !== 'string' || !/^[A-Z]{3}$/.test(currency)) return null;
  if (typeof word !== 'string' || word === '') return null;
  const status = STATUSES.get(word);
  const failure = member(json, 'failure');
  const arn = member(json, 'arn');
  return {
    payment,
    refundId: cleanText(member(json, 'refund_id'), 255),
    amountMinor: amount as number,
    currency,
    news: {
      status: status ?? 'pending',
      ...(status === undefined ? { unknownWord: true } : {}),
      gatewayRefundId: id,
      gatewayReference: null,
      rawStatus: cleanText(word, 100) ?? '',
      errorCode: cleanText(member(failure, 'code'), 100),
      errorMessage: cleanText(member(failure, 'message'), 500),
      arn: typeof arn === 'string' && /^\d{23}$/.test(arn) ? arn : null,
      at: timeOf(member(json, 'updated_at')),
    },
  };
}

/** Why a refund that carries our id is not the one that was asked for, or null. */
function misfitOf({ news, payment, amountMinor, currency }: ReadRefund, facts: RefundFacts): string | null {
  if (payment !== facts.gatewayPaymentId)
    return `refund ${news.gatewayRefundId} is of payment ${payment}, not ${facts.gatewayPaymentId}`;
  return amountMinor === facts.amountMinor && currency === facts.currency
    ? null
    : `refund ${news.gatewayRefundId} is of ${amountText(amountMinor, exponentOf(currency) ?? facts.exponent, currency)}, ` +
        `not ${amountText(facts.amountMinor, facts.exponent, facts.currency)}`;
}

const CODES = new Set([
  'already_refunded',
  'bad_key',
  'insufficient_balance',
  'internal',
  'invalid_request',
  'key_in_progress',
  'key_reused',
  'no_such_page',
  'no_such_payment',
  'no_such_refund',
  'refund_refused',
  'too_many_requests',
]);

function readError(json: unknown): ReturnType<Reading['error']> {
  const error = member(json, 'error');
  const code = cleanText(member(error, 'code'), 100);
  const message = cleanText(member(error, 'message'), 500);
  // Others write {"error":{"code","message"}} too.
  if (code === null || message === null || !CODES.has(code)) return null;
  if (code === 'insufficient_balance') return { code, message, means: 'no_funds' };
  if (code === 'no_such_payment') return { code, message, means: 'no_payment' };
  if (code === 'no_such_refund') return { code, message, means: 'absent' };
  if (code === 'already_refunded') return { code, message, means: 'refunded_elsewhere' };
  // The key made a refund that was not quite this one.
  if (code === 'key_reused') return { code, message, means: 'unknown' };
  return { code, message };
}

function timeOf(value: unknown): Date | null {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)) return null;
  const at = new Date(value);
  return Number.isNaN(at.getTime()) ? null : at;
}

function unreadable(entries: readonly unknown[], access: GatewayAccountAccess): NothingLearnt {
  return unlike('the gateway’s list has an entry that is not a refund of this payment', {
    body: scrub(entries, access.credentials),
  });
}

function unlike(why: string, evidence: Evidence): NothingLearnt {
  return { kind: 'no_answer', why, answered: true, evidence };
}

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  CreateAnswer,
  Exchange,
  FindAnswer,
  GatewayAccountAccess,
  LookAnswer,
  RefundFacts,
  RefundNews,
  WebhookReading,
} from '../../src/gateways/gateway.ts';
import type { Dialect, Reply, WebhookDialect } from '../../test/gateways/conformance.ts';
import { sandboxDialect } from '../../test/gateways/sandbox-dialect.ts';
import { stripeDialect } from '../../test/gateways/stripe-dialect.ts';
import { BrokenInvariant, type Figures } from '../proof.ts';
import { mutateBytes, mutateJson, mutateText } from './mutate.ts';
import { Random } from './random.ts';
import { keep } from './wire.ts';
import type { World } from './world.ts';

/** What is added later joins here. */
const DIALECTS: readonly Dialect[] = [stripeDialect, sandboxDialect];

interface Run {
  readonly count: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

type Json = Record<string, unknown>;

// Answers ----------------------------------------------------------------------------------------------

/**
 * Answers of gateways, changed at random places: a connector never throws, never takes for an outcome what the
 * gateway does not state of this very refund, and never takes it for absent while the answer speaks of it.
 */
export async function fuzzAnswers({ count, seed, signal }: Run): Promise<Figures> {
  const kinds: Record<string, number> = {};
  let n = 0;
  for (; n < count && !signal.aborted; n++) {
    const random = new Random(seed, 'answers', n);
    const dialect = random.pick(DIALECTS);
    const exchange = changedAnswer(random, dialect);
    const known = { ...dialect.facts, gatewayRefundId: dialect.gatewayRefundId };
    const access = accessOf(dialect);
    const problems = await problemsOf(dialect, known, access, exchange, kinds);
    if (problems.length === 0) continue;
    const path = keep(`fuzz-${seed}-answer-${n}.json`, Buffer.from(JSON.stringify(exchange)));
    throw new BrokenInvariant(
      `answer ${n} of ${dialect.gateway.name}: ${problems[0]}\nAnswer: ${path}`,
      replayOf(seed, n * 2),
    );
  }
  return { 'changed answers of gateways': n, ...kinds };
}

function accessOf({ credentials }: Dialect): GatewayAccountAccess {
  return { accountId: 'ga_fuzz', identity: 'fuzz', baseUrl: 'http://[::1]:9', credentials };
}

function changedAnswer(random: Random, dialect: Dialect): Exchange & { kind: 'response' } {
  const facts = random.chance(0.5)
    ? dialect.facts
    : { ...dialect.facts, gatewayRefundId: dialect.gatewayRefundId };
  const refund = dialect.refund(random.pick(Object.keys(dialect.words)), facts);
  const asked = { method: 'GET', url: '/v1/refunds?limit=100', headers: {}, body: '' };
  const replies: readonly Reply[] = [
    ...[dialect.created(refund), dialect.fetched(refund), dialect.listed([refund], asked)],
    ...[
      dialect.listed([], asked),
      dialect.listed([{ ...refund, id: `${dialect.gatewayRefundId}0` }, refund], asked),
    ],
    ...[dialect.absent, ...dialect.refusals.map(({ reply }) => reply), ...dialect.noFunds],
    ...[...dialect.keyTrouble, ...dialect.misconfigured, { status: 500, body: dialect.errorBody }],
  ];
  const reply = random.pick(replies);
  let body: unknown = typeof reply.body === 'string' ? JSON.parse(reply.body) : reply.body;
  for (let left = random.below(4); left > 0; left--) body = mutateJson(random, body);
  let text = typeof body === 'string' ? body : (JSON.stringify(body) ?? '');
  if (random.chance(0.15)) text = mutateBytes(random, Buffer.from(text)).toString('utf8');
  const types = ['application/json', 'application/json; charset=utf-8', 'text/html', 'text/plain', ''];
  return {
    kind: 'response',
    status: random.chance(0.7) ? reply.status : random.pick(STATUSES),
    headers: { 'content-type': random.chance(0.85) ? types[0]! : random.pick(types) },
    body: text,
  };
}

const STATUSES = [
  200, 201, 202, 204, 206, 301, 400, 401, 402, 403, 404, 408, 409, 422, 424, 425, 429, 499, 500, 502, 503,
  504,
];

async function problemsOf(
  dialect: Dialect,
  known: RefundFacts,
  access: GatewayAccountAccess,
  exchange: Exchange & { kind: 'response' },
  kinds: Record<string, number>,
): Promise<string[]> {
  const { gateway, facts } = dialect;
  const http = async () => exchange;
  const problems: string[] = [];
  const asking: [
    name: string,
    of: RefundFacts,
    ask: () => Promise<CreateAnswer | LookAnswer | FindAnswer>,
  ][] = [
    ['create', facts, () => gateway.createRefund(gateway.prepareRefund(facts), facts, access, http)],
    ['fetch', known, () => gateway.fetchRefund(known, access, http)],
    ['fetch by our id', facts, () => gateway.fetchRefund(facts, access, http)],
    ['find', facts, () => gateway.findRefunds(facts, access, http)],
  ];
  for (const [name, of, ask] of asking) {
    try {
      const answer = await ask();
      kinds[`taken for ${answer.kind}`] = (kinds[`taken for ${answer.kind}`] ?? 0) + 1;
      const problem = problemOf(dialect, of, exchange, answer) ?? unstorable(answer, dialect);
      if (problem !== null) problems.push(`${name}: ${problem}`);
    } catch (error) {
      problems.push(`${name} threw ${(error as Error).stack}`);
    }
  }
  return problems;
}

/** What may be concluded from an exchange, told apart from how connectors do it: by what stands in the bytes. */
function problemOf(
  dialect: Dialect,
  facts: RefundFacts,
  { status, headers, body }: Exchange & { kind: 'response' },
  answer: CreateAnswer | LookAnswer | FindAnswer,
): string | null {
  const isJson = (headers['content-type'] ?? '').startsWith('application/json') && parsed(body) !== undefined;
  const isGood = isJson && status >= 200 && status <= 299;
  const isRefusal =
    isJson && status >= 400 && status <= 499 && ![408, 409, 424, 425, 429, 499].includes(status);
  switch (answer.kind) {
    case 'news':
      return isGood
        ? unstated(dialect, facts, body, answer.news)
        : `news from ${status} ${headers['content-type']}`;
    case 'found':
      if (!isGood) return `a list from ${status}`;
      return (
        answer.refunds
          .map(({ news }) => unstated(dialect, null, body, news))
          .find((problem) => problem !== null) ?? null
      );
    case 'absent':
      if (!isGood && !isRefusal) return `absent from ${status}`;
      return isGood && strings(parsed(body)).includes(facts.refundId)
        ? 'absent, and the answer speaks of it'
        : null;
    case 'refused':
    case 'no_funds':
      return isRefusal ? null : `${answer.kind} from ${status} ${headers['content-type']}`;
    case 'misconfigured':
      return isRefusal ? null : `misconfigured from ${status} ${headers['content-type']}`;
    case 'no_payment':
      return isRefusal ? null : `no_payment from ${status} ${headers['content-type']}`;
    case 'busy':
      return isJson && status === 429 ? null : `busy from ${status} ${headers['content-type']}`;
    case 'misfit':
      return isGood ? null : `a misfit from ${status} ${headers['content-type']}`;
    default:
      return null;
  }
}

/** Why news of an outcome are not what the body says, or null. With facts it must be said of exactly this refund. */
function unstated(
  dialect: Dialect,
  facts: RefundFacts | null,
  body: string,
  news: RefundNews,
): string | null {
  if (news.status === 'pending' || news.status === 'waiting_for_funds') return null;
  const names = namesOf(dialect);
  const saying = objects(parsed(body)).some((one) => {
    if (dialect.words[textOf(one[names.word])] !== news.status || one[names.id] !== news.gatewayRefundId)
      return false;
    if (facts === null) return true;
    const expected = dialect.refund('x', facts);
    const sameMoney =
      one[names.amount] === expected[names.amount] &&
      textOf(one[names.currency]).toUpperCase() === textOf(expected[names.currency]).toUpperCase();
    return sameMoney && (facts.gatewayRefundId === null || one[names.id] === facts.gatewayRefundId);
  });
  return saying
    ? null
    : `${news.status} of ${news.gatewayRefundId}, which the answer does not say: ${body.slice(0, 1_500)}`;
}

/** Under which names a gateway's refund has what counts: those whose values follow the facts. */
function namesOf(dialect: Dialect): Record<'word' | 'id' | 'amount' | 'currency', string> {
  const one = dialect.refund('one', { ...dialect.facts, gatewayRefundId: 're_one' });
  const differing = (other: Json) =>
    Object.keys(one).find((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]))!;
  return {
    word: differing(dialect.refund('two', { ...dialect.facts, gatewayRefundId: 're_one' })),
    id: differing(dialect.refund('one', { ...dialect.facts, gatewayRefundId: 're_two' })),
    amount: differing(
      dialect.refund('one', { ...dialect.facts, gatewayRefundId: 're_one', amountMinor: 77 }),
    ),
    currency: differing(
      dialect.refund('one', { ...dialect.facts, gatewayRefundId: 're_one', currency: 'USD' }),
    ),
  };
}

/** Invariants 9 and "the database can hold it". */
function unstorable(answer: unknown, dialect: Dialect): string | null {
  const texts = strings(answer);
  if (texts.some((text) => text.includes('\0'))) return 'a NUL byte is to be stored';
  if (texts.some((text) => !text.isWellFormed())) return 'half a character is to be stored';
  const secret = Object.values(dialect.credentials).find((value) =>
    texts.some((text) => text.includes(value)),
  );
  return secret === undefined ? null : `the answer holds the credential ${secret}`;
}

// Webhooks ---------------------------------------------------------------------------------------------

/** Webhooks as gateways send them, and as others would like them to: only what is signed with the secret is read. */
export async function fuzzWebhooks({ count, seed, signal }: Run): Promise<Figures> {
  let [n, authentic] = [0, 0];
  for (; n < count && !signal.aborted; n++) {
    const random = new Random(seed, 'webhooks', n);
    const dialect = random.pick(DIALECTS.filter(({ webhook }) => webhook !== null));
    const webhook = dialect.webhook!;
    const receivedAt = new Date(1_795_428_100_000 + random.below(1_000_000));
    const body = random.pick([...samplesOf(dialect), someWebhook(random, dialect)]);
    const sent = forge(random, webhook, Buffer.from(body), receivedAt, webhook.secret);
    const access = accessOf(dialect);
    let reading: WebhookReading | string;
    try {
      reading = dialect.gateway.readWebhook({ ...sent, receivedAt }, access);
    } catch (error) {
      reading = `threw ${(error as Error).stack}`;
    }
    const problem =
      typeof reading === 'string' ? reading : misread(dialect, webhook, sent, receivedAt, reading);
    if (typeof reading !== 'string' && reading.kind === 'authentic') authentic++;
    if (problem === null) continue;
    const path = keep(
      `fuzz-${seed}-webhook-${n}.json`,
      Buffer.from(JSON.stringify({ ...sent, rawBody: sent.rawBody.toString('latin1') })),
    );
    throw new BrokenInvariant(
      `webhook ${n} of ${dialect.gateway.name}: ${problem}\nWebhook: ${path}`,
      replayOf(seed, n * 2),
    );
  }
  return { 'changed webhooks of gateways': n, 'of them authentic all the same': authentic };
}

interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly rawBody: Buffer;
}

function samplesOf(dialect: Dialect): string[] {
  const folder = join(import.meta.dirname, '../../test/gateways/data', dialect.gateway.name.toLowerCase());
  return globSync('event-*.json', { cwd: folder }).map((name) => readFileSync(join(folder, name), 'utf8'));
}

function someWebhook(random: Random, dialect: Dialect): string {
  return dialect.webhook!.body(dialect.refund(random.pick(Object.keys(dialect.words)), dialect.facts));
}

/** A webhook with something about it changed: its bytes, its proof, its age or its maker. */
function forge(random: Random, webhook: WebhookDialect, genuine: Buffer, at: Date, secret: string): Sent {
  const sign = (bytes: Buffer, by = secret, when = at) => webhook.sign(bytes, by, when);
  const onHeaders = (change: (value: string) => string) =>
    Object.fromEntries(Object.entries(sign(genuine)).map(([name, value]) => [name, change(value)]));
  const old = new Date(at.getTime() - random.pick([301_000, 86_400_000]));
  switch (random.below(12)) {
    case 0:
      return { headers: sign(genuine), rawBody: mutateBytes(random, genuine) };
    case 1:
      return { headers: onHeaders((value) => mutateText(random, value)), rawBody: genuine };
    case 2:
      return { headers: {}, rawBody: genuine };
    case 3:
      return {
        headers: sign(genuine, random.pick(['', `${secret}x`, secret.slice(0, -1), secret.toUpperCase()])),
        rawBody: genuine,
      };
    case 4:
      return { headers: sign(genuine, secret, old), rawBody: genuine };
    case 5:
      return {
        headers: onHeaders((value) => value.replace(/t=\d+/, `t=${Math.floor(at.getTime() / 1000) + 1}`)),
        rawBody: genuine,
      };
    case 6:
      return { headers: onHeaders((value) => value.replace(/v1=/g, 'v0=')), rawBody: genuine };
    case 7:
      return {
        headers: onHeaders((value) => value.replace(/[0-9a-f]{64}/, '0'.repeat(64))),
        rawBody: genuine,
      };
    case 8:
      return {
        headers: onHeaders((value) => `${value},v1=${'f'.repeat(64)},${'t=1,'.repeat(500)}`),
        rawBody: Buffer.concat([genuine, Buffer.from(' ')]),
      };
    case 9:
      return { headers: sign(Buffer.alloc(0)), rawBody: genuine };
    case 10: {
      // Signed as it should be, whatever it says.
      const changed = Buffer.from(
        JSON.stringify(mutateJson(random, JSON.parse(genuine.toString('utf8')))) ?? '',
      );
      return { headers: sign(changed), rawBody: changed };
    }
    default:
      return { headers: sign(genuine), rawBody: genuine };
  }
}

/** Whether some signature in the headers is one of this secret over this body, at a time that is near enough. */
function isGenuine(webhook: WebhookDialect, { headers, rawBody }: Sent, at: Date, secret: string): boolean {
  const given = Object.values(headers).join(',');
  return (given.match(/t=\d{1,12}/g) ?? []).some((time) => {
    const signedAt = new Date(Number(time.slice(2)) * 1000);
    if (webhook.toleranceMs !== null && Math.abs(at.getTime() - signedAt.getTime()) > webhook.toleranceMs)
      return false;
    const proof = /v1=([0-9a-f]{64})/.exec(
      Object.values(webhook.sign(rawBody, secret, signedAt)).join(','),
    )?.[1];
    return proof !== undefined && given.includes(proof);
  });
}

function misread(
  dialect: Dialect,
  webhook: WebhookDialect,
  sent: Sent,
  at: Date,
  reading: WebhookReading,
): string | null {
  if (reading.kind === 'rejected') return null;
  if (!isGenuine(webhook, sent, at, webhook.secret)) return `a forged one is ${reading.kind}`;
  for (const { news } of reading.events) {
    const problem = news && unstated(dialect, null, sent.rawBody.toString('utf8'), news);
    if (problem) return problem;
  }
  return unstorable(reading, dialect);
}

/**
 * The same at the door of a running server, about refunds that are there: no refund changes by a webhook that is
 * forged, or that is authentic for another merchant's account; and one that is authentic does change it.
 */
export async function fuzzWebhookDoor(run: Run & { readonly world: World }): Promise<Figures> {
  const { world, seed } = run;
  const targets = await targetsOf(world);
  let [n, rejected, strangers] = [0, 0, 0];
  for (; n < run.count && !run.signal.aborted; n++) {
    const random = new Random(seed, 'webhook door', n);
    const target = random.pick(targets);
    const { dialect, facts } = target;
    const webhook = dialect.webhook!;
    const genuine = Buffer.from(webhook.body(dialect.refund(random.pick(Object.keys(dialect.words)), facts)));
    const other = targets.find((one) => one.dialect === dialect && one.merchantId !== target.merchantId)!;
    const now = new Date();
    const isStranger = random.chance(0.2);
    const sent = isStranger
      ? { headers: webhook.sign(genuine, other.secret, now), rawBody: genuine }
      : forge(random, webhook, genuine, now, random.chance(0.3) ? other.secret : target.secret);
    if (!isStranger && isGenuine(webhook, sent, now, target.secret)) continue;
    const status = await tellDoor(world, isStranger ? other.accountId : target.accountId, sent);
    const expected = isStranger ? status === 200 : status === 400;
    if (expected) isStranger ? strangers++ : rejected++;
    else {
      const path = keep(`fuzz-${seed}-door-${n}.bin`, sent.rawBody);
      throw new BrokenInvariant(
        `webhook ${n} at the door: ${status}\nHeaders: ${JSON.stringify(sent.headers)}\nBody: ${path}`,
        replayOf(seed, n * 20),
      );
    }
  }
  await refuseChanges(world, targets, seed);
  await insistOnGenuine(world, targets, seed);
  return {
    'forged webhooks turned away at the door': rejected,
    'webhooks about another merchant’s refund': strangers,
  };
}

interface Target {
  readonly merchantId: string;
  readonly accountId: string;
  readonly secret: string;
  readonly dialect: Dialect;
  readonly facts: RefundFacts;
}

/** A refund of each merchant at each gateway that nobody else will settle. */
async function targetsOf(world: World): Promise<Target[]> {
  const targets: Target[] = [];
  for (const merchant of world.merchants) {
    for (const dialect of DIALECTS) {
      const { accountId, secret } = world.accounts.get(`${merchant.id} ${dialect.gateway.name}`)!;
      const gatewayPaymentId =
        dialect === sandboxDialect ? `sbx_stuck_door_${merchant.letter}` : `pi_door_${merchant.letter}`;
      const orderId = `DOOR-${dialect.gateway.name}`;
      await world.tell(merchant, 'PATCH', `/v1/gateway-accounts/${accountId}`, { enabled: true });
      await world.tell(merchant, 'POST', '/v1/transactions', {
        order_id: orderId,
        amount: '500.00',
        currency: 'INR',
        status: 'CHARGED',
        gateway: dialect.gateway.name,
        gateway_account: accountId,
        gateway_payment_id: gatewayPaymentId,
      });
      const made = await world.tell(merchant, 'POST', '/v1/refunds', {
        order_id: orderId,
        amount: '12.00',
        unique_request_id: 'door',
      });
      const facts = {
        ...dialect.facts,
        orderId,
        gatewayPaymentId,
        refundId: String(made['refund_id']),
        amountMinor: 1_200,
        currency: 'INR',
      };
      targets.push({ merchantId: merchant.id, accountId, secret, dialect, facts });
    }
  }
  return targets;
}

async function tellDoor(world: World, accountId: string, { headers, rawBody }: Sent): Promise<number> {
  const sendable = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      value.replace(/[^\x20-\x7e]/g, '?').slice(0, 8_000),
    ]),
  );
  const response = await fetch(`${world.url}/gateways/${accountId}/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...sendable },
    body: new Uint8Array(rawBody),
  });
  await response.arrayBuffer();
  return response.status;
}

async function changesByWebhook(world: World, targets: readonly Target[]): Promise<string[]> {
  const rows = await world.db.query<{ refund_id: string }>(
    `select distinct body->>'refund_id' as refund_id from events
     where body->>'refund_id' = any ($1) and body->'cause'->>'by' = 'gateway_webhook'`,
    [targets.map(({ facts }) => facts.refundId)],
  );
  return rows.map(({ refund_id }) => refund_id);
}

async function refuseChanges(world: World, targets: readonly Target[], seed: number): Promise<void> {
  const [changed] = await changesByWebhook(world, targets);
  if (changed)
    throw new BrokenInvariant(`refund ${changed} changed by a forged webhook`, replayOf(seed, 20_000));
}

/** Without this, the check above would also pass where no webhook is ever heard. */
async function insistOnGenuine(world: World, targets: readonly Target[], seed: number): Promise<void> {
  for (const { dialect, facts, secret, accountId } of targets) {
    const rawBody = Buffer.from(dialect.webhook!.body(dialect.refund('succeeded', facts)));
    const status = await tellDoor(world, accountId, {
      headers: dialect.webhook!.sign(rawBody, secret, new Date()),
      rawBody,
    });
    if (status !== 200)
      throw new BrokenInvariant(`an authentic webhook was answered ${status}`, replayOf(seed, 20_000));
  }
  const changed = await changesByWebhook(
    world,
    targets.filter(({ dialect }) => dialect === sandboxDialect),
  );
  if (changed.length !== world.merchants.length)
    throw new BrokenInvariant('an authentic webhook changed nothing', replayOf(seed, 20_000));
}

// Looking at JSON --------------------------------------------------------------------------------------

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function objects(value: unknown): Json[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Json, ...Object.values(value).flatMap(objects)];
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(strings) : [];
}

function replayOf(seed: number, requests: number): string {
  return `npm run proof -- fuzz --requests ${requests + 2} --seed ${seed}`;
}

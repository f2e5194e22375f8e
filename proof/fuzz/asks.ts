import { CANARY, type Merchant, newSecretText } from './merchant.ts';
import { HOSTILE, mutateBytes, mutateJson, mutateText, URLS } from './mutate.ts';
import { mayKey, mayPerson, type Person } from './people.ts';
import type { Random } from './random.ts';
import type { Route, Schema } from './surface.ts';

/** A request, made down to its bytes. */
export interface Ask {
  readonly route: Route;
  readonly by: Merchant;
  readonly method: string;
  /** Path and query as they go out. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  /** Who asks: somebody of the merchant's team, or a program with its key. */
  readonly as: Person | null;
  /** Whether that one may: with a key that works, or a session whose role may. */
  readonly may: boolean;
  /** Canaries that it holds itself, in small letters: they may come back. */
  readonly says: ReadonlySet<string>;
}

/** The parts of a request before they are written down. */
export interface Parts {
  readonly params: Record<string, unknown>;
  readonly query: Record<string, unknown>;
  readonly fields: Record<string, unknown> | null;
}

/** How far from what is documented. */
export type Manner = 'valid' | 'near' | 'hostile';

export function makeAsk(random: Random, route: Route, by: Merchant): Ask {
  const manner: Manner = random.pick(['valid', 'valid', 'near', 'near', 'hostile']);
  let parts = validParts(random, route, by);
  if (manner !== 'valid') {
    for (let left = manner === 'near' ? 1 : 1 + random.below(4); left > 0; left--) {
      parts = mutateJson(random, parts) as Parts;
    }
  }
  return writeAsk(random, route, by, parts, manner);
}

// Values -----------------------------------------------------------------------------------------------

export function validParts(random: Random, route: Route, by: Merchant): Parts {
  const contractGet = route.method === 'GET' && !route.path.startsWith('/v1');
  return {
    params: Object.fromEntries(route.params.map((name) => [name, makeValue(random, by, name, {})])),
    query: Object.fromEntries(
      Object.entries(contractGet ? { order_id: {} } : route.query)
        .filter(() => contractGet || random.chance(0.25))
        .map(([name, schema]) => [name, makeValue(random, by, name, schema)]),
    ),
    fields: route.body ? objectOf(random, by, route.body.schema) : null,
  };
}

function objectOf(random: Random, by: Merchant, schema: Schema): Record<string, unknown> {
  const properties = (schema.anyOf?.find((one) => one.properties) ?? schema).properties ?? {};
  const required = new Set(schema.required ?? schema.anyOf?.flatMap((one) => one.required ?? []));
  const likely = new Set(['amount', 'order_id', 'url', 'unique_request_id']);
  return Object.fromEntries(
    Object.entries(properties)
      .filter(([name]) => required.has(name) || random.chance(likely.has(name) ? 0.8 : 0.2))
      .map(([name, inner]) => [name, makeValue(random, by, name, inner)]),
  );
}

type Maker = (random: Random, by: Merchant) => unknown;

const newUuid: Maker = (random) =>
  `0199${hex(random, 4)}-${hex(random, 4)}-7${hex(random, 3)}-8${hex(random, 3)}-${hex(random, 12)}`;
const when: Maker = (random) =>
  new Date(Date.UTC(2026, random.below(12), 1 + random.below(27))).toISOString();
const amount: Maker = (random) => `${random.below(900)}.${random.below(90) + 10}`;
const own =
  (name: string, otherwise: Maker): Maker =>
  (random, by) =>
    (random.chance(0.9) ? by.some(name, random) : undefined) ?? otherwise(random, by);
const words: Maker = (random, by) => `Said by ${by.canary(random)}`;
const behaviours = [
  'ok',
  'slow',
  'fail',
  'refuse',
  'stuck',
  'lost',
  'drop',
  'reverse',
  'funds',
  'busy',
  'dup',
];

/** What a careful client would write, by the field's name. */
const MAKERS: Readonly<Record<string, Maker>> = {
  order_id: (random, by) =>
    (random.chance(0.7) ? by.some('order_id', random) : undefined) ?? `O-${by.canary(random)}`,
  txn_id: own('txn_id', (random, by) => `${by.id}-O-${by.canary(random)}-1`),
  refund_id: own('refund_id', newUuid),
  endpoint_id: own('endpoint_id', newUuid),
  delivery_id: own('delivery_id', newUuid),
  view_id: own('view_id', newUuid),
  user_id: own('user_id', newUuid),
  invitation_id: own('invitation_id', newUuid),
  session_id: own('session_id', newUuid),
  api_key_id: own('api_key_id', newUuid),
  query: (random, by) => `status=${by.canary(random)}`,
  gateway_account_id: own('gateway_account_id', (random) => `ga_${hex(random, 32)}`),
  gateway_account: (random, by) =>
    random.pick(['default', by.some('gateway_account_id', random) ?? 'default']),
  account: own('gateway_account_id', (random) => `ga_${hex(random, 32)}`),
  cursor: own('next_cursor', (random) => random.word(40)),
  after: own('next_after', (random) => random.word(40)),
  gateway_refund_id: own('gateway_refund_id', (random) => `sbxr_${random.word(32)}`),
  arn: own('arn', (random) => `7${random.below(1e9)}`),
  gateway_payment_id: (random, by) => `sbx_${random.pick(behaviours)}_${by.canary(random)}`,
  unique_request_id: (random, by) => by.canary(random),
  gateway: (random) => random.pick(['SANDBOX', 'SANDBOX', 'SANDBOX', 'STRIPE']),
  amount,
  surcharge: amount,
  offer_discount: (random) => `${random.below(3)}.00`,
  expected_remaining: amount,
  currency: (random) => random.pick(['INR', 'INR', 'INR', 'USD', 'JPY', 'KWD']),
  url: (random) => URLS[random.below(2)],
  base_url: (random) => URLS[random.below(2)],
  return_url: (random) => URLS[random.below(2)],
  metadata: (random, by) => ({
    note: by.canary(random),
    ...(random.chance(0.2) && { webhook_url: URLS[0] }),
  }),
  headers: (random) => ({ 'X-Auth': newSecretText(random) }),
  password: newSecretText,
  current_password: newSecretText,
  new_password: newSecretText,
  email: (random, by) => `${by.canary(random)}@shop.test`,
  // Where it is on, people may do little.
  require_second_factor: (random) => random.chance(0.02),
  username: (random, by) => by.canary(random),
  credentials: (random) => ({ secret_key: `sbx_sk_${newSecretText(random)}` }),
  name: (random, by) => by.canary(random),
  events: (random) => random.pick([['ORDER_REFUNDED'], ['REFUND_INITIATED', 'ORDER_REFUND_FAILED'], null]),
  evidence: (random, by) => `Seen in the books of the gateway: ${by.canary(random)}`,
  enabled: () => true,
  charged_at: () => '2026-03-31T09:30:00Z',
  created_from: when,
  created_before: when,
  from: when,
  to: when,
  limit: (random) => 1 + random.below(100),
  state: (random) => random.pick(['queued', 'submitted,unknown', 'manual_review', 'waiting']),
  attention: () => 'true',
  customer_email: (random, by) => `${by.canary(random)}@shop.test`,
  customer_phone: () => '+91 99999 99999',
};

function makeValue(random: Random, by: Merchant, name: string, schema: Schema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return random.pick(schema.enum);
  const maker = MAKERS[name];
  if (maker) return maker(random, by);
  const inner = schema.anyOf ? random.pick(schema.anyOf) : schema;
  if (inner !== schema) return makeValue(random, by, '', inner);
  switch ([schema.type].flat()[0]) {
    case 'integer':
    case 'number':
      return Math.round((schema.minimum ?? 0) + random.next() * Math.min(100, (schema.maximum ?? 100) - 1));
    case 'boolean':
      return random.chance(0.5);
    case 'array':
      return [makeValue(random, by, '', schema.items ?? {})];
    case 'object':
      return objectOf(random, by, schema);
    case 'null':
      return null;
    default:
      return words(random, by);
  }
}

function hex(random: Random, digits: number): string {
  return Array.from({ length: digits }, () => random.below(16).toString(16)).join('');
}

// Writing it down --------------------------------------------------------------------------------------

/** Writes a request, in the way the manner says: as documented, or with faults of writing on top. */
export function writeAsk(random: Random, route: Route, by: Merchant, parts: Parts, manner: Manner): Ask {
  const inQuery: [string, unknown][] = [];
  const type = typeFor(random, route, manner);
  let body: Buffer | null = null;
  if (parts.fields !== null && parts.fields !== undefined && route.method !== 'GET') {
    const { fields } = parts;
    if (!route.path.startsWith('/v1') && type.includes('form') && random.chance(0.05)) {
      inQuery.push(...entriesOf(fields));
    } else body = written(random, type, fields);
  } else if (manner === 'hostile' && route.method !== 'GET' && random.chance(0.3)) {
    body = written(random, type, { extra: random.pick(HOSTILE) });
  }
  if (body && manner === 'hostile' && random.chance(0.3)) body = mutateBytes(random, body);
  if (body && manner === 'hostile' && random.chance(0.004))
    body = Buffer.alloc(1_200_000, body.length > 0 ? body : ' ');

  const query = [...entriesOf(parts.query), ...inQuery]
    .map(([name, value]) => `${escaped(name)}=${escaped(textOf(value))}`)
    .join('&');
  const path = route.path.replace(/\{([^}]+)\}/g, (_all, name: string) => {
    const value = textOf(parts.params?.[name] ?? '');
    return manner === 'hostile' && random.chance(0.1) ? random.pick(BAD_SEGMENTS) : escaped(value) || 'x';
  });
  const method = manner === 'hostile' && random.chance(0.03) ? random.pick(METHODS) : route.method;
  const credentials = credentialsFor(random, by, { method, route }, manner);
  const target = `${path}${query && `?${query}`}`.slice(0, 12_000);
  return {
    route,
    by,
    method,
    target,
    headers: {
      ...credentials.headers,
      ...(body !== null && type !== '' && { 'content-type': type }),
      ...(manner !== 'valid' && random.chance(0.15) && random.pick(ODD_HEADERS)),
    },
    body,
    as: credentials.as,
    may: credentials.may,
    says: canariesIn(JSON.stringify(parts), target, body?.toString('latin1') ?? ''),
  };
}

export function canariesIn(...texts: readonly string[]): Set<string> {
  return new Set(texts.flatMap((text) => text.toLowerCase().match(CANARY) ?? []));
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE', 'PROPFIND'];
const BAD_SEGMENTS = [
  '%',
  '%zz',
  '%00',
  '%c3',
  '%ff%fe',
  '..',
  '%2e%2e',
  '%2f',
  'a%2fb',
  '%25',
  ';',
  '*',
  '~',
  '%0d%0aX:y',
];
const ODD_HEADERS: readonly Readonly<Record<string, string>>[] = [
  { version: '2016-01-01' },
  { version: 'x'.repeat(300) },
  { 'x-forwarded-for': '127.0.0.1' },
  { 'x-http-method-override': 'DELETE' },
  { 'content-encoding': 'gzip' },
  { 'content-encoding': 'identity' },
  { accept: 'text/html' },
  { 'accept-encoding': 'gzip, br' },
  { 'x-request-id': 'mine\u00e9' },
  { 'idempotency-key': 'again' },
  { cookie: 'a=b; c=d' },
  { origin: 'null' },
  { 'stripe-signature': `t=1,v1=${'0'.repeat(64)}` },
  { 'sandbox-signature': `t=1,v1=${'0'.repeat(64)}` },
  { long: 'h'.repeat(9_000) },
];

function typeFor(random: Random, route: Route, manner: Manner): string {
  const documented = route.body?.types ?? ['application/json'];
  return random.pick(manner === 'hostile' && random.chance(0.25) ? ODD_TYPES : documented);
}

const ODD_TYPES = [
  ...['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/x-ndjson'],
  ...[
    'text/plain',
    'text/csv',
    'application/octet-stream',
    'application/json; charset=utf-16',
    'nonsense',
    '',
  ],
  ...[
    'multipart/form-data; boundary=""',
    'APPLICATION/JSON',
    'application/json;',
    'application/vnd.api+json',
  ],
];

const BOUNDARY = 'fuzzed-boundary';

function written(random: Random, type: string, fields: unknown): Buffer {
  const entries = entriesOf(fields);
  if (type.startsWith('application/x-www-form')) {
    return Buffer.from(
      flat(entries)
        .map(([name, value]) => `${escaped(name)}=${escaped(value)}`)
        .join('&'),
    );
  }
  if (type.startsWith('multipart/form-data')) {
    const parts = flat(entries).map(
      ([name, value]) =>
        `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    );
    return Buffer.from(`${parts.join('')}--${BOUNDARY}--\r\n`);
  }
  if (type.includes('ndjson')) {
    const line = JSON.stringify(fields);
    return Buffer.from(Array.from({ length: 1 + random.below(4) }, () => `${line}\n`).join(''));
  }
  return Buffer.from(JSON.stringify(fields));
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

/** Objects as forms have them: `metadata[note]`. */
function flat(entries: readonly (readonly [string, unknown])[]): [string, string][] {
  return entries.flatMap(([name, value]): [string, string][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([inner, one]) => [`${name}[${inner}]`, textOf(one)])
      : [[name, textOf(value)]],
  );
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed().slice(0, 3_000).toWellFormed());
}

interface Credentials extends Pick<Ask, 'as' | 'may'> {
  readonly headers: Readonly<Record<string, string>>;
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

/** Where a session leads nowhere, few need to try. */
const SHARE_OF_PEOPLE = { onOurs: 0.5, onTheContract: 0.05 };

function credentialsFor(
  random: Random,
  by: Merchant,
  asked: { readonly method: string; readonly route: Route },
  manner: Manner,
): Credentials {
  const { path, open } = asked.route;
  const { onOurs, onTheContract } = SHARE_OF_PEOPLE;
  // With a session, /auth/sign-out would end it.
  const isPerson = random.chance(path.startsWith('/v1/') ? onOurs : onTheContract) && !open;
  return isPerson
    ? sessionFor(random, by, { ...asked, path }, manner)
    : { ...keyFor(random, by, path, manner), as: null };
}

/** Mostly the right key; now and then one of the ways to get it wrong. */
function keyFor(random: Random, by: Merchant, path: string, manner: Manner): Omit<Credentials, 'as'> {
  const right = { authorization: basic(`${by.key}:`), 'x-merchantid': by.id };
  if (manner !== 'hostile' || random.chance(0.85)) return { headers: right, may: mayKey(path) };
  const wrong: Readonly<Record<string, string>>[] = [
    {},
    { 'x-merchantid': by.id },
    { ...right, 'x-merchantid': otherThan(by) },
    { ...right, 'x-merchant-id': otherThan(by) },
    { ...right, 'x-merchantid': by.id.toUpperCase() },
    { ...right, authorization: basic(`${by.key}x:`) },
    { ...right, authorization: basic(`${mutateText(random, by.key).replace(/:/g, '')}!:`) },
    { ...right, authorization: basic(`:${by.key}`) },
    { ...right, authorization: basic(`x:${by.key}`) },
    { ...right, authorization: `Bearer ${by.key}` },
    { ...right, authorization: by.key },
    { ...right, authorization: `Basic ${'A'.repeat(2_000)}` },
    { ...right, authorization: 'Basic' },
    { ...right, authorization: `${right.authorization}, ${right.authorization}` },
  ];
  return { headers: random.pick(wrong), may: false };
}

/** Mostly as the page asks; now and then as another site's page would make the browser ask, or with no session that lives. */
function sessionFor(
  random: Random,
  by: Merchant,
  { method, path }: { readonly method: string; readonly path: string },
  manner: Manner,
): Credentials {
  const as = random.pick(by.people);
  const { cookie, token, origin } = as;
  const may = mayPerson(as.role, method, path);
  const right = { cookie, 'x-refundry': 'dashboard', origin };
  if (manner === 'valid' || random.chance(0.8)) return { headers: right, as, may };
  const page = { 'x-refundry': 'dashboard', origin };
  const fromElsewhere: Readonly<Record<string, string>>[] = [
    { cookie },
    { cookie, origin },
    { cookie, 'x-refundry': 'dashboard' },
    { ...right, origin: 'https://shop.test' },
    { ...right, origin: `${origin}.shop.test` },
    { ...right, origin: origin.replace('//', '//shop.test@') },
    { cookie, 'x-refundry': 'dashboard', 'sec-fetch-site': 'cross-site' },
  ];
  if (random.chance(0.5)) {
    const onlyReads = method === 'GET' || method === 'HEAD';
    return { headers: random.pick(fromElsewhere), as, may: may && onlyReads };
  }
  const dead: Readonly<Record<string, string>>[] = [
    page,
    { ...page, cookie: cookie.replace(token, `${mutateText(random, token).replace(/[^\w-]/g, '_')}_`) },
    { ...page, cookie: cookie.replace(token, random.pick(by.people.filter((one) => one !== as)).token) },
    { ...page, cookie: `refundry.session_token=${token}` },
    { ...page, cookie: `refundry.session_token=${token}.` },
    { ...right, 'x-merchantid': otherThan(by) },
    { ...right, authorization: basic(`${by.key}x:`) },
    { ...right, authorization: `Bearer ${token}` },
  ];
  return { headers: random.pick(dead), as, may: false };
}

function otherThan(by: Merchant): string {
  return by.id === 'fuzz_a' ? 'fuzz_b' : 'fuzz_a';
}

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokenInvariant, type Figures } from '../proof.ts';
import { CANARY, type Merchant, SECRET } from './merchant.ts';
import { mutateBytes } from './mutate.ts';
import { Random } from './random.ts';
import { keep } from './wire.ts';
import type { World } from './world.ts';

/** What is written on one connection, and what has to come back. */
interface Conversation {
  readonly name: string;
  readonly chunks: readonly Buffer[];
  readonly pauseMs?: number;
  /** Answers to wait for; null: we end our side and wait for the server to end its own. */
  readonly answers: number | null;
  /** What is wrong with the answers, or null. */
  readonly judge?: (answers: readonly string[]) => string | null;
}

const DEADLINE_MS = 15_000;
const LANES = 8;

/**
 * Connections that do not keep to HTTP. The server answers or ends each of them in time, stays healthy, tells no
 * merchant what is another's, and never takes what stands in a body for a request (no order of that name appears).
 */
export async function fuzzRaw(run: {
  readonly world: World;
  readonly conversations: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}): Promise<Figures> {
  const { world, seed } = run;
  let next = 0;
  let answered = 0;
  async function lane(): Promise<void> {
    while (next < run.conversations && !run.signal.aborted) {
      const n = next++;
      const random = new Random(seed, 'raw', n);
      const conversation = random.pick(CONVERSATIONS)(random, world);
      const { ended, answers, text } = await converse(world.url, conversation);
      answered += answers.length;
      const problem =
        (ended ? null : `nothing came and nothing ended within ${DEADLINE_MS} ms`) ??
        (answers.some((answer) => /^HTTP\/1\.1 5/.test(answer)) ? 'a 5xx' : null) ??
        (SECRET.test(text) ? 'the answer holds a secret' : null) ??
        conversation.judge?.(answers) ??
        null;
      SECRET.lastIndex = 0;
      if (problem !== null) {
        const path = keep(`fuzz-${seed}-raw-${n}.bin`, Buffer.concat(conversation.chunks));
        const { hostname, port } = new URL(world.url);
        throw new BrokenInvariant(
          `connection ${n} (${conversation.name}): ${problem}\nAnswer: ${text.slice(0, 1_500)}\nRequest: nc ${hostname} ${port} < ${path}`,
          `npm run proof -- fuzz --requests ${run.conversations * 20} --seed ${seed}`,
        );
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane));
  await refuseSmuggled(world, seed);
  const health = await fetch(`${world.url}/health`);
  if (health.status !== 200)
    throw new BrokenInvariant('the server is not healthy afterwards', `npm run proof -- fuzz --seed ${seed}`);
  return { 'connections that do not keep to HTTP': next, 'answers on them': answered };
}

/** Longer than the server's patience with headers (15 s, looked at every 30 s) and with bodies (30 s). */
const SLOW_DEADLINE_MS = 90_000;

/**
 * Callers who send a byte a second and would hold a connection for ever: each is cut off. Resolves with how many
 * seconds the most patient cut took.
 */
export async function refuseTrickles(world: World, seed: number): Promise<Figures> {
  const key = keyOf(world.merchants[0]);
  const length = 'Content-Length: 100000\r\n\r\n';
  const starts = [
    'GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ',
    `POST /orders HTTP/1.1\r\nHost: x\r\n${key}${FORM}${length}order_id=`,
    `POST /orders HTTP/1.1\r\nHost: x\r\n${FORM}${length}order_id=`,
    `POST /v1/refunds HTTP/1.1\r\nHost: x\r\n${key}Content-Type: application/json\r\n${length}{"reason":"`,
    `POST /gateways/ga_${'0'.repeat(32)}/webhooks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${length}{`,
  ];
  const tookMs = await Promise.all(starts.map((start) => trickle(world.url, start)));
  const never = tookMs.indexOf(null);
  if (never !== -1) {
    throw new BrokenInvariant(
      `a connection that sends a byte a second is still open after ${SLOW_DEADLINE_MS} ms: ${starts[never]!.split('\r', 1)[0]}`,
      `npm run proof -- fuzz --requests 10000 --seed ${seed}`,
    );
  }
  return {
    'the slowest callers were cut off after': `${Math.round(Math.max(...tookMs.map(Number)) / 1000)} s`,
  };
}

/** How long the server put up with it; null when it still does. */
async function trickle(url: string, start: string): Promise<number | null> {
  const { hostname, port } = new URL(url);
  const startedAt = performance.now();
  const socket = connect({ host: hostname, port: Number(port) });
  const cut = new Promise<number>((resolve) => {
    socket.on('error', () => {}).once('close', () => resolve(performance.now() - startedAt));
  });
  socket.resume().write(latin1(start));
  const drip = setInterval(() => socket.write('x'), 1_000);
  try {
    return await Promise.race([cut, sleep(SLOW_DEADLINE_MS, null, { ref: false })]);
  } finally {
    clearInterval(drip);
    socket.destroy();
  }
}

async function refuseSmuggled(world: World, seed: number): Promise<void> {
  const rows = await world.db.query<{ order_id: string }>(
    `select order_id from orders where starts_with(order_id, '${SMUGGLED}')`,
  );
  if (rows[0]) {
    throw new BrokenInvariant(
      `${rows[0].order_id} came in a body and was taken for a request`,
      `npm run proof -- fuzz --seed ${seed}`,
    );
  }
}

async function converse(
  url: string,
  { chunks, pauseMs, answers: wanted }: Conversation,
): Promise<{ ended: boolean; answers: string[]; text: string }> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const got: Buffer[] = [];
  const over = Promise.withResolvers<boolean>();
  const deadline = setTimeout(() => over.resolve(false), DEADLINE_MS);
  socket.on('data', (chunk: Buffer) => {
    got.push(chunk);
    if (wanted !== null && answersIn(Buffer.concat(got).toString('latin1')).length >= wanted)
      over.resolve(true);
  });
  socket.on('end', () => over.resolve(true)).on('error', () => over.resolve(true));
  for (const chunk of chunks) {
    if (socket.destroyed) break;
    socket.write(chunk);
    if (pauseMs !== undefined) await sleep(pauseMs);
  }
  if (wanted === null) socket.end();
  const ended = await over.promise;
  clearTimeout(deadline);
  socket.destroy();
  const text = Buffer.concat(got).toString('latin1');
  return { ended, answers: answersIn(text), text };
}

/** The whole answers in what came, "100 Continue" aside. */
function answersIn(text: string): string[] {
  const answers: string[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(rest.slice(0, end))?.[1] ?? 0);
    if (rest.length < end + 4 + length) return answers;
    if (!rest.startsWith('HTTP/1.1 100')) answers.push(rest.slice(0, end + 4 + length));
    rest = rest.slice(end + 4 + length);
  }
}

// What is said -----------------------------------------------------------------------------------------

/** Orders of this name exist only if a body was taken for a request. */
const SMUGGLED = 'SMUGGLED-';

type Maker = (random: Random, world: World) => Conversation;

function keyOf(merchant: Merchant): string {
  const credentials = Buffer.from(`${merchant.key}:`).toString('base64');
  return `Authorization: Basic ${credentials}\r\nX-MerchantId: ${merchant.id}\r\n`;
}

const FORM = 'Content-Type: application/x-www-form-urlencoded\r\n';

/** A good request, whole. */
function creating(merchant: Merchant, orderId: string): string {
  const body = `order_id=${orderId}&amount=10.00`;
  return `POST /orders HTTP/1.1\r\nHost: x\r\n${keyOf(merchant)}${FORM}Content-Length: ${body.length}\r\n\r\n${body}`;
}

const latin1 = (text: string) => Buffer.from(text, 'latin1');

/** Two readings of where a body ends; in one of them the rest is a request of its own. */
const smuggling: Maker = (random, world) => {
  const merchant = random.pick(world.merchants);
  const inner = creating(merchant, `${SMUGGLED}${random.word(8)}`);
  const chunkedInner = `0\r\n\r\n${inner}`;
  const lengths = `Content-Length: ${chunkedInner.length}\r\n`;
  const head = (headers: string) =>
    `POST /orders HTTP/1.1\r\nHost: x\r\n${keyOf(merchant)}${FORM}${headers}\r\n`;
  const forms: readonly string[] = [
    ...[
      'Transfer-Encoding: chunked\r\n',
      'Transfer-Encoding : chunked\r\n',
      'Transfer-Encoding:\tchunked\r\n',
      'Transfer-Encoding: xchunked\r\n',
      'Transfer-Encoding: chunked, identity\r\n',
      'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n',
      'X: y\nTransfer-Encoding: chunked\r\n',
      'X: y\rTransfer-Encoding: chunked\r\n',
      'Transfer-Encoding: "chunked"\r\n',
      'Transfer-Encoding:\r\n chunked\r\n',
      ' Transfer-Encoding: chunked\r\n',
      'Transfer\0-Encoding: chunked\r\n',
    ].flatMap((te) => [head(lengths + te) + chunkedInner, head(te + lengths) + chunkedInner]),
    ...['0', '5, 5', '+0', '-1', '0x0', '0 0', '', '00000000000000000000000000', '18446744073709551616'].map(
      (length) => head(`Content-Length: ${length}\r\n${lengths}`) + chunkedInner,
    ),
    ...['0;x=\n', '0x0', '-0', '+0', ' 0', '0 ;', 'FFFFFFFFFFFFFFFFF0', '0_0', '0\n', 'g'].map(
      (size) =>
        `${head('Transfer-Encoding: chunked\r\n')}${size}\r\n${size.startsWith('0;') ? '' : 'x'}\r\n${inner}`,
    ),
    `${head('Transfer-Encoding: chunked\r\n')}5\r\na=1&bXX${inner}`,
    `${head('Transfer-Encoding: chunked\r\n')}5\na=1&b\n0\n\n${inner}`,
    `${head('Transfer-Encoding: chunked\r\n')}${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
    `${head(`Content-Length: ${inner.length}\r\n`)}${inner}`,
    `GET /orders/x HTTP/1.1\r\nHost: x\r\n${keyOf(merchant)}Content-Length: ${inner.length}\r\n\r\n${inner}`,
    `GET /health HTTP/1.1\r\nHost: x\r\nX: y\r\n\x0b${inner}`,
  ];
  return { name: 'smuggling', chunks: [latin1(random.pick(forms))], answers: null };
};

const brokenLines: Maker = (random, world) => {
  const merchant = world.merchants[0];
  const ask = (line: string, more = '') => `${line}\r\nHost: x\r\n${keyOf(merchant)}${more}\r\n`;
  const forms: readonly string[] = [
    ...[
      'GET',
      'GET /',
      'GET / HTTP/9.9',
      'GET / HTTP/0.9',
      'get / HTTP/1.1',
      'GET  / HTTP/1.1',
      '/ HTTP/1.1',
    ].map((line) => ask(line)),
    ...[
      'GET /\0 HTTP/1.1',
      'GET /orders/\xff\xfe HTTP/1.1',
      'GET /orders/a b HTTP/1.1',
      'GET /orders/%zz HTTP/1.1',
    ].map((line) => ask(line)),
    ...[
      'GET /orders/%c3%28 HTTP/1.1',
      'GET /orders/%00 HTTP/1.1',
      'GET /orders/x#?order_id=y HTTP/1.1',
      'GET * HTTP/1.1',
    ].map((line) => ask(line)),
    ...[
      'OPTIONS * HTTP/1.1',
      'CONNECT x:1 HTTP/1.1',
      'GET http://y/orders/x HTTP/1.1',
      'GET //v1/refunds HTTP/1.1',
    ].map((line) => ask(line)),
    ...[
      'GET /v1/../v1/refunds HTTP/1.1',
      'GET /%76%31/refunds HTTP/1.1',
      `GET /${'x'.repeat(20_000)} HTTP/1.1`,
    ].map((line) => ask(line)),
    ...[
      `Long: ${'h'.repeat(20_000)}\r\n`,
      'N: v\r\n'.repeat(3_000),
      'Na\0me: x\r\n',
      'Name: \0\r\n',
      'Name\r\n',
      ': x\r\n',
    ].map((more) => ask('GET /orders/x HTTP/1.1', more)),
    ...[
      'Expect: nonsense\r\n',
      'Upgrade: websocket\r\nConnection: Upgrade\r\n',
      'Upgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings\r\n',
    ].map((more) => ask('GET /orders/x HTTP/1.1', more)),
    ...[
      'Host: y\r\n',
      'Content-Length: 5\r\n',
      'Content-Length: 99999999999999\r\n',
      'TE: trailers\r\nTrailer: X\r\n',
    ].map((more) => ask('POST /orders HTTP/1.1', more)),
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    '\r\n\r\n\r\n',
    '\0'.repeat(1_000),
    `GET /orders/x HTTP/1.1\n${keyOf(merchant).replaceAll('\r', '')}\n`,
    'GET /orders/x HTTP/1.1\r\n\r\n',
    'POST /orders HTTP/1.1\r\nHost: x\r\nAuthorization: Basic a\r\nAuthorization: Basic b\r\n\r\n',
  ];
  return { name: 'broken lines', chunks: [latin1(random.pick(forms))], answers: null };
};

/** Good requests, their bytes changed: whatever comes of it. */
const changedBytes: Maker = (random, world) => {
  const good = creating(random.pick(world.merchants), `RAW-${random.word(8)}`);
  return { name: 'changed bytes', chunks: [mutateBytes(random, latin1(good))], answers: null };
};

/** Two merchants on one connection, as behind a proxy: to each request its own answer, in order. */
const pipelined: Maker = (random, world) => {
  const askers = Array.from({ length: 2 + random.below(6) }, () => random.pick(world.merchants));
  const text = askers
    .map((one) => `GET /orders/${one.shown.get('order_id')} HTTP/1.1\r\nHost: x\r\n${keyOf(one)}\r\n`)
    .join('');
  return {
    name: 'pipelined',
    chunks: random.chance(0.5) ? [latin1(text)] : cut(random, latin1(text)),
    answers: askers.length,
    judge(answers) {
      if (answers.length !== askers.length) return `${answers.length} answers to ${askers.length} requests`;
      const wrong = answers.some((answer, index) =>
        (answer.match(CANARY) ?? []).some((canary) => canary[3] !== askers[index]!.letter),
      );
      return wrong ? 'an answer went to another asker' : null;
    },
  };
};

/** A good request in pieces, with waits between them, some inside a character. */
const pieces: Maker = (random, world) => {
  const body = `{"order_id":"RAW-${random.word(8)}","amount":"1.00","description":"caf\u00e9 \u{1f4b8}"}`;
  const bytes = Buffer.from(body);
  const head = `POST /orders HTTP/1.1\r\nHost: x\r\n${keyOf(world.merchants[0])}Content-Type: application/json\r\n`;
  const whole = random.chance(0.5)
    ? Buffer.concat([latin1(`${head}Content-Length: ${bytes.length}\r\n\r\n`), bytes])
    : Buffer.concat([
        latin1(`${head}Transfer-Encoding: chunked\r\n\r\n`),
        ...[...bytes].map((byte) => Buffer.from([0x31, 13, 10, byte, 13, 10])),
        latin1('0\r\n\r\n'),
      ]);
  return {
    name: 'pieces',
    chunks: cut(random, whole),
    pauseMs: 1,
    answers: 1,
    judge: ([answer]) =>
      answer?.startsWith('HTTP/1.1 200') ? null : 'a good request was refused because it came slowly',
  };
};

/** Invitations to go on, and bodies that end too early. */
const halfBodies: Maker = (random, world) => {
  const head = `POST /orders HTTP/1.1\r\nHost: x\r\n${keyOf(world.merchants[0])}${FORM}`;
  const forms = [
    `${head}Expect: 100-continue\r\nContent-Length: 40\r\n\r\norder_id=half`,
    `${head}Content-Length: 400\r\n\r\norder_id=half&amount=1`,
    `${head}Transfer-Encoding: chunked\r\n\r\n400\r\norder_id=half`,
    `${head}Transfer-Encoding: chunked\r\n\r\n4\r\norde\r\n`,
    `POST /v1/transactions HTTP/1.1\r\nHost: x\r\n${keyOf(world.merchants[0])}Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"order_i`,
    `POST /v1/transactions HTTP/1.1\r\nHost: x\r\n${keyOf(world.merchants[0])}Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}\n{\r\nzz\r\n`,
  ];
  return { name: 'half bodies', chunks: [latin1(random.pick(forms))], answers: null };
};

function cut(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.below(40);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

const CONVERSATIONS: readonly Maker[] = [
  smuggling,
  smuggling,
  brokenLines,
  changedBytes,
  pipelined,
  pieces,
  halfBodies,
];

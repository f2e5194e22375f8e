import { createHash, createHmac, hkdfSync } from 'node:crypto';
import type { Queryable } from '../../src/lib/db.ts';
import type { BookedRefund, ModelBooks } from './model-books.ts';

/** What the merchants were told by the answers at the doors. */
export interface AcceptedRefund extends AskedRefund {
  readonly refundId: string;
  readonly amountMinor: number;
}

/** What a refund is asked for under: at most one has it (invariant 2). */
interface AskedRefund {
  readonly merchantId: string;
  readonly orderId: string;
  readonly uniqueRequestId: string;
}

interface RefundRow {
  merchant_id: string;
  order_id: string;
  refund_id: string;
  unique_request_id: string;
  txn_id: string;
  amount_minor: number;
  state: string;
  gateway: string;
  gateway_account_id: string;
  idempotency_key: string;
  attention: string | null;
  arn: string | null;
  next_look_at: Date | null;
  event_seq: number;
}

/** An address that a merchant wants to be told at; null: of what is told without asking. */
interface ListeningMerchant {
  readonly url: string;
  readonly merchantId: string;
  readonly events: readonly string[] | null;
}

interface Message {
  readonly eventId: string;
  readonly sequence: number;
  readonly order?: unknown;
}

interface TellingOrder {
  readonly merchant_id: string;
  readonly order_id: string;
  readonly refunds?: readonly { readonly unique_request_id: string; readonly status: string }[];
}

interface CheckpointRow {
  readonly merchant_id: string;
  readonly checkpoint_no: number;
  readonly sealed_at: Date;
  readonly orders: readonly (readonly [orderId: string, seq: number, hash: string])[];
  readonly hash: Buffer;
  readonly seal: Buffer;
}

interface EventRow {
  merchant_id: string;
  order_id: string;
  seq: number;
  body: string;
  hash: Buffer;
}

/** The contract's words, written down here once more so that a wrong table in the program shows. */
const PUBLIC: Readonly<Record<string, string>> = {
  queued: 'PENDING',
  sending: 'PENDING',
  unknown: 'PENDING',
  waiting_for_funds: 'PENDING',
  submitted: 'PENDING',
  manual_review: 'MANUAL_REVIEW',
  succeeded: 'SUCCESS',
  failed: 'FAILURE',
  cancelled: 'FAILURE',
  reversed: 'FAILURE',
};
const TOLD: Readonly<Record<string, string>> = {
  SUCCESS: 'ORDER_REFUNDED',
  FAILURE: 'ORDER_REFUND_FAILED',
  MANUAL_REVIEW: 'REFUND_MANUAL_REVIEW_NEEDED',
};
/** What an address gets that has not chosen, and how often it is tried. */
const TOLD_WITHOUT_ASKING = Object.values(TOLD);
const TRIES_OF_THE_SCHEDULE = 17;
const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'reversed']);
const LONGEST_WAIT_MS = 28 * 3_600_000;

/**
 * Keeps its own books of what was asked, answered and paid, and holds the program's tables against them. Nothing
 * of the engine is used here.
 */
export class Auditor {
  /** How many statements of an invariant were checked. */
  checked = 0;
  /** The first that did not hold. It is not thrown where it is seen: that may be deep inside the program. */
  broken: Broken | null = null;
  readonly #db: Queryable;
  readonly #merchantIds: readonly string[];
  readonly #books: ReadonlyMap<string, ModelBooks>;
  readonly #accepted = new Map<string, AcceptedRefund>();
  readonly #requests = new Map<string, string>();
  readonly #arrived = new Map<string, { key: string | null; body: string; times: number }>();
  readonly #made = new Map<string, BookedRefund>();
  /** The places in each history that the gateway has told us of in a way that we could believe. */
  readonly #heard = new Map<BookedRefund, number>();
  /** What the gateway has taken, done or not: from then on only it can say what becomes of it. */
  readonly #taken = new Set<string>();
  /** Requests that somebody still waits for an answer to. */
  readonly #unanswered = new Set<string>();
  /** Ids that were said to be known already. */
  readonly #saidKnown = new Set<string>();
  /** Since the books were restored from a backup: the refunds that they knew, and when. */
  #restored: { readonly refundIds: ReadonlySet<string>; readonly atMs: number } | null = null;
  #sends = 0;
  /** Settled by a person's word: what is true of it is theirs to answer for. */
  readonly #resolved = new Set<string>();

  readonly #endpoints: readonly ListeningMerchant[];
  readonly #masterKey: Buffer;
  readonly #clocksBehindMs: number;
  /** By address and order: what was told last, and up to which event of the order. */
  readonly #toldLast = new Map<string, Message>();
  /** By address and event: how often it was told. */
  readonly #toldTimes = new Map<string, number>();
  readonly #acknowledged = new Set<string>();

  constructor(
    db: Queryable,
    merchantIds: readonly string[],
    books: ReadonlyMap<string, ModelBooks>,
    endpoints: readonly ListeningMerchant[],
    program: {
      readonly masterKey: Buffer;
      /** How far its clocks may be behind the gateways'. */
      readonly clocksBehindMs: number;
    },
  ) {
    this.#db = db;
    this.#merchantIds = merchantIds;
    this.#books = books;
    this.#endpoints = endpoints;
    this.#masterKey = program.masterKey;
    this.#clocksBehindMs = program.clocksBehindMs;
  }

  get lives(): number {
    return this.#accepted.size;
  }

  get sends(): number {
    return this.#sends;
  }

  /** Messages that arrived at merchants' addresses. */
  get messages(): number {
    return [...this.#toldTimes.values()].reduce((sum, times) => sum + times, 0);
  }

  /** A 2xx was given for it. */
  accepted(refund: AcceptedRefund): void {
    this.#claim(refund);
    this.#accepted.set(refund.refundId, refund);
  }

  /** A merchant asks, and goes on asking until it is answered. */
  waits(refund: AskedRefund): void {
    this.#unanswered.add(requestOf(refund));
  }

  answered(refund: AskedRefund): void {
    this.#unanswered.delete(requestOf(refund));
  }

  /** It was refused because there is a refund of that id. */
  saidKnown(refund: AskedRefund): void {
    this.#saidKnown.add(requestOf(refund));
  }

  resolved(refundId: string): void {
    this.#resolved.add(refundId);
  }

  /** Another merchant has acted on it; it must have been as if there were no such refund. */
  trespassed(refundId: string, notFound: boolean): void {
    this.#must(notFound, 8, () => `another merchant has reached refund ${refundId}`);
  }

  asked(reference: string, key: string | null, body: string): void {
    const before = this.#arrived.get(reference);
    this.#must(before === undefined || (before.key === key && before.body === body), 3, () => {
      return `refund ${reference} was sent again with another key or body: ${body} after ${before?.body}`;
    });
    this.#arrived.set(reference, { key, body, times: (before?.times ?? 0) + 1 });
    this.#sends++;
    if (this.#restored) this.#checkRepeatsNothing(reference, body, this.#restored);
  }

  /** The books are those of a backup again: what was accepted and heard since is lost, but not what gateways have done. */
  restored(refundIds: ReadonlySet<string>, atMs: number): void {
    this.#restored = { refundIds, atMs };
    for (const [id, refund] of this.#accepted) {
      if (refundIds.has(id)) continue;
      this.#accepted.delete(id);
      this.#requests.delete(requestOf(refund));
    }
    for (const [reference, sent] of this.#arrived) this.#arrived.set(reference, { ...sent, times: 0 });
    this.#heard.clear();
    this.#saidKnown.clear();
  }

  /** What is asked for after a restore may be what was sent since the backup: it waits for a person. */
  #checkRepeatsNothing(
    reference: string,
    body: string,
    { refundIds, atMs }: { readonly refundIds: ReadonlySet<string>; readonly atMs: number },
  ): void {
    if (refundIds.has(reference)) return;
    const { payment } = JSON.parse(body) as { payment: string };
    const lost = [...this.#made.values()].find(
      (made) =>
        made.payment === payment &&
        made.madeAtMs < atMs &&
        !refundIds.has(made.reference!) &&
        made.history.every(({ status }) => status !== 'failed' && status !== 'returned'),
    );
    this.#must(lost === undefined, 3, () => {
      return `refund ${reference} was sent after a restore, and may be ${lost?.id}, which the gateway has made since the backup`;
    });
  }

  taken(reference: string): void {
    this.#taken.add(reference);
  }

  sentPastKeyLife(reference: string): void {
    this.#must(false, 3, () => `refund ${reference} was sent again when its key was forgotten`);
  }

  made(refund: BookedRefund): void {
    const { reference } = refund;
    if (reference === null) return;
    this.#taken.add(reference);
    this.#must(!this.#made.has(reference), 3, () => `refund ${reference} was made twice at the gateway`);
    this.#made.set(reference, refund);
  }

  heard(refund: BookedRefund, place: number): void {
    this.#heard.set(refund, Math.max(place, this.#heard.get(refund) ?? -1));
  }

  /** A message has arrived at a merchant's address. */
  told(url: string, message: Message): void {
    const { merchant_id: merchantId, order_id: orderId } = message.order as TellingOrder;
    const isTheirs = this.#endpoints.some((e) => e.url === url && e.merchantId === merchantId);
    this.#must(isTheirs, 8, () => `${url} was told of ${orderId} of ${merchantId}`);
    const place = `${url} ${orderId}`;
    const before = this.#toldLast.get(place)?.sequence ?? 0;
    this.#must(message.sequence >= before, 7, () => {
      return `${url} was told how ${orderId} was at ${message.sequence} after how it was at ${before}`;
    });
    this.#toldLast.set(place, message);
    const event = `${url} ${message.eventId}`;
    this.#toldTimes.set(event, (this.#toldTimes.get(event) ?? 0) + 1);
  }

  acknowledged(url: string, message: Message): void {
    this.#acknowledged.add(`${url} ${message.eventId}`);
  }

  /** Everything that must hold at any moment. `now` is the program's time. */
  async check(now: Date): Promise<void> {
    const [refunds, events, told] = await this.#read();
    const changes = this.#checkTrail(refunds, events);
    this.#checkNotified(changes, told, refunds);
    await this.#checkSums(refunds);
    await this.#checkSends();
    const rows = new Map(refunds.map((row) => [row.refund_id, row]));
    for (const accepted of this.#accepted.values()) {
      const row = rows.get(accepted.refundId);
      this.#must(row?.amount_minor === accepted.amountMinor, 4, () => {
        return `refund ${accepted.refundId} was accepted over ${accepted.amountMinor}, and is now ${show(row)}`;
      });
    }
    for (const row of refunds) {
      this.#checkTruth(row);
      const waits = row.next_look_at === null ? null : row.next_look_at.getTime() - now.getTime();
      this.#must((waits === null) === FINAL.has(row.state), 5, () => `it has no next look: ${show(row)}`);
      this.#must(waits === null || waits < LONGEST_WAIT_MS, 5, () => `its next look is far: ${show(row)}`);
    }
  }

  /** What must hold when all that was begun has ended. `calm`: nothing went wrong in this world. */
  async checkEnd(now: Date, calm: boolean): Promise<void> {
    await this.check(now);
    const [refunds] = await this.#read();
    this.#must(this.#unanswered.size === 0, 4, () => {
      const [first] = this.#unanswered;
      return `${this.#unanswered.size} requests were never answered, the first of them ${first}`;
    });
    const requests = new Set(
      refunds.map((row) => `${row.merchant_id} ${row.order_id} ${row.unique_request_id}`),
    );
    for (const request of this.#saidKnown)
      this.#must(requests.has(request), 8, () => `${request} was said to be known already, and is not`);
    for (const row of refunds) {
      this.#must(FINAL.has(row.state) || row.state === 'manual_review', 5, () => {
        return `it has not ended: ${show(row)}`;
      });
      this.#checkNewsTaken(row);
      if (!calm) continue;
      this.#must(row.state === 'succeeded', 5, () => `nothing went wrong, and yet: ${show(row)}`);
      this.#must(this.#arrived.get(row.refund_id)?.times === 1, 3, () => `sent more than once: ${show(row)}`);
    }
    await this.#checkSeals();
    await this.#checkTold(refunds, calm);
  }

  get payouts(): number {
    return [...this.#books.values()]
      .flatMap((books) => books.refunds)
      .filter(({ reference, history }) => reference !== null && history.at(-1)!.status === 'paid').length;
  }

  // Invariant 2, also over answers alone: two different refunds for one id would be seen here first.
  #claim(refund: AcceptedRefund): void {
    const request = requestOf(refund);
    const before = this.#requests.get(request);
    this.#must(before === undefined || before === refund.refundId, 2, () => {
      return `${request} was accepted as ${before} and as ${refund.refundId}`;
    });
    this.#requests.set(request, refund.refundId);
  }

  /** Whether what is shown agrees with the gateway's books, at any moment: our news may be old, but not wrong. */
  #checkTruth(row: RefundRow): void {
    const made = this.#made.get(row.refund_id);
    const words = new Set(made?.history.map(({ status }) => status));
    this.#must(made === undefined || made.amountMinor === row.amount_minor, 10, () => {
      return `the gateway made it over ${made?.amountMinor}: ${show(row)}`;
    });
    this.#must(row.state !== 'cancelled' || !this.#taken.has(row.refund_id), 3, () => {
      return `it is cancelled, and the gateway has taken it: ${show(row)}`;
    });
    if (this.#resolved.has(row.refund_id)) return;
    this.#must(row.arn === null || row.arn === `arn-${made?.reference}`, 3, () => {
      return `its reference is ${row.arn}, and the gateway has made ${made?.id ?? 'nothing'}: ${show(row)}`;
    });
    this.#must(row.state !== 'succeeded' || words.has('paid'), 3, () => {
      return `it is shown as paid, and the gateway says ${[...words].join(', ') || 'nothing'}: ${show(row)}`;
    });
    const mayFail = made === undefined || words.has('failed') || words.has('returned');
    this.#must(row.state !== 'failed' || mayFail || row.attention !== null, 3, () => {
      return `it is shown as failed, and the gateway says ${[...words].join(', ')}: ${show(row)}`;
    });
    this.#must(row.state !== 'reversed' || (words.has('paid') && mayFail), 3, () => {
      return `it is shown as taken back, and the gateway says ${[...words].join(', ')}: ${show(row)}`;
    });
  }

  /** Whether the gateway had said so when it was written: what is wrong for an hour only is wrong. */
  #checkFounded(refundId: string, state: string, at: string): void {
    const made = this.#made.get(refundId);
    const untilMs = Date.parse(at) + this.#clocksBehindMs;
    const words = made?.history.filter(({ atMs }) => atMs <= untilMs).map(({ status }) => status) ?? [];
    const mayFail = words.length === 0 || words.includes('failed') || words.includes('returned');
    const isFounded =
      (state !== 'submitted' || words.length > 0) &&
      (state !== 'succeeded' || words.includes('paid')) &&
      (state !== 'failed' || mayFail) &&
      (state !== 'reversed' || (words.includes('paid') && mayFail));
    this.#must(isFounded, 3, () => {
      return `refund ${refundId} was written as ${state} at ${at}, and the gateway had said ${words.join(', ') || 'nothing'}`;
    });
  }

  /** What the gateway told us last, and could prove, may not stand against what is shown, unless a person is called. */
  #checkNewsTaken(row: RefundRow): void {
    const made = this.#made.get(row.refund_id);
    // Without times nobody can tell a late webhook from a look-up that lags.
    const timed = this.#books.get(row.gateway_account_id)!.timesItsNews;
    if (
      !made ||
      !timed ||
      this.#resolved.has(row.refund_id) ||
      row.state === 'manual_review' ||
      row.attention !== null
    )
      return;
    if (this.#heard.get(made) !== made.history.length - 1) return;
    const { status } = made.history.at(-1)!;
    if (status !== 'paid' && status !== 'failed' && status !== 'returned') return;
    this.#must((status === 'paid') === (row.state === 'succeeded'), 3, () => {
      return `the gateway told us that it is ${status}, and it is shown otherwise: ${show(row)}`;
    });
  }

  #checkTrail(refunds: readonly RefundRow[], events: readonly EventRow[]): Map<string, string> {
    const heads = new Map<string, { seq: number; hash: Buffer }>();
    const states = new Map<string, { state: string | null; seq: number }>();
    /** By order and event: what the merchant must have been told. */
    const changes = new Map<string, string>();
    const leftToPeople = new Set<string>();
    for (const { merchant_id, order_id, seq, body, hash } of events) {
      const order = `${merchant_id} ${order_id}`;
      const head = heads.get(order) ?? { seq: 0, hash: Buffer.alloc(0) };
      const expected = createHash('sha256').update(head.hash).update(body).digest();
      this.#must(
        seq === head.seq + 1 && expected.equals(hash),
        6,
        () => `${order}: event ${seq} breaks the chain`,
      );
      heads.set(order, { seq, hash });
      const event = JSON.parse(body) as Record<string, string | null>;
      const { refund_id, from, to, cause } = event;
      this.#must(typeof cause === 'object' && cause !== null, 6, () => `${order}: event ${seq} has no cause`);
      if (typeof refund_id !== 'string') continue;
      const before = states.get(refund_id)?.state ?? null;
      this.#must(before === from, 6, () => `${refund_id}: event ${seq} goes from ${from}, it was ${before}`);
      states.set(refund_id, { state: to!, seq });
      if (event['kind']!.startsWith('refund.resolved_as_')) leftToPeople.add(refund_id);
      if (from !== to && !leftToPeople.has(refund_id)) this.#checkFounded(refund_id, to!, event['at']!);
      const told = before === null ? 'REFUND_INITIATED' : TOLD[PUBLIC[to!]!];
      if (told && (before === null || PUBLIC[before] !== PUBLIC[to!])) changes.set(`${order} ${seq}`, told);
    }
    for (const row of refunds) {
      const last = states.get(row.refund_id);
      this.#must(last?.state === row.state && last.seq === row.event_seq, 6, () => {
        return `its last event is ${JSON.stringify(last)}: ${show(row)}`;
      });
    }
    this.#must(states.size === refunds.length, 6, () => 'there are events of refunds that are gone');
    return changes;
  }

  #checkNotified(
    changes: ReadonlyMap<string, string>,
    told: readonly Record<string, string | number>[],
    refunds: readonly RefundRow[],
  ): void {
    const names = new Set(
      told.map((n) => `${n['merchant_id']} ${n['order_id']} ${n['event_seq']} ${n['event_name']}`),
    );
    for (const [change, name] of changes)
      this.#must(names.has(`${change} ${name}`), 7, () => `${change} was not told as ${name}`);
    for (const n of told) {
      if (n['event_name'] === 'REFUND_ARN_CAPTURED') continue;
      const change = `${n['merchant_id']} ${n['order_id']} ${n['event_seq']}`;
      this.#must(
        changes.get(change) === n['event_name'],
        7,
        () => `${change} was told as ${n['event_name']}`,
      );
    }
    const arns = new Set(
      told.filter((n) => n['event_name'] === 'REFUND_ARN_CAPTURED').map((n) => n['refund_id']),
    );
    for (const row of refunds)
      this.#must(
        (row.arn !== null) === arns.has(row.refund_id),
        7,
        () => `its reference was not told: ${show(row)}`,
      );
  }

  async #checkSums(refunds: readonly RefundRow[]): Promise<void> {
    const transactions = await this.#db.query<{
      merchant_id: string;
      txn_id: string;
      effective_minor: number;
      reserved_minor: number;
    }>(
      'select merchant_id, txn_id, effective_minor, reserved_minor from transactions where merchant_id = any($1)',
      [this.#merchantIds],
    );
    const sums = new Map<string, number>();
    for (const row of refunds) {
      if (row.state === 'failed' || row.state === 'cancelled' || row.state === 'reversed') continue;
      const txn = `${row.merchant_id} ${row.txn_id}`;
      sums.set(txn, (sums.get(txn) ?? 0) + row.amount_minor);
    }
    for (const txn of transactions) {
      const sum = sums.get(`${txn.merchant_id} ${txn.txn_id}`) ?? 0;
      this.#must(sum <= txn.effective_minor, 1, () => `${txn.txn_id}: ${sum} of ${txn.effective_minor}`);
      this.#must(
        sum === txn.reserved_minor,
        1,
        () => `${txn.txn_id}: ${sum}, and it holds ${txn.reserved_minor}`,
      );
    }
  }

  /** The intent, with its key and bytes, was written before anything reached the gateway. */
  async #checkSends(): Promise<void> {
    const attempts = await this.#db.query<{
      refund_id: string;
      times: number;
      key: string;
      bodies: string[];
    }>(
      `select refund_id, count(*)::int as times, min(idempotency_key) as key,
              array_agg(distinct request ->> 'body') as bodies
       from attempts where merchant_id = any($1) group by refund_id`,
      [this.#merchantIds],
    );
    const intents = new Map(attempts.map((row) => [row.refund_id, row]));
    for (const [reference, { key, body, times }] of this.#arrived) {
      if (times === 0) continue;
      const intent = intents.get(reference);
      this.#must(intent !== undefined && intent.times >= times, 3, () => {
        return `refund ${reference} reached the gateway ${times} times, and ${intent?.times ?? 0} sends are recorded`;
      });
      this.#must(intent?.bodies.length === 1 && intent.bodies[0] === body, 3, () => {
        return `refund ${reference} reached the gateway with another body than was recorded`;
      });
      this.#must(
        key === null || key === intent?.key,
        3,
        () => `refund ${reference} was sent with another key`,
      );
    }
  }

  /** Every event is sealed, by checkpoints that follow on each other and that only the master key can have made. */
  async #checkSeals(): Promise<void> {
    const of = [this.#merchantIds];
    const events = await this.#db.query<EventRow>(
      'select merchant_id, order_id, seq, hash from events where merchant_id = any($1) order by seq',
      of,
    );
    const hashes = new Map(events.map((e) => [`${e.merchant_id} ${e.order_id} ${e.seq}`, e.hash]));
    const last = new Map(events.map((e) => [`${e.merchant_id} ${e.order_id}`, e.seq]));
    const checkpoints = await this.#db.query<CheckpointRow>(
      `select merchant_id, checkpoint_no, sealed_at, orders, hash, seal from audit_checkpoints
       where merchant_id = any($1) order by merchant_id, checkpoint_no`,
      of,
    );
    const sealingKey = Buffer.from(
      hkdfSync('sha256', this.#masterKey, '', 'refundry mac audit checkpoint', 32),
    );
    const heads = new Map<string, { no: number; hash: Buffer }>();
    const sealed = new Map<string, number>();
    for (const { merchant_id, checkpoint_no, sealed_at, orders, hash, seal } of checkpoints) {
      const name = `checkpoint ${checkpoint_no} of ${merchant_id}`;
      const head = heads.get(merchant_id) ?? { no: 0, hash: Buffer.alloc(0) };
      heads.set(merchant_id, { no: checkpoint_no, hash });
      const content = JSON.stringify([merchant_id, checkpoint_no, sealed_at.toISOString(), orders]);
      const expected = createHash('sha256').update(head.hash).update(content).digest();
      const follows = checkpoint_no === head.no + 1 && expected.equals(hash);
      this.#must(follows, 6, () => `${name} does not follow on the one before it`);
      const mac = createHmac('sha256', sealingKey).update(hash).digest();
      this.#must(mac.equals(seal), 6, () => `${name} does not carry its seal`);
      for (const [orderId, seq, eventHash] of orders) {
        const place = `${merchant_id} ${orderId}`;
        const isSo = hashes.get(`${place} ${seq}`)?.toString('hex') === eventHash;
        this.#must(isSo, 6, () => `${name} seals event ${seq} of ${orderId}, which is not so`);
        this.#must(seq > (sealed.get(place) ?? 0), 6, () => `${name} seals ${orderId} up to ${seq} again`);
        sealed.set(place, seq);
      }
    }
    // The first event is that of the order, which the world wrote itself.
    for (const [order, seq] of [...last].filter(([, until]) => until > 1))
      this.#must(
        sealed.get(order) === seq,
        6,
        () => `${order} is sealed up to ${sealed.get(order)} of ${seq}`,
      );
  }

  /** Each address was told everything it asked for, and what it was told last is true. */
  async #checkTold(refunds: readonly RefundRow[], calm: boolean): Promise<void> {
    if (this.#endpoints.length === 0) return;
    const of = [this.#merchantIds];
    const notifications = await this.#db.query<Record<string, string>>(
      `select merchant_id, order_id, event_name, replace(notification_id::text, '-', '') as hex
       from notifications where merchant_id = any($1)`,
      of,
    );
    const undelivered = await this.#db.query<Record<string, string>>(
      `select e.url, d.order_id, d.state, d.round_tries from deliveries d join webhook_endpoints e using (endpoint_id)
       where d.merchant_id = any($1) and d.state <> 'delivered'`,
      of,
    );
    const givenUp = new Set<string>();
    for (const { url, order_id, state, round_tries } of undelivered) {
      const isUsedUp = state === 'given_up' && Number(round_tries) === TRIES_OF_THE_SCHEDULE;
      this.#must(isUsedUp, 7, () => `${url} waits for ${order_id} (${state} after ${round_tries} tries)`);
      givenUp.add(`${url} ${order_id}`);
    }
    for (const { url, merchantId, events } of this.#endpoints) {
      for (const { merchant_id, order_id, event_name, hex } of notifications) {
        const isWanted = merchant_id === merchantId && (events ?? TOLD_WITHOUT_ASKING).includes(event_name!);
        if (!isWanted || givenUp.has(`${url} ${order_id}`)) continue;
        const event = `${url} evt_V2_${hex}`;
        this.#must(
          this.#acknowledged.has(event),
          7,
          () => `${url} was never told ${event_name} of ${order_id}`,
        );
        this.#must(!calm || this.#toldTimes.get(event) === 1, 7, () => `${event} was told more than once`);
      }
      for (const row of refunds) {
        const status = PUBLIC[row.state]!;
        if (row.merchant_id !== merchantId || status === 'PENDING' || givenUp.has(`${url} ${row.order_id}`))
          continue;
        const told = (this.#toldLast.get(`${url} ${row.order_id}`)?.order as TellingOrder | undefined)
          ?.refunds;
        const shown = told?.find((entry) => entry.unique_request_id === row.unique_request_id)?.status;
        this.#must(shown === status, 7, () => `${url} was told last that it is ${shown}: ${show(row)}`);
      }
    }
  }

  async #read() {
    const of = [this.#merchantIds];
    const refunds = await this.#db.query<RefundRow>('select * from refunds where merchant_id = any($1)', of);
    const events = await this.#db.query<EventRow>(
      `select merchant_id, order_id, seq, body::text as body, hash from events
       where merchant_id = any($1) order by merchant_id, order_id, seq`,
      of,
    );
    const told = await this.#db.query<Record<string, string | number>>(
      'select merchant_id, order_id, refund_id, event_seq, event_name from notifications where merchant_id = any($1)',
      of,
    );
    return [refunds, events, told] as const;
  }

  #must(holds: boolean, invariant: number, what: () => string): void {
    this.checked++;
    if (!holds) this.broken ??= new Broken(`invariant ${invariant}: ${what()}`);
  }
}

/** An invariant that does not hold. */
export class Broken extends Error {}

function requestOf({ merchantId, orderId, uniqueRequestId }: AskedRefund): string {
  return `${merchantId} ${orderId} ${uniqueRequestId}`;
}

function show(row: RefundRow | undefined): string {
  return row
    ? `refund ${row.refund_id} (${row.unique_request_id} of ${row.order_id} at ${row.gateway}), ${row.state}`
    : 'gone';
}

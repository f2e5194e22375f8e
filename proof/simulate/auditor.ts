import { createHash } from 'node:crypto';
import type { Queryable } from '../../src/lib/db.ts';
import type { BookedRefund, ModelBooks } from './model-books.ts';

/** What the merchants were told by the answers at the doors. */
export interface AcceptedRefund {
  readonly refundId: string;
  readonly merchantId: string;
  readonly orderId: string;
  readonly uniqueRequestId: string;
  readonly amountMinor: number;
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
  /** Settled by a person's word: what is true of it is theirs to answer for. */
  readonly #resolved = new Set<string>();

  constructor(db: Queryable, merchantIds: readonly string[], books: ReadonlyMap<string, ModelBooks>) {
    this.#db = db;
    this.#merchantIds = merchantIds;
    this.#books = books;
  }

  get lives(): number {
    return this.#accepted.size;
  }

  get sends(): number {
    return [...this.#arrived.values()].reduce((sum, { times }) => sum + times, 0);
  }

  /** A 2xx was given for it. */
  accepted(refund: AcceptedRefund): void {
    this.#claim(refund);
    this.#accepted.set(refund.refundId, refund);
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
  }

  made(refund: BookedRefund): void {
    const { reference } = refund;
    if (reference === null) return;
    this.#must(!this.#made.has(reference), 3, () => `refund ${reference} was made twice at the gateway`);
    this.#made.set(reference, refund);
  }

  heard(refund: BookedRefund, place: number): void {
    this.#heard.set(refund, Math.max(place, this.#heard.get(refund) ?? -1));
  }

  /** Everything that must hold at any moment. `now` is the program's time. */
  async check(now: Date): Promise<void> {
    const [refunds, events, told] = await this.#read();
    const changes = this.#checkTrail(refunds, events);
    this.#checkTold(changes, told, refunds);
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
    for (const row of refunds) {
      this.#must(FINAL.has(row.state) || row.state === 'manual_review', 5, () => {
        return `it has not ended: ${show(row)}`;
      });
      this.#checkNewsTaken(row);
      if (!calm) continue;
      this.#must(row.state === 'succeeded', 5, () => `nothing went wrong, and yet: ${show(row)}`);
      this.#must(this.#arrived.get(row.refund_id)?.times === 1, 3, () => `sent more than once: ${show(row)}`);
    }
  }

  get payouts(): number {
    return [...this.#books.values()]
      .flatMap((books) => books.refunds)
      .filter(({ reference, history }) => reference !== null && history.at(-1)!.status === 'paid').length;
  }

  // Invariant 2, also over answers alone: two different refunds for one id would be seen here first.
  #claim(refund: AcceptedRefund): void {
    const request = `${refund.merchantId} ${refund.orderId} ${refund.uniqueRequestId}`;
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
    this.#must(row.state !== 'cancelled' || made === undefined, 3, () => {
      return `it is cancelled, and the gateway has made it: ${show(row)}`;
    });
    if (this.#resolved.has(row.refund_id)) return;
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
      const { refund_id, from, to, cause } = JSON.parse(body) as Record<string, string | null>;
      this.#must(typeof cause === 'object' && cause !== null, 6, () => `${order}: event ${seq} has no cause`);
      if (typeof refund_id !== 'string') continue;
      const before = states.get(refund_id)?.state ?? null;
      this.#must(before === from, 6, () => `${refund_id}: event ${seq} goes from ${from}, it was ${before}`);
      states.set(refund_id, { state: to!, seq });
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

  #checkTold(
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

function show(row: RefundRow | undefined): string {
  return row
    ? `refund ${row.refund_id} (${row.unique_request_id} of ${row.order_id} at ${row.gateway}), ${row.state}`
    : 'gone';
}

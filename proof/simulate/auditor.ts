import { createHash, createHmac, hkdfSync } from 'node:crypto';
import type { Queryable } from '../../src/lib/db.ts';
import type { BatchAuditor } from './batch-auditor.ts';
import type { AskedAtGateway, BookedRefund, ModelBooks, PaidStatus } from './model-books.ts';
import { SECRETS } from './model-gateway.ts';
import type {
  AttemptRow,
  Changes,
  EventRow,
  NotificationRow,
  OurBooks,
  RefundRow,
  TransactionRow,
} from './our-books.ts';

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
  readonly batch?: unknown;
}

/** An order or a batch, as messages show it. */
interface Telling {
  readonly merchant_id?: string;
  readonly order_id?: string;
  readonly batch_id?: string;
  readonly refunds?: readonly { readonly unique_request_id: string; readonly status: string }[];
}

/** Somebody who waits for a refund to be settled by their word. */
export interface Settling {
  readonly owner: object;
  readonly refundId: string;
  readonly said: (PaidStatus | null)[];
}

interface CheckpointRow {
  readonly merchant_id: string;
  readonly checkpoint_no: number;
  readonly sealed_at: Date;
  readonly orders: readonly (readonly [orderId: string, seq: number, hash: string])[];
  readonly hash: Buffer;
  readonly seal: Buffer;
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
/** What may be shown of a refund that we have no news of yet. */
const BEFORE_NEWS = new Set(['queued', 'sending', 'unknown']);
/** Answers that processes got and lost again with their connections or their lives: more than these are no accident. */
const LOST_ANSWERS_IN_A_ROW = 4;
/** What a worker has in hand may still go out, for as long as it holds it. */
const IN_HAND_MS = 70_000;
const MOST_OF_AN_ORDER = 25;
const MOST_TRIES_OF_AN_ORDER = 200;
const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'reversed']);
const LONGEST_WAIT_MS = 28 * 3_600_000;
const LONGEST_WAIT_FOR_RECHECK_MS = 15 * 24 * 3_600_000;

/**
 * Keeps its own books of what was asked, answered and paid, and after each step holds against them what the step has
 * changed in the program's tables. Nothing of the engine is used here.
 */
export class Auditor {
  /** How many statements of an invariant were checked. */
  checked = 0;
  /** The first that did not hold. It is not thrown where it is seen: that may be deep inside the program. */
  broken: Broken | null = null;
  /** Whether something has happened since the last check that it should look at. */
  isDue = true;
  readonly batches: BatchAuditor;
  readonly #books: OurBooks;
  readonly #db: Queryable;
  readonly #gateways: ReadonlyMap<string, ModelBooks>;
  readonly #accepted = new Map<string, AcceptedRefund>();
  readonly #requests = new Map<string, string>();
  readonly #arrived = new Map<string, { key: string | null; body: string; times: number }>();
  readonly #made = new Map<string, BookedRefund>();
  /** The places in each history that the gateway has told us of in a way that we could believe. */
  readonly #heard = new Map<BookedRefund, number>();
  /** What the gateway has taken, done or not: from then on only it can say what becomes of it. */
  readonly #taken = new Set<string>();
  /** What a gateway itself has said no to. */
  readonly #refused = new Set<string>();
  /** Accounts whose gateway has ever been silent, or refused our credentials. */
  readonly #leftUnanswered = new Set<string>();
  /** People who ask a process of ours to settle a refund, and what the gateway tells that process meanwhile. */
  readonly #settlings = new Set<Settling>();
  /** Refunds that somebody made at the gateway by hand, under the id of one that was cancelled here. */
  readonly #madeByHand = new Set<string>();
  /** How often our processes were told of a refund that it is of another amount or currency. */
  readonly #misfitsShown = new Map<string, { readonly times: number; readonly lastMs: number }>();
  /** Requests that somebody still waits for an answer to. */
  readonly #unanswered = new Set<string>();
  /** Ids that were said to be known already. */
  readonly #saidKnown = new Set<string>();
  /** Since the books were restored from a backup: the refunds that they knew, and when. */
  /** Sent before the books went back without a word: what they did with these they could not know. */
  readonly #forgotten = new Map<string, 'as it was' | 'altogether'>();
  /** Lost refunds that were heard of, by account, and those that a person has looked at since. */
  readonly #excusable = new Map<string, string>();
  readonly #excused = new Set<string>();
  /** By account: since when it is proved to us that our books have lost refunds of it. */
  readonly #knownToHaveLostMs = new Map<string, number>();
  #restored: { readonly refundIds: ReadonlySet<string>; readonly atMs: number } | null = null;
  #sends = 0;
  /** Settled by a person's word: what is true of it is theirs to answer for. */
  readonly #resolved = new Set<string>();
  /** Refunds that the gateways, the merchants or people have done something about since the last check. */
  readonly #touched = new Set<string>();
  #seen = new SeenBooks();

  readonly #endpoints: readonly ListeningMerchant[];
  readonly #masterKey: Buffer;
  readonly #clocksBehindMs: number;
  /** By address and order: what was told last, and up to which event of the order. */
  readonly #toldLast = new Map<string, Message>();
  /** By address and event: how often it was told. */
  readonly #toldTimes = new Map<string, number>();
  readonly #acknowledged = new Set<string>();

  constructor(
    books: OurBooks,
    db: Queryable,
    gateways: ReadonlyMap<string, ModelBooks>,
    endpoints: readonly ListeningMerchant[],
    program: {
      readonly masterKey: Buffer;
      /** How far its clocks may be behind the gateways'. */
      readonly clocksBehindMs: number;
      readonly batches: BatchAuditor;
    },
  ) {
    this.#books = books;
    this.#db = db;
    this.#gateways = gateways;
    this.#endpoints = endpoints;
    this.#masterKey = program.masterKey;
    this.#clocksBehindMs = program.clocksBehindMs;
    this.batches = program.batches;
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
    this.#touch(refund.refundId);
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

  /** Tries that came to nothing must not close an order. */
  refusedAtDoor({ merchantId, orderId }: AskedRefund, code: string): void {
    if (code !== 'too_many_refunds') return;
    const refunds = this.#seen.refundsOf(merchantId, orderId);
    const held = refunds.filter(({ state }) => PUBLIC[state] !== 'FAILURE').length;
    this.must(held >= MOST_OF_AN_ORDER || refunds.length >= MOST_TRIES_OF_AN_ORDER, 5, () => {
      return `a refund of ${orderId} was refused because there are too many, and ${held} of ${refunds.length} hold money`;
    });
  }

  /** A person has looked at the refunds that an account is held for. */
  released(accountId: string): void {
    this.#knownToHaveLostMs.delete(accountId);
    for (const [reference, of] of this.#excusable) if (of === accountId) this.#excused.add(reference);
  }

  leftUnanswered(accountId: string): void {
    this.#leftUnanswered.add(accountId);
  }

  resolved(refundId: string): void {
    this.#resolved.add(refundId);
  }

  /** Somebody asks a process of ours to settle a refund; to be told what came of it, where that is ever known. */
  settling(owner: object, refundId: string): Settling {
    const settling = { owner, refundId, said: [] };
    this.#settlings.add(settling);
    return settling;
  }

  /** One person alone has settled it: not against what the gateway told the process that was asked. */
  settledAlone(settling: Settling, outcome: 'succeeded' | 'failed', isAskedWhereSent: boolean): void {
    this.#settlings.delete(settling);
    const { refundId, said } = settling;
    // Where the process asked for somebody else at the same time, nobody knows which answer was whose.
    if (said.length !== 1 || (said[0] === null && !isAskedWhereSent)) return;
    const agrees =
      outcome === 'succeeded' ? said[0] === 'paid' : [null, 'failed', 'returned'].includes(said[0]!);
    this.must(agrees, 3, () => {
      return `one person has settled refund ${refundId} as ${outcome}, and the gateway had just said ${said[0] ?? 'that there is none'}`;
    });
  }

  notSettled(settling: Settling): void {
    this.#settlings.delete(settling);
  }

  /** Who proposed to settle a refund against the gateway's word has said yes to it too. */
  confirmedOwn(refundId: string, isTaken: boolean): void {
    this.must(!isTaken, 3, () => `who proposed how to settle refund ${refundId} has confirmed it as well`);
  }

  /** Another merchant has acted on it; it must have been as if there were no such refund. */
  trespassed(refundId: string, notFound: boolean): void {
    this.must(notFound, 8, () => `another merchant has reached refund ${refundId}`);
  }

  asked({ accountId, reference, key, body, sentMs, books }: AskedAtGateway): void {
    const knownMs = this.#knownToHaveLostMs.get(accountId) ?? Number.POSITIVE_INFINITY;
    this.must(sentMs < knownMs + IN_HAND_MS + this.#clocksBehindMs, 3, () => {
      return `refund ${reference} was sent through ${accountId}, whose gateway has proved to us that our books have lost refunds`;
    });
    const before = this.#arrived.get(reference);
    this.must(before === undefined || (before.key === key && before.body === body), 3, () => {
      return `refund ${reference} was sent again with another key or body: ${body} after ${before?.body}`;
    });
    this.#arrived.set(reference, { key, body, times: (before?.times ?? 0) + 1 });
    this.#sends++;
    this.#touch(reference);
    // What was sent once is followed to its outcome, whatever becomes of its batch: it may have to be sent again.
    const isFirst = (this.#seen.attempts.get(reference)?.size ?? 0) <= 1;
    const batchId = this.#seen.refunds.get(reference)?.batch_id ?? null;
    if (isFirst && batchId !== null) this.batches.sent(batchId, reference, sentMs);
    if (this.#restored) this.#checkRepeatsNothing(reference, body, books, this.#restored);
  }

  /** The books are those of a backup again: what was accepted and heard since is lost, but not what gateways have done. */
  restored(refundIds: ReadonlySet<string>, atMs: number, isMarked: boolean): void {
    if (isMarked) this.#restored = { refundIds, atMs };
    else
      for (const reference of [...this.#arrived.keys(), ...this.#taken])
        this.#forgotten.set(reference, refundIds.has(reference) ? 'as it was' : 'altogether');
    for (const [id, refund] of this.#accepted) {
      if (refundIds.has(id)) continue;
      this.#accepted.delete(id);
      this.#requests.delete(requestOf(refund));
    }
    for (const [reference, sent] of this.#arrived) this.#arrived.set(reference, { ...sent, times: 0 });
    this.#heard.clear();
    this.#misfitsShown.clear();
    this.#saidKnown.clear();
    this.batches.restored();
    this.#forget();
  }

  /** What is asked for after a restore may be what was sent since the backup: it waits for a person. */
  #checkRepeatsNothing(
    reference: string,
    body: string,
    books: ModelBooks,
    { refundIds, atMs }: { readonly refundIds: ReadonlySet<string>; readonly atMs: number },
  ): void {
    if (refundIds.has(reference)) return;
    const { payment } = JSON.parse(body) as { payment: string };
    // What another account has made, whose credentials were entered when the books were lost, nobody can find again.
    const lost = books.refunds.find(
      (made) =>
        made.payment === payment &&
        made.reference !== null &&
        made.madeAtMs < atMs &&
        !refundIds.has(made.reference) &&
        made.history.every(({ status }) => status !== 'failed' && status !== 'returned'),
    );
    this.must(lost === undefined, 3, () => {
      return `refund ${reference} was sent after a restore, and may be ${lost?.id}, which the gateway has made since the backup`;
    });
  }

  taken(reference: string): void {
    this.#taken.add(reference);
    this.#touch(reference);
  }

  refused(reference: string): void {
    this.#refused.add(reference);
    this.#touch(reference);
  }

  shown(owner: object, reference: string, status: PaidStatus | null, atMs: number): void {
    for (const settling of this.#settlings)
      if (settling.owner === owner && settling.refundId === reference) settling.said.push(status);
    if (!this.#made.get(reference)?.isMisfit) return;
    const { times, lastMs } = this.#misfitsShown.get(reference) ?? { times: 0, lastMs: 0 };
    // Several who ask at the same time learn it once.
    if (atMs < lastMs + IN_HAND_MS) return;
    this.#misfitsShown.set(reference, { times: times + 1, lastMs: atMs });
    this.#touch(reference);
  }

  sentPastKeyLife(reference: string): void {
    this.must(
      this.#forgotten.has(reference),
      3,
      () => `refund ${reference} was sent again when its key was forgotten`,
    );
  }

  made(refund: BookedRefund): void {
    const { reference } = refund;
    if (reference === null) return;
    if (refund.isByHand) this.#madeByHand.add(reference);
    else this.#taken.add(reference);
    this.must(
      !this.#made.has(reference) || this.#forgotten.has(reference),
      3,
      () => `refund ${reference} was made twice at the gateway`,
    );
    this.#made.set(reference, refund);
    this.#touch(reference);
  }

  /** The gateway has told us, in a way that we could believe, of a place in a refund's history. */
  heard(accountId: string, refund: BookedRefund, place: number, atMs: number): void {
    const reference = refund.reference ?? '';
    if (this.#forgotten.get(reference) === 'altogether' && !this.#excused.has(reference)) {
      this.#excusable.set(reference, accountId);
      if (!this.#knownToHaveLostMs.has(accountId)) this.#knownToHaveLostMs.set(accountId, atMs);
    }
    this.#heard.set(refund, Math.max(place, this.#heard.get(refund) ?? -1));
  }

  /** A message has arrived at a merchant's address. */
  told(url: string, message: Message): void {
    const {
      merchant_id: merchantId,
      order_id: orderId,
      batch_id: batchId,
    } = (message.order ?? message.batch) as Telling;
    const what = orderId ?? `batch ${batchId}`;
    // A batch does not say whose it is.
    const isTheirs = this.#endpoints.some(
      (e) => e.url === url && e.merchantId === (merchantId ?? this.batches.merchantOf(batchId!)),
    );
    this.must(isTheirs, 8, () => `${url} was told of ${what} of ${merchantId}`);
    const place = `${url} ${what}`;
    const before = this.#toldLast.get(place)?.sequence ?? 0;
    this.must(message.sequence >= before, 7, () => {
      return `${url} was told how ${what} was at ${message.sequence} after how it was at ${before}`;
    });
    this.#toldLast.set(place, message);
    const event = `${url} ${message.eventId}`;
    this.#toldTimes.set(event, (this.#toldTimes.get(event) ?? 0) + 1);
  }

  acknowledged(url: string, message: Message): void {
    this.#acknowledged.add(`${url} ${message.eventId}`);
  }

  /** Everything that must hold at any moment, of what has changed since the last check. `now` is the program's time. */
  async check(now: Date): Promise<void> {
    this.isDue = false;
    const seen = this.#seen;
    const changes = await this.#books.changes();
    const touched = new Set(this.#touched);
    this.#touched.clear();
    // Before the refunds are taken in: what the batches were like when these were made.
    const made = changes.refunds.filter(({ refund_id }) => !seen.refunds.has(refund_id));
    this.batches.checkMade(made, (refundId) => seen.refunds.get(refundId)?.state);
    for (const row of changes.refunds) {
      seen.takeRefund(row);
      touched.add(row.refund_id);
    }
    for (const row of changes.attempts) {
      seen.takeAttempt(row);
      touched.add(row.refund_id);
    }
    this.must(seen.refunds.size === changes.refundCount, 4, () => {
      return `there were ${seen.refunds.size} refunds, and there are ${changes.refundCount}`;
    });
    this.#checkSecrets(changes);
    this.#checkTrail(changes.events);
    this.must(seen.states.size === seen.refunds.size, 6, () => 'there are events of refunds that are gone');
    this.#checkNotified(changes.notifications);
    this.#checkSums(changes.transactions, changes.refunds);
    this.batches.check(changes, seen);
    for (const row of changes.refunds) this.#checkRow(row, now);
    for (const refundId of touched) {
      const row = seen.refunds.get(refundId);
      this.#checkSends(refundId);
      const accepted = this.#accepted.get(refundId);
      this.must(accepted === undefined || row?.amount_minor === accepted.amountMinor, 4, () => {
        return `refund ${refundId} was accepted over ${accepted?.amountMinor}, and is now ${show(row)}`;
      });
      if (row) this.#checkTruth(row);
    }
  }

  /** The same of all that there is: also what was changed where nobody should have. */
  async checkAll(now: Date): Promise<void> {
    this.#forget();
    await this.check(now);
    await this.#checkHealth();
  }

  /** An account whose gateway has always answered is none to be careful with, whatever it answered. */
  async #checkHealth(): Promise<void> {
    const accounts = await this.#db.query<{ id: string; failures: number }>(
      'select gateway_account_id as id, failures_in_a_row as failures from gateway_health',
    );
    for (const { id, failures } of accounts)
      this.must(failures === 0 || this.#leftUnanswered.has(id), 5, () => {
        return `account ${id} counts ${failures} calls without an answer, and its gateway has answered every one`;
      });
  }

  /** What must hold when all that was begun has ended. `calm`: nothing went wrong in this world. */
  async checkEnd(now: Date, calm: boolean): Promise<void> {
    await this.checkAll(now);
    const refunds = [...this.#seen.refunds.values()];
    this.must(this.#unanswered.size === 0, 4, () => {
      const [first] = this.#unanswered;
      return `${this.#unanswered.size} requests were never answered, the first of them ${first}`;
    });
    const requests = new Set(
      refunds.map((row) => `${row.merchant_id} ${row.order_id} ${row.unique_request_id}`),
    );
    for (const request of this.#saidKnown)
      this.must(requests.has(request), 8, () => `${request} was said to be known already, and is not`);
    for (const row of refunds) {
      this.must(FINAL.has(row.state) || row.state === 'manual_review', 5, () => {
        return `it has not ended: ${show(row)}`;
      });
      this.#checkNewsTaken(row);
      this.#checkFoundOut(row);
      if (!calm) continue;
      this.must(row.state === 'succeeded', 5, () => `nothing went wrong, and yet: ${show(row)}`);
      this.must(this.#arrived.get(row.refund_id)?.times === 1, 3, () => `sent more than once: ${show(row)}`);
    }
    this.batches.checkEnd(refunds);
    await this.#checkKeptSums(refunds);
    await this.#checkSeals();
    await this.#checkTold(refunds, calm);
  }

  get payouts(): number {
    return [...this.#gateways.values()]
      .flatMap((books) => books.refunds)
      .filter(({ reference, history }) => reference !== null && history.at(-1)!.status === 'paid').length;
  }

  // Invariant 2, also over answers alone: two different refunds for one id would be seen here first.
  #claim(refund: AcceptedRefund): void {
    const request = requestOf(refund);
    const before = this.#requests.get(request);
    this.must(before === undefined || before === refund.refundId, 2, () => {
      return `${request} was accepted as ${before} and as ${refund.refundId}`;
    });
    this.#requests.set(request, refund.refundId);
  }

  /** Whether what is shown agrees with the gateway's books, at any moment: our news may be old, but not wrong. */
  #checkTruth(row: RefundRow): void {
    if (this.#forgotten.has(row.refund_id)) return;
    const made = this.#made.get(row.refund_id);
    const words = new Set(made?.history.map(({ status }) => status));
    this.must(made === undefined || made.isMisfit || made.amountMinor === row.amount_minor, 10, () => {
      return `the gateway made it over ${made?.amountMinor}: ${show(row)}`;
    });
    this.must(row.state !== 'cancelled' || !this.#taken.has(row.refund_id), 3, () => {
      return `it is cancelled, and the gateway has taken it: ${show(row)}`;
    });
    // Whoever reads it cancels it, or refunds it by other ways.
    const isShownUnsent = row.state === 'queued' && row.unanswered === 0;
    this.must(!isShownUnsent || !this.#taken.has(row.refund_id), 3, () => {
      return `it is shown as not sent, and the gateway has taken it: ${show(row)}`;
    });
    if (this.#resolved.has(row.refund_id)) return;
    this.must(!made?.isMisfit || BEFORE_NEWS.has(row.state) || row.state === 'manual_review', 10, () => {
      return `the gateway made it over ${made?.amountMinor} ${made?.currency}, and no person holds it: ${show(row)}`;
    });
    const misfitsShown = this.#misfitsShown.get(row.refund_id)?.times ?? 0;
    this.must(misfitsShown < LOST_ANSWERS_IN_A_ROW || row.attention !== null, 10, () => {
      return `we were told ${misfitsShown} times that it is of another amount, and nobody is called: ${show(row)}`;
    });
    this.must(row.arn === null || row.arn === `arn-${made?.reference}`, 3, () => {
      return `its reference is ${row.arn}, and the gateway has made ${made?.id ?? 'nothing'}: ${show(row)}`;
    });
    this.must(row.state !== 'succeeded' || words.has('paid'), 3, () => {
      return `it is shown as paid, and the gateway says ${[...words].join(', ') || 'nothing'}: ${show(row)}`;
    });
    const isRefused = this.#refused.has(row.refund_id);
    const mayFail = made === undefined ? isRefused : words.has('failed') || words.has('returned');
    this.must(row.state !== 'failed' || mayFail || row.attention !== null, 3, () => {
      return `it is shown as failed, and the gateway says ${[...words].join(', ') || 'nothing'}: ${show(row)}`;
    });
    this.must(row.state !== 'reversed' || (words.has('paid') && mayFail), 3, () => {
      return `it is shown as taken back, and the gateway says ${[...words].join(', ')}: ${show(row)}`;
    });
  }

  /** Whether the gateway had said so when it was written: what is wrong for an hour only is wrong. */
  #checkFounded(refundId: string, state: string, at: string): void {
    if (this.#forgotten.has(refundId)) return;
    const made = this.#made.get(refundId);
    const untilMs = Date.parse(at) + this.#clocksBehindMs;
    const words = made?.history.filter(({ atMs }) => atMs <= untilMs).map(({ status }) => status) ?? [];
    const mayFail = words.length === 0 || words.includes('failed') || words.includes('returned');
    const isFounded =
      (state !== 'submitted' || words.length > 0) &&
      (state !== 'succeeded' || words.includes('paid')) &&
      (state !== 'failed' || mayFail) &&
      (state !== 'reversed' || (words.includes('paid') && mayFail));
    this.must(isFounded, 3, () => {
      return `refund ${refundId} was written as ${state} at ${at}, and the gateway had said ${words.join(', ') || 'nothing'}`;
    });
  }

  /** What the gateway told us last, and could prove, may not stand against what is shown, unless a person is called. */
  #checkNewsTaken(row: RefundRow): void {
    if (this.#forgotten.has(row.refund_id)) return;
    const made = this.#made.get(row.refund_id);
    // Without times nobody can tell a late webhook from a look-up that lags.
    const timed = this.#gateways.get(row.gateway_account_id)!.timesItsNews;
    if (!made || !timed || this.#heard.get(made) !== made.history.length - 1) return;
    const { status } = made.history.at(-1)!;
    const isPaidAndNotSaid = status === 'paid' && PUBLIC[row.state] === 'FAILURE';
    // The amount may be free by then: those who would give it back again have to know, and not only who looks here.
    this.must(
      !isPaidAndNotSaid || this.#seen.called.has(row.refund_id) || this.#resolved.has(row.refund_id),
      7,
      () => {
        return `the gateway told us that it is paid, and the merchant's systems were not told to look: ${show(row)}`;
      },
    );
    if (row.state === 'manual_review' || row.attention !== null || this.#resolved.has(row.refund_id)) return;
    if (status !== 'paid' && status !== 'failed' && status !== 'returned') return;
    this.must((status === 'paid') === (row.state === 'succeeded'), 3, () => {
      return `the gateway told us that it is ${status}, and it is shown otherwise: ${show(row)}`;
    });
  }

  /**
   * What was settled by hand, and successes where gateways take them back, have been asked about for weeks by the end:
   * what is not so has been found, whatever became of the webhooks.
   */
  #checkFoundOut(row: RefundRow): void {
    if (this.#forgotten.has(row.refund_id)) return;
    const { isRechecked, provesAbsence } = this.#gateways.get(row.gateway_account_id)!;
    const isByHand = this.#seen.leftToPeople.has(row.refund_id);
    if (!(isByHand ? isRechecked.afterPeople : isRechecked.afterSuccess)) return;
    const made = this.#made.get(row.refund_id);
    const status = made?.history.at(-1)?.status;
    // No books but those that it was sent to can prove that there is none.
    if (made === undefined && (!provesAbsence || row.sent_to !== row.gateway_account_id)) return;
    // Two people have said so, against just that.
    if (made === undefined && row.overruled !== null) return;
    const isCalled = row.attention !== null && this.#seen.called.has(row.refund_id);
    this.must(row.state !== 'succeeded' || status === 'paid' || isCalled, 3, () => {
      return `it is shown as paid after weeks of asking, and the gateway says ${status ?? 'nothing'}: ${show(row)}`;
    });
    this.must(!isByHand || row.state !== 'failed' || status !== 'paid' || isCalled, 3, () => {
      return `a person's word is shown after weeks of asking, and the gateway says that it is paid: ${show(row)}`;
    });
  }

  #checkSecrets({ refunds, events, attempts, batches, batchRows }: Changes): void {
    for (const row of [refunds, events, attempts, batches, batchRows].flat()) {
      const text = JSON.stringify(row);
      for (const [what, secret] of Object.entries(SECRETS))
        this.must(!text.includes(secret), 9, () => `a ${what} stands in ${text}`);
    }
  }

  #checkTrail(events: readonly EventRow[]): void {
    const { heads, states, changes, leftToPeople } = this.#seen;
    for (const { merchant_id, order_id, seq, body, hash } of events) {
      const order = `${merchant_id} ${order_id}`;
      const head = heads.get(order) ?? { seq: 0, hash: '' };
      const expected = createHash('sha256').update(head.hash, 'hex').update(body).digest('hex');
      this.must(
        seq === head.seq + 1 && expected === hash,
        6,
        () => `${order}: event ${seq} breaks the chain`,
      );
      heads.set(order, { seq, hash });
      const event = JSON.parse(body) as Record<string, string | null>;
      const { refund_id, from, to, cause } = event;
      this.must(typeof cause === 'object' && cause !== null, 6, () => `${order}: event ${seq} has no cause`);
      if (typeof refund_id !== 'string') continue;
      const before = states.get(refund_id)?.state ?? null;
      this.must(before === from, 6, () => `${refund_id}: event ${seq} goes from ${from}, it was ${before}`);
      states.set(refund_id, { state: to!, seq });
      if (event['kind']!.startsWith('refund.resolved_as_')) leftToPeople.add(refund_id);
      if (from !== to && !leftToPeople.has(refund_id)) this.#checkFounded(refund_id, to!, event['at']!);
      const told = before === null ? 'REFUND_INITIATED' : TOLD[PUBLIC[to!]!];
      // Nothing moves, but the customer may have money twice, or not at all.
      if (event['kind'] === 'refund.contradicted') changes.set(`${order} ${seq}`, TOLD['MANUAL_REVIEW']!);
      if (told && (before === null || PUBLIC[before] !== PUBLIC[to!])) changes.set(`${order} ${seq}`, told);
    }
  }

  /** Each public change is told in the statement that makes it, and nothing else is. */
  #checkNotified(notifications: readonly NotificationRow[]): void {
    const { changes, told, arnTold, called } = this.#seen;
    for (const n of notifications) {
      if (n.batch_id !== null) continue;
      if (n.event_name === 'REFUND_ARN_CAPTURED') {
        arnTold.add(n.refund_id!);
        continue;
      }
      if (n.event_name === TOLD['MANUAL_REVIEW']) called.add(n.refund_id!);
      const change = `${n.merchant_id} ${n.order_id} ${n.event_seq}`;
      const name = told.get(change) ?? changes.get(change);
      this.must(name === n.event_name, 7, () => `${change} was told as ${n.event_name}, not as ${name}`);
      told.set(change, n.event_name);
    }
    for (const [change, name] of changes) {
      this.must(told.has(change), 7, () => `${change} was not told as ${name}`);
      // Each change is looked at once.
      changes.delete(change);
    }
  }

  #checkRow(row: RefundRow, now: Date): void {
    const last = this.#seen.states.get(row.refund_id);
    this.must(last?.state === row.state && last.seq === row.event_seq, 6, () => {
      return `its last event is ${JSON.stringify(last)}: ${show(row)}`;
    });
    this.must((row.arn !== null) === this.#seen.arnTold.has(row.refund_id), 7, () => {
      return `its reference was not told: ${show(row)}`;
    });
    const waits = row.next_look_at === null ? null : Date.parse(row.next_look_at) - now.getTime();
    this.must((waits === null) === FINAL.has(row.state), 5, () => `it has no next look: ${show(row)}`);
    this.must(waits === null || waits < LONGEST_WAIT_MS, 5, () => `its next look is far: ${show(row)}`);
    const asksAgain = row.recheck_at === null ? 0 : Date.parse(row.recheck_at) - now.getTime();
    this.must(
      asksAgain < LONGEST_WAIT_FOR_RECHECK_MS,
      5,
      () => `it is asked about in a far future: ${show(row)}`,
    );
  }

  #checkSums(transactions: readonly TransactionRow[], refunds: readonly RefundRow[]): void {
    const changed = new Set(refunds.map(txnOf));
    for (const row of transactions) {
      this.#seen.transactions.set(txnOf(row), row);
      changed.add(txnOf(row));
    }
    for (const name of changed) {
      const txn = this.#seen.transactions.get(name)!;
      const sum = this.#seen.heldOf(name);
      this.must(sum <= txn.effective_minor, 1, () => `${name}: ${sum} of ${txn.effective_minor}`);
      this.must(sum === txn.reserved_minor, 1, () => `${name}: ${sum}, and it holds ${txn.reserved_minor}`);
    }
  }

  /** The intent, with its key and bytes, was written before anything reached the gateway. */
  #checkSends(refundId: string): void {
    const arrived = this.#arrived.get(refundId);
    if (!arrived || arrived.times === 0) return;
    const { key, body, times } = arrived;
    const intents = [...(this.#seen.attempts.get(refundId)?.values() ?? [])];
    this.must(intents.length >= times, 3, () => {
      return `refund ${refundId} reached the gateway ${times} times, and ${intents.length} sends are recorded`;
    });
    this.must(
      intents.every(({ request_body }) => request_body === body),
      3,
      () => {
        return `refund ${refundId} reached the gateway with another body than was recorded`;
      },
    );
    this.must(key === null || intents.every(({ idempotency_key }) => idempotency_key === key), 3, () => {
      return `refund ${refundId} was sent with another key`;
    });
  }

  /** Every event is sealed, by checkpoints that follow on each other and that only the master key can have made. */
  async #checkSeals(): Promise<void> {
    const events = await this.#db.query<EventRow>(
      `select merchant_id, order_id, seq, encode(hash, 'hex') as hash from events order by seq`,
    );
    const hashes = new Map(events.map((e) => [`${e.merchant_id} ${e.order_id} ${e.seq}`, e.hash]));
    const last = new Map(events.map((e) => [`${e.merchant_id} ${e.order_id}`, e.seq]));
    const checkpoints = await this.#db.query<CheckpointRow>(
      `select merchant_id, checkpoint_no, sealed_at, orders, hash, seal from audit_checkpoints
       order by merchant_id, checkpoint_no`,
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
      this.must(follows, 6, () => `${name} does not follow on the one before it`);
      const mac = createHmac('sha256', sealingKey).update(hash).digest();
      this.must(mac.equals(seal), 6, () => `${name} does not carry its seal`);
      for (const [orderId, seq, eventHash] of orders) {
        const place = `${merchant_id} ${orderId}`;
        const isSo = hashes.get(`${place} ${seq}`) === eventHash;
        this.must(isSo, 6, () => `${name} seals event ${seq} of ${orderId}, which is not so`);
        this.must(seq > (sealed.get(place) ?? 0), 6, () => `${name} seals ${orderId} up to ${seq} again`);
        sealed.set(place, seq);
      }
    }
    // The first event is that of the order, which the world wrote itself.
    for (const [order, seq] of [...last].filter(([, until]) => until > 1))
      this.must(
        sealed.get(order) === seq,
        6,
        () => `${order} is sealed up to ${sealed.get(order)} of ${seq}`,
      );
  }

  /** What refunds add up to is kept, not counted: it has to be what they add up to. */
  async #checkKeptSums(refunds: readonly RefundRow[]): Promise<void> {
    const kept = await this.#db.query<{ place: string; refunds: number; amount: number }>(
      `select place, sum(refunds)::int as refunds, sum(amount_minor)::bigint as amount from (
         select merchant_id || ' ' || word || ' ' || currency as place, refunds, amount_minor from figures where kind = 'ever'
         union all
         select batch_id || ' ' || state || ' ' || currency, refunds, amount_minor from batch_figures
         union all
         select unnest(array[merchant_id || ' ' || state || ' ' || currency, batch_id || ' ' || state || ' ' || currency]),
                refunds, amount_minor from figure_changes) sums
       where place is not null group by 1`,
    );
    const sums = new Map<string, { refunds: number; amount: number }>();
    for (const { merchant_id, batch_id, state, currency, amount_minor } of refunds)
      for (const of of [merchant_id, ...(batch_id === null ? [] : [batch_id])]) {
        const place = `${of} ${state} ${currency}`;
        const sum = sums.get(place) ?? { refunds: 0, amount: 0 };
        sums.set(place, { refunds: sum.refunds + 1, amount: sum.amount + amount_minor });
      }
    for (const { place, refunds: count, amount } of kept) {
      const sum = sums.get(place) ?? { refunds: 0, amount: 0 };
      sums.delete(place);
      this.must(sum.refunds === count && sum.amount === amount, 10, () => {
        return `kept of ${place}: ${count} refunds over ${amount}, and there are ${sum.refunds} over ${sum.amount}`;
      });
    }
    this.must(sums.size === 0, 10, () => `nothing is kept of ${[...sums.keys()].join(', ')}`);
  }

  /** Each address was told everything it asked for, and what it was told last is true. */
  async #checkTold(refunds: readonly RefundRow[], calm: boolean): Promise<void> {
    if (this.#endpoints.length === 0) return;
    const notifications = await this.#db.query<Record<string, string>>(
      `select merchant_id, order_id, event_name, replace(notification_id::text, '-', '') as hex from notifications`,
    );
    const undelivered = await this.#db.query<Record<string, string>>(
      `select e.url, d.order_id, d.state, d.round_tries from deliveries d join webhook_endpoints e using (merchant_id, endpoint_id)
       where d.state <> 'delivered'`,
    );
    const givenUp = new Set<string>();
    for (const { url, order_id, state, round_tries } of undelivered) {
      const isUsedUp = state === 'given_up' && Number(round_tries) === TRIES_OF_THE_SCHEDULE;
      this.must(isUsedUp, 7, () => `${url} waits for ${order_id} (${state} after ${round_tries} tries)`);
      givenUp.add(`${url} ${order_id}`);
    }
    for (const { url, merchantId, events } of this.#endpoints) {
      for (const { merchant_id, order_id, event_name, hex } of notifications) {
        const isWanted = merchant_id === merchantId && (events ?? TOLD_WITHOUT_ASKING).includes(event_name!);
        if (!isWanted || givenUp.has(`${url} ${order_id}`)) continue;
        const event = `${url} evt_V2_${hex}`;
        this.must(
          this.#acknowledged.has(event),
          7,
          () => `${url} was never told ${event_name} of ${order_id}`,
        );
        this.must(!calm || this.#toldTimes.get(event) === 1, 7, () => `${event} was told more than once`);
      }
      for (const row of refunds) {
        const status = PUBLIC[row.state]!;
        if (row.merchant_id !== merchantId || status === 'PENDING' || givenUp.has(`${url} ${row.order_id}`))
          continue;
        const told = (this.#toldLast.get(`${url} ${row.order_id}`)?.order as Telling | undefined)?.refunds;
        const shown = told?.find((entry) => entry.unique_request_id === row.unique_request_id)?.status;
        this.must(shown === status, 7, () => `${url} was told last that it is ${shown}: ${show(row)}`);
      }
    }
  }

  #touch(refundId: string): void {
    this.#touched.add(refundId);
    this.isDue = true;
  }

  /** The next check is one of everything. */
  #forget(): void {
    this.#books.forget();
    this.#seen = new SeenBooks();
    this.batches.forget();
    for (const refundId of [...this.#accepted.keys(), ...this.#arrived.keys()]) this.#touched.add(refundId);
    this.isDue = true;
  }

  /** Counts a statement of an invariant, and keeps the first that does not hold. */
  must(holds: boolean, invariant: number, what: () => string): void {
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

function txnOf({ merchant_id, txn_id }: { readonly merchant_id: string; readonly txn_id: string }): string {
  return `${merchant_id} ${txn_id}`;
}

/** What has been read of the program's tables so far. */
class SeenBooks {
  readonly refunds = new Map<string, RefundRow>();
  readonly transactions = new Map<string, TransactionRow>();
  readonly attempts = new Map<string, Map<number, AttemptRow>>();
  readonly heads = new Map<string, { readonly seq: number; readonly hash: string }>();
  readonly states = new Map<string, { readonly state: string; readonly seq: number }>();
  /** By order and event: what the merchant must have been told, and has not been looked for yet. */
  readonly changes = new Map<string, string>();
  readonly told = new Map<string, string>();
  readonly arnTold = new Set<string>();
  /** Refunds that their merchants were told to look at. */
  readonly called = new Set<string>();
  readonly leftToPeople = new Set<string>();
  readonly #ofTxn = new Map<string, Set<string>>();

  takeRefund(row: RefundRow): void {
    this.refunds.set(row.refund_id, row);
    const ofTxn = this.#ofTxn.get(txnOf(row)) ?? new Set();
    this.#ofTxn.set(txnOf(row), ofTxn.add(row.refund_id));
  }

  takeAttempt(row: AttemptRow): void {
    const attempts = this.attempts.get(row.refund_id) ?? new Map<number, AttemptRow>();
    this.attempts.set(row.refund_id, attempts.set(row.attempt_no, row));
  }

  refundsOf(merchantId: string, orderId: string): RefundRow[] {
    return [...this.refunds.values()].filter(
      (row) => row.merchant_id === merchantId && row.order_id === orderId,
    );
  }

  restOf(merchantId: string, orderId: string): number {
    // Each order of a world has one payment.
    const txn = txnOf({ merchant_id: merchantId, txn_id: `txn-${orderId}` });
    return this.transactions.get(txn)!.effective_minor - this.heldOf(txn);
  }

  /** What the refunds of a payment that may be, or become, money come to. */
  heldOf(txn: string): number {
    let sum = 0;
    for (const refundId of this.#ofTxn.get(txn) ?? []) {
      const { state, amount_minor } = this.refunds.get(refundId)!;
      if (state !== 'failed' && state !== 'cancelled' && state !== 'reversed') sum += amount_minor;
    }
    return sum;
  }
}

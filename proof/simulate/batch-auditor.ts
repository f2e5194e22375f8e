import type { BatchFileRow, BatchRow, Changes, RefundRow } from './our-books.ts';

/** A row of a file as its maker wrote it. */
export interface WrittenRow {
  readonly orderId: string;
  readonly uniqueRequestId: string;
  /** Null: all that is left. */
  readonly amountMinor: number | null;
  readonly currency: string;
}

/** What a merchant has decided about its batches. */
export interface BatchPolicy {
  readonly needsApproval: boolean;
  readonly waitMs: number;
}

/** A batch as those know it who have to do with it. Written down before it is asked for, but for what was answered. */
interface KnownBatch {
  readonly merchantId: string;
  readonly kind: 'refunds' | 'status_updates';
  /** By row: what was uploaded for it, corrections included. */
  readonly rows: Map<number, WrittenRow[]>;
  /** Who has had a hand in it. */
  readonly makers: Set<string>;
  readonly approvers: Set<string>;
  /** In minor units by currency, for each round that was confirmed. */
  readonly totals: Map<number, ReadonlyMap<string, number>>;
  /** When somebody said the last yes that it needs. */
  yesAtMs: number | null;
  /** Since when it was answered that nothing more goes out. */
  stoppedSinceMs: number | null;
  /** Somebody who was asked to let it go on has not answered, and may do so at any time. */
  mayResumeLate: boolean;
  /** A restore has stopped it, and nobody has said since that it shall go on. */
  rests: boolean;
}

/** The moves that there may be, written down here once more. A restore pauses what runs or waits. */
const MOVES: Readonly<Record<string, readonly string[]>> = {
  uploading: ['checking', 'cancelled'],
  checking: ['checked', 'uploading', 'cancelled'],
  checked: ['checking', 'awaiting_approval', 'waiting', 'running', 'cancelled'],
  awaiting_approval: ['checked', 'waiting', 'running', 'cancelled'],
  waiting: ['running', 'paused', 'cancelled'],
  running: ['paused', 'finished', 'cancelled', 'checking'],
  paused: ['running', 'cancelled'],
  finished: ['checking'],
  cancelled: [],
};
/** The events of a batch that merchants are told of. */
const TOLD: ReadonlySet<string> = new Set(['checked', 'started', 'finished']);
const MAY_BE_REPEATED: ReadonlySet<string> = new Set(['failed', 'cancelled', 'reversed']);
/** A claim from before a pause may be sent until its hold is over. Seconds that processes may be apart are added. */
const LONGEST_HOLD_MS = 70_000;
const MOST_REFUNDS_OF_AN_ORDER = 25;

export interface BatchAuditorParts {
  readonly nowMs: () => number;
  readonly policyOf: (merchantId: string) => BatchPolicy;
  /** How much sooner than planned something may come, as clocks may go ahead. */
  readonly soonerMs: number;
  /** How much later a hold may end, as clocks may go back. */
  readonly longerMs: number;
  readonly must: (holds: boolean, invariant: number, what: () => string) => void;
}

/** What is known of an order. */
export interface OrderFacts {
  readonly refundsOf: (merchantId: string, orderId: string) => readonly RefundRow[];
  /** What is left of its payment, in minor units. */
  readonly restOf: (merchantId: string, orderId: string) => number;
}

/** What must hold of files of refunds, beside what holds of each of their refunds. */
export class BatchAuditor {
  readonly #parts: BatchAuditorParts;
  readonly #known = new Map<string, KnownBatch>();
  readonly #seen = new Map<string, BatchRow>();
  readonly #lastEvents = new Map<string, number>();
  readonly #rows = new Map<string, Map<number, BatchFileRow>>();
  /** By batch and row: the refunds that were made of it. */
  readonly #made = new Map<string, Set<string>>();
  /** By batch and currency: what was made of it, in minor units. */
  readonly #sums = new Map<string, number>();
  #readsAll = true;

  constructor(parts: BatchAuditorParts) {
    this.#parts = parts;
  }

  // What those say who have to do with it ---------------------------------------------------------------------

  begun(batchId: string, merchantId: string, kind: KnownBatch['kind'], by: string): void {
    this.#known.set(batchId, {
      merchantId,
      kind,
      rows: new Map(),
      makers: new Set([by]),
      approvers: new Set(),
      totals: new Map(),
      yesAtMs: null,
      stoppedSinceMs: null,
      mayResumeLate: false,
      rests: false,
    });
  }

  written(batchId: string, rowNo: number, row: WrittenRow): void {
    const { rows } = this.#known.get(batchId)!;
    rows.set(rowNo, [...(rows.get(rowNo) ?? []), row]);
  }

  confirms(batchId: string, round: number, by: string, totals: ReadonlyMap<string, number>): void {
    const batch = this.#known.get(batchId)!;
    batch.makers.add(by);
    batch.totals.set(round, totals);
    this.#yes(batch, this.#parts.policyOf(batch.merchantId).needsApproval ? null : this.#parts.nowMs());
  }

  approves(batchId: string, by: string): void {
    const batch = this.#known.get(batchId)!;
    batch.approvers.add(by);
    this.#yes(batch, this.#parts.nowMs());
  }

  /** A yes that must not be taken: of who is no second person, or to other totals. */
  refused(batchId: string, what: string, wasRefused: boolean): void {
    this.#parts.must(wasRefused, 3, () => `batch ${batchId}: ${what} was taken`);
  }

  resumes(batchId: string): void {
    const batch = this.#known.get(batchId)!;
    batch.stoppedSinceMs = null;
    batch.rests = false;
  }

  mayResumeLate(batchId: string): void {
    this.#known.get(batchId)!.mayResumeLate = true;
  }

  /** It was answered that it is paused, or cancelled for good. */
  stopped(batchId: string, forGood: boolean): void {
    const batch = this.#known.get(batchId)!;
    if (forGood || !batch.mayResumeLate) batch.stoppedSinceMs ??= this.#parts.nowMs();
  }

  merchantOf(batchId: string): string | undefined {
    return this.#known.get(batchId)?.merchantId;
  }

  /** The books are those of a backup again: what ran is to rest until somebody says that it shall go on. */
  restored(): void {
    for (const batch of this.#known.values()) {
      batch.stoppedSinceMs = null;
      batch.rests = true;
    }
  }

  /** A request for one of its refunds has left us. */
  sent(batchId: string, refundId: string, sentMs: number): void {
    const { stoppedSinceMs } = this.#known.get(batchId)!;
    const sinceMs = stoppedSinceMs === null ? 0 : sentMs - stoppedSinceMs;
    this.#parts.must(sinceMs <= LONGEST_HOLD_MS + this.#parts.longerMs, 3, () => {
      return `refund ${refundId} was sent ${sinceMs} ms after its batch ${batchId} was stopped`;
    });
  }

  // What is checked ---------------------------------------------------------------------------------------------

  /** What is known of our books is read anew. */
  forget(): void {
    this.#seen.clear();
    this.#lastEvents.clear();
    this.#rows.clear();
    this.#made.clear();
    this.#sums.clear();
    this.#readsAll = true;
  }

  /** Refunds that were not there before a step, until they are taken in; `before`: the state that one had. */
  checkMade(made: readonly RefundRow[], before: (refundId: string) => string | undefined): void {
    for (const row of made) if (row.batch_id !== null) this.#checkMadeOf(row, before);
  }

  /** Once they are. */
  check(changes: Changes, facts: OrderFacts): void {
    const told = new Set(changes.notifications.map((n) => `${n.batch_id} ${n.event_seq}`));
    for (const { batch_id, seq, kind } of changes.batchEvents) {
      const last = this.#lastEvents.get(batch_id) ?? 0;
      this.#parts.must(seq === last + 1, 6, () => `batch ${batch_id}: ${kind} is event ${seq} after ${last}`);
      this.#lastEvents.set(batch_id, seq);
      this.#parts.must(told.has(`${batch_id} ${seq}`) === TOLD.has(kind), 7, () => {
        return `batch ${batch_id}: ${TOLD.has(kind) ? 'nobody was' : 'somebody was'} told of event ${seq}, ${kind}`;
      });
    }
    for (const row of changes.batches) this.#checkBatch(row);
    for (const row of changes.batchRows) {
      const rows = this.#rows.get(row.batch_id) ?? new Map<number, BatchFileRow>();
      this.#rows.set(row.batch_id, rows.set(row.row_no, row));
      if (!this.#readsAll && row.state === 'refused') this.#checkRefused(row, facts);
    }
    this.#readsAll = false;
  }

  checkEnd(refunds: readonly RefundRow[]): void {
    const must = this.#parts.must;
    for (const [batchId, { status, kind, rows_confirmed, rows_made, rows_refused }] of this.#seen) {
      const mayRest = ['uploading', 'checked', 'finished', 'cancelled'].includes(status);
      must(mayRest, 5, () => `batch ${batchId} has not ended: ${status}`);
      if (status !== 'finished' || kind !== 'refunds') continue;
      const made = new Set(
        refunds
          .filter((row) => row.batch_id === batchId)
          .map((row) => `${row.batch_row} ${row.unique_request_id}`),
      );
      const rows = [...(this.#rows.get(batchId)?.values() ?? [])];
      // A row that was corrected counts as what it is now.
      const isMade = (row: BatchFileRow) => made.has(`${row.row_no} ${row.unique_request_id}`);
      const [madeRows, refused] = [
        rows.filter(isMade).length,
        rows.filter(({ state }) => state === 'refused').length,
      ];
      must(madeRows === rows_made, 5, () => {
        return `batch ${batchId} says that ${rows_made} rows were made, and ${madeRows} were`;
      });
      must(refused === rows_refused, 5, () => {
        return `batch ${batchId} says that ${rows_refused} rows were refused, and ${refused} were`;
      });
      must(rows_confirmed > 0, 5, () => `batch ${batchId} is finished and was not confirmed`);
      for (const row of rows)
        must(isMade(row) || row.state === 'refused' || row.verdict === 'bad', 5, () => {
          return `row ${row.row_no} of batch ${batchId} was never answered`;
        });
    }
  }

  #checkMadeOf(row: RefundRow, before: (refundId: string) => string | undefined): void {
    const must = this.#parts.must;
    const { batch_id, batch_row, refund_id } = row;
    const name = `refund ${refund_id} of row ${batch_row} of batch ${batch_id}`;
    const batch = this.#known.get(batch_id!);
    const written = batch?.rows.get(batch_row!) ?? [];
    const asWritten = written.some(
      (one) =>
        one.orderId === row.order_id &&
        one.uniqueRequestId === row.unique_request_id &&
        one.currency === row.currency &&
        (one.amountMinor === null || one.amountMinor === row.amount_minor),
    );
    must(
      asWritten && batch!.merchantId === row.merchant_id,
      2,
      () => `${name} is not as the row was written`,
    );
    if (!batch) return;
    const { needsApproval, waitMs } = this.#parts.policyOf(batch.merchantId);
    const seconds = [...batch.approvers].filter((by) => !batch.makers.has(by));
    must(batch.totals.size > 0, 3, () => `${name} was made, and nobody has confirmed the batch`);
    must(
      !needsApproval || seconds.length > 0,
      3,
      () => `${name} was made, and no second person has approved it`,
    );
    const ofRow = `${batch_id} ${batch_row}`;
    const earlier = [...(this.#made.get(ofRow) ?? [])];
    this.#made.set(ofRow, new Set([...earlier, refund_id]));
    this.#checkTotals(batch, row);
    if (this.#readsAll) return;
    const { status } = this.#seen.get(batch_id!)!;
    must(status === 'running', 3, () => `${name} was made while the batch was ${status}`);
    must(batch.stoppedSinceMs === null, 3, () => `${name} was made after the batch was stopped`);
    must(
      !batch.rests,
      3,
      () => `${name} was made after a restore, and nobody has said that the batch shall go on`,
    );
    const waitedMs = this.#parts.nowMs() + this.#parts.soonerMs - (batch.yesAtMs ?? Number.POSITIVE_INFINITY);
    must(
      waitedMs >= waitMs,
      3,
      () => `${name} was made ${waitedMs} ms after the yes, and not after ${waitMs} ms`,
    );
    for (const id of earlier)
      must(MAY_BE_REPEATED.has(before(id)!), 3, () => {
        return `${name} was made, and refund ${id} had been made of it, which is ${before(id)}`;
      });
  }

  /** All that was ever made of it is no more than what somebody has confirmed. */
  #checkTotals(batch: KnownBatch, { batch_id, currency, amount_minor }: RefundRow): void {
    const place = `${batch_id} ${currency}`;
    const sum = (this.#sums.get(place) ?? 0) + amount_minor;
    this.#sums.set(place, sum);
    const most = [...batch.totals.values()].reduce((all, totals) => all + (totals.get(currency) ?? 0), 0);
    this.#parts.must(sum <= most, 1, () => {
      return `batch ${batch_id} has made ${sum} ${currency}, and ${most} were confirmed`;
    });
  }

  /** A row that is refused in a step could not have been made. */
  #checkRefused({ batch_id, row_no, unique_request_id, problem }: BatchFileRow, facts: OrderFacts): void {
    const { kind, merchantId, rows } = this.#known.get(batch_id)!;
    if (kind !== 'refunds') return;
    const asItIs = rows.get(row_no)!.find(({ uniqueRequestId }) => uniqueRequestId === unique_request_id)!;
    const { orderId, uniqueRequestId, amountMinor } = asItIs;
    const refunds = facts.refundsOf(merchantId, orderId);
    const isOfRow = (row: RefundRow) => row.batch_id === batch_id && row.batch_row === row_no;
    const isSo: Readonly<Record<string, () => boolean>> = {
      // What was all that was left when it was checked is refused as soon as less is left.
      amount_exceeds_rest: () => amountMinor === null || facts.restOf(merchantId, orderId) < amountMinor,
      duplicate_request_id: () =>
        refunds.some((row) => row.unique_request_id === uniqueRequestId && !isOfRow(row)),
      too_many_refunds: () => refunds.length >= MOST_REFUNDS_OF_AN_ORDER,
    };
    const { code } = problem!;
    this.#parts.must(isSo[code]?.() === true, 5, () => {
      return `row ${row_no} of batch ${batch_id} was refused as ${code}, which is not so`;
    });
  }

  #checkBatch(row: BatchRow): void {
    const must = this.#parts.must;
    const { batch_id, status, event_seq, next_step_at } = row;
    const before = this.#seen.get(batch_id);
    this.#seen.set(batch_id, row);
    must(event_seq === (this.#lastEvents.get(batch_id) ?? 0), 6, () => {
      return `batch ${batch_id} is at event ${event_seq}, and the last is ${this.#lastEvents.get(batch_id)}`;
    });
    // It starts by itself when its wait is over; of that the first row tells.
    const isTold = event_seq !== before?.event_seq || (before.status === 'waiting' && status === 'running');
    must(
      before?.status === status || isTold,
      6,
      () => `batch ${batch_id} has become ${status} without an event`,
    );
    const mayMove =
      before === undefined || before.status === status || MOVES[before.status]!.includes(status);
    must(mayMove, 5, () => `batch ${batch_id} has gone from ${before?.status} to ${status}`);
    const acts = ['checking', 'awaiting_approval', 'waiting', 'running'].includes(status);
    must(!acts || next_step_at !== null, 5, () => `batch ${batch_id} is ${status} and has no next step`);
  }

  #yes(batch: KnownBatch, atMs: number | null): void {
    batch.yesAtMs = atMs;
    batch.rests = false;
  }
}

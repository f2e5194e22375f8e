import { createHash } from 'node:crypto';
import type { Database, Queryable } from '../lib/db.ts';
import { amountText, exponentOf } from '../lib/money.ts';
import type { Vault } from '../lib/vault.ts';
import { checkpointHash, checkpointSeal, type SealedOrder } from './checkpoint.ts';
import {
  type ChainedEvent,
  type ChainHead,
  type OrderRange,
  readAuditedMerchants,
  readChainedEvents,
  readChainHeads,
  readCheckpoints,
  readForgottenOrders,
  readLostSeals,
  readRefundFacts,
  readWrongReserves,
  readWrongSealClaims,
  type StoredCheckpoint,
} from './store.ts';

/** Something that is not as this program would have left it. */
export interface AuditFault {
  readonly merchantId: string;
  readonly orderId: string | null;
  /** The order's event it shows at. */
  readonly seq: number | null;
  readonly checkpointNo: number | null;
  /** What is wrong, as one plain sentence. */
  readonly sentence: string;
}

/** A checkpoint somebody noted down outside the database: it must still be there, unchanged. */
export interface Witness {
  readonly merchantId: string;
  readonly checkpointNo: number;
  /** Hex. */
  readonly hash: string;
}

export interface AuditCounts {
  readonly orders: number;
  readonly events: number;
  readonly refunds: number;
  readonly checkpoints: number;
  readonly faults: number;
}

export interface AuditReport extends AuditCounts {
  /** Per merchant, the newest checkpoint: worth noting down as the next check's witness. */
  readonly newest: readonly Witness[];
}

export interface AuditOptions {
  /** Only this merchant; all of them when absent. */
  readonly merchantId?: string | undefined;
  readonly witnesses?: readonly Witness[] | undefined;
  readonly onFault?: (fault: AuditFault) => void;
  readonly onProgress?: (merchantId: string, counts: AuditCounts) => void;
}

const ORDERS_PER_PAGE = 500;
const EVENTS_PER_PAGE = 2000;
const CHECKPOINTS_PER_PAGE = 20;

/**
 * Checks that nothing was changed, added or taken out behind this program's back: every order's chain of events,
 * every refund against its events, every checkpoint and every event it seals. Reads each merchant as of one
 * moment, page by page, so that memory does not grow with the data; changes nothing.
 */
export async function verifyAudit(
  db: Database,
  vault: Vault,
  options: AuditOptions = {},
): Promise<AuditReport> {
  const counts = { orders: 0, events: 0, refunds: 0, checkpoints: 0, faults: 0 };
  const newest: Witness[] = [];
  const witnesses = options.witnesses ?? [];
  const merchantIds =
    options.merchantId === undefined ? await readAuditedMerchants(db) : [options.merchantId];
  for (const merchantId of new Set([...merchantIds, ...witnesses.map((witness) => witness.merchantId)])) {
    await db.transaction(
      async (tx) => {
        await tx.query('set transaction isolation level repeatable read read only');
        await tx.query('set local statement_timeout = 0');
        const check: MerchantCheck = {
          tx,
          merchantId,
          counts,
          progress: () => options.onProgress?.(merchantId, counts),
          fault(sentence, at) {
            counts.faults += 1;
            options.onFault?.({ merchantId, orderId: null, seq: null, checkpointNo: null, ...at, sentence });
          },
        };
        await verifyOrders(check);
        const last = await verifyCheckpoints(check, vault, witnesses);
        if (last) newest.push(last);
      },
      { patient: true },
    );
  }
  return { ...counts, newest };
}

/** What of an event's content is checked. Nothing is certain of it: it may have been tampered with. */
interface EventBody {
  readonly merchant_id?: unknown;
  readonly order_id?: unknown;
  readonly seq?: unknown;
  readonly at?: unknown;
  readonly kind?: unknown;
  readonly refund_id?: unknown;
  readonly to?: unknown;
  readonly evidence?: Readonly<Record<string, unknown>> | null;
}

interface MerchantCheck {
  readonly tx: Queryable;
  readonly merchantId: string;
  readonly counts: { orders: number; events: number; refunds: number; checkpoints: number; faults: number };
  progress(): void;
  fault(sentence: string, at: Partial<Pick<AuditFault, 'orderId' | 'seq' | 'checkpointNo'>>): void;
}

// Orders: their events, and the refunds that follow from them --------------------------------------------

async function verifyOrders(check: MerchantCheck): Promise<void> {
  let after = '';
  for (;;) {
    const heads = await readChainHeads(check.tx, check.merchantId, after, ORDERS_PER_PAGE);
    // Events and refunds are read for the whole range, so that those whose order is gone show too. What lies
    // behind the last order belongs to the last page.
    const last = heads.length < ORDERS_PER_PAGE;
    const range: OrderRange = { after, upTo: last ? null : heads.at(-1)!.orderId };
    const orders = new Map(heads.map((head) => [head.orderId, newOrderCheck(head.orderId, head)]));
    await verifyEvents(check, range, orders);
    for (const order of orders.values()) verifyHead(check, order);
    await verifyRefunds(check, range, orders);
    check.counts.orders += heads.length;
    check.progress();
    if (range.upTo === null) return;
    after = range.upTo;
  }
}

interface OrderCheck {
  readonly orderId: string;
  /** Null: there are events, but no order. */
  readonly head: ChainHead | null;
  seq: number;
  /** The hash of event `seq`. */
  hash: Buffer;
  readonly refunds: Map<string, RefundTrail>;
}

/** What the events say of one refund. */
interface RefundTrail {
  state: string | null;
  seq: number;
  amount: RecordedAmount | null;
}

/** As it stands in the event, be it nonsense. */
interface RecordedAmount {
  readonly minor: unknown;
  readonly currency: unknown;
}

function recordedWords({ minor, currency }: RecordedAmount, exponent: number): string {
  return typeof minor === 'number' && Number.isSafeInteger(minor)
    ? amountText(minor, exponentOf(String(currency)) ?? exponent, String(currency))
    : `${JSON.stringify(minor)} ${currency}`;
}

function newOrderCheck(orderId: string, head: ChainHead | null): OrderCheck {
  return { orderId, head, seq: 0, hash: Buffer.alloc(0), refunds: new Map() };
}

async function verifyEvents(
  check: MerchantCheck,
  range: OrderRange,
  orders: Map<string, OrderCheck>,
): Promise<void> {
  let from: { orderId: string; seq: number } = { orderId: range.after, seq: Number.MAX_SAFE_INTEGER };
  for (;;) {
    const page = await readChainedEvents(check.tx, check.merchantId, from, range.upTo, EVENTS_PER_PAGE);
    for (const row of page) {
      let order = orders.get(row.orderId);
      if (!order) {
        check.fault('There are events, but the order is gone.', { orderId: row.orderId, seq: row.seq });
        order = newOrderCheck(row.orderId, null);
        orders.set(row.orderId, order);
      }
      verifyEvent(check, order, row);
    }
    check.counts.events += page.length;
    check.progress();
    const lastRow = page.at(-1);
    if (!lastRow || page.length < EVENTS_PER_PAGE) return;
    from = lastRow;
  }
}

function verifyEvent(check: MerchantCheck, order: OrderCheck, row: ChainedEvent): void {
  const at = { orderId: order.orderId, seq: row.seq };
  const gap = missing('Event', order.seq, row.seq);
  if (gap) check.fault(gap, at);
  else if (!hashOf(order.hash, row.body).equals(row.hash)) {
    check.fault(
      'The event does not fit its hash: its content, its hash or the event before it was changed.',
      at,
    );
  }
  order.seq = row.seq;
  order.hash = row.hash;

  const body = Object(JSON.parse(row.body)) as EventBody;
  const differing = (
    [
      ['merchant_id', body.merchant_id, check.merchantId],
      ['order_id', body.order_id, row.orderId],
      ['seq', body.seq, row.seq],
      ['at', body.at, row.at],
    ] as const
  ).filter(([, inBody, inColumn]) => inBody !== inColumn);
  for (const [name, inBody, inColumn] of differing) {
    check.fault(`The event's content says ${name} ${inBody}, its row ${inColumn}.`, at);
  }
  if (typeof body.refund_id === 'string') follow(order, body.refund_id, row.seq, body);
}

function follow(order: OrderCheck, refundId: string, seq: number, body: EventBody): void {
  const trail = order.refunds.get(refundId) ?? { state: null, seq: 0, amount: null };
  order.refunds.set(refundId, trail);
  if (typeof body.to === 'string') trail.state = body.to;
  trail.seq = seq;
  if (body.kind === 'refund.recorded')
    trail.amount = { minor: body.evidence?.['amount_minor'], currency: body.evidence?.['currency'] };
}

/** The hash of an event by its definition, computed here and not by the database's function. */
function hashOf(previous: Buffer, bodyText: string): Buffer {
  return createHash('sha256').update(previous).update(bodyText, 'utf8').digest();
}

function verifyHead(check: MerchantCheck, order: OrderCheck): void {
  if (!order.head) return;
  const { eventSeq, eventHash } = order.head;
  const at = { orderId: order.orderId, seq: order.seq };
  if (order.seq === 0) check.fault('The order has no events.', { orderId: order.orderId });
  else if (eventSeq !== order.seq) {
    check.fault(`The order's head stands at event ${eventSeq}, its events end at ${order.seq}.`, at);
  } else if (!order.hash.equals(eventHash)) {
    check.fault("The order's head does not carry the hash of its last event.", at);
  }
}

async function verifyRefunds(
  check: MerchantCheck,
  range: OrderRange,
  orders: Map<string, OrderCheck>,
): Promise<void> {
  const refunds = await readRefundFacts(check.tx, check.merchantId, range);
  check.counts.refunds += refunds.length;
  for (const refund of refunds) {
    const trails = orders.get(refund.orderId)?.refunds;
    const trail = trails?.get(refund.refundId);
    const at = { orderId: refund.orderId, seq: trail?.seq ?? null };
    if (!trail) {
      check.fault(`Refund ${refund.refundId} has no event.`, at);
      continue;
    }
    trails!.delete(refund.refundId);
    if (trail.state !== refund.state) {
      check.fault(`Refund ${refund.refundId} is ${refund.state}, its last event says ${trail.state}.`, at);
    }
    if (trail.seq !== refund.eventSeq) {
      check.fault(
        `Refund ${refund.refundId} names event ${refund.eventSeq} as its last; it is ${trail.seq}.`,
        at,
      );
    }
    const { amountMinor: minor, currency, exponent } = refund;
    if (trail.amount?.minor !== minor || trail.amount.currency !== currency) {
      const recorded = trail.amount ? recordedWords(trail.amount, exponent) : 'no amount';
      check.fault(
        `Refund ${refund.refundId} is over ${amountText(minor, exponent, currency)}; it was recorded over ${recorded}.`,
        at,
      );
    }
  }
  for (const order of orders.values()) {
    for (const [refundId, trail] of order.refunds) {
      check.fault(`Refund ${refundId} has events, but is gone.`, { orderId: order.orderId, seq: trail.seq });
    }
  }
  for (const wrong of await readWrongReserves(check.tx, check.merchantId, range)) {
    const money = (minor: number) => amountText(minor, wrong.exponent, wrong.currency);
    check.fault(
      `Transaction ${wrong.txnId} holds ${money(wrong.heldMinor)} as refunded; its refunds come to ` +
        `${money(wrong.refundsMinor)} of the ${money(wrong.effectiveMinor)} that were paid.`,
      { orderId: wrong.orderId },
    );
  }
}

// Checkpoints ---------------------------------------------------------------------------------------------

/** Returns the newest checkpoint, or null where there is none. */
async function verifyCheckpoints(
  check: MerchantCheck,
  vault: Vault,
  witnesses: readonly Witness[],
): Promise<Witness | null> {
  let newest: Witness | null = null;
  let previous: StoredCheckpoint | null = null;
  let readable = true;
  const awaited = new Set(witnesses.filter((witness) => witness.merchantId === check.merchantId));
  for (;;) {
    const page: StoredCheckpoint[] = await readCheckpoints(
      check.tx,
      check.merchantId,
      previous?.checkpointNo ?? 0,
      CHECKPOINTS_PER_PAGE,
    );
    for (const checkpoint of page) {
      const orders = sealedOrdersOf(checkpoint.orders);
      verifyCheckpoint(check, vault, previous, checkpoint, orders);
      if (orders) await verifySealed(check, checkpoint.checkpointNo, orders);
      else readable = false;
      const hash = checkpoint.hash.toString('hex');
      newest = { merchantId: check.merchantId, checkpointNo: checkpoint.checkpointNo, hash };
      for (const witness of awaited) {
        if (witness.checkpointNo !== checkpoint.checkpointNo) continue;
        awaited.delete(witness);
        if (witness.hash.toLowerCase() === hash) continue;
        check.fault(`The checkpoint was noted down with the hash ${witness.hash}; it has ${hash}.`, {
          checkpointNo: checkpoint.checkpointNo,
        });
      }
      previous = checkpoint;
    }
    check.counts.checkpoints += page.length;
    check.progress();
    if (page.length < CHECKPOINTS_PER_PAGE) break;
  }
  for (const { checkpointNo } of awaited) {
    check.fault('The checkpoint was noted down, but is gone.', { checkpointNo });
  }
  if (readable) await verifySealClaims(check);
  await verifyNoneForgotten(check);
  return newest;
}

function verifyCheckpoint(
  check: MerchantCheck,
  vault: Vault,
  previous: StoredCheckpoint | null,
  checkpoint: StoredCheckpoint,
  orders: SealedOrder[] | null,
): void {
  const { checkpointNo, sealedAt, hash, seal } = checkpoint;
  const at = { checkpointNo };
  const gap = missing('Checkpoint', previous?.checkpointNo ?? 0, checkpointNo);
  if (gap) check.fault(gap, at);
  if (!orders) check.fault('The content of the checkpoint was changed: it is no list of orders.', at);
  else if (!gap) {
    const content = { merchantId: check.merchantId, checkpointNo, sealedAt, orders };
    if (!checkpointHash(previous?.hash ?? Buffer.alloc(0), content).equals(hash)) {
      check.fault(
        'The checkpoint does not fit its hash: its content, its hash or the one before it was changed.',
        at,
      );
    }
  }
  if (!checkpointSeal(vault, hash).equals(seal)) {
    check.fault('The seal of the checkpoint was not made with this master key.', at);
  }
}

function sealedOrdersOf(orders: unknown): SealedOrder[] | null {
  const whole = (entry: unknown): entry is SealedOrder =>
    Array.isArray(entry) &&
    entry.length === 3 &&
    typeof entry[0] === 'string' &&
    Number.isSafeInteger(entry[1]) &&
    typeof entry[2] === 'string';
  return Array.isArray(orders) && orders.every(whole) ? orders : null;
}

async function verifySealed(
  check: MerchantCheck,
  checkpointNo: number,
  orders: SealedOrder[],
): Promise<void> {
  for (const lost of await readLostSeals(check.tx, check.merchantId, orders)) {
    const { orderId, seq } = lost;
    const what = lost.eventExists
      ? 'has another hash now: the history was rewritten'
      : lost.orderExists
        ? 'is gone'
        : 'is gone, and the order with it';
    check.fault(`Event ${seq}, which the checkpoint seals, ${what}.`, { orderId, seq, checkpointNo });
  }
}

async function verifySealClaims(check: MerchantCheck): Promise<void> {
  for (const { orderId, claimedSeq, sealedSeq } of await readWrongSealClaims(check.tx, check.merchantId)) {
    const found = sealedSeq === 0 ? 'none does' : `the last one that names it goes to event ${sealedSeq}`;
    check.fault(`The order counts as sealed up to event ${claimedSeq} by a checkpoint; ${found}.`, {
      orderId,
      seq: claimedSeq,
    });
  }
}

async function verifyNoneForgotten(check: MerchantCheck): Promise<void> {
  for (const { orderId, sealedSeq } of await readForgottenOrders(check.tx, check.merchantId)) {
    check.fault(
      `The order has events after event ${sealedSeq}, but is not among those that wait to be sealed.`,
      {
        orderId,
        seq: sealedSeq + 1,
      },
    );
  }
}

/** What lies between two numbers that should follow on each other, or null where they do. */
function missing(what: string, last: number, next: number): string | null {
  if (next === last + 1) return null;
  return next === last + 2
    ? `${what} ${last + 1} is missing.`
    : `${what}s ${last + 1} to ${next - 1} are missing.`;
}

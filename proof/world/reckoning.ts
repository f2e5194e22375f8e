import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.ts';
import type { ShopBooks } from './shop.ts';
import type { World } from './world.ts';

/** What the books say once they agree. */
export interface Reckoning {
  readonly accepted: number;
  /** How many of our refunds are in each state. */
  readonly byState: Readonly<Record<string, number>>;
  /** Entries in the gateway's books that moved money, those taken back included. */
  readonly payouts: number;
  /** What the gateway has paid and not taken back, in minor units. */
  readonly paidMinor: number;
  /** Refunds that people asked the gateway about, as they would do with those in manual review. */
  readonly askedAbout: number;
  readonly waitedMs: number;
}

/** Something that can never become right again. */
export class Wrong extends Error {}

interface Ours {
  readonly refund_id: string;
  readonly order_id: string;
  readonly unique_request_id: string;
  readonly amount: string;
  readonly currency: string;
  readonly status: string;
  readonly state: string;
  readonly arn: string | null;
  readonly sends: number;
}

interface Theirs {
  readonly id: string;
  readonly refund_id: string;
  readonly order_id: string;
  readonly amount: string;
  readonly amount_minor: number;
  readonly currency: string;
  readonly status: string;
  readonly arn: string | null;
}

/**
 * Waits until every refund has ended and the three books agree to the last unit: ours, as callers read them; the
 * gateway's; and the merchant's, who has what they asked for and what they were told. Throws `Wrong` at once where
 * money was lost or sent twice, and with all that still differs when the patience is over.
 */
export async function reckon(
  world: Pick<World, 'client' | 'gatewayBooks' | 'receiver'>,
  shop: ShopBooks,
  patienceMs: number,
): Promise<Reckoning> {
  const begunAt = Date.now();
  let askedAbout = 0;
  for (;;) {
    const ours = await readAll<Ours>(world.client, '/v1/refunds?limit=500');
    const theirs = await readAll<Theirs>(world.gatewayBooks, '/refunds?limit=1000');
    const byRefund = Map.groupBy(theirs ?? [], (entry) => entry.refund_id);
    let differs: string[];
    if (ours === null || theirs === null) {
      differs = ['the books cannot be read'];
    } else {
      const wrong = findWrong(ours, byRefund, shop);
      if (wrong.length > 0) throw new Wrong(listOf(wrong));
      askedAbout += await askAboutDoubtful(world.client, ours, byRefund);
      differs = ours.flatMap((refund) => differenceOf(refund, byRefund.get(refund.refund_id)?.[0]));
      if (differs.length === 0) differs = await compareOrders(world, ours, shop);
      if (differs.length === 0) {
        const moved = theirs.filter(({ status }) => status === 'succeeded' || status === 'reversed');
        return {
          accepted: ours.length,
          byState: countBy(ours, (refund) => refund.state),
          payouts: moved.length,
          paidMinor: sum(
            moved.filter(({ status }) => status === 'succeeded').map((entry) => entry.amount_minor),
          ),
          askedAbout,
          waitedMs: Date.now() - begunAt,
        };
      }
    }
    if (Date.now() - begunAt > patienceMs) throw new Wrong(`after ${patienceMs} ms:\n${listOf(differs)}`);
    await sleep(500);
  }
}

// What must never be ------------------------------------------------------------------------------------

function findWrong(ours: readonly Ours[], theirs: ReadonlyMap<string, Theirs[]>, shop: ShopBooks): string[] {
  const byKey = Map.groupBy(ours, (refund) => refund.unique_request_id);
  const byId = new Map(ours.map((refund) => [refund.refund_id, refund]));
  const wrong: string[] = [...shop.wrong];
  for (const asked of shop.asked.values()) {
    const found = byKey.get(asked.key) ?? [];
    if (found.length > 1) wrong.push(`${asked.key} made ${found.length} refunds (invariant 2)`);
    if (asked.outcome === 'kept' && found.length === 0)
      wrong.push(`${asked.key} was accepted and is lost (invariant 4)`);
    if (asked.outcome === 'refused' && !asked.gaveUp && found.length > 0)
      wrong.push(`${asked.key} was refused, and there is a refund`);
    for (const refund of found) {
      if (minor(refund.amount) !== asked.amountMinor || refund.order_id !== asked.orderId)
        wrong.push(`${asked.key} became ${refund.amount} of order ${refund.order_id}`);
      if (asked.cancelled && refund.state !== 'cancelled')
        wrong.push(`${asked.key} was cancelled, and is ${refund.state}`);
    }
  }
  for (const key of byKey.keys()) if (!shop.asked.has(key)) wrong.push(`nobody asked for ${key}`);
  for (const [refundId, entries] of theirs) {
    const refund = byId.get(refundId);
    const key = refund?.unique_request_id;
    if (!refund) wrong.push(`the gateway paid ${refundId}, which is not ours`);
    if (entries.length > 1) wrong.push(`${key} was sent ${entries.length} times (invariant 3)`);
    if (refund && (entries[0]!.amount !== refund.amount || entries[0]!.currency !== refund.currency))
      wrong.push(`${key} is ${refund.amount} here and ${entries[0]!.amount} at the gateway`);
    if (refund?.state === 'cancelled') wrong.push(`${key} is cancelled, and the gateway has it`);
  }
  const ofOrder = Map.groupBy([...theirs.values()].flat(), (entry) => entry.order_id);
  for (const [orderId, entries] of ofOrder) {
    const paid = sum(entries.filter((e) => e.status === 'succeeded').map((e) => e.amount_minor));
    if (paid > (shop.orders.get(orderId) ?? 0)) wrong.push(`order ${orderId} got ${paid} back (invariant 1)`);
  }
  return wrong;
}

// What has to become equal ------------------------------------------------------------------------------

/**
 * The gateway's status that fits each of our ends; null: no entry at all. One that was paid and taken back before
 * anybody could ask is failed here: nobody was ever told of a success.
 */
const FITTING: Readonly<Record<string, readonly (string | null)[]>> = {
  succeeded: ['succeeded'],
  reversed: ['reversed'],
  failed: ['failed', 'reversed', null],
  cancelled: [null],
  manual_review: ['pending', null],
};

function differenceOf(refund: Ours, entry: Theirs | undefined): string[] {
  const about = `${refund.unique_request_id} is ${refund.state} here and ${entry?.status ?? 'unknown'} at the gateway`;
  if (!FITTING[refund.state]?.includes(entry?.status ?? null)) return [about];
  if (refund.state === 'succeeded' && refund.arn !== entry!.arn)
    return [`${about}; its ARN is ${refund.arn} here and ${entry!.arn} there`];
  return [];
}

/** Those in manual review that the gateway knows an outcome of are asked about, as docs/operating.md tells people to. */
async function askAboutDoubtful(
  client: Client,
  ours: readonly Ours[],
  theirs: ReadonlyMap<string, Theirs[]>,
): Promise<number> {
  const doubtful = ours.filter(
    ({ state, refund_id }) =>
      state === 'manual_review' && theirs.get(refund_id)?.some(({ status }) => status !== 'pending'),
  );
  for (const { refund_id } of doubtful) await client.post(`/v1/refunds/${refund_id}/sync`, {});
  return doubtful.length;
}

/** Which public status each state has, by the contract's words. */
const PUBLIC: Readonly<Record<string, string>> = {
  succeeded: 'SUCCESS',
  failed: 'FAILURE',
  cancelled: 'FAILURE',
  reversed: 'FAILURE',
  manual_review: 'MANUAL_REVIEW',
};
const EVENT_OF: Readonly<Record<string, string>> = {
  SUCCESS: 'ORDER_REFUNDED',
  FAILURE: 'ORDER_REFUND_FAILED',
  MANUAL_REVIEW: 'REFUND_MANUAL_REVIEW_NEEDED',
};

async function compareOrders(
  world: Pick<World, 'client' | 'receiver'>,
  ours: readonly Ours[],
  shop: ShopBooks,
): Promise<string[]> {
  const byOrder = Map.groupBy(ours, (refund) => refund.order_id);
  const differs = [...world.receiver.wrong];
  const waiting = [...shop.orders.keys()];
  const compareNext = async () => {
    for (let orderId = waiting.pop(); orderId !== undefined; orderId = waiting.pop())
      differs.push(...(await compareOrder(world, orderId, byOrder.get(orderId) ?? [])));
  };
  await Promise.all([1, 2, 3, 4].map(compareNext));
  return differs;
}

async function compareOrder(
  { client, receiver }: Pick<World, 'client' | 'receiver'>,
  orderId: string,
  refunds: readonly Ours[],
): Promise<string[]> {
  const order = await client.get(`/orders/${orderId}`);
  const trail = await client.get(`/v1/orders/${orderId}/events`);
  if (order.status !== 200 || trail.status !== 200) return [`order ${orderId} cannot be read`];
  const differs: string[] = [];

  const expected = statusesOf(refunds.map((r) => [r.unique_request_id, PUBLIC[r.state]!]));
  const shown = statusesOf(
    (order.body.refunds ?? []).map((r: { unique_request_id: string; status: string }) => [
      r.unique_request_id,
      r.status,
    ]),
  );
  if (shown !== expected) differs.push(`the status of order ${orderId} shows ${shown}, not ${expected}`);
  const reserved = sum(refunds.filter((r) => PUBLIC[r.state] !== 'FAILURE').map((r) => minor(r.amount)));
  if (Math.round(order.body.amount_refunded * 100) !== reserved)
    differs.push(`order ${orderId} says ${order.body.amount_refunded} refunded, not ${reserved} minor units`);

  if (refunds.length > 0) {
    const told = receiver.lastTold(orderId);
    const [newest, last] = [told?.bySequence, told?.byArrival].map((t) =>
      statusesOf([...(t?.statuses ?? [])]),
    );
    if (newest !== expected)
      differs.push(`the merchant believes ${newest} of order ${orderId}, not ${expected}`);
    if (last !== expected)
      differs.push(`the merchant was last told ${last} of order ${orderId}, not ${expected}`);
  }
  const changes = changesOf(trail.body.events);
  for (const name of ['REFUND_INITIATED', ...Object.values(EVENT_OF)]) {
    const due = changes.filter((change) => change === name).length;
    const told = receiver.events(orderId, name);
    if (told !== due)
      differs.push(`order ${orderId} has ${due} ${name}, and the merchant was told of ${told}`);
  }
  return differs;
}

/** The event that each public change of a refund in the trail calls for. */
function changesOf(
  events: readonly { refund_id: string | null; from: string | null; to: string | null }[],
): string[] {
  return events.flatMap(({ refund_id, from, to }) => {
    if (refund_id === null || to === null) return [];
    if (from === null) return ['REFUND_INITIATED'];
    const [before, after] = [PUBLIC[from] ?? 'PENDING', PUBLIC[to] ?? 'PENDING'];
    return before === after ? [] : [EVENT_OF[after] ?? after];
  });
}

// Small parts -------------------------------------------------------------------------------------------

async function readAll<Row>(client: Client, path: string): Promise<Row[] | null> {
  const all: Row[] = [];
  let cursor = '';
  for (;;) {
    const { status, body } = await client.get(`${path}${cursor}`);
    if (status !== 200) return null;
    all.push(...body.refunds);
    if (body.next_cursor === null) return all;
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
  }
}

function statusesOf(pairs: readonly (readonly [string, string])[]): string {
  return pairs
    .map(([key, status]) => `${key} ${status}`)
    .sort()
    .join(', ');
}

function minor(amount: string): number {
  return Math.round(Number(amount) * 100);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

export function countBy<Item>(
  items: readonly Item[],
  wordOf: (item: Item) => string,
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[wordOf(item)] = (counts[wordOf(item)] ?? 0) + 1;
  return counts;
}

function listOf(sentences: readonly string[]): string {
  const shown = sentences.slice(0, 20);
  return [...shown, ...(sentences.length > 20 ? [`… and ${sentences.length - 20} more`] : [])].join('\n');
}

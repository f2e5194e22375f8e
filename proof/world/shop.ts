import { setTimeout as sleep } from 'node:timers/promises';
import { formatAmount } from '../../src/lib/money.ts';
import type { Chance } from './chance.ts';
import type { Client } from './client.ts';
import { DOORS, type Door, type Wanted } from './doors.ts';

/** What the merchant knows of a refund that they asked for. */
export interface Asked extends Wanted {
  readonly amountMinor: number;
  /** kept: they were told that there is one, once or more; refused: each time no; unanswered: they cannot know. */
  outcome: 'kept' | 'refused' | 'unanswered';
  /** Some caller stopped asking without an answer: whatever others were told, there may be one. */
  gaveUp: boolean;
  refundId: string | null;
  /** They were told that it is cancelled. */
  cancelled: boolean;
}

/** The merchant's own books. */
export interface ShopBooks {
  /** What each order paid, in minor units. */
  readonly orders: Map<string, number>;
  /** By key; keys are unique over all orders. */
  readonly asked: Map<string, Asked>;
  /** Answers that no merchant should have got. */
  readonly wrong: string[];
  /** Requests of any kind that got no answer. */
  unanswered: number;
}

export function emptyBooks(): ShopBooks {
  return { orders: new Map(), asked: new Map(), wrong: [], unanswered: 0 };
}

/** How the gateway will behave, as often as it stands here. `docs/sandbox.md` says what each does. */
const BEHAVIOURS = [
  ...Array<string>(8).fill('sbx_ok'),
  ...['sbx_slow', 'sbx_slow', 'sbx_fail', 'sbx_refuse', 'sbx_lost', 'sbx_busy', 'sbx_dup', 'sbx_dup'],
  ...['sbx_funds', 'sbx_reverse', 'sbx_stuck'],
];
const PAID_MINOR = 10_000;
const RETRY_MS = 200;
const LONGEST_MS = 90_000;

/** An order that the customer has paid. Asks until it is recorded; `behaviour` chooses what its refunds will do. */
export async function sell(
  shop: { readonly client: Client; readonly books: ShopBooks },
  orderId: string,
  behaviour: string,
): Promise<{ readonly orderId: string; readonly txnId: string }> {
  const payment = {
    order_id: orderId,
    amount: formatAmount(PAID_MINOR, 2),
    currency: 'INR',
    status: 'CHARGED',
    gateway: 'SANDBOX',
    gateway_payment_id: `${behaviour}_${orderId}`,
    payment_method_type: 'CARD',
    payment_method: 'VISA',
  };
  for (const giveUpAt = Date.now() + LONGEST_MS; Date.now() < giveUpAt; await sleep(RETRY_MS)) {
    const { status, body } = await shop.client.post('/v1/transactions', payment);
    if (status === 200) {
      shop.books.orders.set(orderId, PAID_MINOR);
      return { orderId, txnId: body.txn_id };
    }
    if (status >= 400 && status < 500)
      throw new Error(`the order ${orderId} was refused: ${JSON.stringify(body)}`);
    shop.books.unanswered++;
  }
  throw new Error(`the order ${orderId} could not be recorded for ${LONGEST_MS} ms`);
}

/** Asks for a refund through the door until something certain is said, or this often. */
export async function ask(
  shop: { readonly client: Client; readonly books: ShopBooks },
  wanted: Wanted,
  door: Door,
  mostTries: number,
): Promise<Asked> {
  const { books, client } = shop;
  const asked: Asked = books.asked.get(wanted.key) ?? {
    ...wanted,
    amountMinor: Math.round(Number(wanted.amount) * 100),
    outcome: 'unanswered',
    gaveUp: false,
    refundId: null,
    cancelled: false,
  };
  books.asked.set(wanted.key, asked);
  for (let tries = 1; ; tries++) {
    const told = await door.ask(client, wanted);
    if (told.kind === 'accepted' || told.kind === 'known') {
      if (told.kind === 'accepted') asked.refundId ??= told.refundId;
      asked.outcome = 'kept';
      return asked;
    }
    if (told.kind === 'refused') {
      if (!/exceed/.test(told.why)) books.wrong.push(`${door.name} refused ${wanted.key}: ${told.why}`);
      if (asked.outcome !== 'kept') asked.outcome = 'refused';
      return asked;
    }
    books.unanswered++;
    if (tries >= mostTries) {
      asked.gaveUp = true;
      return asked;
    }
    await sleep(RETRY_MS);
  }
}

/**
 * A while of business: orders are paid and refunded, in parts that sometimes are more than was paid, through every
 * door, some twice at once, some of them cancelled or asked about at once. Most callers insist until they are
 * answered; some give up. Chance alone decides what is asked and when.
 */
export async function trade(
  shop: { readonly client: Client; readonly books: ShopBooks },
  chance: Chance,
  plan: {
    readonly name: string;
    readonly orders: number;
    readonly spreadMs: number;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const customers = Array.from({ length: plan.orders }, (_, n) => {
    const startsAtMs = chance.between(0, plan.spreadMs);
    const behaviour = chance.pick(BEHAVIOURS);
    // Parts of different sizes: the same amount twice within seconds would be refused as a slip.
    const parts = Array.from({ length: chance.between(1, 4) }, (_, part) => ({
      amountMinor: chance.percent(7) ? 9_000 + part : 1_000 * (part + 1) + chance.between(1, 99),
      afterMs: chance.between(0, plan.spreadMs / 4),
      doors: chance.percent(20) ? [chance.pick(DOORS), chance.pick(DOORS)] : [chance.pick(DOORS)],
      mostTries: chance.percent(20) ? 1 : LONGEST_MS / RETRY_MS,
      followUp: chance.percent(10) ? chance.pick(['cancel', 'sync']) : null,
    }));
    return { orderId: `${plan.name}-${n}`, startsAtMs, behaviour, parts };
  });
  await Promise.all(
    customers.map(async ({ orderId, startsAtMs, behaviour, parts }) => {
      await sleep(startsAtMs);
      const order = await sell(shop, orderId, behaviour);
      await Promise.all(
        parts.map(async ({ amountMinor, afterMs, doors, mostTries, followUp }, part) => {
          await sleep(afterMs);
          const wanted = { ...order, key: `${orderId}.${part}`, amount: formatAmount(amountMinor, 2) };
          await Promise.all(doors.map((door) => ask(shop, wanted, door, mostTries)));
          const { refundId } = shop.books.asked.get(wanted.key)!;
          if (followUp === null || refundId === null) return;
          const { status } = await shop.client.post(`/v1/refunds/${refundId}/${followUp}`, {});
          if (followUp === 'cancel' && status === 200) shop.books.asked.get(wanted.key)!.cancelled = true;
        }),
      );
    }),
  );
}

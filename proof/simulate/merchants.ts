import type { Database } from '../../src/lib/db.ts';
import { formatAmount } from '../../src/lib/money.ts';
import type { Auditor } from './auditor.ts';
import type { Chance } from './chance.ts';
import { type AskedRefund, DOORS, type DoorAnswer, type SimulatedDoor } from './doors.ts';
import type { Faults } from './faults.ts';
import type { FilePeople } from './files.ts';
import type { Order } from './first-books.ts';
import type { Process } from './process.ts';
import type { Timeline } from './timeline.ts';

export interface MerchantWorld {
  readonly db: Database;
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly chance: Chance;
  readonly auditor: Auditor;
  readonly orders: readonly Order[];
  readonly files: FilePeople;
  readonly hasFiles: boolean;
  readonly startMs: number;
  /** One of the processes that answer requests. */
  door(): Process;
  /** All our machines are gone. */
  isDown(): boolean;
  /** Has the gateway of an order say no to every refund of it until then. */
  refuse(order: Order, untilMs: number): void;
  /** A merchant was told that a refund is accepted. */
  accepted(refundId: string, order: Order): void;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const MORE_THAN_AN_ORDER_MAY_HAVE = 27;
const TRIES_APART_MS = 4 * MINUTE;

/** Merchants who ask for refunds by every way in, and ask again until they are answered, or when a refund came to nothing. */
export class Merchants {
  readonly #world: MerchantWorld;
  readonly #asked = new Map<string, number>();
  readonly #accepted = new Map<string, AskedRefund>();

  constructor(world: MerchantWorld) {
    this.#world = world;
  }

  plan(refunds: number): void {
    const { timeline, faults, chance } = this.#world;
    let left = refunds;
    while (left > 0) {
      const door = this.#pickDoor();
      const ofOne = chance.pick(this.#world.orders).merchantId;
      const orders = this.#world.orders.filter(
        (order) => !door.isOfOneMerchant || order.merchantId === ofOne,
      );
      const list = Array.from({ length: Math.min(left, chance.whole(1, door.most)) }, () =>
        this.#newRequest(chance.pick(orders)),
      );
      left -= list.length;
      if (faults.strikes('asked again under the same id')) list.push(chance.pick(list));
      const atMs = this.#world.startMs + chance.whole(0, 20) * 3 * MINUTE;
      timeline.at(atMs, () => this.#ask(list, 0, door));
    }
  }

  /** Asks for a little of one payment more often than an order may have refunds, while its gateway refuses it every time. */
  tryTimeAndAgain(): void {
    const { timeline, faults, chance, orders, startMs } = this.#world;
    if (!faults.strikes('refused time and again')) return;
    const order = chance.pick(orders);
    this.#world.refuse(order, startMs + MORE_THAN_AN_ORDER_MAY_HAVE * TRIES_APART_MS);
    for (let n = 0; n <= MORE_THAN_AN_ORDER_MAY_HAVE; n++)
      timeline.at(startMs + n * TRIES_APART_MS, () => this.#ask([this.#newRequest(order, 1)], 0));
  }

  /** Asks again for most of what a restore has lost. */
  askForLost(refundIds: ReadonlySet<string>): void {
    const { timeline, chance } = this.#world;
    for (const [refundId, asked] of this.#accepted)
      if (!refundIds.has(refundId) && chance.hit(0.7))
        timeline.at(timeline.nowMs + chance.whole(0, 6 * HOUR), () => this.#ask([asked], 0));
  }

  newRequestId(merchantId: string): string {
    const no = (this.#asked.get(merchantId) ?? 0) + 1;
    this.#asked.set(merchantId, no);
    return `request-${String(no).padStart(5, '0')}`;
  }

  #newRequest(order: Order, amountMinor?: number): AskedRefund {
    const { chance } = this.#world;
    const part = amountMinor ?? chance.whole(1, Math.max(1, Math.ceil(order.amountMinor / 2)));
    return {
      merchantId: order.merchantId,
      orderId: order.orderId,
      uniqueRequestId: this.newRequestId(order.merchantId),
      amount: amountMinor === undefined && chance.hit(0.2) ? 'full' : formatAmount(part, order.exponent),
      currency: order.currency,
      exponent: order.exponent,
    };
  }

  /** A merchant asks again under the same ids until it has been answered. */
  #ask(list: readonly AskedRefund[], time: number, door: SimulatedDoor = this.#pickDoorOfOne(list)): void {
    const { timeline, faults, chance, auditor, files } = this.#world;
    let answered = false;
    const again = () => {
      if (!answered && time < 20) this.#ask(list, this.#world.isDown() ? time : time + 1);
      // An error and a wait that is over are one reason to ask again, not two.
      answered = true;
    };
    for (const refund of time === 0 ? list : []) auditor.waits(refund);
    door.ask({ process: this.#world.door(), files }, list).then(
      (answers) => {
        answered = true;
        for (const [n, asked] of list.entries()) this.#answered(asked, answers[n]!);
        if (faults.strikes('asked again under the same id'))
          timeline.at(timeline.nowMs + chance.whole(0, HOUR), () => this.#ask(list, 20));
      },
      () => timeline.at(timeline.nowMs + SECOND, again),
    );
    if (door.patienceMs !== null) timeline.at(timeline.nowMs + door.patienceMs, again);
  }

  /** One that takes just this list. */
  #pickDoorOfOne(list: readonly AskedRefund[]): SimulatedDoor {
    const isOfOne = list.every(({ merchantId }) => merchantId === list[0]!.merchantId);
    const doors = DOORS.filter(
      (d) => (this.#world.hasFiles || !d.isForFiles) && (isOfOne || !d.isOfOneMerchant),
    );
    return this.#world.chance.pick(doors);
  }

  #pickDoor(): SimulatedDoor {
    return this.#world.chance.pick(DOORS.filter(({ isForFiles }) => this.#world.hasFiles || !isForFiles));
  }

  #answered(asked: AskedRefund, answer: DoorAnswer): void {
    const { timeline, faults, chance, auditor } = this.#world;
    auditor.answered(asked);
    if (answer.kind === 'known') auditor.saidKnown(asked);
    if (answer.kind === 'refused') auditor.refusedAtDoor(asked, answer.code);
    if (answer.kind !== 'accepted') return;
    const { refundId } = answer.refund;
    auditor.accepted({ ...asked, ...answer.refund });
    this.#accepted.set(refundId, asked);
    this.#world.accepted(refundId, this.#orderOf(asked));
    if (faults.strikes('asked again under a new id'))
      timeline.at(timeline.nowMs + chance.whole(0, 24 * HOUR), () => this.#askAnew(refundId, asked));
  }

  /** Merchants give back under a new id what has failed. */
  #askAnew(refundId: string, asked: AskedRefund): void {
    const { db, timeline } = this.#world;
    const order = this.#orderOf(asked);
    const work = async () => {
      const [row] = await db.query<{ state: string; amount_minor: number }>(
        'select state, amount_minor from refunds where merchant_id = $1 and refund_id = $2',
        [asked.merchantId, refundId],
      );
      if (row?.state === 'failed' || row?.state === 'reversed' || row?.state === 'cancelled')
        this.#ask([this.#newRequest(order, row.amount_minor)], 0);
    };
    void timeline.io(work);
  }

  #orderOf(asked: AskedRefund): Order {
    return this.#world.orders.find(
      ({ merchantId, orderId }) => merchantId === asked.merchantId && orderId === asked.orderId,
    )!;
  }
}

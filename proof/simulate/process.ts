import { createRenderOrder } from '../../src/api/juspay/render-order.ts';
import { sealEvents } from '../../src/audit/checkpoint.ts';
import type { GatewayAccountAccess, GatewayHttp } from '../../src/gateways/gateway.ts';
import type { GatewayRegistry } from '../../src/gateways/registry.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { TOLERATED_APART_MS } from '../../src/lib/database-clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { createLogger } from '../../src/lib/log.ts';
import type { Vault } from '../../src/lib/vault.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import type { Restored } from '../../src/refunds/restored.ts';
import { createRefundRounds } from '../../src/refunds/worker.ts';
import { createChangeWriter } from '../../src/refunds/writer.ts';
import { createDeliveryRounds } from '../../src/webhooks/deliver.ts';
import type { Chance } from './chance.ts';
import type { Faults } from './faults.ts';
import type { Receivers } from './receiver.ts';
import { neverMore, type Owner, type Timeline } from './timeline.ts';

/** What all processes of a world share. */
export interface World {
  readonly db: Database;
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly gateways: GatewayRegistry;
  readonly manualReviewAfterMs: number;
  /** The last restore of the books. */
  readonly restored: Restored | null;
  /** How far our machines' clocks are from the true time. */
  clockOffsetMs: number;
  openAccess(gatewayAccountId: string): GatewayAccountAccess | null;
  httpOf(owner: Owner): GatewayHttp;
  readonly vault: Vault;
  readonly receivers: Receivers;
  /** There may be work for workers. */
  wake(): void;
  /** There may be something to tell merchants. */
  wakeTellers(): void;
}

export type LoopName = 'refunds' | 'webhooks' | 'sealer';

/** One of our processes: the real engine, whose every step outside itself is a turn of the world's timeline. */
export class Process implements Owner {
  alive = true;
  stalledUntilMs = 0;
  readonly deps: EngineDeps;
  readonly #rounds: Readonly<Record<LoopName, () => Promise<boolean>>>;
  readonly #underWay = new Set<LoopName>();

  constructor(world: World, chance: Chance) {
    const skewMs = world.faults.strikes('clocks apart')
      ? chance.pick([
          -TOLERATED_APART_MS,
          chance.whole(-TOLERATED_APART_MS, TOLERATED_APART_MS),
          TOLERATED_APART_MS,
        ])
      : 0;
    const clock: Clock = { now: () => new Date(world.timeline.nowMs + world.clockOffsetMs + skewMs) };
    const db = databaseOf(world, this, chance);
    this.deps = {
      db,
      clock,
      random: () => chance.next(),
      log: SILENT,
      write: createChangeWriter(db, clock),
      gateways: world.gateways,
      gatewayHttp: world.httpOf(this),
      openAccess: async (accountId) => world.openAccess(accountId),
      webhookUrlOf: (accountId) => `http://refundry.test/gateways/${accountId}/webhooks`,
      manualReviewAfterMs: world.manualReviewAfterMs,
      restored: world.restored,
      wake: () => world.wake(),
    };
    const { vault } = world;
    const tellers = {
      ...this.deps,
      vault,
      sender: world.receivers.senderOf(this, clock),
      renderOrder: createRenderOrder(db, { publicUrl: 'http://refundry.test', gateways: world.gateways }),
      renderBatch: async () => null,
      monotonicMs: () => world.timeline.nowMs,
    };
    const sealer = { db, clock, vault, log: SILENT };
    this.#rounds = {
      refunds: createRefundRounds(this.deps, () => world.wake()).tick,
      webhooks: createDeliveryRounds(tellers, () => world.wakeTellers()).tick,
      sealer: async () => (await sealEvents(sealer)) > 0,
    };
  }

  /** Begins a round of one of its loops, where none is under way; `done` hears whether it found work. */
  begin(loop: LoopName, done: (more: boolean) => void = () => undefined): void {
    if (!this.alive || this.#underWay.has(loop)) return;
    this.#underWay.add(loop);
    const end = (more: boolean) => {
      this.#underWay.delete(loop);
      done(more);
    };
    this.#rounds[loop]().then(end, () => end(true));
  }
}

const SILENT = createLogger('silent');

class BrokenConnection extends Error {}

function databaseOf({ db, timeline, faults }: World, owner: Owner, chance: Chance): Database {
  async function take<Result>(statement: () => Promise<Result>, isSend = false): Promise<Result> {
    const turn = await timeline.turn(owner);
    if (faults.strikes('connection broke before the statement')) throw new BrokenConnection('not begun');
    const result = await timeline.io(statement);
    if (turn === 'last') return neverMore();
    if (isSend && faults.strikes('told late that a send was written')) {
      // Long enough for others to look, to prove that nothing was sent, and to send.
      const waitMs = chance.pick([1_000, 40_000, 10 * 60_000, 60 * 60_000, 3 * 60 * 60_000]);
      if ((await timeline.turn(owner, timeline.nowMs + waitMs)) === 'last') return neverMore();
    }
    if (faults.strikes('connection broke after the statement')) throw new BrokenConnection('done, not told');
    return result;
  }
  return {
    query: <Row>(text: string, params?: readonly unknown[]) =>
      take(async () => inOneOrder(await db.query<Row>(text, params)), isSend(text, params)),
    transaction: (work) => take(() => db.transaction(work)),
    connect: () => db.connect(),
    close: async () => undefined,
  };
}

/** Whether it writes that a gateway is about to be asked. */
function isSend(text: string, params: readonly unknown[] | undefined): boolean {
  return text.includes('move_refunds') && String(params?.[1]).includes('"to_state":"sending"');
}

/** PostgreSQL may give rows in any order, and ids are new in every run: a replay needs the same order again. */
function inOneOrder<Row>(rows: Row[]): Row[] {
  const first = rows[0] as Record<string, unknown> | undefined;
  if (rows.length < 2 || first?.['unique_request_id'] === undefined) return rows;
  const place = (row: Row) => {
    const { order_id, unique_request_id } = row as Record<string, string>;
    return `${order_id} ${unique_request_id}`;
  };
  return rows.toSorted((a, b) => (place(a) < place(b) ? -1 : 1));
}

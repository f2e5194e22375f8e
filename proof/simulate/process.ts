import type { GatewayAccountAccess, GatewayHttp } from '../../src/gateways/gateway.ts';
import type { GatewayRegistry } from '../../src/gateways/registry.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { createLogger } from '../../src/lib/log.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import { createRefundRounds, type RefundRounds } from '../../src/refunds/worker.ts';
import { createChangeWriter } from '../../src/refunds/writer.ts';
import type { Chance } from './chance.ts';
import type { Faults } from './faults.ts';
import { neverMore, type Owner, type Timeline } from './timeline.ts';

/** What all processes of a world share. */
export interface World {
  readonly db: Database;
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly gateways: GatewayRegistry;
  readonly manualReviewAfterMs: number;
  /** How far our machines' clocks are from the true time. */
  clockOffsetMs: number;
  openAccess(gatewayAccountId: string): GatewayAccountAccess | null;
  httpOf(owner: Owner): GatewayHttp;
  /** There may be work for workers. */
  wake(): void;
}

/** One of our processes: the real engine, whose every step outside itself is a turn of the world's timeline. */
export class Process implements Owner {
  alive = true;
  stalledUntilMs = 0;
  readonly deps: EngineDeps;
  readonly #rounds: RefundRounds;
  #inRound = false;

  constructor(world: World, chance: Chance) {
    const skewMs = world.faults.has('clocks apart') ? chance.whole(-2_000, 2_000) : 0;
    const clock: Clock = { now: () => new Date(world.timeline.nowMs + world.clockOffsetMs + skewMs) };
    const db = databaseOf(world, this);
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
      wake: () => world.wake(),
    };
    this.#rounds = createRefundRounds(this.deps, () => world.wake());
  }

  /** Begins a round of the worker, where none is under way; `done` hears whether it found work. */
  beginRound(done: (more: boolean) => void): void {
    if (!this.alive || this.#inRound) return;
    this.#inRound = true;
    const end = (more: boolean) => {
      this.#inRound = false;
      done(more);
    };
    this.#rounds.tick().then(end, () => end(true));
  }
}

const SILENT = createLogger('silent');

class BrokenConnection extends Error {}

function databaseOf({ db, timeline, faults }: World, owner: Owner): Database {
  async function take<Result>(statement: () => Promise<Result>): Promise<Result> {
    const turn = await timeline.turn(owner);
    if (faults.strikes('connection broke before the statement')) throw new BrokenConnection('not begun');
    const result = await timeline.io(statement);
    if (turn === 'last') return neverMore();
    if (faults.strikes('connection broke after the statement')) throw new BrokenConnection('done, not told');
    return result;
  }
  return {
    query: <Row>(text: string, params?: readonly unknown[]) =>
      take(async () => inOneOrder(await db.query<Row>(text, params))),
    transaction: (work) => take(() => db.transaction(work)),
    connect: () => db.connect(),
    close: async () => undefined,
  };
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

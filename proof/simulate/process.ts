import type { PoolClient } from 'pg';
import { createRenderOrder } from '../../src/api/juspay/render-order.ts';
import { createRenderBatch } from '../../src/api/v1/render-batch.ts';
import { sealEvents } from '../../src/audit/checkpoint.ts';
import type { BatchDeps } from '../../src/batches/deps.ts';
import { createStoppedWatch, doNextStep } from '../../src/batches/worker.ts';
import type { GatewayAccountAccess, GatewayHttp } from '../../src/gateways/gateway.ts';
import type { GatewayRegistry } from '../../src/gateways/registry.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { TOLERATED_APART_MS } from '../../src/lib/database-clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { createLogger } from '../../src/lib/log.ts';
import type { Vault } from '../../src/lib/vault.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import { foldFigures } from '../../src/refunds/figures.ts';
import type { Restored } from '../../src/refunds/restored.ts';
import { createRefundRounds } from '../../src/refunds/worker.ts';
import { createChangeWriter } from '../../src/refunds/writer.ts';
import { createDeliveryRounds } from '../../src/webhooks/deliver.ts';
import type { Chance } from './chance.ts';
import type { FaultName, Faults } from './faults.ts';
import { mayChangeBooks } from './our-books.ts';
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
  /** There may be a batch with a step to do. */
  wakeSteppers(): void;
  /** Whether there are files of refunds. */
  readonly hasFiles: boolean;
  /** Something may have been written. */
  wrote(): void;
  /** Ends one of our processes where it stands; another takes its place later. */
  kill(owner: Owner): void;
}

export type LoopName = 'refunds' | 'webhooks' | 'batches' | 'sealer' | 'figures';

/** Small files have many steps, and looks for their outcomes come often enough to meet what else goes on. */
export const RUN = { slice: 4, runAhead: 8, followMostMs: 5_000 };

/** One of our processes: the real engine, whose every step outside itself is a turn of the world's timeline. */
export class Process implements Owner {
  alive = true;
  stalledUntilMs = 0;
  isMidStep = false;
  readonly deps: EngineDeps;
  readonly batches: BatchDeps;
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
      ...(world.hasFiles && { stoppedBatches: createStoppedWatch(db, () => world.timeline.nowMs) }),
      wake: () => world.wake(),
    };
    // A step of a batch waits for what it has written: in a queue with the writes of others it would wait for their turns.
    const stepping = { ...this.deps, write: createChangeWriter(db, clock) };
    this.batches = { engine: stepping, wake: () => world.wakeSteppers() };
    const { vault } = world;
    const tellers = {
      ...this.deps,
      vault,
      sender: world.receivers.senderOf(this, clock),
      renderOrder: createRenderOrder(db, { publicUrl: 'http://refundry.test', gateways: world.gateways }),
      renderBatch: createRenderBatch(db),
      monotonicMs: () => world.timeline.nowMs,
    };
    const sealer = { db, clock, vault, log: SILENT };
    this.#rounds = {
      refunds: createRefundRounds(this.deps, () => world.wake()).tick,
      webhooks: createDeliveryRounds(tellers, () => world.wakeTellers()).tick,
      batches: () => doNextStep(this.batches, RUN),
      sealer: async () => (await sealEvents(sealer)) > 0,
      figures: async () => (await foldFigures(db)) > 0,
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

/** What the faults of the way to the database look like. */
export class DatabaseFault extends Error {}

class BrokenConnection extends DatabaseFault {}

/** The program has died, or its connection broken, where nothing of its transaction is kept. */
class RolledBack extends DatabaseFault {}

function databaseOf(world: World, owner: Owner, chance: Chance): Database {
  const { db, timeline, faults } = world;
  /** A transaction is one step: nobody else acts before its end. What it asks on other connections belongs to the step. */
  let transactions = 0;

  async function take<Result>(
    statement: () => Promise<Result>,
    mayBeToldLate: FaultName | null = null,
  ): Promise<Result> {
    if (transactions > 0) return beside(statement);
    const turn = await timeline.turn(owner);
    if (faults.strikes('connection broke before the statement')) throw new BrokenConnection('not begun');
    let result: Result;
    try {
      result = await timeline.io(statement);
    } catch (error) {
      if (!owner.alive) return neverMore();
      throw error;
    }
    if (turn === 'last') return neverMore();
    if (mayBeToldLate !== null && faults.strikes(mayBeToldLate)) {
      // Long enough for others to look, to prove that nothing was sent, and to send; or for people to decide otherwise.
      const waitMs = chance.pick([1_000, 40_000, 10 * 60_000, 60 * 60_000, 3 * 60 * 60_000]);
      if ((await timeline.turn(owner, timeline.nowMs + waitMs)) === 'last') return neverMore();
    }
    if (faults.strikes('connection broke after the statement')) throw new BrokenConnection('done, not told');
    return result;
  }

  /** A statement within the step of a transaction, on its connection or beside it. */
  function beside<Result>(statement: () => Promise<Result>): Promise<Result> {
    return timeline.beside(async () => {
      mayBreak();
      const result = await statement();
      mayBreak();
      return result;
    });
  }

  function mayBreak(): void {
    if (!owner.alive) throw new RolledBack('dead');
    if (faults.strikes('connection broke in a transaction')) throw new RolledBack('the connection broke');
    if (!faults.strikes('process killed in a transaction')) return;
    world.kill(owner);
    throw new RolledBack('killed');
  }

  return {
    query: <Row>(text: string, params?: readonly unknown[]) =>
      take(
        async () => {
          const rows = await db.query<Row>(text, params);
          if (mayChangeBooks(text, rows.length)) world.wrote();
          return inOneOrder(rows);
        },
        toldLate(text, params),
      ),
    transaction: (work) =>
      take(async () => {
        transactions++;
        owner.isMidStep = true;
        try {
          return await db.transaction((tx) =>
            work({ query: (text, params) => beside(() => tx.query(text, params)) }),
          );
        } finally {
          transactions--;
          owner.isMidStep = transactions > 0;
          world.wrote();
        }
      }),
    async connect() {
      if ((await timeline.turn(owner)) === 'last') return neverMore();
      if (faults.strikes('connection broke before the statement')) throw new BrokenConnection('not begun');
      // All that is done on it is one step.
      let done!: () => void;
      void timeline.io(
        () =>
          new Promise<void>((resolve) => {
            done = resolve;
          }),
      );
      const client = await db.connect();
      transactions++;
      return new Proxy(client, {
        get(target, name) {
          if (name === 'release')
            return (error?: Error) => {
              transactions--;
              target.release(error);
              world.wrote();
              done();
            };
          if (name !== 'query') return Reflect.get(target, name);
          return (...args: unknown[]) => {
            const ask = target.query as (...all: unknown[]) => unknown;
            return typeof args[0] === 'string'
              ? beside(async () => ask.apply(target, args))
              : ask.apply(target, args);
          };
        },
      }) as PoolClient;
    },
    close: async () => undefined,
  };
}

/** What may happen to a statement whose answer sets off a call to somebody else. */
function toldLate(text: string, params: readonly unknown[] | undefined): FaultName | null {
  if (text.includes('skip locked')) return 'told late what it has claimed';
  if (text.includes('move_refunds') && String(params?.[1]).includes('"to_state":"sending"'))
    return 'told late that a send was written';
  return null;
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

import type { PoolClient } from 'pg';
import { plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { createLoop, type Loop } from '../lib/loop.ts';
import { type BatchRecord, batchColumns } from './batch.ts';
import { checkNextRows, dealRows } from './check.ts';
import { expireApproval } from './decide.ts';
import type { BatchDeps } from './deps.ts';
import { isLoaded, loadRows, queryableOf } from './load.ts';
import { cancelUnsent, type RunOptions, runNextRows } from './run.ts';
import { changeBatch, lockBatch, readStoppedBatches } from './store.ts';

const IDLE_MS = 250;
/** While a file is being read, nobody else looks whether it should be for so long. */
const READING_MS = 5_000;
/** A batch whose step has failed does not hold up the others. */
const FAILED_MS = 5_000;

/**
 * The loop that takes batches from step to step. Any number of them may run on one database: a step is one transaction
 * that holds the batch, so it is done once and as a whole, whoever dies in the middle.
 */
export function createBatchWorker(deps: BatchDeps): Loop {
  return createLoop({
    name: 'batches',
    log: deps.engine.log,
    idleMs: IDLE_MS,
    tick: () => doNextStep(deps),
  });
}

/** Does the step that is due the longest; false where none is due. */
export async function doNextStep(deps: BatchDeps, options: RunOptions = {}): Promise<boolean> {
  const { db, log } = deps.engine;
  if (deps.engine.clockIsRight?.() === false || (await deps.engine.booksInDoubt?.())) return false;
  let taken: BatchRecord | null = null;
  let toLoad: BatchRecord | null = null;
  try {
    await db.transaction(async (tx) => {
      taken = await takeDue(deps, tx);
      if (!taken) return;
      if (taken.status === 'checking' && taken.checkedBuckets < 0) {
        // Reading takes long, and whoever withdraws the batch should not have to wait for its end.
        toLoad = taken;
        const now = deps.engine.clock.now();
        await changeBatch(tx, taken, { next_step_at: plusMs(now, READING_MS) }, now);
      } else await stepOf(deps, taken, tx, options);
    });
    if (toLoad) await load(deps, toLoad);
  } catch (error) {
    if (!taken) throw error;
    const { merchantId, batchId } = taken as BatchRecord;
    log.error({ err: error, merchant_id: merchantId, batch_id: batchId }, 'a step of a batch failed');
    await postpone(deps, { merchantId, batchId });
  }
  if (!taken) return false;
  deps.engine.wake();
  return true;
}

async function takeDue(deps: BatchDeps, tx: Queryable): Promise<BatchRecord | null> {
  const rows = await tx.query<BatchRecord>(
    `select ${batchColumns('b')} from batches b where b.next_step_at <= $1 order by b.next_step_at limit 1
     for no key update skip locked`,
    [deps.engine.clock.now()],
  );
  return rows[0] ?? null;
}

async function stepOf(
  deps: BatchDeps,
  batch: BatchRecord,
  tx: Queryable,
  options: RunOptions,
): Promise<void> {
  const now = deps.engine.clock.now();
  switch (batch.status) {
    case 'checking':
      return checkNextRows(deps, batch, tx);
    case 'awaiting_approval':
      return expireApproval(tx, batch, now);
    case 'waiting':
      await changeBatch(tx, batch, { status: 'running', next_step_at: now }, now);
      return;
    case 'running':
      return runNextRows(deps, batch, tx, options);
    case 'cancelled':
      return cancelUnsent(deps, batch, tx);
    case 'uploading':
    case 'checked':
    case 'paused':
    case 'finished':
      await changeBatch(tx, batch, { next_step_at: null }, now);
  }
}

/** In a connection of its own, without the limits that hold for short statements. */
async function load(deps: BatchDeps, batch: BatchRecord): Promise<void> {
  const client: PoolClient = await deps.engine.db.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin');
    await client.query('set local statement_timeout = 0');
    const [turn] = await queryableOf(client).query<{ ours: boolean }>(
      `select pg_try_advisory_xact_lock(hashtextextended('refundry batch ' || $1, 0)) as ours`,
      [batch.batchId],
    );
    if (turn!.ours) {
      const tx = queryableOf(client);
      if (await isLoaded(batch, tx)) await dealAgain(deps, batch, tx);
      else await loadRows(deps, batch, client);
    }
    await client.query('commit');
  } catch (error) {
    // Whatever state the COPY was in ends with the connection, and the transaction with it.
    broken = error as Error;
    throw error;
  } finally {
    client.release(broken);
  }
}

/** The rows are here, and are checked once more. */
async function dealAgain(deps: BatchDeps, batch: BatchRecord, tx: Queryable): Promise<void> {
  await dealRows(tx, batch);
  const locked = await lockBatch(tx, batch);
  if (locked?.status !== 'checking') return;
  const now = deps.engine.clock.now();
  await changeBatch(tx, locked, { checked_buckets: 0, next_step_at: now }, now);
}

async function postpone(deps: BatchDeps, key: Pick<BatchRecord, 'merchantId' | 'batchId'>): Promise<void> {
  const { db, clock } = deps.engine;
  await db.query(
    'update batches set next_step_at = $3 where merchant_id = $1 and batch_id = $2 and next_step_at is not null',
    [key.merchantId, key.batchId, plusMs(clock.now(), FAILED_MS)],
  );
}

const KNOWN_FOR_MS = 250;

/** The batches whose refunds must not go out, as they were a moment ago: workers ask with each round. */
export function createStoppedWatch(
  db: Queryable,
  monotonicMs: () => number = () => performance.now(),
): () => Promise<readonly string[]> {
  let known: Promise<readonly string[]> | undefined;
  let knownAtMs = 0;
  return () => {
    const nowMs = monotonicMs();
    if (known === undefined || nowMs - knownAtMs > KNOWN_FOR_MS) {
      knownAtMs = nowMs;
      known = readStoppedBatches(db).catch((error: unknown) => {
        known = undefined;
        throw error;
      });
    }
    return known;
  };
}

import { createHash } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';
import type { Logger } from '../lib/log.ts';
import { createLoop, type Loop } from '../lib/loop.ts';
import type { Vault } from '../lib/vault.ts';

/** One order as a checkpoint holds it: its last event then, and that event's hash in hex. */
export type SealedOrder = readonly [orderId: string, seq: number, hash: string];

/** What one checkpoint says, by order id. */
export interface Checkpoint {
  readonly merchantId: string;
  readonly checkpointNo: number;
  readonly sealedAt: Date;
  readonly orders: readonly SealedOrder[];
}

export interface SealerDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly vault: Vault;
  readonly log: Logger;
}

export const SEAL_EVERY_MS = 60_000;
const ORDERS_PER_CHECKPOINT = 1000;

/** Seals once a minute what has happened since. Every worker has one; one of them works at a time. */
export function createSealer(deps: SealerDeps): Loop {
  let stopping = false;
  const loop = createLoop({
    name: 'sealer',
    log: deps.log,
    idleMs: SEAL_EVERY_MS,
    tick: async () => {
      await sealEvents(deps, () => stopping);
      return false;
    },
  });
  return {
    start: loop.start,
    // Sealing goes by the minute: a checkpoint for each event would be a second, slower log.
    wake: () => {},
    stop() {
      stopping = true;
      return loop.stop();
    },
  };
}

/**
 * Writes checkpoints until every order that had changed is sealed, and returns how many were. Orders that are
 * being changed at this moment are left for the next time, as is everything while another process is at it.
 */
export async function sealEvents(deps: SealerDeps, stopping: () => boolean = () => false): Promise<number> {
  let sealed = 0;
  for (const merchantId of await readUnsealedMerchants(deps.db)) {
    let after: string | null = '';
    while (after !== null && !stopping()) {
      const orders = await sealSlice(deps, merchantId, after);
      sealed += orders.length;
      after = orders.length === ORDERS_PER_CHECKPOINT ? orders.at(-1)![0] : null;
    }
  }
  return sealed;
}

/**
 * The hash a checkpoint carries: over the hash of the one before it and its own content, so that a checkpoint
 * can be neither changed, nor taken out, nor put in between. The first one follows an empty hash.
 */
export function checkpointHash(previous: Buffer, checkpoint: Checkpoint): Buffer {
  const { merchantId, checkpointNo, sealedAt, orders } = checkpoint;
  const text = JSON.stringify([merchantId, checkpointNo, sealedAt.toISOString(), orders]);
  return createHash('sha256').update(previous).update(text).digest();
}

/** The seal of a checkpoint's hash: only the holder of the master key can make it. */
export function checkpointSeal(vault: Vault, hash: Buffer): Buffer {
  return vault.mac('audit checkpoint', hash);
}

/** Seals one slice of orders whose ids sort after `after`, and returns them in the database's order. */
async function sealSlice(
  { db, clock, vault, log }: SealerDeps,
  merchantId: string,
  after: string,
): Promise<SealedOrder[]> {
  const written = await db.transaction(async (tx) => {
    if (!(await lockSealing(tx))) return null;
    const changed = await lockUnsealedOrders(tx, merchantId, after, ORDERS_PER_CHECKPOINT);
    if (changed.length === 0) return null;
    const last = await readLastCheckpoint(tx, merchantId);
    const checkpoint: Checkpoint = {
      merchantId,
      checkpointNo: (last?.checkpointNo ?? 0) + 1,
      sealedAt: clock.now(),
      orders: changed.toSorted(([a], [b]) => (a < b ? -1 : 1)),
    };
    const hash = checkpointHash(last?.hash ?? Buffer.alloc(0), checkpoint);
    await markSealed(tx, checkpoint);
    await insertCheckpoint(tx, checkpoint, hash, checkpointSeal(vault, hash));
    return { ...checkpoint, hash, changed };
  });
  if (!written) return [];
  // The log is the witness outside the database: it shows when the last checkpoints are gone.
  const { checkpointNo, changed, hash } = written;
  log.info(
    {
      merchant_id: merchantId,
      checkpoint_no: checkpointNo,
      orders: changed.length,
      hash: hash.toString('hex'),
    },
    'events sealed',
  );
  return changed;
}

async function readUnsealedMerchants(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ merchantId: string }>(
    `select distinct merchant_id as "merchantId" from unsealed_orders order by 1`,
  );
  return rows.map((row) => row.merchantId);
}

/** Held until the transaction ends; false while another process seals. */
async function lockSealing(tx: Queryable): Promise<boolean> {
  const [row] = await tx.query<{ held: boolean }>(
    `select pg_try_advisory_xact_lock(hashtextextended('refundry audit sealer', 0)) as held`,
  );
  return row!.held;
}

async function lockUnsealedOrders(
  tx: Queryable,
  merchantId: string,
  after: string,
  limit: number,
): Promise<SealedOrder[]> {
  const rows = await tx.query<{ orderId: string; seq: number; hash: string }>(
    `select o.order_id as "orderId", o.event_seq as seq, encode(o.event_hash, 'hex') as hash
     from unsealed_orders u join orders o using (merchant_id, order_id)
     where merchant_id = $1 and order_id > $2
     order by order_id limit $3
     for no key update of o skip locked`,
    [merchantId, after, limit],
  );
  return rows.map((row) => [row.orderId, row.seq, row.hash]);
}

async function readLastCheckpoint(
  tx: Queryable,
  merchantId: string,
): Promise<{ checkpointNo: number; hash: Buffer } | undefined> {
  const [row] = await tx.query<{ checkpointNo: number; hash: Buffer }>(
    `select checkpoint_no as "checkpointNo", hash from audit_checkpoints
     where merchant_id = $1 order by checkpoint_no desc limit 1`,
    [merchantId],
  );
  return row;
}

/** The orders are locked: whoever writes the next event of one notes it as unsealed after this. */
async function markSealed(tx: Queryable, { merchantId, orders }: Checkpoint): Promise<void> {
  await tx.query(
    `with sealed as (
       update orders set sealed_seq = event_seq where merchant_id = $1 and order_id = any($2)
     )
     delete from unsealed_orders where merchant_id = $1 and order_id = any($2)`,
    [merchantId, orders.map(([orderId]) => orderId)],
  );
}

async function insertCheckpoint(
  tx: Queryable,
  { merchantId, checkpointNo, sealedAt, orders }: Checkpoint,
  hash: Buffer,
  seal: Buffer,
): Promise<void> {
  await tx.query(
    `insert into audit_checkpoints (merchant_id, checkpoint_no, sealed_at, orders, hash, seal)
     values ($1, $2, $3, $4, $5, $6)`,
    [merchantId, checkpointNo, sealedAt, JSON.stringify(orders), hash, seal],
  );
}

import { type Clock, plusMs } from '../lib/clock.ts';
import { jsonbOf, type Queryable } from '../lib/db.ts';
import type { Logger } from '../lib/log.ts';
import { createLoop, type Loop } from '../lib/loop.ts';
import { createWhere } from '../lib/where.ts';

/** One request that was let in, and its answer. No body, no query, no secret. */
export interface RequestEntry {
  readonly merchantId: string;
  readonly requestId: string;
  readonly at: Date;
  readonly method: string;
  /** As the reference has it: `/v1/refunds/{refund_id}`. */
  readonly route: string;
  /** Without the query. */
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
  readonly callerKind: 'key' | 'user';
  readonly callerId: string;
  readonly callerName: string;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly errorField: string | null;
  readonly orderId: string | null;
  readonly refundId: string | null;
  readonly remoteAddress: string;
}

export interface RequestLog {
  /** Takes an entry and returns at once; it is written soon, or dropped where too many wait. */
  note(entry: RequestEntry): void;
  readonly loop: Loop;
}

export interface RequestLogDeps {
  readonly db: Queryable;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long entries are kept. */
  readonly keepMs: number;
}

const WRITE_EVERY_MS = 500;
const SLICE = 500;
/** A minute of a busy server; some megabytes. */
const MOST_WAITING = 10_000;
const PRUNE_EVERY_MS = 10 * 60_000;
const PRUNE_SLICE = 5_000;
const KEY_USE_EVERY_MS = 60_000;

/**
 * Writes the requests of this process behind them, in slices, and with them which keys were used, each once a minute
 * at most. While the database is away, what does not fit into its memory is dropped, and how much that was is logged.
 */
export function createRequestLog(deps: RequestLogDeps): RequestLog {
  const waiting: RequestEntry[] = [];
  const keyWritten = new Map<string, number>();
  let dropped = 0;
  let pruneAtMs = performance.now() + WRITE_EVERY_MS;

  async function tick(): Promise<boolean> {
    await writeWaiting();
    if (performance.now() < pruneAtMs) return false;
    const pruned = await pruneRequests(deps.db, plusMs(deps.clock.now(), -deps.keepMs), PRUNE_SLICE);
    if (pruned < PRUNE_SLICE) pruneAtMs = performance.now() + PRUNE_EVERY_MS;
    return pruned === PRUNE_SLICE;
  }

  async function writeWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const slice = waiting.slice(0, SLICE);
      await insertRequests(deps.db, slice);
      await noteKeysUsed(slice);
      waiting.splice(0, slice.length);
    }
    if (dropped > 0) deps.log.warn({ dropped }, 'requests are missing in the request log');
    dropped = 0;
  }

  async function noteKeysUsed(slice: readonly RequestEntry[]): Promise<void> {
    const nowMs = performance.now();
    const last = new Map(slice.filter(isByKey).map(({ callerId, at }) => [callerId, at]));
    const due = [...last].filter(
      ([id]) => nowMs - (keyWritten.get(id) ?? -KEY_USE_EVERY_MS) >= KEY_USE_EVERY_MS,
    );
    if (due.length === 0) return;
    await writeKeyUse(deps.db, due);
    for (const [id] of due) keyWritten.set(id, nowMs);
  }

  return {
    note(entry) {
      if (waiting.length < MOST_WAITING) waiting.push(entry);
      else dropped++;
    },
    loop: createLoop({
      name: 'request log',
      log: deps.log,
      idleMs: WRITE_EVERY_MS,
      tick,
      drain: () =>
        writeWaiting().catch((error: unknown) => {
          deps.log.warn(
            { err: error, dropped: waiting.length + dropped },
            'requests are missing in the request log',
          );
        }),
    }),
  };
}

function isByKey({ callerKind }: RequestEntry): boolean {
  return callerKind === 'key';
}

// Statements --------------------------------------------------------------------------------------------

/** May be repeated: what is there already stays. */
async function insertRequests(db: Queryable, entries: readonly RequestEntry[]): Promise<void> {
  await db.query(
    `insert into request_log (merchant_id, request_id, at, method, route, path, status, duration_ms, caller_kind,
       caller_id, caller_name, error_code, error_message, error_field, order_id, refund_id, remote_address)
     select "merchantId", "requestId", at, method, route, path, status, "durationMs", "callerKind", "callerId",
       "callerName", "errorCode", "errorMessage", "errorField", "orderId", "refundId", "remoteAddress"
     from jsonb_to_recordset($1) as e("merchantId" text, "requestId" uuid, at timestamptz, method text, route text,
       path text, status smallint, "durationMs" integer, "callerKind" text, "callerId" text, "callerName" text,
       "errorCode" text, "errorMessage" text, "errorField" text, "orderId" text, "refundId" uuid,
       "remoteAddress" text)
     on conflict do nothing`,
    [jsonbOf(entries)],
  );
}

async function writeKeyUse(db: Queryable, used: readonly (readonly [string, Date])[]): Promise<void> {
  await db.query(
    `update api_keys k set last_used_at = greatest(k.last_used_at, u.at)
     from unnest($1::uuid[], $2::timestamptz[]) as u(api_key_id, at) where k.api_key_id = u.api_key_id`,
    [used.map(([id]) => id), used.map(([, at]) => at)],
  );
}

/** Removes a slice of what is older, and says how much that was. What another process is removing is left to it. */
async function pruneRequests(db: Queryable, before: Date, limit: number): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `with old as (
       select ctid from request_log where at < $1 limit $2 for update skip locked
     ), gone as (
       delete from request_log r using old where r.ctid = old.ctid returning 1
     )
     select count(*) from gone`,
    [before, limit],
  );
  return row!.count;
}

/** Which requests to list; absent fields do not narrow. */
export interface RequestFilter {
  readonly least?: number | undefined;
  /** The first status that is not meant any more. */
  readonly below?: number | undefined;
  readonly errorCode?: string | undefined;
  /** How the path begins. */
  readonly path?: string | undefined;
  readonly method?: string | undefined;
  readonly callerId?: string | undefined;
  readonly requestId?: string | undefined;
  /** Compared without case. */
  readonly orderId?: string | undefined;
  readonly refundId?: string | undefined;
  readonly from?: Date | undefined;
  readonly before?: Date | undefined;
  /** The last request of the page before. */
  readonly after?: { readonly at: Date; readonly requestId: string } | undefined;
  readonly limit: number;
}

/** The merchant's requests, newest first, by keyset. */
export async function listRequests(
  db: Queryable,
  merchantId: string,
  filter: RequestFilter,
): Promise<RequestEntry[]> {
  const where = createWhere();
  const { value, when } = where;
  where.and(`merchant_id = ${value(merchantId)}`);
  // Written out, so that the index of what was refused is seen to fit.
  if (filter.least !== undefined && filter.least >= 400) where.and('status >= 400');
  when((least) => `status >= ${least}`, filter.least);
  when((below) => `status < ${below}`, filter.below);
  when((code) => `error_code = ${code}`, filter.errorCode);
  when((path) => `starts_with(path, ${path})`, filter.path);
  when((method) => `method = ${method}`, filter.method);
  when((id) => `caller_id = ${id}`, filter.callerId);
  when((id) => `request_id = ${id}`, filter.requestId);
  when((id) => `lower(order_id) = lower(${id})`, filter.orderId);
  when((id) => `refund_id = ${id}`, filter.refundId);
  when((from) => `at >= ${from}`, filter.from);
  when((before) => `at < ${before}`, filter.before);
  if (filter.after) {
    where.and(`(at, request_id) < (${value(filter.after.at)}, ${value(filter.after.requestId)})`);
  }
  return db.query(
    `select merchant_id as "merchantId", request_id as "requestId", at, method, route, path, status,
       duration_ms as "durationMs", caller_kind as "callerKind", caller_id as "callerId",
       caller_name as "callerName", error_code as "errorCode", error_message as "errorMessage",
       error_field as "errorField", order_id as "orderId", refund_id as "refundId",
       remote_address as "remoteAddress"
     from request_log where ${where.text()}
     order by at desc, request_id desc limit ${value(filter.limit)}`,
    where.params,
  );
}

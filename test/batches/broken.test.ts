import { Readable } from 'node:stream';
import fc from 'fast-check';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Actor, BatchRecord } from '../../src/batches/batch.ts';
import {
  approveBatch,
  cancelBatch,
  checkAgain,
  confirmBatch,
  expectedOf,
  pauseBatch,
  resumeBatch,
} from '../../src/batches/decide.ts';
import type { BatchDeps } from '../../src/batches/deps.ts';
import { listBatches, readBatch, readFile } from '../../src/batches/store.ts';
import { addBytes, beginBatch, beginCorrection, takeFile } from '../../src/batches/upload.ts';
import type { BatchKind } from '../../src/batches/words.ts';
import { doNextStep } from '../../src/batches/worker.ts';
import type { Database } from '../../src/lib/db.ts';
import { newId } from '../../src/lib/ids.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { engineDeps, ManualClock, merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';
import { csv, HEADER } from './batch.ts';

/**
 * The way of a batch on a database whose connections break before or after any statement, COMMIT included, and in the middle of
 * the COPY, with two workers at once. Whoever is cut off asks how far it has come and goes on from there, as people and
 * programs do. In the end nothing may show of it.
 */

class Broken extends Error {}

let fresh: FreshDatabase;
let clock: ManualClock;
beforeAll(async () => {
  fresh = await freshDatabase({ maxConnections: 20 });
  clock = new ManualClock();
  await merchantWithAccount(fresh.db);
});
afterAll(() => fresh.drop());

const ME: Actor = { kind: 'user', id: newId(), name: 'maker@shop.test' };
const SECOND: Actor = { kind: 'user', id: newId(), name: 'checker@shop.test' };

/** What breaks, and how often; the same seed draws the same numbers. */
interface Breaks {
  share: number;
  draw(): number;
  /** How often it has struck. */
  count: number;
}

function breaksOf(seed: number, share: number): Breaks {
  let state = seed >>> 0;
  return {
    share,
    count: 0,
    draw() {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
    },
  };
}

function brittle(db: Database, breaks: Breaks): Database {
  const strike = () => {
    if (breaks.draw() >= breaks.share) return;
    breaks.count++;
    throw new Broken('the connection broke');
  };
  return {
    async query(text, params) {
      strike();
      const rows = await db.query(text, params);
      strike();
      return rows as never;
    },
    async transaction(work, options) {
      strike();
      const result = await db.transaction(async (tx) => {
        const made = await work({
          async query(text, params) {
            strike();
            const rows = await tx.query(text, params);
            strike();
            return rows as never;
          },
        });
        strike();
        return made;
      }, options);
      strike();
      return result;
    },
    async connect() {
      strike();
      const client = await db.connect();
      let end: NodeJS.Timeout | undefined;
      let ended = false;
      const pid = (client as unknown as { processID: number }).processID;
      return new Proxy(client, {
        get(target, name) {
          if (name === 'release') {
            return (error?: Error) => {
              clearTimeout(end);
              // A connection that is about to end is nobody else's.
              target.release(error ?? (ended ? new Broken('ended') : undefined));
            };
          }
          if (name !== 'query') return Reflect.get(target, name);
          return (...args: unknown[]) => {
            const ask = target.query as (...all: unknown[]) => unknown;
            if (typeof args[0] !== 'string') {
              // COPY: the server is gone while rows are on their way.
              if (breaks.draw() < breaks.share * 5) {
                breaks.count++;
                end = setTimeout(() => {
                  ended = true;
                  db.query('select pg_terminate_backend($1)', [pid]).catch(() => undefined);
                }, breaks.draw() * 10);
              }
              return ask.apply(target, args);
            }
            return (async () => {
              strike();
              const result = await ask.apply(target, args);
              strike();
              return result;
            })();
          };
        },
      }) as PoolClient;
    },
    close: async () => undefined,
  };
}

function depsOn(db: Database): BatchDeps {
  return { engine: engineDeps(db, { clock }), wake: () => undefined };
}

/** Does something again until it is answered; what it has come to by then, it has to find out by itself. */
async function insist<Result>(what: () => Promise<Result>): Promise<Result> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      return await what();
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
    }
  }
  throw new Error('it never came through');
}

/** Steps of two workers, until neither has anything to do for a good while. */
async function work(deps: BatchDeps, until: () => Promise<boolean>): Promise<void> {
  for (let rounds = 0; rounds < 2_000; rounds++) {
    const both = await Promise.allSettled([1, 2].map(() => doNextStep(deps, { slice: 7 })));
    for (const one of both) {
      // A step that cannot even be put off is left to the next round, as the loop does.
      if (one.status === 'rejected' && !(one.reason instanceof Broken)) throw one.reason;
    }
    if (both.some((one) => one.status === 'fulfilled' && one.value)) continue;
    if (await until()) return;
    clock.pass(1_000);
  }
  throw new Error('the batch never came so far');
}

interface Way {
  readonly prefix: string;
  readonly kind: BatchKind;
  readonly file: Buffer;
  readonly breaks: Breaks;
}

const key = (batch: BatchRecord) => ({ merchantId: batch.merchantId, batchId: batch.batchId });
const now = async (batch: BatchRecord) => (await readBatch(fresh.db, key(batch)))!;

/** Uploads in parts, by somebody who is cut off all the time, until the batch is checked. */
async function uploaded(way: Way, deps: BatchDeps): Promise<BatchRecord> {
  const { prefix, kind, file, breaks } = way;
  // Whether a batch was begun whose answer was lost, its name says; others stay behind without bytes.
  const begun = await insist(() =>
    beginBatch(deps, {
      merchantId: 'acme',
      kind,
      name: prefix,
      fileName: `${prefix}.csv`,
      bytes: file.length,
      reading: { amounts: 'major', sameFile: 'refuse', columns: {} },
      by: ME,
    }),
  );
  for (;;) {
    const { receivedBytes } = await readFile(fresh.db, begun, 1);
    if (receivedBytes === file.length) break;
    const part = file.subarray(
      receivedBytes,
      receivedBytes + 1 + Math.floor(breaks.draw() * (file.length / 3)),
    );
    await addBytes(
      deps,
      begun,
      { fileNo: 1, bytes: file.length },
      receivedBytes,
      Readable.from([part]),
    ).catch((error) => {
      if (!(error instanceof Broken)) throw error;
    });
  }
  await insist(async () => {
    if ((await now(begun)).status === 'uploading') await takeFile(deps, begun, 1, ME);
  });
  const isChecked = async () => (await now(begun)).status === 'checked';
  await work(deps, isChecked);
  return now(begun);
}

/** Says it until the batch is no longer as it was. */
async function decided(batch: BatchRecord, from: string, say: () => Promise<unknown>): Promise<void> {
  await insist(async () => {
    if ((await now(batch)).status === from) await say();
  });
}

async function eventsOf(batch: BatchRecord): Promise<string[]> {
  const events = await fresh.db.query<{ seq: number; kind: string }>(
    'select seq, kind from batch_events where batch_id = $1 order by seq',
    [batch.batchId],
  );
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, n) => n + 1));
  expect((await now(batch)).eventSeq).toBe(events.length);
  return events.map(({ kind }) => kind);
}

async function toldOf(batch: BatchRecord): Promise<string[]> {
  const told = await fresh.db.query<{ event_name: string }>(
    `select event_name from notifications where batch_id = $1 order by event_seq`,
    [batch.batchId],
  );
  return told.map(({ event_name }) => event_name);
}

/** What the batch says of its rows is what the rows say. */
async function countsAgree(batch: BatchRecord): Promise<void> {
  const [rows] = await fresh.db.query<Record<string, number>>(
    `select count(*) as all, count(distinct row_no) as different, max(row_no) as last,
            count(*) filter (where state = 'refused') as refused, count(*) filter (where state = 'made') as made,
            count(*) filter (where verdict = 'bad') as bad
     from batch_rows where batch_id = $1`,
    [batch.batchId],
  );
  const [refunds] = await fresh.db.query<{ n: number; rows: number }>(
    'select count(*) as n, count(distinct batch_row) as rows from refunds where batch_id = $1',
    [batch.batchId],
  );
  const record = await now(batch);
  expect(rows).toMatchObject({
    all: record.rowsTotal,
    different: record.rowsTotal,
    last: record.rowsTotal,
    refused: record.rowsRefused,
    bad: record.rowsBad,
  });
  expect(record.kind === 'refunds' ? refunds!.n : rows!['made']).toBe(record.rowsMade);
  expect(refunds!.n).toBe(refunds!.rows);
}

/** As if the gateway had said no to all that waits to be sent: every refund has its outcome. */
async function endRefunds(batch: BatchRecord): Promise<void> {
  const waiting = await fresh.db.query<{ refund_id: string }>(
    `select refund_id from refunds where batch_id = $1 and state = 'queued'`,
    [batch.batchId],
  );
  const { engine } = depsOn(fresh.db);
  const cause = { by: 'worker', why: 'a test' } as const;
  await Promise.all(
    waiting.map(({ refund_id }) => cancelRefund(engine, 'acme', refund_id, { reason: 'a test', cause })),
  );
}

const ORDERS = 25;
let worlds = 0;

describe('whatever breaks, and whenever', () => {
  test('each row of a file of refunds is done once, and answered', async () => {
    let struck = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.constantFrom(0.01, 0.02, 0.04),
        fc.constantFrom<('none' | 'pauses' | 'cancelled')[]>('none', 'pauses', 'cancelled'),
        fc.boolean(),
        async (seed, share, meanwhile, approval) => {
          const prefix = `b${++worlds}`;
          const breaks = breaksOf(seed, share);
          await fresh.db.query(
            `update merchants set settings = jsonb_set(settings, '{batch_approval}', $1)`,
            [JSON.stringify(approval)],
          );
          const rows: string[] = [];
          for (let n = 0; n < ORDERS; n++) {
            const orderId = `${prefix}-${n}`;
            await putOrder(fresh.db, { orderId, amountMinor: 10_000 });
            for (const [k, amount] of ['30.00', '31.00', '32.00', '90.00'].entries()) {
              rows.push(`${orderId},r${k},${amount},INR,${'a note '.repeat(20)}`);
            }
          }
          const deps = depsOn(brittle(fresh.db, breaks));
          const batch = await uploaded(
            { prefix, kind: 'refunds', file: Buffer.from(csv(rows)), breaks },
            deps,
          );
          expect(batch).toMatchObject({
            rowsTotal: 4 * ORDERS,
            rowsBad: ORDERS,
            rowsLookAlike: 0,
            problem: null,
          });

          // The facts of two orders change, so that their rows are refused when they are tried.
          await recordRefunds(
            depsOn(fresh.db).engine,
            [1, 2].map((n) =>
              refundRequest({ orderId: `${prefix}-${n}`, uniqueRequestId: 'single', amount: '95.00' }),
            ),
          );
          const said = expectedOf(batch.findings, null);
          expect(said.rows).toBe(3 * ORDERS);
          await decided(batch, 'checked', () =>
            confirmBatch(deps, key(batch), { ...said, lookAlikes: null }, ME),
          );
          const { sha256 } = await readFile(fresh.db, batch, 1);
          await decided(batch, 'awaiting_approval', () =>
            approveBatch(deps, key(batch), { ...said, fileSha256: sha256! }, SECOND),
          );
          if (meanwhile !== 'none') {
            for (let n = 0; n < 3; n++) {
              await Promise.allSettled([
                doNextStep(deps, { slice: 7 }),
                doNextStep(deps, { slice: 7 }),
                insist(() => pauseBatch(deps, key(batch), ME)),
              ]);
              await decided(batch, 'running', () => pauseBatch(deps, key(batch), ME));
              await countsAgree(batch);
              await decided(batch, 'paused', () => resumeBatch(deps, key(batch), ME));
            }
          }
          if (meanwhile === 'cancelled') {
            await decided(batch, 'running', () => cancelBatch(deps, key(batch), null, ME));
            await work(deps, async () => (await now(batch)).nextStepAt === null);
            const states = await fresh.db.query('select distinct state from refunds where batch_id = $1', [
              batch.batchId,
            ]);
            expect(states.every(({ state }) => state === 'cancelled')).toBe(true);
          } else {
            await work(deps, async () => {
              const { rowsTried, rowsConfirmed } = await now(batch);
              return rowsTried === rowsConfirmed;
            });
            const refunds = await fresh.db.query(
              `select order_id, sum(amount_minor)::bigint as sum from refunds where batch_id = $1 group by 1`,
              [batch.batchId],
            );
            expect(refunds).toHaveLength(ORDERS - 2);
            expect(refunds.every(({ sum }) => sum === 9_300)).toBe(true);
            await endRefunds(batch);
            await work(deps, async () => (await now(batch)).status === 'finished');
            expect(await now(batch)).toMatchObject({ rowsMade: 3 * (ORDERS - 2), rowsRefused: 6 });
            expect(await toldOf(batch)).toEqual(['BATCH_CHECKED', 'BATCH_STARTED', 'BATCH_FINISHED']);
          }
          await countsAgree(batch);
          const kinds = await eventsOf(batch);
          const once = kinds.filter((kind) => !['paused', 'resumed'].includes(kind));
          expect(once).toEqual([
            'begun',
            'uploaded',
            'checked',
            'confirmed',
            ...(approval ? ['approved'] : []),
            ...(kinds.includes('started') ? ['started'] : []),
            meanwhile === 'cancelled' ? 'cancelled' : 'finished',
          ]);
          struck += breaks.count;
        },
      ),
      { numRuns: Number(process.env['BROKEN_RUNS'] ?? 6), endOnFailure: true },
    );
    expect(struck).toBeGreaterThan(10);
  });

  test('corrected rows take the place of failed ones once, and are sent in a round of their own', async () => {
    let struck = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.constantFrom(0.01, 0.02, 0.04), async (seed, share) => {
        const prefix = `c${++worlds}`;
        const breaks = breaksOf(seed, share);
        await fresh.db.query(`update merchants set settings = '{}'`);
        const rows: string[] = [];
        for (let n = 0; n < ORDERS; n++) {
          await putOrder(fresh.db, { orderId: `${prefix}-${n}`, amountMinor: 10_000 });
          rows.push(`${prefix}-${n},a,${n % 2 === 0 ? '40.00' : '400.00'},INR,`);
        }
        const deps = depsOn(brittle(fresh.db, breaks));
        const batch = await uploaded({ prefix, kind: 'refunds', file: Buffer.from(csv(rows)), breaks }, deps);
        const good = Math.ceil(ORDERS / 2);
        const confirm = async () => {
          const said = expectedOf((await now(batch)).findings, null);
          await decided(batch, 'checked', () =>
            confirmBatch(deps, key(batch), { ...said, lookAlikes: null }, ME),
          );
          await work(deps, async () => {
            const { status, rowsTried, rowsConfirmed } = await now(batch);
            return status === 'running' && rowsTried === rowsConfirmed;
          });
          await endRefunds(batch);
          await work(deps, async () => (await now(batch)).status === 'finished');
        };
        await confirm();
        expect(await now(batch)).toMatchObject({ rowsMade: good, rowsBad: ORDERS - good });
        const corrected = rows.flatMap((row, n) =>
          n % 2 === 0 ? [] : [`${n + 1},${row.replace('400.00', '41.00')}`],
        );
        const file = Buffer.from(csv(corrected, `row,${HEADER}`));
        await insist(async () => {
          if ((await now(batch)).round === 2) return;
          const begun = await beginCorrection(deps, key(batch), { fileName: 'corrected.csv', by: ME });
          if (!begun.ok) throw new Error(begun.refusal);
          const { fileNo } = begun.batch;
          const added = await addBytes(deps, begun.batch, { fileNo, bytes: null }, 0, Readable.from([file]));
          if (!added.ok) throw new Error(added.refusal);
          await takeFile(deps, begun.batch, fileNo, ME);
        });
        await work(deps, async () => (await now(batch)).status === 'checked');
        await insist(async () => {
          if ((await now(batch)).checkedBuckets > 0) await checkAgain(deps, key(batch), ME);
        });
        await work(deps, async () => (await now(batch)).status === 'checked');
        expect(expectedOf((await now(batch)).findings, null)).toEqual({
          rows: ORDERS - good,
          totals: { INR: (41 * (ORDERS - good)).toFixed(2) },
        });
        await confirm();
        expect(await now(batch)).toMatchObject({ round: 2, rowsMade: ORDERS, rowsRefused: 0, rowsBad: 0 });
        await countsAgree(batch);
        const kinds = (await eventsOf(batch)).filter((kind) => !['check_asked', 'checked'].includes(kind));
        expect(kinds).toEqual([
          ...['begun', 'uploaded', 'confirmed', 'started', 'finished'],
          ...['corrected', 'rows_replaced', 'confirmed', 'started', 'finished'],
        ]);
        struck += breaks.count;
      }),
      { numRuns: Number(process.env['BROKEN_RUNS'] ?? 4), endOnFailure: true },
    );
    expect(struck).toBeGreaterThan(5);
  });

  test('each row of a file of outcomes settles its refund once', async () => {
    let struck = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.constantFrom(0.002, 0.004), async (seed, share) => {
        const prefix = `s${++worlds}`;
        const breaks = breaksOf(seed, share);
        await fresh.db.query(`update merchants set settings = '{}'`);
        const refunds = 120;
        for (let n = 0; n < refunds; n++) {
          await putOrder(fresh.db, { orderId: `${prefix}-${n}`, amountMinor: 10_000 });
        }
        await recordRefunds(
          depsOn(fresh.db).engine,
          Array.from({ length: refunds }, (_, n) =>
            refundRequest({ orderId: `${prefix}-${n}`, uniqueRequestId: 'r', amount: '10.00' }),
          ),
        );
        await fresh.db.query(
          `update refunds set state = 'manual_review', event_seq = event_seq + 1 where order_id like $1`,
          [`${prefix}-%`],
        );
        await fresh.db.query('update orders set event_seq = event_seq + 1 where order_id like $1', [
          `${prefix}-%`,
        ]);
        const file = csv(
          Array.from(
            { length: refunds },
            (_, n) =>
              `${prefix}-${n},r,${n % 3 === 0 ? 'FAILURE' : 'SUCCESS'},,Statement of the bank of 3 March`,
          ),
          'order_id,unique_request_id,status,arn,evidence',
        );
        const deps = depsOn(brittle(fresh.db, breaks));
        const batch = await uploaded(
          { prefix, kind: 'status_updates', file: Buffer.from(file), breaks },
          deps,
        );
        expect(batch).toMatchObject({ rowsTotal: refunds, rowsBad: 0 });
        await decided(batch, 'checked', () =>
          confirmBatch(deps, key(batch), { rows: refunds, lookAlikes: null }, ME),
        );
        await work(deps, async () => (await now(batch)).status === 'finished');
        expect(await now(batch)).toMatchObject({ rowsMade: refunds, rowsRefused: 0, rowsTried: refunds });
        await countsAgree(batch);
        const states = await fresh.db.query(
          'select state, count(*) as n from refunds where order_id like $1 group by 1 order by 1',
          [`${prefix}-%`],
        );
        expect(states).toEqual([
          { state: 'failed', n: refunds / 3 },
          { state: 'succeeded', n: (2 * refunds) / 3 },
        ]);
        const settled = await fresh.db.query<{ n: number }>(
          `select count(*) as n from events where order_id like $1 and body -> 'cause' ->> 'batch_id' = $2`,
          [`${prefix}-%`, batch.batchId],
        );
        expect(settled).toEqual([{ n: refunds }]);
        struck += breaks.count;
      }),
      { numRuns: Number(process.env['BROKEN_RUNS'] ?? 3), endOnFailure: true },
    );
    expect(struck).toBeGreaterThan(0);
  });
});

test('what was begun and never filled stays what it is', async () => {
  const open = await listBatches(fresh.db, { merchantId: 'acme', statuses: ['uploading'], limit: 500 });
  const filled = open.filter(({ rowsTotal }) => rowsTotal > 0);
  expect(filled).toEqual([]);
});

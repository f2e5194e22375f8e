import { expect, test } from 'vitest';
import { freshDatabase } from '../support/database.ts';
import {
  type Caller,
  caller,
  chargedAtSandbox,
  DEMO_KEY,
  newDataDir,
  type Running,
  startRunning,
} from '../support/running.ts';
import { csv } from './batch.ts';

const ORDERS = 300;
const ROWS_OF_AN_ORDER = 10;
const ROWS = ORDERS * ROWS_OF_AN_ORDER;
const KILLS = 5;

/**
 * One batch, whose program is killed again and again: while its file comes, is read, is checked, and while its refunds go out.
 * After each kill another program goes on with what the database has.
 */
test('kill -9 at any moment: no row of a batch is lost, none is done twice', async () => {
  const database = await freshDatabase();
  const dataDir = await newDataDir();
  const environment = { DATABASE_URL: database.connectionString, DEMO: 'on', MASTER_KEY: '0f'.repeat(32) };
  let program: Running = await startRunning(dataDir.path, environment);
  let client: Caller = caller(program.url);
  let kills = 0;
  try {
    const places = Array.from({ length: ORDERS }, (_, n) => n);
    await Promise.all(
      Array.from({ length: 15 }, async () => {
        for (let n = places.pop(); n !== undefined; n = places.pop()) {
          await chargedAtSandbox(client, `k${n}`, '100.00', 'sbx_ok');
        }
      }),
    );
    const rows = Array.from(
      { length: ROWS },
      (_, n) => `k${n % ORDERS},r${n},${1 + Math.floor(n / ORDERS)}.00,INR,${'a note '.repeat(30)}`,
    );
    const file = Buffer.from(csv(rows));
    const begun = await client.post(`/v1/batches?name=killed&bytes=${file.length}`, undefined);
    expect(begun.status).toBe(201);
    const id = begun.body.batch_id;

    const partFrom = (offset: number) =>
      fetch(`${program.url}/v1/batches/${id}/file`, {
        method: 'PATCH',
        body: new Uint8Array(file.subarray(offset, offset + 200_000)),
        headers: {
          authorization: `Basic ${Buffer.from(`${DEMO_KEY}:`).toString('base64')}`,
          'content-type': 'application/octet-stream',
          'upload-offset': String(offset),
        },
      });
    let dying: Promise<void> | null = null;
    const killIn = (ms: number) => {
      dying ??= new Promise((resolve) => setTimeout(resolve, ms)).then(() => program.kill());
    };
    const seen = new Set<string>();
    for (const end = Date.now() + 200_000; ; ) {
      if (Date.now() > end) throw new Error(`the batch is still ${[...seen].at(-1)} after ${kills} kills`);
      try {
        const { body: batch } = await client.get(`/v1/batches/${id}`);
        const before = seen.size;
        seen.add(batch.status);
        // Twice in each status, if it lasts so long, and anywhere within it.
        if (kills < KILLS && (seen.size > before || Math.random() < 0.3)) killIn(Math.random() * 300);
        if (batch.status === 'finished') break;
        if (batch.status === 'uploading') await partFrom(batch.file.received_bytes);
        if (batch.status === 'checked') {
          expect(batch.rows).toMatchObject({ total: ROWS, good: ROWS });
          await client.post(`/v1/batches/${id}/confirm`, { totals: batch.check.totals });
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      } catch (error) {
        if (dying === null) throw error;
      }
      if (dying === null) continue;
      await dying;
      dying = null;
      kills++;
      program = await startRunning(dataDir.path, environment);
      client = caller(program.url);
    }

    expect(kills).toBeGreaterThan(3);
    const { db } = database;
    const [batch] = await db.query('select * from batches');
    expect(batch).toMatchObject({
      rows_total: ROWS,
      rows_confirmed: ROWS,
      rows_tried: ROWS,
      rows_made: ROWS,
      rows_refused: 0,
    });
    const [counted] = await db.query(
      `select count(*) as rows, count(distinct row_no) as different, count(*) filter (where state = 'left' and verdict = 'good') as good
       from batch_rows`,
    );
    expect(counted).toEqual({ rows: ROWS, different: ROWS, good: ROWS });
    const [refunds] = await db.query(
      `select count(*) as n, count(distinct batch_row) as rows, count(*) filter (where state = 'succeeded') as paid,
              sum(amount_minor)::bigint as sum from refunds`,
    );
    const sum = (ORDERS * 100 * ROWS_OF_AN_ORDER * (ROWS_OF_AN_ORDER + 1)) / 2;
    expect(refunds).toEqual({ n: ROWS, rows: ROWS, paid: ROWS, sum });
    const [paid] = await db.query(
      `select count(*) as n, count(distinct refund_id) as different, sum(amount_minor)::bigint as sum
       from sandbox_payouts where status = 'succeeded'`,
    );
    expect(paid).toEqual({ n: ROWS, different: ROWS, sum });
    const events = await db.query<{ seq: number; kind: string }>(
      'select seq, kind from batch_events order by seq',
    );
    expect(events.map(({ kind }) => kind)).toEqual([
      'begun',
      'uploaded',
      'checked',
      'confirmed',
      'started',
      'finished',
    ]);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, n) => n + 1));
  } finally {
    await program.kill();
    await database.drop();
    await dataDir.remove();
  }
}, 300_000);

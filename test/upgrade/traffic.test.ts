import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { openDatabase } from '../../src/lib/db.ts';
import { MIGRATIONS_DIR, migrate } from '../../src/lib/migrate.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { blankDatabase, type FreshDatabase } from '../support/database.ts';
import { putOrder } from '../support/engine.ts';
import { hold } from '../support/held.ts';
import { until } from '../support/running.ts';

const SHIPPED = readdirSync(MIGRATIONS_DIR)
  .filter((name) => name.endsWith('.sql'))
  .sort();
const VERBS = readdirSync(join(MIGRATIONS_DIR, 'verbs')).sort();
/** The files that make a new database: nothing is in use before the last of them. */
const FIRST = SHIPPED.indexOf('0010_sandbox.sql') + 1;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refundry-upgrade-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What a later version may bring: each kind of change once, in an order of tables that is not that of the verbs. */
const LATER: Readonly<Record<string, string>> = {
  '9001_columns.sql': `
    alter table refunds add column later_note text;
    alter table refunds add column later_count integer not null default 0;
    alter table orders add column later_mark text;`,
  '9002_index.sql':
    'create index refunds_later on refunds (merchant_id, later_note) where later_note is not null;',
  '9003_table.sql': `
    create table later (merchant_id text, order_id text, primary key (merchant_id, order_id));
    alter table events add column later_seen timestamptz;`,
  '9004_check.sql': `
    alter table transactions add constraint later_check check (amount_minor > 0) not valid;
    alter table transactions validate constraint later_check;`,
  '9005_drop.sql': 'drop index refunds_later; alter table refunds drop column later_note;',
};

describe('later migrations while the server runs', () => {
  let api: TestApi;
  let stopped: boolean;
  let answers: number[];
  let traffic: Promise<void>[];

  beforeEach(async () => {
    cpSync(MIGRATIONS_DIR, folder, { recursive: true });
    for (const [name, sql] of Object.entries(LATER)) writeFileSync(join(folder, name), sql);
    api = await startApi();
    for (let n = 0; n < 200; n++) await putOrder(api.db, { orderId: `o${n}`, amountMinor: 100_000 });
    stopped = false;
    answers = [];
    let n = 0;
    traffic = Array.from({ length: 6 }, async (_, lane) => {
      while (!stopped) {
        const orderId = `o${n++ % 200}`;
        // Never the same amount of the same order within the contract's five seconds.
        const form = { unique_request_id: `r-${lane}-${n}`, amount: (1 + (n % 1999) / 100).toFixed(2) };
        const told = { order_id: `told-${lane}-${n}`, amount: '10.00', currency: 'INR', status: 'CHARGED' };
        const [made, read, recorded] = await Promise.all([
          call(api, `/orders/${orderId}/refunds`, { form }),
          call(api, `/orders/${orderId}`),
          call(api, '/v1/transactions', {
            json: {
              ...told,
              gateway: 'MODEL',
              gateway_payment_id: `p-${lane}-${n}`,
              gateway_account: 'test',
            },
          }),
        ]);
        // The contract allows 25 refunds of an order.
        if (made.body.error_code !== 'request.exceeded') answers.push(made.status);
        answers.push(read.status, recorded.status);
      }
    });
    await until('traffic', async () => (answers.length > 50 ? true : undefined));
  });
  afterEach(async () => {
    stopped = true;
    await Promise.all(traffic);
    await api.close();
  });

  test('no request fails', async () => {
    // The functions and triggers that the traffic goes through are made anew as well.
    for (const name of VERBS) appendFileSync(join(folder, 'verbs', name), '-- Later.\n');
    const applied = await migrate(api.db, systemClock, { folder });
    expect(applied).toEqual([...Object.keys(LATER), ...VERBS.map((name) => `verbs/${name}`)]);
    const soFar = answers.length;
    await until('traffic to go on', async () => (answers.length > soFar + 50 ? true : undefined));
    expect(answers.filter((status) => status !== 200)).toEqual([]);
  });

  test('a report that has been open for long holds up the migration, and nobody else', async () => {
    const report = openDatabase({ connectionString: api.connectionString, maxConnections: 1 });
    const close = Promise.withResolvers<void>();
    const open = Promise.withResolvers<void>();
    const reporting = report.transaction(async (tx) => {
      await tx.query('select count(*) from refunds');
      open.resolve();
      await close.promise;
    });
    await open.promise;
    const migrating = migrate(api.db, systemClock, { folder });
    const soFar = answers.length;
    await until('requests while the migration waits', async () =>
      answers.length > soFar + 200 ? true : undefined,
    );
    expect(await api.db.query(`select name from schema_migrations where name > '9'`)).toEqual([]);
    close.resolve();
    await reporting;
    await report.close();
    expect(await migrating).toEqual(Object.keys(LATER));
    expect(answers.filter((status) => status !== 200)).toEqual([]);
  });

  test('a migration that has its table and is long at work: who needs the table waits, and no request fails', async () => {
    const other = openDatabase({ connectionString: api.connectionString, maxConnections: 2 });
    const atWork = await hold(other, 'select pg_advisory_xact_lock(4711)');
    writeFileSync(
      join(folder, '9006_long.sql'),
      `alter table refunds add column later_long text;
       do $$ begin
         while not pg_try_advisory_xact_lock(4711) loop perform pg_sleep(0.02); end loop;
       end $$;`,
    );
    const migrating = migrate(api.db, systemClock, { folder });
    await until('the migration to be at work', async () => {
      const rows = await other.query(
        `select 1 from pg_locks join pg_database d on d.oid = database and d.datname = current_database()
         where relation = 'refunds'::regclass and mode = 'AccessExclusiveLock' and granted
           and exists (select from schema_migrations where name = '9005_drop.sql')`,
      );
      return rows[0];
    });
    // Those who record and those who read go in groups: in the end, one of each waits for all.
    await atWork.waiting(2);
    await atWork.release();
    expect(await migrating).toEqual([...Object.keys(LATER), '9006_long.sql']);
    const soFar = answers.length;
    await until('traffic to go on', async () => (answers.length > soFar + 50 ? true : undefined));
    await other.close();
    expect(answers.filter((status) => status !== 200)).toEqual([]);
  });

  test('it is given up with a reason when the way is never free', async () => {
    const report = openDatabase({ connectionString: api.connectionString, maxConnections: 1 });
    await report.transaction(async (tx) => {
      await tx.query('select count(*) from refunds');
      const trying = migrate(api.db, systemClock, { folder, lockWaitMs: 50, giveUpAfterMs: 300 });
      await expect(trying).rejects.toThrow(/9001_columns.*open for long is in the way/);
    });
    await report.close();
  });
});

describe.runIf(SHIPPED.length > FIRST)('each later shipped migration on a loaded database in use', () => {
  let database: FreshDatabase;
  beforeEach(async () => {
    database = await blankDatabase();
  });
  afterEach(() => database.drop());

  test.each(SHIPPED.slice(FIRST).map((name, n) => [name, FIRST + n] as const))('%s', async (_, before) => {
    const { db } = database;
    for (const name of [...SHIPPED.slice(0, before), 'verbs'])
      cpSync(join(MIGRATIONS_DIR, name), join(folder, name), { recursive: true });
    expect(await migrate(db, systemClock, { folder })).toHaveLength(before + VERBS.length);
    await db.query(`insert into merchants values ('acme', 'acme', '{}', now())`);
    for (let n = 0; n < 300; n++) await putOrder(db, { orderId: `o${n}`, amountMinor: 100_000 });
    await db.query(INSERT_REFUNDS, [Array.from({ length: 300 }, (_, n) => `o${n}`)]);

    let done = false;
    let written = 0;
    const traffic = Array.from({ length: 3 }, async (_, lane) => {
      for (let n = 0; !done; n++) {
        const orderId = `t${lane}-${n}`;
        await putOrder(db, { orderId, amountMinor: 100_000 });
        await db.query(INSERT_REFUNDS, [[orderId]]);
        await db.query('select count(*) from refunds where order_id = $1', [orderId]);
        written++;
      }
    });
    await until('traffic', async () => (written > 10 ? true : undefined));
    expect(await migrate(db)).toHaveLength(SHIPPED.length - before);
    const soFar = written;
    await until('traffic to go on', async () => (written > soFar + 10 ? true : undefined));
    done = true;
    await Promise.all(traffic);

    const [sum] = await db.query<{ refunds: number; reserved: number }>(
      `select (select count(*) from refunds) as refunds, (select sum(reserved_minor)::bigint from transactions) as reserved`,
    );
    expect(sum).toEqual({ refunds: 300 + written, reserved: (300 + written) * 1000 });
  });
});

const INSERT_REFUNDS = `
  insert into refunds (merchant_id, order_id, refund_id, unique_request_id, txn_id, amount_minor, currency, exponent,
    state, gateway, gateway_account_id, gateway_payment_id, refund_type, idempotency_key, initiated_by, door, lane,
    created_at, updated_at, due_at, next_look_at, review_at, event_seq)
  select merchant_id, order_id, gen_random_uuid(), 'r1', txn_id, 1000, 'INR', 2, 'queued', gateway,
    gateway_account_id, gateway_payment_id, 'STANDARD', repeat('k', 22), 'API', 'api', 0, now(), now(), now(), now(),
    now(), 1
  from transactions where order_id = any($1)`;

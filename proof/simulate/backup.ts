import type { Database, Queryable } from '../../src/lib/db.ts';

/** The books of a world at one moment. */
export interface Backup {
  readonly at: Date;
  /** Puts them back in place of what is there now. */
  restore(tx: Queryable): Promise<void>;
}

/** What changes while refunds live, each after what it refers to. */
const TABLES = [
  'orders',
  'transactions',
  'refunds',
  'attempts',
  'events',
  'notifications',
  'unsealed_orders',
  'audit_checkpoints',
  'batches',
  'batch_files',
  'batch_chunks',
  'batch_events',
  'batch_rows',
  'figures',
  'batch_figures',
  'figure_changes',
  'account_holds',
  'account_strangers',
];

/** Keeps the books beside themselves, in the schema `kept`. The program's own file of a backup is tested elsewhere. */
export async function takeBackup(db: Database, at: Date): Promise<Backup> {
  const columns = new Map<string, string>();
  await db.query('create schema kept');
  for (const table of TABLES) {
    const [row] = await db.query<{ columns: string }>(
      `select string_agg(quote_ident(attname), ', ') as columns from pg_attribute
       where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`,
      [table],
    );
    columns.set(table, row!.columns);
    await db.query(`create table kept.${table} as select ${row!.columns} from ${table}`);
  }
  return {
    at,
    async restore(tx) {
      for (const table of TABLES) await tx.query(`alter table ${table} disable trigger user`);
      for (const table of TABLES.toReversed()) await tx.query(`delete from ${table}`);
      for (const table of TABLES)
        await tx.query(
          `insert into ${table} (${columns.get(table)}) select ${columns.get(table)} from kept.${table}`,
        );
      for (const table of TABLES) await tx.query(`alter table ${table} enable trigger user`);
    },
  };
}

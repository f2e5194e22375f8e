import type { Database, Queryable } from '../../src/lib/db.ts';

/** The books of a world at one moment. */
export interface Backup {
  readonly at: Date;
  /** Puts them back in place of what is there now. */
  restore(tx: Queryable): Promise<void>;
  discard(): Promise<void>;
}

/** What changes with refunds, each after what it refers to. */
const TABLES = [
  'orders',
  'transactions',
  'refunds',
  'attempts',
  'events',
  'notifications',
  'unsealed_orders',
  'audit_checkpoints',
];

/** Keeps the books of these merchants beside the others'. The program's own file of a backup is tested elsewhere. */
export async function takeBackup(db: Database, merchantIds: readonly string[], at: Date): Promise<Backup> {
  const columns = new Map<string, string>();
  const kept = (table: string) => `kept_${table}`;
  for (const table of TABLES) {
    const [row] = await db.query<{ columns: string }>(
      `select string_agg(quote_ident(attname), ', ') as columns from pg_attribute
       where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`,
      [table],
    );
    columns.set(table, row!.columns);
    await db.query(`create table ${kept(table)} as select ${row!.columns} from ${table} limit 0`);
    await db.query(
      `insert into ${kept(table)} select ${row!.columns} from ${table} where merchant_id = any($1)`,
      [merchantIds],
    );
  }
  return {
    at,
    async restore(tx) {
      for (const table of TABLES) await tx.query(`alter table ${table} disable trigger user`);
      for (const table of TABLES.toReversed())
        await tx.query(`delete from ${table} where merchant_id = any($1)`, [merchantIds]);
      for (const table of TABLES)
        await tx.query(
          `insert into ${table} (${columns.get(table)}) select ${columns.get(table)} from ${kept(table)}`,
        );
      for (const table of TABLES) await tx.query(`alter table ${table} enable trigger user`);
    },
    async discard() {
      await db.query('delete from restores');
      for (const table of TABLES) await db.query(`drop table ${kept(table)}`);
    },
  };
}

import pg from 'pg';
import type { Database, Queryable } from '../../src/lib/db.ts';

/** A database in which worlds live one after the other, each as if it were new. */
export interface Ground {
  readonly db: Database;
  /** The auditor's own way in. */
  readonly auditor: pg.Client;
  /** Takes away all that the world before has left. */
  clear(): Promise<void>;
}

export async function openGround(connectionString: string): Promise<Ground> {
  const db = openPrepared(connectionString);
  const auditor = new pg.Client({ connectionString, options: '-c jit=off' });
  await auditor.connect();
  const tables = await db.query<{ name: string; guard: string | null }>(
    `select c.relname as name,
            (select quote_ident(t.tgname) from pg_trigger t
             where t.tgrelid = c.oid and not t.tgisinternal and t.tgtype & $1 > 0) as guard
     from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname not in ('schema_migrations', 'schema_verbs')
     order by 1`,
    [ON_TRUNCATE],
  );
  const guards = tables.filter(({ guard }) => guard !== null);
  const setGuards = (to: 'enable' | 'disable') =>
    guards.map(({ name, guard }) => `alter table ${name} ${to} trigger ${guard};`).join(' ');
  const clearing = `begin; ${setGuards('disable')} truncate ${tables.map(({ name }) => name).join(', ')}; ${setGuards('enable')}
    drop schema if exists kept cascade; commit;`;
  return {
    db,
    auditor,
    clear: async () => void (await auditor.query(clearing)),
  };
}

/**
 * The program's own way to its database, but that statements are planned once: they are repeated by the million here, and
 * planning takes longer than running them on so few rows.
 */
function openPrepared(connectionString: string): Database {
  const pool = new pg.Pool({
    connectionString,
    max: 4,
    idleTimeoutMillis: 0,
    options: '-c timezone=UTC -c jit=off',
    types: INTEGERS,
  });
  // A server that is stopped ends connections that nobody uses any more.
  pool.on('error', () => undefined);
  const names = new Map<string, string>();
  const on = (client: pg.Pool | pg.PoolClient): Queryable => ({
    async query<Row>(text: string, params: readonly unknown[] = []) {
      const name = names.get(text) ?? `s${names.size}`;
      names.set(text, name);
      return (await client.query({ name, text, values: params as unknown[] })).rows as Row[];
    },
  });
  return {
    query: (text, params) => on(pool).query(text, params),
    async transaction(work) {
      const client = await pool.connect();
      try {
        await client.query('begin');
        const result = await work(on(client));
        await client.query('commit');
        return result;
      } catch (error) {
        await client.query('rollback');
        throw error;
      } finally {
        client.release();
      }
    },
    connect: () => pool.connect(),
    close: () => pool.end(),
  };
}

const INTEGERS = new pg.TypeOverrides();
INTEGERS.setTypeParser(pg.types.builtins.INT8, Number);

/** A bit of pg_trigger.tgtype. */
const ON_TRUNCATE = 32;

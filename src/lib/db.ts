import pg from 'pg';

/** Anything that can run one statement: the pool, or one transaction's connection. */
export interface Queryable {
  /** Runs one statement with `$1`-style parameters and returns its rows. Throws pg's error as it is. */
  query<Row = Record<string, unknown>>(text: string, params?: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Queryable {
  /** Runs `work` between BEGIN and COMMIT on one connection; rolls back and rethrows when it throws. */
  transaction<Result>(work: (tx: Queryable) => Promise<Result>): Promise<Result>;
  /** A connection of one's own, for COPY, LISTEN or session locks; the caller releases it. */
  connect(): Promise<pg.PoolClient>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly connectionString: string;
  readonly maxConnections?: number;
  readonly applicationName?: string;
  readonly statementTimeoutMs?: number;
  /** Told of errors on idle connections (a restarted server, say); the pool replaces the connection. */
  readonly onIdleError?: (error: Error) => void;
}

const types = new pg.TypeOverrides();
// Amounts and counters stay below 2^53 by the schema's own checks, so a number carries them exactly.
types.setTypeParser(pg.types.builtins.INT8, (text) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`integer ${text} is too large to be held exactly`);
  return value;
});

const READ_ONLY = '25006';

export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.maxConnections ?? 10,
    application_name: options.applicationName ?? 'refundry',
    statement_timeout: options.statementTimeoutMs ?? 60_000,
    connectionTimeoutMillis: 15_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // Statements here take milliseconds; compiling one takes longer than running it.
    options: '-c timezone=UTC -c jit=off',
    types,
  });
  // The pool does not wait until its connections are gone: one that a stopping server ends is no news any more.
  pool.on('error', (error) => pool.ending || options.onIdleError?.(error));
  // A connection lost while it is in use, but between two statements, tells nobody else: without a listener that
  // would end the process. The next statement fails with it, and the transaction's caller learns it there.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return {
    async query<Row>(text: string, params: readonly unknown[] = []) {
      return (await pool.query(text, params as unknown[])).rows as Row[];
    },
    async transaction<Result>(work: (tx: Queryable) => Promise<Result>) {
      const client = await pool.connect();
      let broken: Error | undefined;
      try {
        await client.query('begin');
        const result = await work({
          async query<Row>(text: string, params: readonly unknown[] = []) {
            return (await client.query(text, params as unknown[])).rows as Row[];
          },
        });
        await client.query('commit');
        return result;
      } catch (error) {
        await client.query('rollback').catch((rollbackError: Error) => {
          broken = rollbackError;
        });
        // A server that takes no changes any more has been replaced by another: this connection leads to the old one.
        if (sqlState(error) === READ_ONLY) broken = error as Error;
        throw error;
      } finally {
        client.release(broken);
      }
    },
    connect: () => pool.connect(),
    close: () => pool.end(),
  };
}

/** PostgreSQL's five-character error code, or undefined for an error that is not the database's. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/**
 * JSON text that a jsonb parameter takes. PostgreSQL's text has neither NUL nor half a surrogate pair; where a
 * stranger sent one, U+FFFD stands in its place.
 */
export function jsonbOf(value: unknown): string {
  return JSON.stringify(value).replace(/\\(?:u([0-9a-f]{4})|.)/g, (written, hex?: string) =>
    hex === '0000' || hex?.startsWith('d') ? '\\ufffd' : written,
  );
}

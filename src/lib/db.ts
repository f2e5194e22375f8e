import pg from 'pg';

/** Anything that can run one statement: the pool, or one transaction's connection. */
export interface Queryable {
  /** Runs one statement with `$1`-style parameters and returns its rows. Throws pg's error as it is. */
  query<Row = Record<string, unknown>>(text: string, params?: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Queryable {
  /**
   * Runs `work` between BEGIN and COMMIT on one connection; rolls back and rethrows when it throws. When the database
   * falls silent, a SilentDatabase is thrown, and nobody knows whether the COMMIT was heard.
   */
  transaction<Result>(
    work: (tx: Queryable) => Promise<Result>,
    /** For work that sets the server's own limit aside: however long a statement takes, it is waited for. */
    options?: { readonly patient?: boolean },
  ): Promise<Result>;
  /** A connection of one's own, for COPY, LISTEN or session locks; without our limits. The caller releases it. */
  connect(): Promise<pg.PoolClient>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly connectionString: string;
  readonly maxConnections?: number;
  readonly applicationName?: string;
  /** How long the server may take for a statement; 60 s when absent. Who is silent for longer is given up. */
  readonly statementTimeoutMs?: number;
  /** Beyond the server's own limit, for its word of it to reach us; 5 s when absent. */
  readonly silenceMs?: number;
  /** For a connection, made or free; 15 s when absent. */
  readonly connectTimeoutMs?: number;
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
const STATEMENT_TIMEOUT_MS = 60_000;
const SILENCE_MS = 5_000;
const CONNECT_TIMEOUT_MS = 15_000;

/** The database did not answer at all, not even that it took too long: what was asked may or may not have been done. */
export class SilentDatabase extends Error {}

export function openDatabase(options: DatabaseOptions): Database {
  const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
  const answerWithinMs = statementTimeoutMs + (options.silenceMs ?? SILENCE_MS);
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.maxConnections ?? 10,
    application_name: options.applicationName ?? 'refundry',
    statement_timeout: statementTimeoutMs,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
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
  /**
   * A network that swallows packets would leave us waiting until TCP gives up, many minutes later. The pool drops a
   * connection whose query failed, so a late answer meets nobody.
   */
  async function ask<Row>(
    on: pg.Pool | pg.PoolClient,
    text: string,
    params: readonly unknown[] = [],
    withinMs: number | null = answerWithinMs,
  ): Promise<Row[]> {
    const query = {
      text,
      values: params as unknown[],
      ...(withinMs !== null && { query_timeout: withinMs }),
    };
    try {
      return (await on.query(query)).rows as Row[];
    } catch (error) {
      if (error instanceof Error && error.message === 'Query read timeout') {
        throw new SilentDatabase(`The database has said nothing for ${withinMs} ms.`, { cause: error });
      }
      throw error;
    }
  }

  return {
    query: (text, params) => ask(pool, text, params),
    async transaction(work, { patient = false } = {}) {
      const withinMs = patient ? null : answerWithinMs;
      const client = await pool.connect();
      let broken: Error | undefined;
      try {
        await ask(client, 'begin', [], withinMs);
        const result = await work({ query: (text, params) => ask(client, text, params, withinMs) });
        await ask(client, 'commit', [], withinMs);
        return result;
      } catch (error) {
        // A rollback would wait behind the statement that is not answered; the server ends it with the connection.
        if (error instanceof SilentDatabase) broken = error;
        else {
          await ask(client, 'rollback').catch((rollbackError: Error) => {
            broken = rollbackError;
          });
        }
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

/** Text that a text parameter takes, by the same rule as `jsonbOf`. */
export function textOf(value: string): string {
  return value.toWellFormed().replaceAll('\0', '\ufffd');
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

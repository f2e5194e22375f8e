import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from './config.ts';
import { type Database, openDatabase, sqlState } from './lib/db.ts';
import { startEmbeddedPostgres } from './lib/embedded-postgres.ts';
import { OperatorError } from './lib/operator-error.ts';

/** The database that the settings ask for, with the server behind it where that is our own. */
export interface OpenedDatabase {
  readonly db: Database;
  /** Holds the password. */
  readonly connectionString: string;
  /** What people are told of where it is; never holds a password. */
  readonly place: string;
  /** Ends this process's connections, and the embedded server where this process owns it. */
  close(): Promise<void>;
  /** Ends the embedded server without waiting for anything that still uses it. */
  abandon(): Promise<void>;
}

export interface OpenOptions {
  /** Whether another process may own the embedded server: a server process refuses, a short command visits. */
  readonly whenOwned: 'refuse' | 'visit';
  /** Whether an embedded database that is not there yet is made (the default), or the command has nothing to do. */
  readonly whenAbsent?: 'make' | 'refuse';
  /** Told when the embedded server ended although nobody asked it to. */
  readonly onLost?: (why: string) => void;
  readonly onIdleError?: (error: Error) => void;
  /** How long the server may take for a statement; DatabaseOptions has the default. */
  readonly statementTimeoutMs?: number;
  /** What this process is, for whoever lists the connections: `refundry command` when absent. */
  readonly applicationName?: string;
}

const OLDEST = 150_000;
/** Services that start together come up in any order. */
const PATIENCE_MS = 20_000;

/** Opens the database and checks that it answers and is new enough. Throws OperatorError. */
export async function openConfiguredDatabase(
  settings: Settings,
  options: OpenOptions,
): Promise<OpenedDatabase> {
  if (options.whenAbsent === 'refuse' && !isThere(settings)) {
    throw new OperatorError(
      `There is no database in ${settings.dataDir} yet: "refundry serve" makes it. ` +
        'If yours is elsewhere, DATA_DIR or DATABASE_URL says where.',
    );
  }
  const embedded =
    settings.databaseUrl === null
      ? await startEmbeddedPostgres({ dataDir: settings.dataDir, ...options })
      : null;
  const connectionString = settings.databaseUrl ?? embedded!.connectionString;
  const place = embedded ? `${settings.dataDir} (embedded PostgreSQL)` : withoutPassword(connectionString);
  const db = openDatabase({
    connectionString,
    maxConnections: settings.databasePoolSize,
    applicationName: options.applicationName ?? 'refundry command',
    ...(options.statementTimeoutMs !== undefined && { statementTimeoutMs: options.statementTimeoutMs }),
    ...(options.onIdleError && { onIdleError: options.onIdleError }),
  });
  const abandon = async () => {
    await embedded?.stop();
  };
  const close = async () => {
    await db.close();
    await abandon();
  };
  try {
    await checkVersion(db, place);
  } catch (error) {
    await close();
    throw error;
  }
  return { db, connectionString, place, close, abandon };
}

/** Whether there is a database to open; one's own is known only once it is asked. */
export function isThere({ databaseUrl, dataDir }: Settings): boolean {
  return databaseUrl !== null || existsSync(join(dataDir, 'postgres'));
}

async function checkVersion(db: Database, place: string): Promise<void> {
  const giveUpAt = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      const [row] = await db.query<{ version: number; name: string }>(
        `select current_setting('server_version_num')::integer as version, current_setting('server_version') as name`,
      );
      if (row!.version >= OLDEST) return;
      throw new OperatorError(`The database at ${place} is PostgreSQL ${row!.name}; 15 or newer is needed.`);
    } catch (error) {
      if (error instanceof OperatorError) throw error;
      if (!mayPass(error) || Date.now() > giveUpAt) {
        throw new OperatorError(
          `The database at ${place} cannot be used: ${reasonOf(error)}. DATABASE_URL says where it is.`,
          { cause: error },
        );
      }
      await sleep(500);
    }
  }
}

function mayPass(error: unknown): boolean {
  const startingUp = '57P03';
  return codeOf(error) === 'ECONNREFUSED' || sqlState(error) === startingUp;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function reasonOf(error: unknown): string {
  if (codeOf(error) === 'ECONNREFUSED') return 'nothing accepts connections there';
  if (codeOf(error) === 'ENOTFOUND') return 'the name of its host is not known';
  return (error as Error).message;
}

function withoutPassword(connectionString: string): string {
  const { hostname, port, pathname } = new URL(connectionString);
  return `${hostname || 'localhost'}:${port || 5432}${pathname}`;
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '../../src/lib/db.ts';
import { startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { migrate } from '../../src/lib/migrate.ts';

/** Lends a PostgreSQL of its own with a migrated database, and throws it away afterwards. */
export async function withPostgres<Result>(work: (databaseUrl: string) => Promise<Result>): Promise<Result> {
  const dataDir = mkdtempSync(join(tmpdir(), 'refundry-proof-'));
  const server = await startEmbeddedPostgres({ dataDir, whenOwned: 'refuse', settings: { fsync: 'off' } });
  try {
    const db = openDatabase({ connectionString: server.connectionString, maxConnections: 1 });
    await migrate(db);
    await db.close();
    return await work(server.connectionString);
  } finally {
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

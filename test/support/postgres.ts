import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { openDatabase } from '../../src/lib/db.ts';
import { isAlive, startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';
import { newSecret } from '../../src/lib/ids.ts';
import { migrate } from '../../src/lib/migrate.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A server on which tests make their databases; the URL leads to one that is never used itself. */
    serverUrl: string;
    /** The migrated database that tests clone. Every database of this run starts with its name. */
    templateName: string;
  }
}

/**
 * Gives the test run a PostgreSQL: one of its own in a temporary folder, thrown away afterwards, or the one that
 * TEST_DATABASE_URL names (its user must be allowed to create databases; all that are made are dropped again).
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = process.env['TEST_DATABASE_URL']
    ? { connectionString: process.env['TEST_DATABASE_URL'], stop: async () => undefined }
    : await temporaryServer();
  const templateName = newSecret('refundry_test_', 6);
  const admin = openDatabase({ connectionString: server.connectionString, maxConnections: 1 });
  await admin.query(`create database ${templateName} encoding 'UTF8' template template0`);
  const template = openDatabase({ connectionString: databaseUrl(server.connectionString, templateName) });
  await migrate(template);
  await template.close();
  project.provide('serverUrl', server.connectionString);
  project.provide('templateName', templateName);
  return async () => {
    const left = await admin.query<{ name: string }>(
      'select datname as name from pg_database where starts_with(datname, $1)',
      [templateName],
    );
    for (const { name } of left) await admin.query(`drop database if exists ${name} with (force)`);
    await admin.close();
    await server.stop();
  };
}

/** The same server, another database. */
export function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}

const FOLDER = 'refundry-test-';

async function temporaryServer() {
  await removeLeftovers();
  const dataDir = mkdtempSync(join(tmpdir(), `${FOLDER}${process.pid}-`));
  const server = await startServer(dataDir);
  return {
    connectionString: server.connectionString,
    async stop() {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** A test run that was killed leaves its server running; the next one ends it. */
async function removeLeftovers(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const owner = new RegExp(`^${FOLDER}(\\d+)-`).exec(name)?.[1];
    if (owner === undefined || isAlive(Number(owner))) continue;
    const dataDir = join(tmpdir(), name);
    if (existsSync(join(dataDir, 'postgres', 'cluster', 'postmaster.pid'))) {
      const server = await startServer(dataDir).catch(() => null);
      await server?.stop();
    }
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function startServer(dataDir: string) {
  return startEmbeddedPostgres({
    dataDir,
    whenOwned: 'refuse',
    settings: { fsync: 'off', full_page_writes: 'off', max_connections: '300' },
  });
}

import { inject } from 'vitest';
import { type Database, openDatabase } from '../../src/lib/db.ts';
import { newSecret } from '../../src/lib/ids.ts';
import { databaseUrl } from './postgres.ts';

export interface FreshDatabase {
  readonly db: Database;
  readonly connectionString: string;
  /** Closes `db` and drops the database, whoever else is still connected. */
  drop(): Promise<void>;
}

/** An empty database of the test's own, with all migrations applied. */
export async function freshDatabase(options: { maxConnections?: number } = {}): Promise<FreshDatabase> {
  return newDatabase(inject('templateName'), options);
}

/** A database of the test's own without any table. */
export async function blankDatabase(options: { maxConnections?: number } = {}): Promise<FreshDatabase> {
  return newDatabase('template0', options);
}

async function newDatabase(template: string, options: { maxConnections?: number }): Promise<FreshDatabase> {
  const serverUrl = inject('serverUrl');
  const name = newSecret(`${inject('templateName')}_`, 6);
  await asAdmin(serverUrl, (admin) =>
    admin.query(`create database ${name} template ${template} encoding 'UTF8'`),
  );
  const connectionString = databaseUrl(serverUrl, name);
  // A name that no part of the program goes by: a restore refuses beside those.
  const db = openDatabase({ connectionString, applicationName: 'a test', ...options });
  return {
    db,
    connectionString,
    async drop() {
      await db.close();
      await asAdmin(serverUrl, (admin) => admin.query(`drop database if exists ${name} with (force)`));
    },
  };
}

async function asAdmin(serverUrl: string, work: (admin: Database) => Promise<unknown>): Promise<void> {
  const admin = openDatabase({ connectionString: serverUrl, maxConnections: 1 });
  try {
    await work(admin);
  } finally {
    await admin.close();
  }
}

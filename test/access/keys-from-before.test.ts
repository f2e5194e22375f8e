import { expect, test } from 'vitest';
import { SHOP_PERMISSIONS } from '../../src/access/roles.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { newId } from '../../src/lib/ids.ts';
import { migrateWithin, shippedMigrations } from '../../src/lib/migrate.ts';
import { blankDatabase } from '../support/database.ts';

test('keys from before may do what a shop’s server needs, and count as whoever is behind them', async () => {
  const { db, drop } = await blankDatabase();
  const names = shippedMigrations().map(({ name }) => name);
  const before = names[names.indexOf('0017_guards.sql') - 1]!;
  await db.transaction((tx) => migrateWithin(tx, systemClock, before));
  const now = systemClock.now();
  const key = (merchantId: string, name: string, createdBy: string | null) =>
    db.query(
      `insert into api_keys (api_key_id, merchant_id, name, key_hash, last_four, created_at, created_by)
       values ($1::uuid, $2::text, $3::text, sha256(convert_to($2 || ' ' || $3, 'UTF8')), '1234', $4, $5)`,
      [newId(), merchantId, name, now, createdBy],
    );
  const admin = newId();
  for (const id of ['acme', 'other']) {
    await db.query('insert into merchants (merchant_id, name, created_at) values ($1, $1, $2)', [id, now]);
  }
  await db.query(
    `insert into users (id, email, email_verified, name, created_at, updated_at)
     values ($1, 'admin@acme.test', true, 'Admin', $2, $2)`,
    [admin, now],
  );
  await db.query(
    `insert into members (user_id, merchant_id, role, joined_at) values ($1, 'acme', 'admin', $2)`,
    [admin, now],
  );
  await key('acme', 'by the program', null);
  await key('acme', 'by the admin', 'admin@acme.test');
  await key('acme', 'by a key', 'by the admin');
  await key('acme', 'by a key of a key', 'by a key');
  await key('acme', 'by someone who left', 'gone@acme.test');
  await key('other', 'of another merchant', 'by the admin');

  await db.transaction((tx) => migrateWithin(tx, systemClock, '0017_guards.sql'));
  const rows = await db.query<{ name: string; permissions: string[]; maker: string | null }>(
    'select name, permissions, made_by_id as maker from api_keys order by name',
  );
  expect(Object.fromEntries(rows.map(({ name, maker }) => [name, maker]))).toEqual({
    'by a key': admin,
    'by a key of a key': admin,
    'by someone who left': null,
    'by the admin': admin,
    'by the program': null,
    'of another merchant': null,
  });
  for (const { permissions } of rows) expect(permissions).toEqual(SHOP_PERMISSIONS);
  await drop();
});

import { hashPassword } from 'better-auth/crypto';
import type { Clock } from '../lib/clock.ts';
import { type Database, type Queryable, sqlState } from '../lib/db.ts';
import type { Vault } from '../lib/vault.ts';
import { DEMO_MERCHANT } from './demo-key.ts';
import { ROLES, type Role } from './roles.ts';
import { createUser, listTeam } from './users.ts';

const NAMES: Readonly<Record<Role, string>> = {
  viewer: 'Vera Viewer',
  support: 'Sam Support',
  operations: 'Olga Operations',
  admin: 'Ada Admin',
};

/** The demo's person of a role. */
export function demoEmail(role: Role): string {
  return `${role}@${DEMO_MERCHANT}.test`;
}

/**
 * Makes a person of each role in the demo's team while nobody is in it, and returns the password that they share: it
 * follows from the master key, so that each process knows it and no two installations have the same. Null once the
 * admin has another password.
 */
export async function ensureDemoPeople(db: Database, clock: Clock, vault: Vault): Promise<string | null> {
  if ((await listTeam(db, DEMO_MERCHANT)).length === 0) {
    const passwordHash = await hashPassword(demoPasswordOf(vault));
    try {
      await db.transaction(async (tx) => {
        for (const role of ROLES) {
          const person = { merchantId: DEMO_MERCHANT, email: demoEmail(role), name: NAMES[role], role };
          await createUser(tx, clock, { ...person, passwordHash });
        }
      });
    } catch (error) {
      // Another process that starts at the same moment was faster.
      const uniqueViolation = '23505';
      if (sqlState(error) !== uniqueViolation) throw error;
    }
  }
  return readDemoPassword(db, vault);
}

/** What the demo's people sign in with; null once the admin has another password, or where there are none. */
export async function readDemoPassword(db: Queryable, vault: Vault): Promise<string | null> {
  const untouched = await db.query(
    `select from users u join members m on m.user_id = u.id join user_passwords p on p.user_id = u.id
     where m.merchant_id = $1 and u.email = $2 and p.updated_at = p.created_at`,
    [DEMO_MERCHANT, demoEmail('admin')],
  );
  return untouched.length === 1 ? demoPasswordOf(vault) : null;
}

function demoPasswordOf(vault: Vault): string {
  return `demo-${vault.mac('demo people', Buffer.from('password')).toString('hex').slice(0, 12)}`;
}

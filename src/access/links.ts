import { createHash, randomBytes } from 'node:crypto';
import { hashPassword } from 'better-auth/crypto';
import { type Clock, plusMs } from '../lib/clock.ts';
import { type Database, type Queryable, sqlState } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import { logAccess } from './access-log.ts';
import type { Role } from './roles.ts';
import { noteStandIn } from './second-person.ts';
import { createUser, endSessions } from './users.ts';

/** How long a one-time link can be used. */
export const LINK_LIFE_MS = 72 * 60 * 60 * 1000;

/** A link that can still be used. */
export interface OneTimeLink {
  readonly linkId: string;
  readonly merchantId: string;
  readonly merchantName: string;
  /** The person who gets a new password; null for one who joins. */
  readonly userId: string | null;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly madeBy: string;
  /** The person who made it; null where the command line did. */
  readonly madeById: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

export interface NewLink {
  readonly merchantId: string;
  readonly userId: string | null;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly madeBy: string;
  readonly madeById: string | null;
}

/**
 * Makes a link for the person and ends those made for them before. The token is in clear this one time: only its
 * SHA-256 is stored.
 */
export async function makeLink(
  db: Queryable,
  clock: Clock,
  link: NewLink,
): Promise<{ linkId: string; token: string; expiresAt: Date }> {
  const now = clock.now();
  const token = randomBytes(24).toString('base64url');
  const linkId = newId();
  const expiresAt = plusMs(now, LINK_LIFE_MS);
  await db.query(
    'update one_time_links set ended_at = $3 where merchant_id = $1 and email = $2 and ended_at is null',
    [link.merchantId, link.email, now],
  );
  await db.query(
    `insert into one_time_links
       (link_id, token_hash, merchant_id, user_id, email, name, role, made_by, created_at, expires_at,
        made_by_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      linkId,
      hashOf(token),
      link.merchantId,
      link.userId,
      link.email,
      link.name,
      link.role,
      link.madeBy,
      now,
      expiresAt,
      link.madeById,
    ],
  );
  return { linkId, token, expiresAt };
}

const LINK = `l.link_id as "linkId", l.merchant_id as "merchantId", s.name as "merchantName", l.user_id as "userId",
  l.email, l.name, l.role, l.made_by as "madeBy", l.made_by_id as "madeById", l.created_at as "createdAt", l.expires_at as "expiresAt"`;

/** The link of a token while it can be used, or null. */
export async function readLink(db: Queryable, clock: Clock, token: string): Promise<OneTimeLink | null> {
  const rows = await db.query<OneTimeLink>(
    `select ${LINK} from one_time_links l join merchants s using (merchant_id)
     where l.token_hash = $1 and l.ended_at is null and l.expires_at > $2`,
    [hashOf(token), clock.now()],
  );
  return rows[0] ?? null;
}

/** Links of people who have not joined yet, the newest first. */
export async function listInvitations(
  db: Queryable,
  clock: Clock,
  merchantId: string,
): Promise<OneTimeLink[]> {
  return db.query<OneTimeLink>(
    `select ${LINK} from one_time_links l join merchants s using (merchant_id)
     where l.merchant_id = $1 and l.user_id is null and l.ended_at is null and l.expires_at > $2
     order by l.created_at desc, l.link_id desc`,
    [merchantId, clock.now()],
  );
}

/** Ends an invitation that nobody used; null where the merchant has none with this id. */
export async function withdrawInvitation(
  db: Queryable,
  clock: Clock,
  merchantId: string,
  linkId: string,
): Promise<{ email: string } | null> {
  const rows = await db.query<{ email: string }>(
    `update one_time_links set ended_at = $3
     where merchant_id = $1 and link_id = $2 and user_id is null and ended_at is null and expires_at > $3
     returning email`,
    [merchantId, linkId, clock.now()],
  );
  return rows[0] ?? null;
}

/**
 * Ends the links that a person made and nobody used: whoever may manage the team no longer has them in hand all the same, and
 * would come back by one. Returns how many ended.
 */
export async function endLinksMadeBy(
  db: Queryable,
  clock: Clock,
  merchantId: string,
  madeById: string,
): Promise<number> {
  const rows = await db.query(
    `update one_time_links set ended_at = $3
     where merchant_id = $1 and made_by_id = $2 and ended_at is null and expires_at > $3 returning link_id`,
    [merchantId, madeById, clock.now()],
  );
  return rows.length;
}

export type LinkUse =
  | { readonly ok: true; readonly userId: string }
  | { readonly ok: false; readonly refusal: 'ended' | 'email_taken' };

/**
 * Uses a link, once: its person joins, or has the new password from now on and is signed out everywhere. Where a second person
 * is asked for, they count for some days as the one who made the link too.
 */
export async function useLink(
  db: Database,
  clock: Clock,
  use: {
    readonly token: string;
    readonly password: string;
    readonly name?: string | undefined;
    readonly requestId: string;
  },
): Promise<LinkUse> {
  const asked = await readLink(db, clock, use.token);
  if (!asked) return { ok: false, refusal: 'ended' };
  const passwordHash = await hashPassword(use.password);
  try {
    return await db.transaction(async (tx) => {
      const ended = await tx.query(
        'update one_time_links set ended_at = $2 where link_id = $1 and ended_at is null returning link_id',
        [asked.linkId, clock.now()],
      );
      if (ended.length === 0) return { ok: false, refusal: 'ended' };
      const userId =
        asked.userId ??
        (await createUser(tx, clock, { ...asked, name: use.name ?? asked.name, passwordHash }));
      if (asked.userId !== null) {
        await setPassword(tx, clock, asked.userId, passwordHash);
        await endSessions(tx, asked.userId);
      }
      const { merchantId, madeById, createdAt: madeAt } = asked;
      if (madeById !== null) await noteStandIn(tx, clock, { merchantId, userId, madeById, madeAt });
      await logAccess(tx, clock, {
        merchantId: asked.merchantId,
        by: { userId, name: asked.email },
        action: asked.userId === null ? 'joined' : 'password_chosen',
        userId,
        email: asked.email,
        details: asked.userId === null ? { role: asked.role, invited_by: asked.madeBy } : {},
        requestId: use.requestId,
      });
      return { ok: true, userId };
    });
  } catch (error) {
    const uniqueViolation = '23505';
    if (sqlState(error) === uniqueViolation) return { ok: false, refusal: 'email_taken' };
    throw error;
  }
}

/** Gives the person a password; with null none works any more, until a one-time link has been used. */
export async function setPassword(
  db: Queryable,
  clock: Clock,
  userId: string,
  passwordHash: string | null,
): Promise<void> {
  await db.query('update user_passwords set password = $2, updated_at = $3 where user_id = $1', [
    userId,
    passwordHash,
    clock.now(),
  ]);
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

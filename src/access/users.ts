import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import { putKeysToSleep } from './api-keys.ts';
import type { Role } from './roles.ts';
import type { WayIn } from './ways-in.ts';

/** A person and their place in a merchant's team. */
export interface Member {
  readonly userId: string;
  readonly merchantId: string;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly secondFactor: boolean;
  /** False until a one-time link has been used to choose one. */
  readonly hasPassword: boolean;
  /** Null while they may sign in. */
  readonly disabledAt: Date | null;
  readonly joinedAt: Date;
}

export interface MemberWithMerchant extends Member {
  /** As stored; `settingsOf` in merchants.ts reads them. */
  readonly merchantSettings: Readonly<Record<string, unknown>>;
}

const MEMBER = `u.id as "userId", m.merchant_id as "merchantId", u.email, u.name, m.role,
  u.second_factor as "secondFactor", m.disabled_at as "disabledAt", m.joined_at as "joinedAt",
  exists (select from user_passwords p where p.user_id = u.id and p.password is not null) as "hasPassword"`;

/** Who the person is, whatever their merchant; null where nobody has this id. */
export async function readMember(db: Queryable, userId: string): Promise<MemberWithMerchant | null> {
  const rows = await db.query<MemberWithMerchant>(
    `select ${MEMBER}, s.settings as "merchantSettings"
     from users u join members m on m.user_id = u.id join merchants s using (merchant_id)
     where u.id = $1`,
    [userId],
  );
  return rows[0] ?? null;
}

/** A person in one of their sessions. */
export interface SignedInMember extends MemberWithMerchant {
  readonly openedBy: WayIn;
}

/** The person whose session it is; null where they have none with this id. */
export async function readSignedIn(
  db: Queryable,
  userId: string,
  sessionId: string,
): Promise<SignedInMember | null> {
  const rows = await db.query<SignedInMember>(
    `select ${MEMBER}, s.settings as "merchantSettings", o.opened_by as "openedBy"
     from sessions o join users u on u.id = o.user_id join members m on m.user_id = u.id
       join merchants s using (merchant_id)
     where o.id = $2 and u.id = $1`,
    [userId, sessionId],
  );
  return rows[0] ?? null;
}

/** Whose session has the token; null where none has. */
export async function findSession(
  db: Queryable,
  token: string,
): Promise<{ readonly userId: string; readonly sessionId: string } | null> {
  const rows = await db.query<{ userId: string; sessionId: string }>(
    'select user_id as "userId", id as "sessionId" from sessions where token = $1',
    [token],
  );
  return rows[0] ?? null;
}

/** Writes down how a session was opened. Until then it counts as opened by the password alone. */
export async function writeWayIn(db: Queryable, token: string, openedBy: WayIn): Promise<void> {
  await db.query('update sessions set opened_by = $2 where token = $1', [token, openedBy]);
}

/** A person of the merchant's team; null where it has none with this id. */
export async function readTeamMember(
  db: Queryable,
  merchantId: string,
  userId: string,
): Promise<Member | null> {
  const rows = await db.query<Member>(
    `select ${MEMBER} from users u join members m on m.user_id = u.id
     where m.merchant_id = $1 and u.id = $2`,
    [merchantId, userId],
  );
  return rows[0] ?? null;
}

/** A person of a team, and whether they are about. */
export interface ListedMember extends Member {
  /** The last sign of any of their browsers, late by a twentieth of SESSION_IDLE; null while signed in nowhere. */
  readonly lastSeenAt: Date | null;
}

/** Everyone of the team, in the order in which they joined. */
export async function listTeam(db: Queryable, merchantId: string): Promise<ListedMember[]> {
  return db.query<ListedMember>(
    `select ${MEMBER}, (select max(s.updated_at) from sessions s where s.user_id = u.id) as "lastSeenAt"
     from users u join members m on m.user_id = u.id
     where m.merchant_id = $1 order by m.joined_at, u.id`,
    [merchantId],
  );
}

/** A person's sign-in in one browser. */
export interface SessionView {
  readonly sessionId: string;
  readonly startedAt: Date;
  readonly lastUsedAt: Date;
  readonly openedBy: WayIn;
  readonly address: string | null;
  readonly userAgent: string | null;
}

/** Where the person is signed in, the last used first; `aliveSince` is the earliest start that still counts. */
export async function listSessions(
  db: Queryable,
  userId: string,
  now: Date,
  aliveSince: Date,
): Promise<SessionView[]> {
  return db.query<SessionView>(
    `select id as "sessionId", created_at as "startedAt", updated_at as "lastUsedAt",
       opened_by as "openedBy", nullif(ip_address, '') as address, nullif(user_agent, '') as "userAgent"
     from sessions where user_id = $1 and expires_at > $2 and created_at > $3
     order by updated_at desc, id desc`,
    [userId, now, aliveSince],
  );
}

/** A person who may be meant by an e-mail. */
export interface NamesakePassword {
  readonly userId: string;
  /** As better-auth makes it; null while only a one-time link helps. */
  readonly passwordHash: string | null;
}

/** Everyone who has the e-mail, in whichever team: first who may sign in, of those who joined last. */
export async function findNamesakes(db: Queryable, email: string): Promise<NamesakePassword[]> {
  return db.query<NamesakePassword>(
    `select u.id as "userId", p.password as "passwordHash"
     from users u join members m on m.user_id = u.id join user_passwords p on p.user_id = u.id
     where u.email = $1 order by m.disabled_at is not null, m.joined_at desc, u.id desc`,
    [email],
  );
}

/** Whose sign-in, between password and code, goes by this name; null where none does. */
export async function findWaitingSignIn(db: Queryable, identifier: string): Promise<string | null> {
  const rows = await db.query<{ userId: string }>(
    `select u.id as "userId" from verifications v join users u on u.id::text = v.value where v.identifier = $1`,
    [identifier],
  );
  return rows[0]?.userId ?? null;
}

/** Ends one session of the person; false where they have none with this id. */
export async function endSession(db: Queryable, userId: string, sessionId: string): Promise<boolean> {
  const rows = await db.query('delete from sessions where user_id = $1 and id = $2 returning id', [
    userId,
    sessionId,
  ]);
  return rows.length === 1;
}

/** Ends all sessions of the person but one, and the sign-ins that wait for a code; says how many ended. */
export async function endSessions(
  db: Queryable,
  userId: string,
  exceptSessionId: string | null = null,
): Promise<number> {
  // A sign-in between password and code is a verification whose value is the person's id.
  await db.query('delete from verifications where value = $1', [userId]);
  const rows = await db.query(
    'delete from sessions where user_id = $1 and ($2::uuid is null or id <> $2) returning id',
    [userId, exceptSessionId],
  );
  return rows.length;
}

export async function renameUser(db: Queryable, userId: string, name: string, now: Date): Promise<void> {
  await db.query('update users set name = $2, updated_at = $3 where id = $1', [userId, name, now]);
}

/** Removes sessions that nobody can use any more. */
export async function endOldSessions(db: Queryable, now: Date, aliveSince: Date): Promise<void> {
  await db.query('delete from sessions where expires_at <= $1 or created_at <= $2', [now, aliveSince]);
}

/**
 * Signs everyone out, ends all one-time links and what waits to turn a guard off, and puts the API keys to sleep. After a
 * restore, what somebody ended since the backup would live again: a session, a link, a stopped change, a revoked key.
 */
export async function endAllWaysIn(db: Queryable, now: Date): Promise<void> {
  await db.query('delete from sessions');
  await db.query('delete from verifications');
  await db.query('update one_time_links set ended_at = $1 where ended_at is null', [now]);
  await db.query(
    `update waiting_changes set ended_at = $1, ended_as = 'stopped', ended_by = 'a restore' where ended_at is null`,
    [now],
  );
  await putKeysToSleep(db, now);
}

/**
 * Makes a person of the merchant's team who may sign in at once. Throws a unique violation for an e-mail that the team
 * has already; what other teams have is of no account.
 */
export async function createUser(
  db: Queryable,
  clock: Clock,
  user: {
    readonly merchantId: string;
    readonly email: string;
    readonly name: string;
    readonly role: Role;
    /** As better-auth makes it. */
    readonly passwordHash: string;
  },
): Promise<string> {
  const [userId, now] = [newId(), clock.now()];
  await db.query(
    `with person as (
       insert into users (id, email, email_verified, name, created_at, updated_at)
       values ($1, $2, true, $3, $4, $4) returning id
     ), proof as (
       insert into user_passwords (id, user_id, account_id, provider_id, password, created_at, updated_at)
       select $5, id, id, 'credential', $6, $4, $4 from person
     )
     insert into members (user_id, merchant_id, role, joined_at, email) select id, $7, $8, $4, $2 from person`,
    [userId, user.email, user.name, now, newId(), user.passwordHash, user.merchantId, user.role],
  );
  return userId;
}

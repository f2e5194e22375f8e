import type { Clock } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';
import { type Actor, logAccess, type NewAccessEntry } from './access-log.ts';
import { endLinksMadeBy, makeLink, setPassword, withdrawInvitation as withdraw } from './links.ts';
import { mayRole, type Role } from './roles.ts';
import { endSessions, type Member, readTeamMember } from './users.ts';

export interface TeamDeps {
  readonly db: Database;
  readonly clock: Clock;
}

/** Who asks for a change, and where it is to be found in the log. */
export interface AskedBy {
  readonly merchantId: string;
  readonly by: Actor;
  readonly requestId: string | null;
}

export type TeamRefusal = 'not_found' | 'already_member' | 'last_admin';
export type TeamResult<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly refusal: TeamRefusal };

/** Whoever has the token may come in once, until it expires. */
export interface MadeLink {
  readonly linkId: string;
  readonly token: string;
  readonly expiresAt: Date;
}

/** Makes the link by which a person joins; an earlier one for the same e-mail ends. */
export async function invite(
  { db, clock }: TeamDeps,
  asked: AskedBy,
  person: { readonly email: string; readonly name: string; readonly role: Role },
): Promise<TeamResult<MadeLink>> {
  return changeTeam(db, asked, async (tx) => {
    const [known] = await tx.query(
      'select from users u join members m on m.user_id = u.id where m.merchant_id = $1 and u.email = $2',
      [asked.merchantId, person.email],
    );
    if (known) return refused('already_member');
    const { merchantId, by } = asked;
    const link = await makeLink(tx, clock, {
      ...person,
      merchantId,
      userId: null,
      madeBy: by.name,
      madeById: by.userId,
    });
    await logAccess(tx, clock, {
      ...asked,
      action: 'invited',
      userId: null,
      email: person.email,
      details: { role: person.role },
    });
    return { ok: true, value: link };
  });
}

export async function withdrawInvitation(
  { db, clock }: TeamDeps,
  asked: AskedBy,
  linkId: string,
): Promise<TeamResult<null>> {
  return changeTeam(db, asked, async (tx) => {
    const ended = await withdraw(tx, clock, asked.merchantId, linkId);
    if (!ended) return refused('not_found');
    await logAccess(tx, clock, {
      ...asked,
      action: 'invitation_withdrawn',
      userId: null,
      email: ended.email,
    });
    return { ok: true, value: null };
  });
}

/**
 * Gives a person another role, or switches them off and on. Whom it switches off is signed out everywhere; the links of one who
 * may manage the team no longer end.
 */
export async function changeMember(
  { db, clock }: TeamDeps,
  asked: AskedBy,
  userId: string,
  changes: { readonly role?: Role | undefined; readonly disabled?: boolean | undefined },
): Promise<TeamResult<Member>> {
  return changeTeam(db, asked, async (tx) => {
    const before = await readTeamMember(tx, asked.merchantId, userId);
    if (!before) return refused('not_found');
    const role = changes.role ?? before.role;
    const disabled = changes.disabled ?? before.disabledAt !== null;
    if ((role !== 'admin' || disabled) && (await isLastAdmin(tx, before))) return refused('last_admin');
    const disabledAt = disabled ? (before.disabledAt ?? clock.now()) : null;
    await tx.query('update members set role = $2, disabled_at = $3 where user_id = $1', [
      userId,
      role,
      disabledAt,
    ]);
    const log = (action: NewAccessEntry['action'], details = {}) =>
      logAccess(tx, clock, { ...asked, action, userId, email: before.email, details });
    const ended =
      disabled || !mayRole(role, 'team.manage')
        ? linksEnded(await endLinksMadeBy(tx, clock, asked.merchantId, userId))
        : {};
    if (role !== before.role) await log('role_changed', { from: before.role, to: role, ...ended });
    if (disabled !== (before.disabledAt !== null)) await log(disabled ? 'disabled' : 'enabled', ended);
    if (disabled) await endSessions(tx, userId);
    return { ok: true, value: { ...before, role, disabledAt } };
  });
}

/** Takes a person out of the team for good, and ends the links they made; the log and the trail keep what they did. */
export async function removeMember(
  { db, clock }: TeamDeps,
  asked: AskedBy,
  userId: string,
): Promise<TeamResult<null>> {
  return changeTeam(db, asked, async (tx) => {
    const member = await readTeamMember(tx, asked.merchantId, userId);
    if (!member) return refused('not_found');
    if (await isLastAdmin(tx, member)) return refused('last_admin');
    await endSessions(tx, userId);
    await tx.query('delete from users where id = $1', [userId]);
    const ended = linksEnded(await endLinksMadeBy(tx, clock, asked.merchantId, userId));
    await logAccess(tx, clock, {
      ...asked,
      action: 'removed',
      userId,
      email: member.email,
      details: { name: member.name, role: member.role, ...ended },
    });
    return { ok: true, value: null };
  });
}

/**
 * Ends a person's password now, their second factor too if asked, and their sessions; the link is the only way back in.
 * For a person who forgot, and for one whose password somebody else may know.
 */
export async function resetSignIn(
  { db, clock }: TeamDeps,
  asked: AskedBy,
  userId: string,
  { secondFactorToo }: { readonly secondFactorToo: boolean },
): Promise<TeamResult<MadeLink>> {
  return changeTeam(db, asked, async (tx) => {
    const member = await readTeamMember(tx, asked.merchantId, userId);
    if (!member) return refused('not_found');
    await setPassword(tx, clock, userId, null);
    await endSessions(tx, userId);
    if (secondFactorToo) {
      await tx.query('delete from two_factors where user_id = $1', [userId]);
      await tx.query('update users set second_factor = false where id = $1', [userId]);
    } else {
      await tx.query(
        'update two_factors set failed_verification_count = 0, locked_until = null where user_id = $1',
        [userId],
      );
    }
    const { merchantId, by } = asked;
    const link = await makeLink(tx, clock, { ...member, merchantId, madeBy: by.name, madeById: by.userId });
    await logAccess(tx, clock, {
      ...asked,
      action: 'reset',
      userId,
      email: member.email,
      details: { second_factor: secondFactorToo },
    });
    return { ok: true, value: link };
  });
}

/** Signs a person out everywhere; says of how many browsers. */
export async function endSessionsOf(
  { db, clock }: TeamDeps,
  asked: AskedBy,
  userId: string,
): Promise<TeamResult<number>> {
  return changeTeam(db, asked, async (tx) => {
    const member = await readTeamMember(tx, asked.merchantId, userId);
    if (!member) return refused('not_found');
    const count = await endSessions(tx, userId);
    await logAccess(tx, clock, {
      ...asked,
      action: 'sessions_ended',
      userId,
      email: member.email,
      details: { count },
    });
    return { ok: true, value: count };
  });
}

/** A person of the team by e-mail, for the command line; null where there is none. */
export async function findTeamMember(
  db: Queryable,
  merchantId: string,
  email: string,
): Promise<Member | null> {
  const [found] = await db.query<{ id: string }>(
    'select u.id from users u join members m on m.user_id = u.id where m.merchant_id = $1 and u.email = $2',
    [merchantId, email.trim().toLowerCase()],
  );
  return found ? readTeamMember(db, merchantId, found.id) : null;
}

/** Whether anyone who can sign in may manage the merchant's team. */
export async function hasAdmin(db: Queryable, merchantId: string): Promise<boolean> {
  return (await countAdmins(db, merchantId, null)) > 0;
}

/** One change of a team at a time, so that two admins cannot take each other's place at once. */
async function changeTeam<Value>(
  db: Database,
  { merchantId }: AskedBy,
  change: (tx: Queryable) => Promise<TeamResult<Value>>,
): Promise<TeamResult<Value>> {
  return db.transaction(async (tx) => {
    await tx.query('select from merchants where merchant_id = $1 for no key update', [merchantId]);
    return change(tx);
  });
}

async function isLastAdmin(db: Queryable, { merchantId, userId, role, disabledAt }: Member) {
  if (role !== 'admin' || disabledAt) return false;
  return (await countAdmins(db, merchantId, userId)) === 0;
}

async function countAdmins(db: Queryable, merchantId: string, exceptUserId: string | null): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `select count(*) from members m join user_passwords p on p.user_id = m.user_id
     where m.merchant_id = $1 and m.role = 'admin' and m.disabled_at is null and p.password is not null
       and ($2::uuid is null or m.user_id <> $2)`,
    [merchantId, exceptUserId],
  );
  return row!.count;
}

/** For the log, where there were any. */
const linksEnded = (count: number) => (count === 0 ? {} : { links_ended: count });

function refused(refusal: TeamRefusal): { readonly ok: false; readonly refusal: TeamRefusal } {
  return { ok: false, refusal };
}

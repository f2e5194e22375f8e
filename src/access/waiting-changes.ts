import { type Clock, HOUR_MS, plusMs } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import { createLoop, type Loop } from '../lib/loop.ts';
import { type AccessAction, type Actor, logAccess } from './access-log.ts';
import {
  changeMerchantSettings,
  guardsTurnedOff,
  lockMerchantSettings,
  type Merchant,
  type MerchantSettings,
} from './merchants.ts';
import { type Deed, isSecondPerson } from './second-person.ts';
import { listTeam } from './users.ts';

/** Where nobody else is there to confirm, a guard is off this long after somebody asked for it. */
export const ALONE_HOURS = 24;
/** And with nobody's yes by then it stays on. */
export const LAPSES_AFTER_DAYS = 7;

/** So long whoever was an admin, and was demoted, switched off, reset or removed by somebody of the team, counts as one still. */
const KEPT_AWAY_DAYS = 7;

const ALONE_MS = ALONE_HOURS * HOUR_MS;
const LAPSES_AFTER_MS = LAPSES_AFTER_DAYS * 24 * HOUR_MS;
const KEPT_AWAY_MS = KEPT_AWAY_DAYS * 24 * HOUR_MS;
const LOOK_EVERY_MS = 15_000;

/** A change that would turn a guard off, and waits. */
export interface WaitingChange {
  readonly changeId: string;
  readonly changes: Partial<MerchantSettings>;
  readonly askedByKind: Deed['kind'];
  readonly askedById: string;
  readonly askedBy: string;
  readonly askedAt: Date;
  /** It takes effect by itself then; null: another admin has to confirm it. */
  readonly takesEffectAt: Date | null;
  readonly lapsesAt: Date;
}

export interface ChangeDeps {
  readonly db: Database;
  readonly clock: Clock;
}

/** Who asks for a change of settings, or decides about one. */
export interface AskedBy {
  readonly merchantId: string;
  readonly kind: Deed['kind'];
  /** Of the person or the API key. */
  readonly id: string;
  readonly name: string;
  readonly requestId: string | null;
}

/**
 * Changes settings. What would turn a guard off waits instead, in the place of what waited for the same guard: for another
 * admin, or, where no other one could confirm it, for its time.
 */
export async function askForSettings(
  { db, clock }: ChangeDeps,
  asked: AskedBy,
  changes: Partial<MerchantSettings>,
): Promise<Merchant | null> {
  return db.transaction(async (tx) => {
    const before = await lockMerchantSettings(tx, asked.merchantId);
    if (!before) return null;
    const off = guardsTurnedOff(before.settings, changes);
    const now = clock.now();
    const waits = Object.entries(changes).filter(([name]) => off.includes(name));
    const atOnce = Object.entries(changes).filter(([name]) => !off.includes(name));
    const log = logOf(tx, clock, asked);
    const alone = off.length > 0 && !(await hasOtherAdmin(tx, asked, now));
    // Each by itself, so that whoever confirms one does not confirm another unseen.
    for (const [name, value] of waits) {
      await endWaiting(tx, asked.merchantId, { name, as: 'replaced', by: asked.name, now });
      const takesEffectAt = alone ? plusMs(now, ALONE_MS) : null;
      await insertWaiting(tx, asked, { [name]: value }, { now, takesEffectAt });
      await log('settings_asked_for', { [name]: value });
    }
    if (atOnce.length === 0) return before;
    const after = await changeMerchantSettings(tx, asked.merchantId, Object.fromEntries(atOnce));
    await log('settings_changed', Object.fromEntries(atOnce));
    return after;
  });
}

export type ChangeDecision = 'done' | 'not_found' | 'same_person';

/** Another admin's yes: the change takes effect now. */
export async function confirmChange(
  { db, clock }: ChangeDeps,
  asked: AskedBy,
  changeId: string,
): Promise<ChangeDecision> {
  return db.transaction(async (tx) => {
    await lockMerchantSettings(tx, asked.merchantId);
    const now = clock.now();
    const change = (await listWaiting(tx, asked.merchantId, now)).find((one) => one.changeId === changeId);
    if (!change) return 'not_found';
    const by: Deed = { kind: asked.kind, id: asked.id, at: now };
    if (!(await isSecondPerson(tx, asked.merchantId, by, [deedOf(change)]))) return 'same_person';
    await endChange(tx, { ...asked, changeId }, { as: 'confirmed', by: asked.name, now });
    await changeMerchantSettings(tx, asked.merchantId, change.changes);
    await logOf(tx, clock, asked)('settings_confirmed', { ...change.changes, asked_by: change.askedBy });
    return 'done';
  });
}

/** Anyone's no, the asker's too: nothing happens. */
export async function stopChange(
  { db, clock }: ChangeDeps,
  asked: AskedBy,
  changeId: string,
): Promise<ChangeDecision> {
  return db.transaction(async (tx) => {
    await lockMerchantSettings(tx, asked.merchantId);
    const now = clock.now();
    const change = (await listWaiting(tx, asked.merchantId, now)).find((one) => one.changeId === changeId);
    if (!change) return 'not_found';
    await endChange(tx, { ...asked, changeId }, { as: 'stopped', by: asked.name, now });
    await logOf(tx, clock, asked)('settings_stopped', { ...change.changes, asked_by: change.askedBy });
    return 'done';
  });
}

/** Lets those take effect whose time has come, and ends what lapsed. Returns how many took effect. */
export async function takeDueEffects({ db, clock }: ChangeDeps): Promise<number> {
  await lapse(db, clock.now());
  let count = 0;
  for (const { merchantId, changeId } of await listDue(db, clock.now())) {
    await db.transaction(async (tx) => {
      await lockMerchantSettings(tx, merchantId);
      const now = clock.now();
      const change = (await listWaiting(tx, merchantId, now)).find((one) => one.changeId === changeId);
      if (!change?.takesEffectAt || change.takesEffectAt > now) return;
      await endChange(tx, { merchantId, changeId }, { as: 'took_effect', by: null, now });
      await changeMerchantSettings(tx, merchantId, change.changes);
      const { askedByKind: kind, askedById: id, askedBy: name } = change;
      const log = logOf(tx, clock, { merchantId, kind, id, name, requestId: null });
      await log('settings_changed', change.changes);
      count++;
    });
  }
  return count;
}

/** The loop that does so. Any number of them may run on one database. */
export function createSettingsKeeper(deps: ChangeDeps & { readonly log: Logger }): Loop {
  return createLoop({
    name: 'settings',
    log: deps.log,
    idleMs: LOOK_EVERY_MS,
    tick: async () => {
      await takeDueEffects(deps);
      return false;
    },
  });
}

function deedOf({ askedByKind, askedById, askedAt }: WaitingChange): Deed {
  return { kind: askedByKind, id: askedById, at: askedAt };
}

function logOf(tx: Queryable, clock: Clock, { merchantId, kind, id, name, requestId }: AskedBy) {
  const by: Actor = { userId: kind === 'user' ? id : null, name };
  return (action: AccessAction, details: Readonly<Record<string, unknown>>) =>
    logAccess(tx, clock, { merchantId, by, action, userId: null, email: '', details, requestId });
}

/**
 * Whether an admin of the team could confirm what is asked for: one who may sign in and is another person. An admin whom
 * somebody of the team has kept from it lately counts as one who could, or whoever wants to be alone would first see to that.
 */
async function hasOtherAdmin(tx: Queryable, { merchantId, kind, id }: AskedBy, now: Date): Promise<boolean> {
  const hands: Deed[] = [{ kind, id, at: now }];
  const admins = (await listTeam(tx, merchantId)).filter(({ role }) => role === 'admin');
  const there = admins
    .filter(({ disabledAt, hasPassword }) => disabledAt === null && hasPassword)
    .map(({ userId }) => ({ userId, at: now }));
  const adminIds = admins.map(({ userId }) => userId);
  const kept = await listKeptAway(tx, merchantId, plusMs(now, -KEPT_AWAY_MS), adminIds);
  for (const { userId, at } of [...there, ...kept]) {
    if (await isSecondPerson(tx, merchantId, { kind: 'user', id: userId, at }, hands)) return true;
  }
  return false;
}

// Statements --------------------------------------------------------------------------------------------

/** What waits, the oldest first. */
export async function listWaiting(db: Queryable, merchantId: string, now: Date): Promise<WaitingChange[]> {
  return db.query<WaitingChange>(
    `select change_id as "changeId", changes, asked_by_kind as "askedByKind", asked_by_id as "askedById",
       asked_by as "askedBy", asked_at as "askedAt", takes_effect_at as "takesEffectAt", lapses_at as "lapsesAt"
     from waiting_changes where merchant_id = $1 and ended_at is null and lapses_at > $2
     order by asked_at, change_id`,
    [merchantId, now],
  );
}

/**
 * Admins whom another person of the team has demoted, switched off, reset or removed since then, and when; not the command
 * line. `adminIds`: those of the team as it is.
 */
async function listKeptAway(
  tx: Queryable,
  merchantId: string,
  since: Date,
  adminIds: readonly string[],
): Promise<{ userId: string; at: Date }[]> {
  return tx.query(
    `select user_id as "userId", at from access_log
     where merchant_id = $1 and at > $2 and by_user_id <> user_id
       and (action = 'role_changed' and details ->> 'from' = 'admin'
         or action = 'removed' and details ->> 'role' = 'admin'
         or action in ('disabled', 'reset') and user_id = any($3::uuid[]))`,
    [merchantId, since, adminIds],
  );
}

async function listDue(db: Queryable, now: Date): Promise<{ merchantId: string; changeId: string }[]> {
  return db.query(
    `select merchant_id as "merchantId", change_id as "changeId" from waiting_changes
     where ended_at is null and takes_effect_at <= $1 order by takes_effect_at, change_id`,
    [now],
  );
}

async function insertWaiting(
  tx: Queryable,
  { merchantId, kind, id, name }: AskedBy,
  changes: Partial<MerchantSettings>,
  at: { readonly now: Date; readonly takesEffectAt: Date | null },
): Promise<void> {
  await tx.query(
    `insert into waiting_changes (change_id, merchant_id, changes, asked_by_kind, asked_by_id, asked_by, asked_at,
       takes_effect_at, lapses_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      newId(),
      merchantId,
      JSON.stringify(changes),
      kind,
      id,
      name,
      at.now,
      at.takesEffectAt,
      plusMs(at.now, LAPSES_AFTER_MS),
    ],
  );
}

type Ended = 'confirmed' | 'took_effect' | 'stopped' | 'lapsed' | 'replaced';

async function endChange(
  tx: Queryable,
  { merchantId, changeId }: { readonly merchantId: string; readonly changeId: string },
  end: { readonly as: Ended; readonly by: string | null; readonly now: Date },
): Promise<void> {
  await tx.query(
    `update waiting_changes set ended_at = $3, ended_as = $4, ended_by = $5
     where merchant_id = $1 and change_id = $2`,
    [merchantId, changeId, end.now, end.as, end.by],
  );
}

/** Ends what waits for the setting. */
async function endWaiting(
  tx: Queryable,
  merchantId: string,
  end: {
    readonly name: string;
    readonly as: Ended;
    readonly by: string;
    readonly now: Date;
  },
): Promise<void> {
  await tx.query(
    `update waiting_changes set ended_at = $3, ended_as = $4, ended_by = $5
     where merchant_id = $1 and ended_at is null and changes ? $2::text`,
    [merchantId, end.name, end.now, end.as, end.by],
  );
}

async function lapse(db: Queryable, now: Date): Promise<void> {
  await db.query(
    `update waiting_changes set ended_at = $1, ended_as = 'lapsed' where ended_at is null and lapses_at <= $1`,
    [now],
  );
}

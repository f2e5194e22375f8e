import { createHash } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import type { Logger } from '../lib/log.ts';
import { createLoop, type Loop } from '../lib/loop.ts';
import { createTally } from '../lib/tally.ts';
import { ATTACK_ACTIONS, type AttackAction, logAccess } from './access-log.ts';
import { forgetOldAttempts } from './attempts.ts';

/** What somebody tried who may not, or asked for too often. */
export interface Attempt {
  readonly what: AttackAction | 'webhook_rejected' | 'rate_limited';
  readonly address: string;
  readonly requestId: string;
  /** As it was typed; a password that was typed in its place is not kept. */
  readonly email?: string | undefined;
  /** The person whose e-mail and team stand for it, where they are known. */
  readonly userId?: string | undefined;
  /** The API key that was given: looked up, never kept. */
  readonly apiKey?: string | undefined;
  /** What else there is to say of it; no secret. */
  readonly details?: Readonly<Record<string, string>>;
}

/**
 * What attacks leave behind: lines of the process's log and, where a merchant is concerned, rows of its access log. The
 * loop also removes counts of tries that are over.
 */
export interface Traces {
  /** Returns at once, so that nobody learns from the time it takes whether anyone is concerned. */
  note(attempt: Attempt): void;
  readonly loop: Loop;
}

const WINDOW_MS = 15 * 60_000;
/** Of each thing, in a window, in the process's log and in that of each merchant; the rest is a number. */
const MOST_TOLD = 20;
const MOST_WAITING = 100;
const LOOK_EVERY_MS = 5_000;
/** Tries are counted in rows; a flood of them must not stay because nobody signs in. */
const PRUNE_EVERY_MS = 60_000;
const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,190}$/;

export function createTraces(deps: {
  readonly db: Queryable;
  readonly clock: Clock;
  readonly log: Logger;
}): Traces {
  const waiting = new Set<Promise<void>>();
  let pruneAtMs = 0;

  const lines = createTally<Attempt>({
    windowMs: WINDOW_MS,
    most: MOST_TOLD,
    tell({ what, address, email, requestId, details }, count, others) {
      const where = others ? { last_address: address } : { address, ...(email !== undefined && { email }) };
      deps.log.warn({ attack: what, ...where, ...details, count, reqId: requestId }, LINES[what]);
    },
  });

  const rows = createTally<Attempt & Concerned & { readonly what: AttackAction }>({
    windowMs: WINDOW_MS,
    most: MOST_TOLD,
    tell(attempt, count, others) {
      const { address, details = {} } = attempt;
      keep(
        logAccess(deps.db, deps.clock, {
          merchantId: attempt.merchantId,
          by: { userId: null, name: others ? 'several callers' : `someone at ${address}` },
          action: attempt.what,
          userId: others ? null : attempt.concernedId,
          email: others ? '' : attempt.concernedEmail,
          details: others ? { count } : { address, count, ...details },
          requestId: attempt.requestId,
        }),
      );
    },
  });

  function keep(work: Promise<void>): void {
    const kept = work
      .catch((error: unknown) => deps.log.warn({ err: error }, 'an attack is missing in the access log'))
      .finally(() => waiting.delete(kept));
    waiting.add(kept);
  }

  async function noteForMerchants(attempt: Attempt & { readonly what: AttackAction }): Promise<void> {
    for (const concerned of await findConcerned(deps.db, attempt)) {
      const kind = `${attempt.address}\n${concerned.concernedEmail}\n${Object.values(concerned.details).join('\n')}`;
      const details = { ...attempt.details, ...concerned.details };
      rows.note(`${attempt.what} ${concerned.merchantId}`, kind, { ...attempt, ...concerned, details });
    }
  }

  return {
    note(attempt) {
      const shown = { ...attempt, email: emailIn(attempt) };
      const kind = [attempt.address, shown.email, ...Object.values(attempt.details ?? {})].join('\n');
      lines.note(attempt.what, kind, shown);
      const { what } = attempt;
      if (isAction(what) && waiting.size < MOST_WAITING) keep(noteForMerchants({ ...attempt, what }));
    },
    loop: createLoop({
      name: 'traces of attacks',
      log: deps.log,
      idleMs: LOOK_EVERY_MS,
      async tick() {
        lines.tellCounted();
        rows.tellCounted();
        if (performance.now() < pruneAtMs) return false;
        pruneAtMs = performance.now() + PRUNE_EVERY_MS;
        await forgetOldAttempts(deps.db, deps.clock);
        return false;
      },
      async drain() {
        await Promise.all(waiting);
        lines.tellCounted(true);
        rows.tellCounted(true);
        await Promise.all(waiting);
      },
    }),
  };
}

const LINES: Readonly<Record<Attempt['what'], string>> = {
  sign_in_failed: 'somebody failed to sign in',
  sign_in_locked: 'somebody has tried to sign in too often',
  code_failed: 'somebody gave a wrong code of a second factor',
  key_unknown: 'somebody called with an API key that does not work',
  webhook_rejected: 'a gateway webhook was rejected',
  rate_limited: 'somebody asks too much, and was refused',
};

function isAction(what: Attempt['what']): what is AttackAction {
  return (ATTACK_ACTIONS as readonly string[]).includes(what);
}

function emailIn({ email }: Attempt): string | undefined {
  if (email === undefined) return undefined;
  return EMAIL.test(email) ? email : 'not an e-mail address';
}

// Whom it concerns --------------------------------------------------------------------------------------

interface Concerned {
  readonly merchantId: string;
  readonly concernedId: string | null;
  readonly concernedEmail: string;
  readonly details: Readonly<Record<string, string>>;
}

async function findConcerned(db: Queryable, attempt: Attempt): Promise<Concerned[]> {
  if (attempt.userId !== undefined) return findPeople(db, 'id', attempt.userId);
  if (attempt.email !== undefined) return findPeople(db, 'email', attempt.email);
  if (attempt.apiKey !== undefined) return findKey(db, attempt.apiKey);
  return [];
}

async function findPeople(db: Queryable, by: 'id' | 'email', value: string): Promise<Concerned[]> {
  return db.query<Concerned>(
    `select m.merchant_id as "merchantId", u.id as "concernedId", u.email as "concernedEmail",
       '{}'::jsonb as details
     from users u join members m on m.user_id = u.id where u.${by} = $1`,
    [value],
  );
}

/** A key that does not work may have worked once, or work for another merchant than the one that was named. */
async function findKey(db: Queryable, apiKey: string): Promise<Concerned[]> {
  return db.query<Concerned>(
    `select merchant_id as "merchantId", null as "concernedId", '' as "concernedEmail",
       jsonb_build_object('key_name', name,
         'why', case when revoked_at is null then 'not usable here' else 'revoked' end) as details
     from api_keys where key_hash = $1`,
    [createHash('sha256').update(apiKey).digest()],
  );
}

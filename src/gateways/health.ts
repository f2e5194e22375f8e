import type { Clock } from '../lib/clock.ts';
import { plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import type { CreateAnswer, FindAnswer, LookAnswer } from './gateway.ts';

/** An account that work may go to, with its limits and how it is doing. */
export interface WorkingAccount {
  readonly gatewayAccountId: string;
  readonly gateway: string;
  readonly maxConcurrent: number;
  readonly maxPerSecond: number;
  /** Calls that may be made now under the rate that all workers share. */
  readonly allowance: number;
  readonly failuresInARow: number;
  /** While it lies ahead, nothing is sent; once past, one call tries. */
  readonly openUntil: Date | null;
}

/** All accounts that are switched on. The allowance is what it has grown to by now. */
export async function readWorkingAccounts(db: Queryable, clock: Clock): Promise<WorkingAccount[]> {
  return db.query<WorkingAccount>(
    `select a.gateway_account_id as "gatewayAccountId", a.gateway, a.max_concurrent as "maxConcurrent",
            a.max_per_second as "maxPerSecond",
            case when h.open_until > $2 then $1 else h.open_until end as "openUntil",
            h.failures_in_a_row as "failuresInARow", ${GROWN_ALLOWANCE} as allowance
     from gateway_accounts a join gateway_health h using (gateway_account_id)
     where a.enabled`,
    [clock.now(), plusMs(clock.now(), LONGEST_PAUSE_MS)],
  );
}

/**
 * Takes calls off the accounts' allowances, and says how many each account grants: workers that saw the same
 * allowance a moment ago do not both get it.
 */
export async function takeAllowance(
  db: Queryable,
  clock: Clock,
  wanted: ReadonlyMap<string, number>,
): Promise<Map<string, number>> {
  const rows = await db.query<{ id: string; granted: number }>(
    `with grown as (
       select h.gateway_account_id, s.calls, ${GROWN_ALLOWANCE} as allowance
       from unnest($2::text[], $3::int[]) as s(gateway_account_id, calls)
       join gateway_accounts a using (gateway_account_id)
       join gateway_health h using (gateway_account_id)
       order by h.gateway_account_id
       for update of h
     ), granted as (
       select *, least(calls, greatest(floor(allowance), 0)) as calls_granted from grown
     )
     update gateway_health h set allowance = g.allowance - g.calls_granted, allowance_at = $1
     from granted g where h.gateway_account_id = g.gateway_account_id
     returning h.gateway_account_id as id, g.calls_granted::int as granted`,
    [clock.now(), [...wanted.keys()], [...wanted.values()]],
  );
  return new Map(rows.map(({ id, granted }) => [id, granted]));
}

/** How many of the calls that each account may make in a second are taken just now, by all workers together. */
export async function readCallsTaken(
  db: Queryable,
  clock: Clock,
  gatewayAccountIds: readonly string[],
): Promise<Map<string, number>> {
  const rows = await db.query<{ id: string; taken: number }>(
    `select a.gateway_account_id as id, ceil(greatest(a.max_per_second - ${GROWN_ALLOWANCE}, 0))::int as taken
     from gateway_accounts a join gateway_health h using (gateway_account_id)
     where a.gateway_account_id = any($2)`,
    [clock.now(), gatewayAccountIds],
  );
  return new Map(rows.map(({ id, taken }) => [id, taken]));
}

// A second's worth at the most, so that a quiet minute does not become a burst. A time that lies ahead was written
// by a clock that was wrong; waiting for it would stop the account.
const GROWN_ALLOWANCE = `least(a.max_per_second,
  h.allowance + a.max_per_second * abs(extract(epoch from $1::timestamptz - h.allowance_at)))`;

const FAILURES_THAT_OPEN = 5;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

/** How one call to an account's gateway went, whatever it said of the refund. */
export interface CallReport {
  readonly answered: boolean;
  /** Our credentials or settings are refused. */
  readonly refusesUs: boolean;
  /** In words, where it did not go well. */
  readonly why: string | null;
}

/** The report of any answer that a connector gives. */
export function reportOf(answer: CreateAnswer | LookAnswer | FindAnswer): CallReport {
  return {
    answered: 'answered' in answer ? answer.answered : answer.kind !== 'not_sent',
    refusesUs: answer.kind === 'misconfigured',
    why: 'why' in answer ? answer.why : answer.kind === 'misconfigured' ? answer.errorMessage : null,
  };
}

/**
 * Tells how a call went. After five calls in a row without any answer the account rests: a second at first, and
 * twice as long each time that the call after a rest fails, up to a minute. Calls that were under way when a rest
 * began tell nothing new, however many they are. Credentials that are refused make it rest a minute at once. Returns
 * how long it rests from now, where this call is what made it rest.
 */
export async function noteCall(
  db: Queryable,
  clock: Clock,
  gatewayAccountId: string,
  call: CallReport & { readonly begunAt: Date },
): Promise<number> {
  const now = clock.now();
  if (call.answered && !call.refusesUs) {
    await db.query(
      `update gateway_health set failures_in_a_row = 0, open_until = null
       where gateway_account_id = $1 and (failures_in_a_row > 0 or open_until is not null)`,
      [gatewayAccountId],
    );
    return 0;
  }
  // A rest that ends later than any rest can was set by a clock that was wrong.
  const rows = await db.query<{ openUntil: Date | null }>(
    `update gateway_health set failures_in_a_row = failures_in_a_row + 1, last_error = $2, last_error_at = $3,
       open_until = case
         when $5::boolean then $6::timestamptz
         when failures_in_a_row + 1 >= $7::integer
           then least($6, $3::timestamptz + make_interval(secs => $8::float * power(2, least(failures_in_a_row + 1 - $7, 10))))
         else open_until end
     where gateway_account_id = $1 and ($5 or open_until is null or open_until <= $4::timestamptz or open_until > $6)
     returning open_until as "openUntil"`,
    [
      gatewayAccountId,
      call.why,
      now,
      call.begunAt,
      call.refusesUs,
      plusMs(now, LONGEST_PAUSE_MS),
      FAILURES_THAT_OPEN,
      FIRST_PAUSE_MS / 1_000,
    ],
  );
  const restsUntil = rows[0]?.openUntil ?? now;
  return Math.max(restsUntil.getTime() - now.getTime(), 0);
}

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
  /** Calls in a row without an answer, and refunds in a row refused alike: while either is there, good calls are noted. */
  readonly failuresInARow: number;
  /** While it lies ahead, nothing is sent; once past, one call tries. */
  readonly openUntil: Date | null;
}

/** Whose account it is, and which. */
export interface AccountKey {
  readonly merchantId: string;
  readonly gatewayAccountId: string;
}

/** All accounts that are switched on. The allowance is what it has grown to by now. */
export async function readWorkingAccounts(db: Queryable, clock: Clock): Promise<WorkingAccount[]> {
  return db.query<WorkingAccount>(
    `select a.gateway_account_id as "gatewayAccountId", a.gateway, a.max_concurrent as "maxConcurrent",
            a.max_per_second as "maxPerSecond",
            case when h.open_until > $2 then $1 else h.open_until end as "openUntil",
            h.failures_in_a_row + h.refusals_in_a_row as "failuresInARow", ${GROWN_ALLOWANCE} as allowance
     from gateway_accounts a join gateway_health h using (merchant_id, gateway_account_id)
     where a.enabled`,
    [clock.now(), plusMs(clock.now(), LONGEST_REST_MS)],
  );
}

/** An account through which nothing goes for now. */
export interface IdleAccount {
  readonly gatewayAccountId: string;
  readonly name: string;
  readonly enabled: boolean;
  /** Nothing is sent through it until a person has looked. */
  readonly held: boolean;
  /** Until when it rests, where it does. */
  readonly openUntil: Date | null;
  readonly lastError: string | null;
}

/** Of these accounts, the ones that are held, are switched off or rest. */
export async function readIdleAccounts(
  db: Queryable,
  clock: Clock,
  gatewayAccountIds: readonly string[],
): Promise<IdleAccount[]> {
  return db.query<IdleAccount>(
    `select * from (
       select a.gateway_account_id as "gatewayAccountId", a.name, a.enabled,
              exists (select from account_holds o where o.merchant_id = a.merchant_id
                      and o.gateway_account_id = a.gateway_account_id and o.released_at is null) as held,
              case when h.open_until > $2 and h.open_until <= $3 then h.open_until end as "openUntil",
              h.last_error as "lastError"
       from gateway_accounts a join gateway_health h using (merchant_id, gateway_account_id)
       where a.gateway_account_id = any($1)) account
     where not enabled or held or "openUntil" is not null`,
    [gatewayAccountIds, clock.now(), plusMs(clock.now(), LONGEST_REST_MS)],
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
       select h.merchant_id, h.gateway_account_id, s.calls, ${GROWN_ALLOWANCE} as allowance
       from unnest($2::text[], $3::int[]) as s(gateway_account_id, calls)
       join gateway_accounts a using (gateway_account_id)
       join gateway_health h using (merchant_id, gateway_account_id)
       order by h.gateway_account_id
       for update of h
     ), granted as (
       select *, least(calls, greatest(floor(allowance), 0)) as calls_granted from grown
     )
     update gateway_health h set allowance = g.allowance - g.calls_granted, allowance_at = $1
     from granted g where h.merchant_id = g.merchant_id and h.gateway_account_id = g.gateway_account_id
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
     from gateway_accounts a join gateway_health h using (merchant_id, gateway_account_id)
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
const REFUSALS_THAT_OPEN = 20;
const FIRST_REFUSAL_REST_MS = 60_000;
/** Whoever has put the cause right, or whose refunds were refused for reasons of their own, does not wait for longer. */
const LONGEST_REST_MS = 300_000;

/** How one call to an account's gateway went, whatever it said of the refund. */
export interface CallReport {
  /** Something answered that is not broken. Only silence opens the breaker. */
  readonly answered: boolean;
  /** Our credentials or settings are refused. */
  readonly refusesUs: boolean;
  /** In words, where it did not go well. */
  readonly why: string | null;
  /**
   * A refund that was refused for a reason that may lie in the account. Null: the gateway took a refund, or knew one.
   * Absent: neither is said.
   */
  readonly refusal?: { readonly code: string; readonly message: string } | null;
}

/** Whether a call leaves nothing to note of an account that was well before it. */
export function wentWell(call: CallReport): boolean {
  return call.answered && !call.refusesUs && !call.refusal;
}

/**
 * The report of any answer that a connector gives. `sends`: how often the refund was sent by now; one that is refused
 * again and again says nothing new of its account.
 */
export function reportOf(answer: CreateAnswer | LookAnswer | FindAnswer, sends = 1): CallReport {
  const refusal = sends > 1 && refusalOf(answer) ? undefined : refusalOf(answer);
  return {
    answered: 'answered' in answer ? answer.answered : answer.kind !== 'not_sent',
    refusesUs: answer.kind === 'misconfigured',
    why: 'why' in answer ? answer.why : 'errorMessage' in answer ? answer.errorMessage : null,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

function refusalOf(answer: CreateAnswer | LookAnswer | FindAnswer): CallReport['refusal'] {
  switch (answer.kind) {
    case 'refused':
      // Refused by us before it was sent: the gateway said nothing.
      if (answer.evidence['sent'] === false) return undefined;
      return answer.because ? null : { code: answer.errorCode ?? 'refused', message: answer.errorMessage };
    case 'no_payment':
      return { code: answer.errorCode ?? 'no_payment', message: answer.errorMessage };
    // Pages of somebody else in the place of each answer.
    case 'unknown':
      return answer.answered ? { code: answer.why.slice(0, 200), message: answer.why } : undefined;
    case 'news':
    case 'misfit':
    case 'no_funds':
      return null;
    default:
      return undefined;
  }
}

/**
 * Tells how a call went. After five calls in a row without any answer the account rests: a second at first, and
 * twice as long each time that the call after a rest fails, up to a minute. After twenty refunds in a row that were
 * refused alike it rests too: a minute at first, and up to five. Calls that were under way when a rest began tell
 * nothing new, however many they are. Credentials that are refused make it rest a minute at once. Returns how long it
 * rests from now, where this call is what made it rest.
 */
export async function noteCall(
  db: Queryable,
  clock: Clock,
  account: AccountKey,
  call: CallReport & { readonly begunAt: Date },
): Promise<number> {
  if (call.answered && !call.refusesUs) {
    return call.refusal
      ? noteRefusal(db, clock, account, { ...call.refusal, begunAt: call.begunAt })
      : noteGoodCall(db, account, call.refusal === null);
  }
  const now = clock.now();
  // A rest that ends later than any rest can was set by a clock that was wrong.
  const rows = await db.query<{ openUntil: Date | null }>(
    `update gateway_health set failures_in_a_row = failures_in_a_row + 1, last_error = $2, last_error_at = $3,
       open_until = case
         when $5::boolean then $6::timestamptz
         when failures_in_a_row + 1 >= $7::integer
           then least($6, $3::timestamptz + make_interval(secs => $8::float * power(2, least(failures_in_a_row + 1 - $7, 10))))
         else open_until end
     where merchant_id = $10 and gateway_account_id = $1
       and ($5 or open_until is null or open_until <= $4::timestamptz or open_until > $9)
     returning open_until as "openUntil"`,
    [
      account.gatewayAccountId,
      call.why,
      now,
      call.begunAt,
      call.refusesUs,
      plusMs(now, LONGEST_PAUSE_MS),
      FAILURES_THAT_OPEN,
      FIRST_PAUSE_MS / 1_000,
      plusMs(now, LONGEST_REST_MS),
      account.merchantId,
    ],
  );
  return restLeft(rows[0]?.openUntil, now);
}

/** `takesRefunds`: it also ends a row of refusals, and the rest they brought; other answers leave both as they are. */
async function noteGoodCall(db: Queryable, account: AccountKey, takesRefunds: boolean): Promise<number> {
  await db.query(
    `update gateway_health set failures_in_a_row = 0,
       refusals_in_a_row = case when $2 then 0 else refusals_in_a_row end,
       refusal_code = case when $2 then null else refusal_code end,
       open_until = case when $2 or refusals_in_a_row < $3 then null else open_until end
     where merchant_id = $4 and gateway_account_id = $1
       and (failures_in_a_row > 0 or ($2 and refusals_in_a_row > 0)
         or (open_until is not null and ($2 or refusals_in_a_row < $3)))`,
    [account.gatewayAccountId, takesRefunds, REFUSALS_THAT_OPEN, account.merchantId],
  );
  return 0;
}

async function noteRefusal(
  db: Queryable,
  clock: Clock,
  account: AccountKey,
  refusal: { readonly code: string; readonly message: string; readonly begunAt: Date },
): Promise<number> {
  const now = clock.now();
  const rows = await db.query<{ openUntil: Date | null }>(
    `update gateway_health h set failures_in_a_row = 0, refusals_in_a_row = ${REFUSALS_NOW}, refusal_code = $2,
       last_error = case when ${REFUSALS_NOW} >= $6
         then format('The last %s refunds were refused alike: %s', ${REFUSALS_NOW}, $3::text) else last_error end,
       last_error_at = case when ${REFUSALS_NOW} >= $6 then $4::timestamptz else last_error_at end,
       refused_alike_at = case when ${REFUSALS_NOW} >= $6 then $4::timestamptz else refused_alike_at end,
       refused_alike_why = case when ${REFUSALS_NOW} >= $6 then $3::text else refused_alike_why end,
       open_until = case when ${REFUSALS_NOW} >= $6 then least($7::timestamptz,
         $4::timestamptz + make_interval(secs => $8::float * power(2, least(${REFUSALS_NOW} - $6, 10)))) end
     where h.merchant_id = $9 and h.gateway_account_id = $1
       and (h.open_until is null or h.open_until <= $5::timestamptz or h.open_until > $7)
     returning h.open_until as "openUntil"`,
    [
      account.gatewayAccountId,
      refusal.code.slice(0, 200),
      refusal.message.slice(0, 500),
      now,
      refusal.begunAt,
      REFUSALS_THAT_OPEN,
      plusMs(now, LONGEST_REST_MS),
      FIRST_REFUSAL_REST_MS / 1_000,
      account.merchantId,
    ],
  );
  return restLeft(rows[0]?.openUntil, now);
}

/** The refusals in a row, the one with code $2 included. */
const REFUSALS_NOW = '(case when h.refusal_code = $2 then h.refusals_in_a_row + 1 else 1 end)';

function restLeft(openUntil: Date | null | undefined, now: Date): number {
  return Math.max((openUntil ?? now).getTime() - now.getTime(), 0);
}

/** The merchant's accounts that rest because their last refunds were all refused alike: since when, and what was said. */
export async function readRefusedAlike(
  db: Queryable,
  merchantId: string,
): Promise<{ readonly gatewayAccountId: string; readonly why: string; readonly at: Date }[]> {
  return db.query(
    `select gateway_account_id as "gatewayAccountId", refused_alike_at as at,
            format('The last %s refunds were refused alike: %s', refusals_in_a_row, refused_alike_why) as why
     from gateway_accounts join gateway_health using (merchant_id, gateway_account_id)
     where merchant_id = $1 and refusals_in_a_row >= $2 and refused_alike_at is not null`,
    [merchantId, REFUSALS_THAT_OPEN],
  );
}

/** Lets an account that rests try again at once: what made it rest may have been put right. */
export async function endRest(db: Queryable, account: AccountKey): Promise<void> {
  await db.query(
    `update gateway_health set failures_in_a_row = 0, refusals_in_a_row = 0, refusal_code = null, open_until = null
     where merchant_id = $1 and gateway_account_id = $2`,
    [account.merchantId, account.gatewayAccountId],
  );
}

// Webhooks ------------------------------------------------------------------------------------------------

const NOTED_EVERY_MS = 60_000;
const HEARD_EVERY_MS = 3_600_000;
const TAKEN_EVERY_MS = 6 * 3_600_000;

/**
 * Notes that a webhook to the account was rejected, or that one is missing: what it would have told has to be asked for.
 * Once a minute at the most, since anybody can post to the address.
 */
export async function noteWebhookTrouble(
  db: Queryable,
  clock: Clock,
  account: AccountKey,
  why: string,
): Promise<void> {
  const now = clock.now();
  await db.query(
    `update gateway_health set webhooks_rejected_at = $2, webhooks_rejected_why = $3
     where merchant_id = $5 and gateway_account_id = $1
       and (webhooks_rejected_at is null or webhooks_rejected_at <= $4 or webhooks_rejected_at > $2)`,
    [account.gatewayAccountId, now, why.slice(0, 500), plusMs(now, -NOTED_EVERY_MS), account.merchantId],
  );
}

/** Notes that the gateway's webhooks reach us: only then can one be missing. */
export async function noteWebhookHeard(db: Queryable, clock: Clock, account: AccountKey): Promise<void> {
  const now = clock.now();
  await db.query(
    `update gateway_health set webhooks_heard_at = $2
     where merchant_id = $4 and gateway_account_id = $1
       and (webhooks_heard_at is null or webhooks_heard_at < $3 or webhooks_heard_at > $2)`,
    [account.gatewayAccountId, now, plusMs(now, -HEARD_EVERY_MS), account.merchantId],
  );
}

/** Notes that an outcome was learnt by asking which a webhook should have told, where webhooks have reached us before. */
export async function noteWebhookMissing(db: Queryable, clock: Clock, account: AccountKey): Promise<void> {
  const [health] = await db.query(
    'select 1 from gateway_health where merchant_id = $1 and gateway_account_id = $2 and webhooks_heard_at is not null',
    [account.merchantId, account.gatewayAccountId],
  );
  if (health) await noteWebhookTrouble(db, clock, account, 'a webhook is missing');
}

export interface WebhookTrouble {
  readonly gatewayAccountId: string;
  readonly why: string;
}

/**
 * Takes the accounts with such trouble since they were last taken; each is given to one caller, and again after six hours
 * at the soonest: all of a month's successes are asked about for it, and anybody can post rubbish to the address.
 */
export async function takeWebhookTrouble(db: Queryable, clock: Clock): Promise<WebhookTrouble[]> {
  const now = clock.now();
  return db.query<WebhookTrouble>(
    `update gateway_health set webhook_trouble_taken_at = $1
     where webhooks_rejected_at is not null
       and (webhook_trouble_taken_at is null
         or webhook_trouble_taken_at > $1
         or (webhooks_rejected_at > webhook_trouble_taken_at and webhook_trouble_taken_at <= $2))
     returning gateway_account_id as "gatewayAccountId", webhooks_rejected_why as why`,
    [now, plusMs(now, -TAKEN_EVERY_MS)],
  );
}

import { DAY_MS, HOUR_MS } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';
import type { Logger } from '../lib/log.ts';
import { createLoop, type Loop } from '../lib/loop.ts';
import { createWhere, type Where } from '../lib/where.ts';
import { type RefundState, STATE_NAMES, STATES } from './states.ts';

/**
 * What refunds add up to, as migrations/0008_figures.sql keeps it: sums, and changes that are not folded into them yet.
 * Every reader adds the two in one statement, so it does not matter when they are folded.
 */

const FOLD_EVERY_MS = 2_000;
const CHANGES_AT_ONCE = 20_000;

/** Folds changes into the sums as they come. Every worker has one; one of them works at a time. */
export function createFigureKeeper(deps: { readonly db: Database; readonly log: Logger }): Loop {
  const loop = createLoop({
    name: 'figures',
    log: deps.log,
    idleMs: FOLD_EVERY_MS,
    tick: async () => (await foldFigures(deps.db)) === CHANGES_AT_ONCE,
  });
  // Not hurried by what happens: the fewer folds, the more of the changes have cancelled each other out.
  return { ...loop, wake: () => {} };
}

/** Folds a slice of the changes, and returns how many; 0 as well while another process is at it. */
export async function foldFigures(db: Database): Promise<number> {
  return db.transaction(async (tx) => {
    const [turn] = await tx.query<{ ours: boolean }>(
      `select pg_try_advisory_xact_lock(hashtextextended('refundry figures', 0)) as ours`,
    );
    if (!turn!.ours) return 0;
    const [folded] = await tx.query<{ taken: number; emptied: string }>(
      `with taken as (
         delete from figure_changes where ctid = any(array(select ctid from figure_changes limit $1)) returning *
       ), folded as (
         insert into figures as f (merchant_id, kind, at, word, gateway, currency, refunds, amount_minor)
         select t.merchant_id, x.kind, x.at, x.word, t.gateway, t.currency, sum(t.refunds), sum(t.amount_minor)
         from taken t cross join lateral figures_of(t.state, t.made_at, t.decided_at, t.took, t.error_code) x
         group by 1, 2, 3, 4, 5, 6 having sum(t.refunds) <> 0 or sum(t.amount_minor) <> 0
         on conflict (merchant_id, kind, at, word, gateway, currency) do update
           set refunds = f.refunds + excluded.refunds, amount_minor = f.amount_minor + excluded.amount_minor
         returning f.*
       ), folded_of_batches as (
         insert into batch_figures as f (merchant_id, batch_id, state, gateway, currency, refunds, amount_minor)
         select merchant_id, batch_id, state, gateway, currency, sum(refunds), sum(amount_minor)
         from taken where batch_id is not null group by 1, 2, 3, 4, 5 having sum(refunds) <> 0 or sum(amount_minor) <> 0
         on conflict (merchant_id, batch_id, state, gateway, currency) do update
           set refunds = f.refunds + excluded.refunds, amount_minor = f.amount_minor + excluded.amount_minor
       )
       select (select count(*) from taken) as taken,
              (select coalesce(jsonb_agg(to_jsonb(f)), '[]')::text from folded f
               where f.refunds = 0 and f.amount_minor = 0) as emptied`,
      [CHANGES_AT_ONCE],
    );
    await tx.query(
      `delete from figures f using jsonb_populate_recordset(null::figures, $1::jsonb) e
       where f.merchant_id = e.merchant_id and f.kind = e.kind and f.at = e.at and f.word = e.word
         and f.gateway = e.gateway and f.currency = e.currency`,
      [folded!.emptied],
    );
    return folded!.taken;
  });
}

/** Says all sums anew from the refunds themselves. Refunds wait meanwhile. */
export async function rebuildFigures(db: Queryable): Promise<void> {
  await db.query('select rebuild_figures()');
}

/** Which refunds to add up; what is absent does not ask. Times count to the quarter of an hour. */
export interface FigureFilter {
  readonly merchantId: string;
  readonly gateways?: readonly string[] | undefined;
  readonly currency?: string | undefined;
  readonly createdFrom?: Date | undefined;
  /** Not included. */
  readonly createdBefore?: Date | undefined;
}

export interface RefundCounts {
  readonly states: Readonly<Record<RefundState, number>>;
  readonly overdue: number;
  readonly attention: number;
}

/** How many refunds are in each state, past their due date at this moment, and in need of a person. */
export async function readCounts(db: Queryable, filter: FigureFilter, now: Date): Promise<RefundCounts> {
  const [states, overdue, attention] = await Promise.all([
    countStates(db, filter),
    countRows(db, filter, (where) => `next_look_at is not null and due_at < ${where.value(now)}`),
    countRows(db, filter, () => `(state = 'manual_review' or attention is not null)`),
  ]);
  return { states, overdue, attention };
}

async function countStates(db: Queryable, filter: FigureFilter): Promise<Record<RefundState, number>> {
  const where = createWhere();
  const always = filter.createdFrom === undefined && filter.createdBefore === undefined;
  const kept = within(where, filter, 'at');
  const changed = within(where, filter, 'made_at');
  const rows = await db.query<{ state: RefundState; refunds: number }>(
    `select state, sum(refunds)::bigint as refunds from (
       select word as state, refunds from figures where kind = '${always ? 'ever' : 'made'}' and ${kept}
       union all
       select state, refunds from figure_changes where ${changed}
     ) sums group by 1`,
    where.params,
  );
  const found = new Map(rows.map((row) => [row.state, row.refunds]));
  return Object.fromEntries(STATE_NAMES.map((state) => [state, found.get(state) ?? 0])) as Record<
    RefundState,
    number
  >;
}

/** Few of all refunds are such, and an index holds just these. */
async function countRows(
  db: Queryable,
  filter: FigureFilter,
  condition: (where: Where) => string,
): Promise<number> {
  const where = createWhere();
  const conditions = [within(where, filter, 'created_at'), condition(where)].join(' and ');
  const [row] = await db.query<{ n: number }>(
    `select count(*) as n from refunds where ${conditions}`,
    where.params,
  );
  return row!.n;
}

function within(where: Where, filter: FigureFilter, time: string): string {
  const { merchantId, gateways, currency, createdFrom, createdBefore } = filter;
  return [
    `merchant_id = ${where.value(merchantId)}`,
    ...(gateways ? [`gateway = any(${where.value(gateways)}::text[])`] : []),
    ...(currency === undefined ? [] : [`currency = ${where.value(currency)}`]),
    ...(createdFrom ? [`${time} >= ${where.value(createdFrom)}`] : []),
    ...(createdBefore ? [`${time} < ${where.value(createdBefore)}`] : []),
  ].join(' and ');
}

/** A sum over refunds of some days. The amount is in minor units. */
export interface FigureSum {
  /** made: word is the state; took: word is the length (see `lengthSeconds`); failed: word is the error code. */
  readonly kind: 'made' | 'took' | 'failed';
  /** Of what was made: how many days after the first one. Null for the others. */
  readonly day: number | null;
  readonly word: string;
  readonly gateway: string;
  readonly currency: string;
  readonly refunds: number;
  readonly amountMinor: bigint;
}

/**
 * What the refunds add up to that were made, and for `took` were decided, on some days: each begins at one of the times,
 * which lie on quarters of an hour, and the last time ends the last of them.
 */
export async function readSums(
  db: Queryable,
  filter: Omit<FigureFilter, 'createdFrom' | 'createdBefore'>,
  times: readonly Date[],
): Promise<FigureSum[]> {
  const where = createWhere();
  const days = `${where.value(times)}::timestamptz[]`;
  const ours = within(where, filter, 'at');
  const onThem = `f.at >= ${where.value(times[0])} and f.at < ${where.value(times.at(-1))}`;
  const rows = await db.query<Omit<FigureSum, 'amountMinor'> & { amount: string }>(
    `select kind, day, word, gateway, currency, sum(refunds)::bigint as refunds, sum(amount_minor)::text as amount
     from (
       select c.kind, c.day, f.*
       from jsonb_to_recordset(${where.value(JSON.stringify(cellsOf(times)))}::jsonb)
         c(kind text, day integer, cell text, from_time timestamptz, before_time timestamptz)
       cross join lateral (
         select word, gateway, currency, sum(refunds) as refunds, sum(amount_minor) as amount_minor from figures
         where ${ours} and kind = c.cell and at >= c.from_time and at < c.before_time group by 1, 2, 3) f
       union all
       select f.kind, case when f.kind = 'made' then width_bucket(f.at, ${days}) - 1 end, f.word,
              c.gateway, c.currency, c.refunds, c.amount_minor
       from (select * from figure_changes where ${ours}) c
       cross join lateral figures_of(c.state, c.made_at, c.decided_at, c.took, c.error_code) f
       where f.kind in ('made', 'took', 'failed') and ${onThem}
     ) sums
     group by 1, 2, 3, 4, 5 having sum(refunds) <> 0 or sum(amount_minor) <> 0
     order by 2, 3, 4, 5`,
    where.params,
  );
  return rows.map(({ amount, ...row }) => ({ ...row, amountMinor: BigInt(amount) }));
}

/** Some time of which the table has sums of its own. */
interface Cells {
  readonly kind: FigureSum['kind'];
  readonly day: number | null;
  /** What the table calls these sums. */
  readonly cell: string;
  readonly from_time: Date;
  readonly before_time: Date;
}

/** The longer cells that there are, the longest first; by its own name each kind has quarters of an hour. */
const LONGER_CELLS: Readonly<Record<FigureSum['kind'], readonly (readonly [suffix: string, ms: number])[]>> =
  {
    made: [['_3h', 3 * HOUR_MS]],
    took: [
      ['_30d', 30 * DAY_MS],
      ['_1d', DAY_MS],
    ],
    failed: [
      ['_30d', 30 * DAY_MS],
      ['_1d', DAY_MS],
    ],
  };

/** What to add up between the first and the last of the times, of what was made for each day apart. */
function cellsOf(times: readonly Date[]): Cells[] {
  const at = times.map((time) => time.getTime());
  const between = (kind: Cells['kind'], day: number | null, from: number, before: number) =>
    cut(from, before, LONGER_CELLS[kind]).map((span) => ({
      kind,
      day,
      cell: kind + span.suffix,
      from_time: new Date(span.from),
      before_time: new Date(span.before),
    }));
  return [
    ...at.slice(1).flatMap((before, day) => between('made', day, at[day]!, before)),
    ...between('took', null, at[0]!, at.at(-1)!),
    ...between('failed', null, at[0]!, at.at(-1)!),
  ];
}

/** Cuts some time into the longest cells that lie within it, and at both ends shorter ones. */
function cut(
  from: number,
  before: number,
  [longest, ...shorter]: readonly (readonly [suffix: string, ms: number])[],
): { readonly suffix: string; readonly from: number; readonly before: number }[] {
  if (from >= before) return [];
  if (!longest) return [{ suffix: '', from, before }];
  const [suffix, ms] = longest;
  const first = Math.ceil(from / ms) * ms;
  const end = Math.floor(before / ms) * ms;
  if (first >= end) return cut(from, before, shorter);
  return [...cut(from, first, shorter), { suffix, from: first, before: end }, ...cut(end, before, shorter)];
}

/** Refunds without an end, made between two of some times. */
export interface OpenSum {
  readonly state: RefundState;
  /** How many of the times lie before or at it. */
  readonly bucket: number;
  readonly gateway: string;
  readonly currency: string;
  readonly refunds: number;
  readonly amountMinor: bigint;
}

/** What the refunds add up to that have no end yet, by the times (ascending, on quarters of an hour) they lie between. */
export async function readOpen(
  db: Queryable,
  filter: Omit<FigureFilter, 'createdFrom' | 'createdBefore'>,
  times: readonly Date[],
): Promise<OpenSum[]> {
  const where = createWhere();
  const ours = within(where, filter, 'at');
  const rows = await db.query<Omit<OpenSum, 'amountMinor'> & { amount: string }>(
    `select state, width_bucket(at, ${where.value(times)}::timestamptz[]) as bucket, gateway, currency,
            sum(refunds)::bigint as refunds, sum(amount_minor)::text as amount
     from (
       select word as state, at, gateway, currency, refunds, amount_minor from figures
       where ${ours} and kind = 'made' and word in (${OPEN_STATES})
       union all
       select state, made_at, gateway, currency, refunds, amount_minor from figure_changes
       where ${ours} and state in (${OPEN_STATES})
     ) sums
     group by 1, 2, 3, 4 having sum(refunds) <> 0 or sum(amount_minor) <> 0`,
    where.params,
  );
  return rows.map(({ amount, ...row }) => ({ ...row, amountMinor: BigInt(amount) }));
}

/** In the order and the words of the index of what is open. */
const OPEN_STATES = STATE_NAMES.filter((state) => !STATES[state].final)
  .map((state) => `'${state}'`)
  .join(', ');

export interface AmountSum {
  readonly currency: string;
  readonly refunds: number;
  readonly amountMinor: bigint;
}

/** What is past its due date at this moment, by currency. */
export async function readOverdueSums(
  db: Queryable,
  filter: Omit<FigureFilter, 'createdFrom' | 'createdBefore'>,
  now: Date,
): Promise<AmountSum[]> {
  const where = createWhere();
  const rows = await db.query<{ currency: string; refunds: number; amount: string }>(
    `select currency, count(*) as refunds, sum(amount_minor)::text as amount from refunds
     where ${within(where, filter, 'created_at')} and next_look_at is not null and due_at < ${where.value(now)}
     group by 1 order by 1`,
    where.params,
  );
  return rows.map(({ amount, ...row }) => ({ ...row, amountMinor: BigInt(amount) }));
}

/** The longest time, in seconds, that a length stands for. Lengths grow by a fourth root of two. */
export function lengthSeconds(length: number): number {
  return 2 ** (length / 4);
}

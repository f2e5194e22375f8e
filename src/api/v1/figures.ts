import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { DAY_MS } from '../../lib/clock.ts';
import { dayPlus, startOfDay } from '../../lib/days.ts';
import { exponentOf, formatAmount } from '../../lib/money.ts';
import {
  type AmountSum,
  type FigureSum,
  lengthSeconds,
  type OpenSum,
  readCounts,
  readOpen,
  readOverdueSums,
  readSums,
} from '../../refunds/figures.ts';
import { type RefundState, STATE_NAMES, STATES } from '../../refunds/states.ts';
import { type RefundCounts, refundCountsQuerySchema, refundCountsSchema } from '../contract/counts.ts';
import {
  type Figures,
  type FiguresQuery,
  type FigureTotals,
  figuresQuerySchema,
  figuresSchema,
  LONGEST_FIGURES_DAYS,
} from '../contract/figures.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError } from '../errors.ts';

const QUARTER_MS = 900_000;
/** Where the ages of refunds without an end are cut, in days. */
const AGES = [0, 1, 3, 5, 7, 10] as const;

/** How many refunds there are of each kind, and what those of some days add up to: kept as they change, not counted here. */
export async function figureRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();

  app.get(
    '/v1/refunds/counts',
    {
      config: { permission: 'refunds.read' },
      schema: {
        tags: ['Refunds'],
        summary: 'How many refunds there are of each kind',
        description: 'Times count to the quarter of an hour: both are taken back to the one before.',
        querystring: refundCountsQuerySchema,
        response: { 200: refundCountsSchema },
      },
    },
    async (request) => {
      const { gateway, currency, created_from, created_before } = request.query;
      const counts = await readCounts(
        deps.db,
        {
          merchantId: request.caller.merchantId,
          gateways: gateway?.split(','),
          currency,
          createdFrom: quarter(created_from),
          createdBefore: quarter(created_before),
        },
        deps.clock.now(),
      );
      return { ...counts, statuses: byStatus(counts.states) };
    },
  );

  app.get(
    '/v1/figures',
    {
      config: { permission: 'refunds.read' },
      schema: {
        tags: ['Refunds'],
        summary: 'What the refunds of some days add up to',
        querystring: figuresQuerySchema,
        response: { 200: figuresSchema },
      },
    },
    async (request) => figuresOf(deps, request.caller.merchantId, request.query),
  );
}

function quarter(moment: string | undefined): Date | undefined {
  if (moment === undefined) return undefined;
  return new Date(Math.floor(Date.parse(moment) / QUARTER_MS) * QUARTER_MS);
}

function byStatus(states: Readonly<Record<RefundState, number>>): RefundCounts['statuses'] {
  const sums = { PENDING: 0, SUCCESS: 0, FAILURE: 0, MANUAL_REVIEW: 0 };
  for (const state of STATE_NAMES) sums[STATES[state].public] += states[state];
  return sums;
}

async function figuresOf(deps: ApiDeps, merchantId: string, query: FiguresQuery): Promise<Figures> {
  const { db } = deps;
  const { from, to, zone } = query;
  const length = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;
  if (length < 1 || length > LONGEST_FIGURES_DAYS) {
    throw new ApiError(400, 'invalid_range', 'The days cannot be used.', {
      field: 'to',
      value: to,
      accepted: `a day from ${from} on, at most ${LONGEST_FIGURES_DAYS} days`,
    });
  }
  const filter = { merchantId, gateways: query.gateway?.split(','), currency: query.currency };
  const before = { from: dayPlus(from, -length), to: dayPlus(from, -1) };
  const now = deps.clock.now();
  const ages = agesAt(now);
  const [sums, sumsBefore, open, overdue] = await Promise.all([
    readSums(db, filter, daysFrom(from, length, zone)),
    query.compare ? readSums(db, filter, daysFrom(before.from, length, zone)) : null,
    readOpen(db, filter, ages.map(({ since }) => since).toReversed()),
    readOverdueSums(db, filter, now),
  ]);
  return {
    zone,
    from,
    to,
    totals: totalsOf(sums),
    before: sumsBefore && { ...before, totals: totalsOf(sumsBefore) },
    per_day: perDay(from, sums),
    time_to_outcome: timesByGateway(sums),
    failures: failuresOf(sums),
    now: {
      in_flight: amounts(open),
      overdue: amounts(overdue),
      in_review: amounts(open.filter(({ state }) => state === 'manual_review')),
      pending_by_age: pendingByAge(open, ages),
    },
  };
}

/** Where so many days begin, from the first on, and where the last ends. */
function daysFrom(from: string, length: number, zone: string): Date[] {
  return Array.from({ length: length + 1 }, (_, n) => startOfDay(dayPlus(from, n), zone));
}

// Sums of some days ----------------------------------------------------------------------------------------

function totalsOf(sums: readonly FigureSum[]): FigureTotals {
  const made = sums.filter(({ kind }) => kind === 'made');
  const inStates = (...states: RefundState[]) =>
    count(made.filter(({ word }) => states.some((s) => s === word)));
  const decided = inStates('succeeded', 'failed', 'reversed');
  const states = Object.fromEntries(STATE_NAMES.map((state) => [state, inStates(state)]));
  return {
    refunds: count(made),
    statuses: byStatus(states as Record<RefundState, number>),
    success_rate: decided === 0 ? null : inStates('succeeded') / decided,
    amounts: amounts(made).map((sum) => {
      const succeeded = made.filter(
        ({ word, currency }) => word === 'succeeded' && currency === sum.currency,
      );
      const [done] = amounts(succeeded);
      return {
        ...sum,
        succeeded_refunds: done?.refunds ?? 0,
        succeeded_amount: done?.amount ?? decimal(0n, sum.currency),
      };
    }),
    time_to_outcome: timeOf(sums.filter(({ kind }) => kind === 'took')),
  };
}

function perDay(from: string, sums: readonly FigureSum[]): Figures['per_day'] {
  const made = sums.filter(({ kind }) => kind === 'made');
  const groups = Map.groupBy(made, ({ day, word, gateway, currency }) =>
    [day, STATES[word as RefundState].public, gateway, currency].join(' '),
  );
  return [...groups.values()].map((group) => {
    const { day, word, gateway, currency } = group[0]!;
    const amountMinor = group.reduce((sum, each) => sum + each.amountMinor, 0n);
    return {
      day: dayPlus(from, day!),
      status: STATES[word as RefundState].public,
      gateway,
      currency,
      refunds: count(group),
      amount: decimal(amountMinor, currency),
    };
  });
}

function failuresOf(sums: readonly FigureSum[]): Figures['failures'] {
  const failed = sums.filter(({ kind }) => kind === 'failed');
  return [...Map.groupBy(failed, ({ word, gateway }) => `${gateway} ${word}`).values()]
    .map((group) => ({
      error_code: group[0]!.word === '' ? null : group[0]!.word,
      gateway: group[0]!.gateway,
      refunds: count(group),
    }))
    .toSorted((a, b) => b.refunds - a.refunds);
}

function timesByGateway(sums: readonly FigureSum[]): Figures['time_to_outcome'] {
  const took = sums.filter(({ kind }) => kind === 'took');
  return [...Map.groupBy(took, ({ gateway }) => gateway)]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([gateway, group]) => ({
      gateway,
      ...timeOf(group),
      distribution: lengthsOf(group).map(({ length, refunds }) => ({
        up_to_seconds: Number(lengthSeconds(length).toFixed(1)),
        refunds,
      })),
    }));
}

function timeOf(took: readonly FigureSum[]): FigureTotals['time_to_outcome'] {
  const lengths = lengthsOf(took);
  return {
    refunds: count(took),
    median_seconds: quantile(lengths, 0.5),
    p95_seconds: quantile(lengths, 0.95),
  };
}

interface LengthCount {
  readonly length: number;
  readonly refunds: number;
}

function lengthsOf(took: readonly FigureSum[]): LengthCount[] {
  return [...Map.groupBy(took, ({ word }) => word)]
    .map(([word, group]) => ({ length: Number(word), refunds: count(group) }))
    .toSorted((a, b) => a.length - b.length);
}

/** The middle, as lengths grow, of the step in which that share of all is reached. */
function quantile(lengths: readonly LengthCount[], share: number): number | null {
  const all = lengths.reduce((sum, { refunds }) => sum + refunds, 0);
  let reached = 0;
  for (const { length, refunds } of lengths) {
    reached += refunds;
    if (reached >= all * share) return Number(lengthSeconds(length === 0 ? 0 : length - 0.5).toFixed(1));
  }
  return null;
}

// As it is now ---------------------------------------------------------------------------------------------

interface Age {
  readonly daysFrom: number;
  readonly daysBefore: number | null;
  /** Those made at or after this are younger than the next age. */
  readonly since: Date;
}

/** The youngest first. Ages begin on quarters of an hour, as the sums do. */
function agesAt(now: Date): Age[] {
  return AGES.slice(1).map((days, n) => ({
    daysFrom: AGES[n]!,
    daysBefore: days,
    since: new Date(Math.ceil((now.getTime() - days * DAY_MS) / QUARTER_MS) * QUARTER_MS),
  }));
}

function pendingByAge(open: readonly OpenSum[], ages: readonly Age[]): Figures['now']['pending_by_age'] {
  // Bucket 0 is older than all ages; the last one is the youngest.
  const groups = Map.groupBy(open, ({ bucket, gateway }) => `${ages.length - bucket} ${gateway}`);
  return [...groups]
    .map(([key, group]) => ({
      age: Number(key.split(' ', 1)[0]),
      gateway: group[0]!.gateway,
      refunds: count(group),
    }))
    .toSorted((a, b) => a.age - b.age || (a.gateway < b.gateway ? -1 : 1))
    .map(({ age, gateway, refunds }) => ({
      gateway,
      days_from: AGES[age]!,
      days_before: AGES[age + 1] ?? null,
      created_from: ages[age]?.since.toISOString() ?? null,
      created_before: ages[age - 1]?.since.toISOString() ?? null,
      refunds,
    }));
}

// Adding up ------------------------------------------------------------------------------------------------

function count(sums: readonly { readonly refunds: number }[]): number {
  return sums.reduce((sum, { refunds }) => sum + refunds, 0);
}

function amounts(sums: readonly AmountSum[]): { currency: string; refunds: number; amount: string }[] {
  return [...Map.groupBy(sums, ({ currency }) => currency)]
    .map(([currency, group]) => ({
      currency,
      refunds: count(group),
      amount: decimal(
        group.reduce((sum, { amountMinor }) => sum + amountMinor, 0n),
        currency,
      ),
    }))
    .toSorted((a, b) => (a.currency < b.currency ? -1 : 1));
}

function decimal(amountMinor: bigint, currency: string): string {
  return formatAmount(amountMinor, exponentOf(currency) ?? 2);
}

import { z } from 'zod';
import { currencyFilter, wordList } from './filters.ts';
import { PUBLIC_STATUSES } from './refunds.ts';

/** GET /v1/figures: what refunds of some days add up to. */

const day = z
  .string()
  .regex(/^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/, 'a day, such as 2026-03-31')
  .refine((text) => isDay(text), 'a day of the calendar, such as 2026-03-31');

function isDay(text: string): boolean {
  const at = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text);
}

export const LONGEST_FIGURES_DAYS = 400;

export const figuresQuerySchema = z.strictObject({
  from: day.describe('The first day.'),
  to: day.describe(`The last day, at most ${LONGEST_FIGURES_DAYS} days on.`),
  zone: z
    .string()
    .max(64)
    .refine(isZone, 'a time zone, such as Asia/Kolkata')
    .default('UTC')
    .describe('Where the days begin and end.'),
  gateway: wordList.optional().describe('One or more gateway words, separated by commas.'),
  currency: currencyFilter.optional(),
  compare: z.literal('true').optional().describe('Also the totals of as many days before.'),
});

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}

const refunds = z.int().describe('How many.');
const amount = z.string().describe('In major units of the currency.');
const seconds = z.number().nullable().describe('Within a tenth; null without any.');

export const amountSumSchema = z.object({ currency: z.string(), refunds, amount });

export const timeToOutcomeSchema = z.object({
  refunds: refunds.describe('How many came to SUCCESS or FAILURE at the gateway in these days.'),
  median_seconds: seconds,
  p95_seconds: seconds,
});

export const figureTotalsSchema = z.object({
  refunds: refunds.describe('How many were made in these days.'),
  statuses: z.object({
    PENDING: refunds,
    SUCCESS: refunds,
    FAILURE: refunds,
    MANUAL_REVIEW: refunds,
  }),
  success_rate: z
    .number()
    .nullable()
    .describe(
      'From 0 to 1: of those that the gateway decided, the share that succeeded. Cancelled ones do not count.',
    ),
  amounts: z.array(
    amountSumSchema.extend({
      succeeded_refunds: refunds,
      succeeded_amount: amount.describe('What of it succeeded.'),
    }),
  ),
  time_to_outcome: timeToOutcomeSchema,
});

export const figuresSchema = z
  .object({
    zone: z.string(),
    from: z.string(),
    to: z.string(),
    totals: figureTotalsSchema,
    before: z
      .object({ from: z.string(), to: z.string(), totals: figureTotalsSchema })
      .nullable()
      .describe('As many days before; null unless `compare` asks for it.'),
    per_day: z
      .array(
        z.object({
          day: z.string(),
          status: z.enum(PUBLIC_STATUSES),
          gateway: z.string(),
          currency: z.string(),
          refunds,
          amount,
        }),
      )
      .describe('By the day they were made, as they stand now; without rows of nothing.'),
    time_to_outcome: z
      .array(
        timeToOutcomeSchema.extend({
          gateway: z.string(),
          distribution: z
            .array(z.object({ up_to_seconds: z.number(), refunds }))
            .describe('How many took up to so long and longer than the entry before says.'),
        }),
      )
      .describe('By gateway, of those whose outcome came in these days.'),
    failures: z
      .array(
        z.object({
          error_code: z.string().nullable().describe("The gateway's; null where it gave none."),
          gateway: z.string(),
          refunds,
        }),
      )
      .describe('Of those made in these days, the most frequent first.'),
    now: z
      .object({
        in_flight: z.array(amountSumSchema).describe('All that are not final.'),
        overdue: z.array(amountSumSchema).describe('Those of them that are past their due date.'),
        in_review: z.array(amountSumSchema).describe('Those of them that a person must settle.'),
        pending_by_age: z.array(
          z.object({
            gateway: z.string(),
            days_from: z.int(),
            days_before: z.int().nullable(),
            created_from: z.iso.datetime().nullable().describe('For the list of just these.'),
            created_before: z.iso.datetime().nullable(),
            refunds,
          }),
        ),
      })
      .describe('As it is at this moment, whatever days were asked for.'),
  })
  .meta({ id: 'Figures', description: 'What refunds of some days add up to.' });

export type FiguresAsk = z.input<typeof figuresQuerySchema>;
export type FiguresQuery = z.output<typeof figuresQuerySchema>;
export type FigureTotals = z.infer<typeof figureTotalsSchema>;
export type Figures = z.infer<typeof figuresSchema>;

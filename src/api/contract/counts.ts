import { z } from 'zod';
import { currencyFilter, wordList } from './filters.ts';
import { pageFields } from './pages.ts';

const count = z.number().int();

/** GET /v1/refunds/counts: how many refunds there are of each kind. */
export const refundCountsQuerySchema = z.strictObject({
  gateway: wordList.optional().describe('One or more gateway words, separated by commas.'),
  currency: currencyFilter.optional(),
  created_from: pageFields.created_from,
  created_before: pageFields.created_before,
});

export const refundCountsSchema = z
  .object({
    statuses: z.object({ PENDING: count, SUCCESS: count, FAILURE: count, MANUAL_REVIEW: count }),
    states: z.record(z.string(), count),
    overdue: count.describe('Not final and past their due date.'),
    attention: count.describe('Need a person, in manual review or out of it.'),
  })
  .meta({ id: 'RefundCounts', description: 'How many refunds there are of each kind.' });

export type RefundCounts = z.infer<typeof refundCountsSchema>;

import { z } from 'zod';

/** Every list under /v1 speaks alike: newest first, these filters, and `next_cursor` in the answer. */

const LIMIT = { usual: 50, most: 500 } as const;
const limitWords = `a whole number from 1 to ${LIMIT.most}`;

/** A moment as it is asked for. */
export const moment = z.iso.datetime({ offset: true });

export const createdRange = {
  created_from: moment.describe('This moment and later.'),
  created_before: moment.describe('Before this moment.'),
};

export const pageFields = {
  created_from: createdRange.created_from.optional(),
  created_before: createdRange.created_before.optional(),
  limit: z.coerce
    .number(limitWords)
    .int(limitWords)
    .min(1, limitWords)
    .max(LIMIT.most, limitWords)
    .default(LIMIT.usual),
  cursor: z.string().max(400).optional().describe('`next_cursor` of the page before; with the same filters.'),
};

export const nextCursor = z.string().nullable().describe('Null on the last page.');

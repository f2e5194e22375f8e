import { z } from 'zod';
import {
  BATCH_KINDS,
  BATCH_LIMITS,
  BATCH_STATUS_NAMES,
  type BatchStatus,
  ROW_STATES,
  VERDICTS,
  type Verdict,
} from '../../batches/words.ts';
import { STATE_NAMES } from '../../refunds/states.ts';
import { nextCursor, pageFields } from './pages.ts';
import { freeText, PUBLIC_STATUSES } from './refunds.ts';

export {
  BATCH_KINDS,
  BATCH_LIMITS,
  BATCH_STATUS_NAMES,
  BATCH_STATUSES,
  type BatchKind,
  type BatchStatus,
  ROW_STATES,
  type RowState,
  VERDICTS,
  type Verdict,
} from '../../batches/words.ts';

const STATUS_WORDS = [...BATCH_STATUS_NAMES] as [BatchStatus, ...BatchStatus[]];
const VERDICT_WORDS = Object.keys(VERDICTS) as [Verdict, ...Verdict[]];
const STATES = STATE_NAMES as [string, ...string[]];
const flag = z.enum(['true', 'false']);
const time = z.string().meta({ description: 'ISO 8601, UTC.', examples: ['2026-03-31T09:30:00.000Z'] });

// What may be sent -----------------------------------------------------------------------------------------

export const batchKind = z.enum(BATCH_KINDS);

/** How a file is to be read and taken. Given with the upload, and changed while it cannot be read as it is. */
const readingFields = {
  amounts: z
    .enum(['major', 'minor'])
    .optional()
    .describe('The unit of the amounts where the file does not say it: major (12.50) unless told otherwise.'),
  same_file: z
    .enum(['refuse', 'allow'])
    .optional()
    .describe(
      'Whether a file may be taken whose very bytes were uploaded before. Refused unless told otherwise.',
    ),
  columns: z
    .record(z.string().max(64), z.string().max(256))
    .optional()
    .describe('For columns under other names: ours, and the file\'s. Such as {"order_id": "Bestellnummer"}.'),
  sheet: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe('Which sheet of a workbook is meant, where several have the columns.'),
  save_columns: z
    .boolean()
    .optional()
    .describe('Whether later files of this kind are read with these columns too.'),
};

export const newBatchQuerySchema = z.strictObject({
  name: freeText(1, 200).optional().describe("How people call it; the file's name when absent."),
  file_name: freeText(1, 255).optional(),
  kind: batchKind.default('refunds'),
  bytes: z.coerce
    .number()
    .int()
    .min(1)
    .max(BATCH_LIMITS.bytes)
    .optional()
    .describe('How long the file is. With it and no body, the file is sent in parts to `…/file`.'),
  amounts: readingFields.amounts,
  same_file: readingFields.same_file,
  sheet: readingFields.sheet,
});

export const batchReadingSchema = z
  .strictObject(readingFields)
  .meta({ examples: [{ columns: { order_id: 'Bestellnummer' }, save_columns: true }] });

export const batchParamsSchema = z.object({ batch_id: z.string().max(64) });

export const batchListQuerySchema = z.strictObject({
  kind: batchKind.optional(),
  status: z
    .string()
    .max(200)
    .optional()
    .describe(`One or more of ${BATCH_STATUS_NAMES.join(', ')}, with commas.`),
  search: z.string().trim().min(1).max(200).optional().describe('What a name contains, or a whole batch id.'),
  created_from: pageFields.created_from,
  created_before: pageFields.created_before,
  limit: pageFields.limit,
  cursor: pageFields.cursor,
});

const totals = z
  .record(z.string().regex(/^[A-Z]{3}$/), z.string().regex(/^\d{1,15}(\.\d{1,4})?$/))
  .meta({ description: 'By currency, decimal text in major units.', examples: [{ INR: '12450.00' }] });

export const batchConfirmationSchema = z
  .strictObject({
    totals: totals
      .optional()
      .describe(
        'What will be sent, as the check said it; refused when that is not it. Required for refunds.',
      ),
    rows: z.int().min(1).optional().describe('How many rows; required for status updates.'),
    look_alikes: z
      .enum(['send', 'leave'])
      .optional()
      .describe(
        'Whether rows that look like refunds made before are sent too; required where there are any.',
      ),
  })
  .meta({ examples: [{ totals: { INR: '12450.00' } }] });

export const batchApprovalSchema = z
  .strictObject({
    file_sha256: z.string().describe('Of the file that you looked at.'),
    totals: totals.optional(),
    rows: z.int().min(1).optional(),
  })
  .meta({ examples: [{ file_sha256: 'b94d27b9934d3e08a52e52d7da7dabfa…', totals: { INR: '12450.00' } }] });

export const batchReasonSchema = z
  .strictObject({ reason: freeText(1, 500).optional() })
  .nullish()
  .meta({ examples: [{ reason: 'Wrong file' }] });

export const batchRowsQuerySchema = z.strictObject({
  verdict: z
    .string()
    .max(64)
    .optional()
    .describe(`One or more of ${VERDICT_WORDS.join(', ')}, with commas.`),
  failed: flag.optional().describe('Only rows that are bad, were refused, or whose refund has failed.'),
  limit: pageFields.limit,
  cursor: pageFields.cursor,
});

export const batchFileQuerySchema = z.strictObject({
  bom: flag.optional().describe('Begin with a byte order mark.'),
});
export const sampleQuerySchema = z.strictObject({ kind: batchKind.default('refunds'), bom: flag.optional() });

// What is answered -----------------------------------------------------------------------------------------

const amountByCurrency = z
  .record(z.string(), z.string())
  .describe('Decimal text in major units, by currency.');

export const batchActorSchema = z
  .object({ kind: z.enum(['user', 'key']), id: z.string(), name: z.string() })
  .meta({ description: 'A person, or an API key.' });

export const batchSchema = z
  .object({
    batch_id: z.uuid(),
    kind: batchKind,
    name: z.string(),
    status: z.enum(STATUS_WORDS),
    meaning: z.string().describe('What the status means for the money.'),
    file: z.object({
      name: z.string(),
      format: z.enum(['csv', 'xlsx']).nullable(),
      bytes: z.number().nullable().describe('Null while nobody has said.'),
      received_bytes: z.number().describe('From where a broken upload goes on.'),
      sha256: z
        .string()
        .nullable()
        .describe(
          'Of the file that was taken last: of the corrected rows, where there are any. An approval names it.',
        ),
      amounts: z.enum(['major', 'minor']),
      sheet: z.string().nullable().describe('The sheet of a workbook that was read; null for CSV.'),
      other_sheets: z
        .array(z.object({ name: z.string(), hidden: z.boolean() }))
        .describe('The sheets that were not; while one has to be chosen, those among which.'),
      columns: z
        .array(
          z.object({
            header: z.string(),
            field: z.string().nullable(),
            samples: z
              .array(z.string())
              .optional()
              .describe('What its first rows hold; while somebody has to say what it is.'),
          }),
        )
        .describe("The file's columns, each with what it is to us; null for those that are only given back."),
    }),
    problem: z
      .object({
        code: z.string(),
        message: z.string(),
        field: z.string().optional(),
        value: z.string().optional(),
        accepted: z.string().optional(),
        batch_id: z.string().optional().describe('The batch of the same file.'),
      })
      .nullable()
      .describe('Why an upload cannot be read as it is.'),
    round: z.int().describe('1, and one more each time that corrected rows have come after a run.'),
    rows: z
      .object({
        total: z.int(),
        checked: z.int(),
        good: z.int(),
        look_alike: z.int(),
        bad: z.int(),
        made: z.int(),
        refused: z.int(),
        left: z.int().describe('Confirmed, and not tried yet.'),
        not_sent: z.int(),
      })
      .describe('Rows of the file. While it is read, total is how many have been read.'),
    check: z
      .object({
        checked_at: time,
        by_gateway: z.array(
          z.object({ gateway: z.string(), currency: z.string(), rows: z.int(), amount: z.string() }),
        ),
        totals: amountByCurrency.describe('Of the good rows that can be confirmed now.'),
        look_alike_totals: amountByCurrency.describe('Of the rows that look like refunds made before.'),
        confirmable_rows: z.int(),
        problems: z.array(z.object({ code: z.string(), rows: z.int(), message: z.string() })),
      })
      .nullable(),
    confirmation: z
      .object({
        totals: amountByCurrency,
        rows: z.int(),
        look_alikes: z.enum(['send', 'leave']).nullable(),
        confirmed_by: batchActorSchema,
        confirmed_at: time,
        approval_expires_at: time.nullable(),
        approved_by: batchActorSchema.nullable(),
        approved_at: time.nullable(),
      })
      .nullable(),
    starts_at: time.nullable().describe('When its wait is over.'),
    refunds: z
      .object({
        by_status: z.object(
          Object.fromEntries(PUBLIC_STATUSES.map((status) => [status, z.int()])) as Record<
            (typeof PUBLIC_STATUSES)[number],
            z.ZodInt
          >,
        ),
        by_state: z.partialRecord(z.enum(STATES), z.int()),
        amounts: z.array(
          z.object({ currency: z.string(), status: z.enum(PUBLIC_STATUSES), amount: z.string() }),
        ),
        sent: z.int().describe('Handed to the gateway, or ended without.'),
      })
      .describe('The refunds that its rows have become; of status updates, none.'),
    rate_per_second: z.number().nullable().describe('Rows sent, over the last while; null while none are.'),
    seconds_left: z.int().nullable().describe('Until all is sent, at that rate.'),
    created_by: batchActorSchema,
    created_at: time,
    updated_at: time,
    checked_at: time.nullable(),
    started_at: time.nullable(),
    sent_at: time.nullable().describe('When the last row had gone out.'),
    finished_at: time.nullable(),
  })
  .meta({ id: 'Batch', description: 'The batch as it is now.' });

export const batchPageSchema = z
  .object({ batches: z.array(batchSchema), next_cursor: nextCursor })
  .describe('A page of batches, newest first.');

export const batchRowSchema = z
  .object({
    row: z.int().describe('1 is the first under the header.'),
    line: z.int().describe('Where it begins in the file; of a spreadsheet, the row of the sheet.'),
    cells: z.array(z.string()).describe("As they stand in the file, in the file's order."),
    fields: z
      .record(z.string(), z.string().nullable())
      .describe('What we read, by our names of the columns.'),
    verdict: z.enum(VERDICT_WORDS),
    state: z.enum(ROW_STATES),
    problem: z
      .object({ code: z.string(), field: z.string().nullable(), message: z.string() })
      .nullable()
      .describe('Why it is bad, looks like another, or was refused.'),
    refund: z
      .object({
        refund_id: z.string(),
        order_id: z.string(),
        amount: z.string(),
        currency: z.string(),
        status: z.enum(PUBLIC_STATUSES),
        state: z.string(),
        gateway: z.string(),
        gateway_refund_id: z.string().nullable(),
        arn: z.string().nullable(),
        error_code: z.string().nullable(),
        error_message: z.string().nullable(),
      })
      .nullable(),
  })
  .meta({ id: 'BatchRow', description: 'A row of a batch, with what became of it.' });

export const batchRowPageSchema = z
  .object({ rows: z.array(batchRowSchema), next_cursor: nextCursor })
  .describe('A page of rows, in the order of the file.');

export const batchEventSchema = z
  .object({
    at: time,
    kind: z.string(),
    by: batchActorSchema.nullable().describe('Null for what Refundry did by itself.'),
    facts: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'BatchEvent', description: 'Something that was done to a batch.' });

export const batchEventsSchema = z.object({ events: z.array(batchEventSchema) }).describe('Oldest first.');

export type NewBatchQuery = z.input<typeof newBatchQuerySchema>;
export type BatchReading = z.input<typeof batchReadingSchema>;
export type BatchListQuery = z.output<typeof batchListQuerySchema>;
export type BatchConfirmation = z.input<typeof batchConfirmationSchema>;
export type BatchApproval = z.input<typeof batchApprovalSchema>;
export type BatchRowsQuery = z.output<typeof batchRowsQuerySchema>;
export type BatchActor = z.infer<typeof batchActorSchema>;
export type Batch = z.infer<typeof batchSchema>;
export type BatchPage = z.infer<typeof batchPageSchema>;
export type BatchRow = z.infer<typeof batchRowSchema>;
export type BatchRowPage = z.infer<typeof batchRowPageSchema>;
export type BatchEvent = z.infer<typeof batchEventSchema>;

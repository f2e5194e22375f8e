import { z } from 'zod';
import { holdsCardNumber, holdsCardNumberWithin } from '../../lib/card-number.ts';
import { type PublicStatus, type RefundState, STATE_NAMES } from '../../refunds/states.ts';
import { currencyFilter, decimalFilter, idPrefix, withBom, wordList } from './filters.ts';
import { orderIdSchema } from './orders.ts';
import { nextCursor, pageFields } from './pages.ts';

export const PUBLIC_STATUSES = [
  'PENDING',
  'SUCCESS',
  'FAILURE',
  'MANUAL_REVIEW',
] as const satisfies readonly PublicStatus[];
const STATE_WORDS = STATE_NAMES as [RefundState, ...RefundState[]];
export const DOORS = ['api', 'dashboard', 'batch'] as const;
export const REFUND_TYPES = ['STANDARD', 'INSTANT', 'INSTANT_WITH_FALLBACK', 'GATEWAY'] as const;
export const REFUND_SORTS = ['newest', 'oldest', 'due'] as const;

const MAX_METADATA_LENGTH = 16_384;
const AMOUNT_WORDS = 'decimal text in major units, such as "12.50", or "full"';

// What may be sent -----------------------------------------------------------------------------------------

/** Text that people write: no card number is kept (invariant 9). */
export const freeText = (least: number, most: number) =>
  z
    .string()
    .trim()
    .min(least)
    .max(most)
    // What is too long is refused for that, and not read through first.
    .refine((text) => text.length > 2 * most || !holdsCardNumber(text), 'text without a card number');

const isTooLong = (metadata: object) => JSON.stringify(metadata).length > MAX_METADATA_LENGTH;

export const newRefundSchema = z
  .strictObject({
    order_id: orderIdSchema.optional(),
    txn_id: z.string().min(1).max(256).optional().describe('Names the transaction, or the order by it.'),
    unique_request_id: z
      .string()
      .regex(/^[A-Za-z0-9_.:-]{1,255}$/, '1 to 255 letters, digits, _ . : or -')
      .describe('Your key: at most one refund of the order has it.'),
    amount: z
      .string(AMOUNT_WORDS)
      .max(100, AMOUNT_WORDS)
      .describe('Decimal text in major units, such as "12.50", or "full": all that is left.'),
    currency: z
      .string()
      .regex(/^[A-Z]{3}$/, 'an ISO 4217 code, such as INR')
      .optional()
      .describe("Refused unless it is the order's."),
    refund_type: z.enum(REFUND_TYPES).default('STANDARD'),
    reason: freeText(1, 500).optional(),
    note: freeText(1, 2000).optional(),
    metadata: z
      .record(z.string(), z.unknown())
      .refine(
        (metadata) => !isTooLong(metadata),
        `a JSON object of at most ${MAX_METADATA_LENGTH} characters`,
      )
      .refine(
        (metadata) => isTooLong(metadata) || !holdsCardNumberWithin(metadata),
        'a JSON object without a card number',
      )
      .optional(),
    expected_remaining: z
      .string()
      .regex(/^\d{1,15}(\.\d{1,4})?$/, 'decimal text in major units, such as "12.50"')
      .optional()
      .describe('What you believe is left to refund. If it is not, nothing is made: somebody was faster.'),
    confirm_look_alike: z
      .boolean()
      .optional()
      .describe(
        'Whether the same amount of this order may be refunded again although that was done within 24 hours. When ' +
          'absent, a person is refused, and an API key only within five seconds.',
      ),
  })
  .meta({
    examples: [
      {
        order_id: 'A-1001',
        unique_request_id: 'A-1001-r1',
        amount: '499.00',
        expected_remaining: '1299.00',
        reason: 'Size too small',
      },
    ],
  });

export const resolutionSchema = z
  .strictObject({
    outcome: z.enum(['succeeded', 'failed']),
    evidence: freeText(10, 4000).describe(
      'What shows it, for who reads it in years: where you looked, what it said, who told you.',
    ),
    arn: z
      .string()
      .regex(/^[A-Za-z0-9]{6,40}$/, '6 to 40 letters and digits')
      .optional()
      .describe("The bank's reference."),
    gateway_refund_id: z
      .string()
      .regex(/^[\x21-\x7e]{1,255}$/, '1 to 255 visible ASCII characters')
      .optional(),
    against_gateway: z
      .boolean()
      .optional()
      .describe(
        'True where the gateway says otherwise and is wrong: then it waits for a second person, and only people may say so.',
      ),
  })
  .meta({
    examples: [
      {
        outcome: 'succeeded',
        evidence: 'The bank confirms the credit in its letter of 2 March, kept under case 4711.',
        arn: '74332745678901234567890',
      },
    ],
  });

const time = z.string().meta({ description: 'ISO 8601, UTC.', examples: ['2026-03-31T09:30:00.000Z'] });

/** A second person's yes or no. */
export const proposalDecisionSchema = z
  .strictObject({
    at: time.describe('The time of the proposal that was read: another one may stand there by now.'),
  })
  .meta({ examples: [{ at: '2026-03-02T10:15:00.000Z' }] });

export const cancellationSchema = z
  .strictObject({ reason: freeText(1, 500).optional() })
  .nullish()
  .meta({ examples: [{ reason: 'Wrong order' }] });

const yes = z.literal('true');

/** What refunds are narrowed by, in their list and in its export. All that is given must hold. */
export const refundFilters = {
  search: z
    .string()
    .trim()
    .min(1)
    .max(256)
    .optional()
    .describe(
      'How an order id begins, or a whole refund id, unique_request_id, gateway refund id, ARN or e-mail address.',
    ),
  status: wordList.optional().describe(`One or more of ${PUBLIC_STATUSES.join(', ')}, separated by commas.`),
  state: wordList.optional().describe(`One or more of ${STATE_NAMES.join(', ')}, separated by commas.`),
  attention: yes.optional().describe('Only those that need a person.'),
  overdue: yes.optional().describe('Only those that are not final and past their due date.'),
  pending_days: z.coerce
    .number('a whole number from 0 to 10000')
    .int('a whole number from 0 to 10000')
    .min(0, 'a whole number from 0 to 10000')
    .max(10_000, 'a whole number from 0 to 10000')
    .optional()
    .describe('Only those that are not final, made at least so many days (of 24 hours) ago.'),
  order_id: orderIdSchema.optional(),
  order_id_prefix: idPrefix.optional().describe('How order ids begin, compared without case.'),
  refund_id: z.string().max(64).optional(),
  unique_request_id: z.string().max(255).optional(),
  gateway: wordList.optional().describe('One or more gateway words, separated by commas.'),
  gateway_account_id: z.string().max(64).optional(),
  gateway_refund_id: z.string().max(255).optional(),
  arn: z.string().max(64).optional(),
  customer_email: z.string().max(512).optional().describe('Compared without case.'),
  currency: currencyFilter.optional(),
  amount_from: decimalFilter.optional().describe('This amount and more, in major units of `currency`.'),
  amount_to: decimalFilter.optional().describe('This amount and less, in major units of `currency`.'),
  initiated_by: z.string().max(256).optional(),
  door: z.enum(DOORS).optional(),
  batch_id: z.uuid().optional(),
  created_from: pageFields.created_from,
  created_before: pageFields.created_before,
};

export const refundListQuerySchema = z.strictObject({
  ...refundFilters,
  sort: z
    .enum(REFUND_SORTS)
    .default('newest')
    .describe('`due`: only those that are not final, the longest due first.'),
  limit: pageFields.limit,
  cursor: pageFields.cursor,
});

export const refundExportQuerySchema = z.strictObject({
  ...refundFilters,
  sort: refundListQuerySchema.shape.sort,
  bom: withBom,
});

export const refundParamsSchema = z.object({ refund_id: z.string().max(64) });

// What is answered -----------------------------------------------------------------------------------------

export const refundSchema = z
  .object({
    refund_id: z.uuid(),
    order_id: z.string(),
    txn_id: z.string(),
    unique_request_id: z.string(),
    amount: z
      .string()
      .meta({ description: 'In major units, with all decimals of the currency.', examples: ['499.00'] }),
    currency: z.string().meta({ examples: ['INR'] }),
    status: z.enum(PUBLIC_STATUSES),
    state: z.enum(STATE_WORDS).describe('Where exactly it is; several states share one status.'),
    meaning: z.string().describe('What the state means for the money.'),
    attention: z.string().nullable().describe('Why a person is needed; null while none is.'),
    refused_because: z
      .enum(['refunded_elsewhere', 'disputed'])
      .nullable()
      .describe('Where the gateway refused it because the customer may have the money otherwise: how.'),
    waits_for: z
      .object({
        code: z
          .string()
          .describe(
            'For programs: batch_stopped, account_off, account_rests, account_held, books_in_doubt, gateway_missing or customer.',
          ),
        says: z.string().describe('For people: what holds it up, and what to do.'),
        until: time.nullable().describe('When it goes on by itself; null where somebody has to act first.'),
      })
      .nullable()
      .describe('What holds it up at this moment; null where nothing does.'),
    sent_to_gateway: z.boolean().describe('False while it waits for its first send or is in it.'),
    refund_type: z.enum(REFUND_TYPES),
    reason: z.string().nullable(),
    note: z.string().nullable(),
    metadata: z.record(z.string(), z.unknown()),
    initiated_by: z.string(),
    door: z.enum(DOORS).describe('Where it came in.'),
    batch_id: z.string().nullable(),
    batch_row: z.int().nullable().describe('Which row of the batch it is.'),
    gateway: z.string(),
    gateway_account_id: z.string(),
    gateway_payment_id: z.string(),
    payment_method_type: z.string().nullable(),
    gateway_refund_id: z.string().nullable(),
    gateway_reference: z.string().nullable(),
    gateway_status: z.string().nullable().describe("The gateway's own word."),
    arn: z.string().nullable().describe("The bank's reference that a customer can ask for: ARN, RRN or UTR."),
    error_code: z.string().nullable(),
    error_message: z.string().nullable(),
    sends: z.int().describe('How often it was sent, always under one key.'),
    created_at: time,
    updated_at: time,
    sent_at: time.nullable(),
    succeeded_at: time.nullable(),
    failed_at: time.nullable(),
    due_at: time.describe('When the customer should have the money.'),
    next_look_at: time.nullable().describe('When it is looked at next; null once it is final.'),
    recheck_at: time
      .nullable()
      .describe(
        'Once it is final: when the gateway is asked whether that still holds; null where nobody asks any more.',
      ),
    settled_by_hand: z.boolean().describe("A person's word ended it, and not the gateway's."),
    proposal: z
      .object({
        outcome: z.enum(['succeeded', 'failed']),
        evidence: z.string(),
        arn: z.string().nullable(),
        gateway_refund_id: z.string().nullable(),
        gateway_said: z.string().describe('What the gateway said against it.'),
        proposed_by: z.string().describe('The e-mail address of who proposed it.'),
        at: time,
      })
      .nullable()
      .describe("A person's word against the gateway's, while it waits for a second person."),
    review_at: time.describe('When it goes to manual review if nothing is known by then.'),
    pending_days: z
      .int()
      .nullable()
      .describe('Whole days (of 24 hours) since it was made; null once it is final.'),
    overdue: z.boolean().describe('Not final, and past due_at.'),
  })
  .meta({ id: 'Refund', description: 'The refund as it is now.' });

export const refundInListSchema = refundSchema
  .extend({ customer_email: z.string().nullable().describe("The order's.") })
  .meta({ id: 'RefundInList', description: 'The refund as it is now, with the address of its customer.' });

export const refundPageSchema = z
  .object({ refunds: z.array(refundInListSchema), next_cursor: nextCursor })
  .describe('A page of refunds.');

export const orderRefundsSchema = z
  .object({ order_id: z.string(), refunds: z.array(refundSchema) })
  .describe('All refunds of the order, newest first.');

export const eventSchema = z
  .object({
    seq: z.int().describe('Counts the events of the order, its refunds included.'),
    at: time,
    kind: z.string(),
    refund_id: z.string().nullable(),
    from: z.string().nullable(),
    to: z.string().nullable(),
    cause: z.record(z.string(), z.unknown()).describe('Who or what made the change.'),
    evidence: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('What was said, scrubbed of card and bank data.'),
    hash: z.string().describe('SHA-256 over the hash of the event before it and this one.'),
  })
  .meta({ id: 'Event', description: 'One change, and what caused it.' });

export const attemptSchema = z
  .object({
    attempt_no: z.int(),
    started_at: time,
    finished_at: time.nullable(),
    outcome: z.string().nullable().describe('Null while no answer has come.'),
    answer: z.unknown().describe('What the gateway answered, scrubbed of card and bank data.'),
  })
  .meta({ id: 'Attempt', description: 'One call to the gateway for a refund.' });

export const refundWithHistorySchema = refundInListSchema
  .extend({ attempts: z.array(attemptSchema), events: z.array(eventSchema) })
  .describe('The refund, every call to the gateway for it, and every change of it.');

export const refundLookedSchema = refundSchema
  .extend({
    gateway_answer: z
      .enum(['news', 'absent', 'misfit', 'busy', 'misconfigured', 'no_answer'])
      .describe(
        'What the asking came to. Only news, another refund than was asked for, or absence that is proved, changes it.',
      ),
  })
  .describe('The refund as it is after the gateway was asked.');

export const orderEventsSchema = z
  .object({ order_id: z.string(), events: z.array(eventSchema) })
  .describe('Everything that happened, oldest first.');

export type NewRefund = z.input<typeof newRefundSchema>;
export type Resolution = z.input<typeof resolutionSchema>;
export type RefundListQuery = z.output<typeof refundListQuerySchema>;
export type Refund = z.infer<typeof refundSchema>;
export type RefundInList = z.infer<typeof refundInListSchema>;
export type RefundPage = z.infer<typeof refundPageSchema>;
export type OrderRefunds = z.infer<typeof orderRefundsSchema>;
export type RefundEvent = z.infer<typeof eventSchema>;
export type Attempt = z.infer<typeof attemptSchema>;
export type RefundWithHistory = z.infer<typeof refundWithHistorySchema>;
export type RefundLooked = z.infer<typeof refundLookedSchema>;
export type OrderEvents = z.infer<typeof orderEventsSchema>;

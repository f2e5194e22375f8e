import { z } from 'zod';

function wholeNumber(least: number, most: number) {
  const words = `a whole number from ${least} to ${most}`;
  return z.int(words).min(least, words).max(most, words);
}

export const merchantSettingsSchema = z.strictObject({
  full_refund_when_amount_absent: z.boolean().meta({
    description:
      'Whether a refund on the Juspay-compatible addresses that names no amount gives back all that is left. ' +
      'When false, such a request is refused.',
  }),
  require_second_factor: z.boolean().meta({
    description: 'Whether people of the team who have no second factor may do nothing but set one up.',
  }),
  batch_approval: z.boolean().meta({
    description:
      'Whether a batch needs a second person: somebody else than who uploaded and who confirmed it has to approve it.',
  }),
  batch_approval_hours: wholeNumber(1, 168).meta({
    description: 'How long that may take before the batch has to be confirmed anew.',
  }),
  batch_wait_minutes: wholeNumber(0, 1440).meta({
    description:
      'How long a batch that may start waits all the same. Until then it can be withdrawn as a whole; 0 for not at all.',
  }),
});

export const merchantSettingsChangesSchema = merchantSettingsSchema.partial();

export const waitingChangeSchema = z
  .object({
    change_id: z.string(),
    changes: merchantSettingsChangesSchema,
    asked_by: z.string().describe('The e-mail address of the person, or the name of the key.'),
    asked_at: z.string(),
    takes_effect_at: z
      .string()
      .nullable()
      .describe(
        'It takes effect by itself then, unless somebody stops it. Null: another admin has to confirm it.',
      ),
    lapses_at: z.string().describe('If nobody has confirmed it by then, nothing happens.'),
  })
  .meta({ id: 'WaitingChange', description: 'A change that would turn a guard off, and waits.' });

export const waitingChangeParamsSchema = z.object({ change_id: z.uuid() });

export const merchantSchema = z
  .object({
    merchant_id: z.string(),
    name: z.string(),
    settings: merchantSettingsSchema.describe('As they are in force.'),
    waiting_changes: z.array(waitingChangeSchema).describe('What was asked for and waits, the oldest first.'),
  })
  .meta({ id: 'Merchant', description: 'Your merchant with its settings.' });

export type WaitingChange = z.infer<typeof waitingChangeSchema>;
export type Merchant = z.infer<typeof merchantSchema>;
export type MerchantSettingsChanges = z.input<typeof merchantSettingsChangesSchema>;

import { z } from 'zod';

export const merchantSettingsSchema = z.strictObject({
  full_refund_when_amount_absent: z.boolean().meta({
    description:
      'Whether a refund on the Juspay-compatible addresses that names no amount gives back all that is left. ' +
      'When false, such a request is refused.',
  }),
  require_second_factor: z.boolean().meta({
    description: 'Whether people of the team who have no second factor may do nothing but set one up.',
  }),
});

export const merchantSettingsChangesSchema = merchantSettingsSchema.partial();

export const merchantSchema = z
  .object({ merchant_id: z.string(), name: z.string(), settings: merchantSettingsSchema })
  .meta({ id: 'Merchant', description: 'Your merchant with its settings.' });

export type Merchant = z.infer<typeof merchantSchema>;
export type MerchantSettingsChanges = z.input<typeof merchantSettingsChangesSchema>;

import { z } from 'zod';

/** GET /v1/me: who asks, for which merchant, and what they may do. */
export const meSchema = z
  .object({
    user: z
      .object({
        user_id: z.string(),
        email: z.string(),
        name: z.string(),
        second_factor: z.boolean().describe('Whether sign-in asks for a second factor.'),
      })
      .nullable()
      .describe('Null for an API key.'),
    role: z.enum(['viewer', 'support', 'operations', 'admin']).nullable().describe('Null for an API key.'),
    permissions: z.array(z.string()),
    merchant: z.object({
      merchant_id: z.string(),
      name: z.string(),
      sandbox: z.boolean().describe('Whether it has no account at a gateway that moves real money.'),
      require_second_factor: z.boolean(),
    }),
    demo: z.boolean().describe('Whether this is the demo that came with an empty database.'),
  })
  .meta({ id: 'Me', description: 'Who asks, for which merchant, and what they may do.' });

export type Me = z.infer<typeof meSchema>;

import { z } from 'zod';

export const newApiKeySchema = z
  .strictObject({
    name: z
      .string()
      .trim()
      .regex(/^[^\p{Cc}]{1,100}$/u, '1 to 100 characters without line breaks')
      .describe(
        'What uses it. No key of the merchant, revoked ones included, has had that name: the trail tells keys apart by it.',
      ),
  })
  .meta({ examples: [{ name: 'Order service' }] });

export const apiKeySchema = z
  .object({
    api_key_id: z.string(),
    name: z.string(),
    last_four: z.string(),
    created_at: z.string(),
    created_by: z
      .string()
      .nullable()
      .describe(
        'The e-mail address of the person, or the name of the key, that made it; null where the program did.',
      ),
    last_used_at: z.string().nullable().describe('To about a minute. Null: not used so far.'),
    revoked_at: z.string().nullable().describe('Null while it works.'),
    revoked_by: z.string().nullable(),
  })
  .meta({ id: 'ApiKey', description: 'A key without its secret.' });

export const apiKeyListSchema = z
  .object({ api_keys: z.array(apiKeySchema) })
  .describe('All keys, newest first, revoked ones too.');

export const apiKeyWithSecretSchema = apiKeySchema
  .extend({ key: z.string().describe('Keep it: it is not shown again.') })
  .meta({ id: 'ApiKeyWithSecret', description: 'The new key, whole this one time.' });

export const apiKeyParamsSchema = z.object({ api_key_id: z.uuid() });

export type ApiKey = z.infer<typeof apiKeySchema>;
export type ApiKeyList = z.infer<typeof apiKeyListSchema>;
export type ApiKeyWithSecret = z.infer<typeof apiKeyWithSecretSchema>;
export type NewApiKey = z.input<typeof newApiKeySchema>;

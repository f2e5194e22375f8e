import { z } from 'zod';
import { KEY_PERMISSIONS, type KeyPermission, SHOP_PERMISSIONS, wordsOf } from '../../access/roles.ts';

/** Everything that a key can be given, with what it lets a program do, to follow "may". */
export const KEY_PERMISSION_WORDS: readonly { readonly name: KeyPermission; readonly may: string }[] =
  KEY_PERMISSIONS.map((name) => ({ name, may: wordsOf(name) }));

/** What a key is given where nothing else is said: what a shop's server needs. */
export const DEFAULT_KEY_PERMISSIONS = SHOP_PERMISSIONS;

const permissions = z.array(z.enum(KEY_PERMISSIONS, { error: `one of ${KEY_PERMISSIONS.join(', ')}` }));

export const newApiKeySchema = z
  .strictObject({
    name: z
      .string()
      .trim()
      .regex(/^[^\p{Cc}]{1,100}$/u, '1 to 100 characters without line breaks')
      .describe(
        'What uses it. No key of the merchant, revoked ones included, has had that name: the trail tells keys apart by it.',
      ),
    permissions: permissions
      .min(1, 'at least one permission')
      .optional()
      .describe(
        `What it may do; none that you may not do yourself. Without it what a shop's server needs: ${SHOP_PERMISSIONS.join(', ')}. It cannot be changed: make another key.`,
      ),
    expires_at: z.iso
      .datetime({ offset: true })
      .optional()
      .describe('From then on it is refused. Without it, it works until it is revoked.'),
  })
  .meta({ examples: [{ name: 'Order service' }] });

export const apiKeySchema = z
  .object({
    api_key_id: z.string(),
    name: z.string(),
    last_four: z.string(),
    permissions: permissions.describe('What it may do.'),
    expires_at: z.string().nullable().describe('Null: it works until it is revoked.'),
    asleep_since: z
      .string()
      .nullable()
      .describe(
        'Since when it is refused because a restore brought it back: `POST …/wake` says that it is wanted.',
      ),
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

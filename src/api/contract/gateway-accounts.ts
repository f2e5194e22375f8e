import { z } from 'zod';
import { MAX_CONCURRENT_LIMIT, MAX_PER_SECOND_LIMIT } from '../../gateways/gateway.ts';

// Gateways ----------------------------------------------------------------------------------------------

const limits = {
  max_concurrent: z.int().min(1).max(MAX_CONCURRENT_LIMIT).describe('Calls to it at the same time.'),
  max_per_second: z.int().min(1).max(MAX_PER_SECOND_LIMIT).describe('Calls to it in one second.'),
};

export const credentialFieldSchema = z.object({
  name: z.string(),
  label: z.string(),
  type: z
    .enum(['text', 'secret', 'secret_lines'])
    .describe('What to draw: secret_lines is one of several lines.'),
  secret: z.boolean(),
  required: z.boolean(),
  pattern: z.string().nullable().describe('A regular expression that the whole value must match.'),
  help: z.string(),
});

export const gatewaySchema = z
  .object({
    gateway: z.string(),
    label: z.string(),
    gateway_id: z.int().describe('The number that order objects carry.'),
    base_url: z.string(),
    docs_url: z.string().nullable().describe('Where the gateway explains its refunds and keys.'),
    moves_real_money: z.boolean().describe('False for a sandbox.'),
    credential_fields: z.array(credentialFieldSchema),
    capabilities: z.object({
      partial_refunds: z.boolean(),
      instant_refunds: z.boolean(),
      key_life_seconds: z
        .number()
        .nullable()
        .describe('How long a send may be repeated under its key; null where it never may.'),
      webhook_proof: z.enum(['signed', 'unsigned', 'none']),
      ...limits,
    }),
    capabilities_say: z.array(z.string()).describe('The same in sentences, for people.'),
  })
  .meta({ id: 'Gateway', description: 'A gateway and what it can do.' });

export const gatewayListSchema = z.object({ gateways: z.array(gatewaySchema) }).describe('All gateways.');

// Accounts ----------------------------------------------------------------------------------------------

const accountName = z
  .string()
  .max(100)
  .describe('Tells several accounts of one gateway apart; unique among them.');

export const newGatewayAccountSchema = z
  .strictObject({
    gateway: z.string().max(64).describe('The gateway word, as in GET /v1/gateways.'),
    name: accountName
      .optional()
      .describe('`default` when absent. Of several accounts, the one so named takes what names no account.'),
    base_url: z.string().max(2048).optional().describe('The gateway’s own address when absent.'),
    credentials: z
      .record(z.string().max(100), z.string())
      .describe('By field name, as GET /v1/gateways lists them. Encrypted when stored, never shown again.'),
    max_concurrent: limits.max_concurrent.optional(),
    max_per_second: limits.max_per_second.optional(),
  })
  .meta({
    examples: [{ gateway: 'SANDBOX', credentials: { secret_key: 'sbx_sk_any_letters_and_digits' } }],
  });

export const gatewayAccountChangesSchema = z
  .strictObject({
    name: accountName.optional(),
    enabled: z
      .boolean()
      .optional()
      .describe('While false, nothing is sent to the gateway; what its webhooks say is still taken in.'),
    credentials: z
      .record(z.string().max(100), z.string().nullable())
      .optional()
      .describe('Fields to replace, or with null to remove; the others stay.'),
    max_concurrent: limits.max_concurrent.optional(),
    max_per_second: limits.max_per_second.optional(),
  })
  .meta({ examples: [{ enabled: false }] });

const holdSchema = z.object({
  since: z.string(),
  why: z.string().describe('What the gateway said, in a sentence.'),
  refunds: z
    .array(
      z.object({
        refund_id: z.string().describe('An id of ours that these books do not know.'),
        gateway_refund_id: z.string().nullable(),
        gateway_payment_id: z.string().nullable(),
        heard_at: z.string(),
      }),
    )
    .describe('The first ten.'),
});

export const gatewayAccountReleaseSchema = z
  .strictObject({
    reason: z
      .string()
      .trim()
      .min(1)
      .max(1000)
      .describe('What was found; kept for those who read it in years.'),
    shared: z
      .boolean()
      .optional()
      .describe(
        'True: another installation refunds through the same account at the gateway, and its ids hold this one no more. ' +
          'Refunds that these books lose are then no longer noticed by webhooks of this account.',
      ),
  })
  .meta({ examples: [{ reason: 'Both are in the list of refunds that the restore printed.' }] });

export const gatewayAccountSchema = z
  .object({
    gateway_account_id: z.string(),
    gateway: z.string(),
    name: z.string(),
    base_url: z.string().nullable().describe('Null: the gateway’s own address, as GET /v1/gateways says.'),
    credentials: z
      .record(z.string(), z.string())
      .describe('Secrets by their last four characters; the other fields as they are.'),
    identity: z
      .string()
      .nullable()
      .describe('Whose account at the gateway this is, as the gateway told it; null where it has not.'),
    enabled: z.boolean(),
    ...limits,
    webhook_url: z.string().describe('The address to enter at the gateway for its webhooks.'),
    health: z.object({
      failures_in_a_row: z.int(),
      paused_until: z
        .string()
        .nullable()
        .describe(
          'Until then nothing is sent: calls kept failing, or refunds were all refused alike. See last_error.',
        ),
      last_error: z.string().nullable(),
      last_error_at: z.string().nullable(),
      refusals_in_a_row: z
        .int()
        .describe('Refunds in a row that the gateway refused for one and the same reason.'),
      webhook_rejected_at: z
        .string()
        .nullable()
        .describe('When a webhook to webhook_url was last rejected, to the minute.'),
      webhook_rejected_because: z.string().nullable(),
      calls_in_last_second: z
        .int()
        .describe('How much of max_per_second is used just now, by all processes together.'),
      pending_refunds: z
        .int()
        .describe('Refunds of this account without an end yet, counted no further than 10000.'),
    }),
    held: holdSchema
      .nullable()
      .describe(
        'Set while nothing is sent because the gateway knows refunds of ours that these books do not: books that went back ' +
          'in time, or another installation on the same account. It ends by POST …/release.',
      ),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'GatewayAccount', description: 'The account; its secrets by their last characters.' });

export const gatewayAccountListSchema = z
  .object({ gateway_accounts: z.array(gatewayAccountSchema) })
  .describe('All accounts.');

export const gatewayAccountParamsSchema = z.object({ gateway_account_id: z.string().max(64) });

export const gatewayAccountTestSchema = z
  .object({
    outcome: z
      .enum(['works', 'refused', 'busy', 'no_answer'])
      .describe('refused: the gateway does not accept the credentials, or not for refunds.'),
    tried: z.string().describe('What was asked of the gateway; it changes nothing there.'),
    says: z.string().describe('What came back, in a sentence.'),
    identity: z
      .string()
      .nullable()
      .describe('Whose account the credentials open, where the gateway told it.'),
    payment: z
      .object({
        gateway_payment_id: z.string(),
        known: z.boolean().nullable().describe('Null: the gateway did not say.'),
      })
      .nullable()
      .describe(
        'A payment that was told for the account, and whether the gateway knows it; null while there is none.',
      ),
    answer: z
      .record(z.string(), z.unknown())
      .describe('The gateway’s answer, scrubbed of credentials and of card and bank data.'),
    duration_ms: z.int(),
    at: z.string(),
  })
  .meta({ id: 'GatewayAccountTest', description: 'What was tried with the account, and what came back.' });

export type CredentialField = z.infer<typeof credentialFieldSchema>;
export type GatewayDescription = z.infer<typeof gatewaySchema>;
export type GatewayList = z.infer<typeof gatewayListSchema>;
export type GatewayAccount = z.infer<typeof gatewayAccountSchema>;
export type GatewayAccountList = z.infer<typeof gatewayAccountListSchema>;
export type NewGatewayAccount = z.input<typeof newGatewayAccountSchema>;
export type GatewayAccountChanges = z.input<typeof gatewayAccountChangesSchema>;
export type GatewayAccountRelease = z.input<typeof gatewayAccountReleaseSchema>;
export type GatewayAccountTest = z.infer<typeof gatewayAccountTestSchema>;

import { z } from 'zod';
import { WAYS_IN } from '../../access/ways-in.ts';
import { codeField, nameField, newPasswordField, passwordField } from './sign-in.ts';

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

export const nameBody = z.strictObject({ name: nameField });
export const passwordBody = z.strictObject({
  current_password: passwordField,
  new_password: newPasswordField,
});
/** For what may not be done by whoever finds the screen unlocked. */
export const wordBody = z.strictObject({ password: passwordField });
export const secondFactorCodeBody = z.strictObject({ code: codeField });

export const secondFactorAnswer = z
  .object({
    otpauth_uri: z.string().describe('To draw as a QR code for an authenticator app.'),
    backup_codes: z.array(z.string()).describe('Each works once in place of a code.'),
  })
  .describe('The secret and the backup codes, shown this once.');

export const backupCodesAnswer = z
  .object({ backup_codes: z.array(z.string()) })
  .describe('The new backup codes, shown this once.');

export const sessionSchema = z.object({
  session_id: z.string(),
  current: z.boolean().describe('Whether it is the one that asks.'),
  started_at: z.iso.datetime(),
  last_used_at: z.iso.datetime(),
  opened_by: z
    .enum(WAYS_IN)
    .describe('What it was opened with: the password alone, a one-time link, or also a second factor.'),
  address: z.string().nullable(),
  user_agent: z.string().nullable(),
});

export const sessionsAnswer = z
  .object({ sessions: z.array(sessionSchema) })
  .meta({ id: 'Sessions', description: 'Where a person is signed in.' });

export type Sessions = z.infer<typeof sessionsAnswer>;

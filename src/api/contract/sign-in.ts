import { z } from 'zod';
import {
  PASSWORD_LEAST,
  PASSWORD_LEAST_DIFFERENT,
  PASSWORD_MOST,
  PASSWORD_WORDS,
} from '../../access/password.ts';

/** The addresses under /auth: the only ones that a person who is not signed in may call. */

export const emailField = z.string().trim().toLowerCase().max(254);
export const passwordField = z.string().min(1).max(PASSWORD_MOST);
export const newPasswordField = z
  .string()
  .min(PASSWORD_LEAST)
  .max(PASSWORD_MOST)
  .refine((text) => new Set(text).size >= PASSWORD_LEAST_DIFFERENT, `text of ${PASSWORD_WORDS}`);
export const nameField = z.string().trim().min(1).max(100);
export const codeField = z.string().trim().min(6).max(20);
const linkToken = z.string().regex(/^[A-Za-z0-9_-]{20,100}$/, 'the part behind # of the link');

export const signInBody = z.strictObject({ email: emailField, password: passwordField });

export const codeBody = z.strictObject({
  code: codeField.describe('Six digits from the app, or one of the backup codes, which work once.'),
});

export const signInAnswer = z
  .object({
    status: z
      .enum(['signed_in', 'code_needed'])
      .describe('code_needed: POST /auth/code within ten minutes, from the same browser.'),
  })
  .meta({ id: 'SignIn', description: 'How far the sign-in has come. The cookies are the session.' });

export const linkBody = z.strictObject({ token: linkToken });

export const linkAnswer = z
  .object({
    kind: z.enum(['join', 'reset']),
    email: z.string(),
    name: z.string(),
    merchant_name: z.string(),
    role: z.string(),
    expires_at: z.iso.datetime(),
  })
  .meta({ id: 'OneTimeLink', description: 'What a one-time link is for.' });

export const useLinkBody = z.strictObject({
  token: linkToken,
  password: newPasswordField,
  name: nameField.optional().describe('For who joins: another name than the one in the invitation.'),
});

export type SignInAnswer = z.infer<typeof signInAnswer>;
export type LinkAnswer = z.infer<typeof linkAnswer>;

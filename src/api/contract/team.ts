import { z } from 'zod';
import { nextCursor, pageFields } from './pages.ts';
import { emailField, nameField } from './sign-in.ts';

/** The people of a merchant's team, for its admins. */

const role = z.enum(['viewer', 'support', 'operations', 'admin'], 'viewer, support, operations or admin');
const time = z.iso.datetime();

export const memberSchema = z
  .object({
    user_id: z.string(),
    email: z.string(),
    name: z.string(),
    role,
    second_factor: z.boolean().describe('Whether sign-in asks for a second factor.'),
    has_password: z.boolean().describe('False after a reset, until the link has been used.'),
    disabled: z.boolean(),
    joined_at: time,
    you: z.boolean().describe('Whether it is the one who asks.'),
  })
  .meta({ id: 'Member', description: 'A person of the team.' });

export const invitationSchema = z
  .object({
    invitation_id: z.string(),
    email: z.string(),
    name: z.string(),
    role,
    invited_by: z.string(),
    created_at: time,
    expires_at: time,
  })
  .meta({ id: 'Invitation', description: 'Someone who may join.' });

const listedMember = memberSchema
  .extend({ last_seen_at: time.nullable().describe('Null while they are signed in nowhere.') })
  .meta({ id: 'ListedMember', description: 'A person of the team, and when they were last about.' });

export const teamSchema = z
  .object({ members: z.array(listedMember), invitations: z.array(invitationSchema) })
  .meta({ id: 'Team', description: 'Who is in the team, in the order of joining, and who is invited.' });

const link = z
  .string()
  .describe('Give it to the person by a way you trust. It works once, and is not shown again.');

export const newInvitationBody = z
  .strictObject({
    email: emailField.regex(/^[^\s@]{1,64}@[^\s@]{1,190}$/, 'an e-mail address'),
    name: nameField,
    role,
  })
  .meta({ examples: [{ email: 'asha@example.com', name: 'Asha Nair', role: 'support' }] });

export const newInvitationSchema = invitationSchema
  .extend({ link })
  .meta({ id: 'NewInvitation', description: 'The invitation with its link.' });

export const memberChangesBody = z
  .strictObject({ role: role.optional(), disabled: z.boolean().optional() })
  .meta({ examples: [{ role: 'operations' }] });

export const resetBody = z
  .strictObject({
    second_factor: z.boolean().default(false).describe('Whether to end the second factor too.'),
  })
  .nullish()
  .meta({ examples: [{ second_factor: true }] });

export const newLinkSchema = z
  .object({ link, expires_at: time })
  .describe('The link by which the person chooses a new password.');

export const accessLogQuery = z.strictObject(pageFields);

export const accessLogSchema = z
  .object({
    entries: z.array(
      z.object({
        entry_id: z.string(),
        at: time,
        by: z.string().describe('An e-mail, or what else did it.'),
        by_user_id: z.string().nullable(),
        action: z.string(),
        user_id: z.string().nullable().describe('Whom it was done to; null while they have not joined.'),
        email: z.string(),
        details: z.record(z.string(), z.unknown()),
        request_id: z.string().nullable(),
      }),
    ),
    next_cursor: nextCursor,
  })
  .meta({ id: 'AccessLog', description: 'A page of changes of who may do what, newest first.' });

export type Member = z.infer<typeof memberSchema>;
export type ListedMember = z.infer<typeof listedMember>;
export type Invitation = z.infer<typeof invitationSchema>;
export type Team = z.infer<typeof teamSchema>;
export type NewInvitation = z.infer<typeof newInvitationSchema>;
export type NewLink = z.infer<typeof newLinkSchema>;
export type AccessLogPage = z.infer<typeof accessLogSchema>;

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type AccessEntry, listAccess } from '../../access/access-log.ts';
import { listInvitations, type OneTimeLink } from '../../access/links.ts';
import {
  type AskedBy,
  changeMember,
  endSessionsOf,
  invite,
  removeMember,
  resetSignIn,
  type TeamRefusal,
  type TeamResult,
  withdrawInvitation,
} from '../../access/team.ts';
import { listTeam, type Member, readTeamMember } from '../../access/users.ts';
import { isUuid } from '../../lib/ids.ts';
import { sessionsAnswer } from '../contract/me.ts';
import {
  accessLogQuery,
  accessLogSchema,
  type invitationSchema,
  memberChangesBody,
  memberSchema,
  newInvitationBody,
  newInvitationSchema,
  newLinkSchema,
  resetBody,
  teamSchema,
} from '../contract/team.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { personOf, sessionsOf } from './me.ts';
import { pageOf, positionOf } from './pages.ts';

const SORT = 'newest';

/** Who may do what: the people of the team, for its admins. */
export async function teamRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { db, clock } = deps;
  const tags = ['Team'];
  const config = { permission: 'team.manage' } as const;
  const person = z.object({ user_id: z.uuid() });
  const linkTo = (page: 'join' | 'reset', token: string) => `${deps.settings.publicUrl}/${page}#${token}`;

  app.get(
    '/v1/team',
    { config, schema: { tags, summary: 'Everyone of the team', response: { 200: teamSchema } } },
    async (request) => {
      const { merchantId, userId } = personOf(request);
      const [members, invitations] = await Promise.all([
        listTeam(db, merchantId),
        listInvitations(db, clock, merchantId),
      ]);
      return {
        members: members.map((member) => ({
          ...memberView(member, userId),
          last_seen_at: member.lastSeenAt?.toISOString() ?? null,
        })),
        invitations: invitations.map(invitationView),
      };
    },
  );

  app.post(
    '/v1/team/invitations',
    {
      config,
      schema: {
        tags,
        summary: 'Invite someone',
        description:
          'The link in the answer works once, for 72 hours; by it the person chooses a password. Inviting the same ' +
          'e-mail again makes a new link and ends the one before.',
        body: newInvitationBody,
        response: { 201: newInvitationSchema, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const asked = askedBy(request);
      const { linkId, token, expiresAt } = orRefuse(await invite(deps, asked, request.body));
      return reply.code(201).send({
        ...request.body,
        invitation_id: linkId,
        invited_by: asked.by.name,
        created_at: clock.now().toISOString(),
        expires_at: expiresAt.toISOString(),
        link: linkTo('join', token),
      });
    },
  );

  app.delete(
    '/v1/team/invitations/:invitation_id',
    {
      config,
      schema: {
        tags,
        summary: 'Withdraw an invitation',
        params: z.object({ invitation_id: z.uuid() }),
        response: { 204: z.null().describe('Its link does not work any more.'), 404: errorSchema },
      },
    },
    async (request, reply) => {
      orRefuse(await withdrawInvitation(deps, askedBy(request), request.params.invitation_id));
      return reply.code(204).send(null);
    },
  );

  app.patch(
    '/v1/team/:user_id',
    {
      config,
      schema: {
        tags,
        summary: 'Change what someone may do, or switch them off or on',
        description: 'It holds from their next request; whom it switches off is signed out everywhere.',
        params: person,
        body: memberChangesBody,
        response: { 200: memberSchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const asked = askedBy(request);
      const member = orRefuse(await changeMember(deps, asked, request.params.user_id, request.body));
      return memberView(member, asked.by.userId);
    },
  );

  app.delete(
    '/v1/team/:user_id',
    {
      config,
      schema: {
        tags,
        summary: 'Take someone out of the team',
        params: person,
        response: {
          204: z.null().describe('Gone, and signed out everywhere.'),
          404: errorSchema,
          409: errorSchema,
        },
      },
    },
    async (request, reply) => {
      orRefuse(await removeMember(deps, askedBy(request), request.params.user_id));
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/v1/team/:user_id/reset',
    {
      config,
      schema: {
        tags,
        summary: "End someone's password, and make a link for a new one",
        description: 'The password, the second factor if asked, and all sessions end at once.',
        params: person,
        body: resetBody,
        response: { 201: newLinkSchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const asked = askedBy(request);
      const { user_id } = request.params;
      if (user_id === asked.by.userId) throw ownAccount();
      const secondFactorToo = request.body?.second_factor ?? false;
      const { token, expiresAt } = orRefuse(await resetSignIn(deps, asked, user_id, { secondFactorToo }));
      return reply.code(201).send({ link: linkTo('reset', token), expires_at: expiresAt.toISOString() });
    },
  );

  app.get(
    '/v1/team/:user_id/sessions',
    {
      config,
      schema: {
        tags,
        summary: 'Where someone is signed in',
        params: person,
        response: { 200: sessionsAnswer, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId, sessionId } = personOf(request);
      const member = await readTeamMember(db, merchantId, request.params.user_id);
      if (!member) throw refusalError('not_found');
      return { sessions: await sessionsOf(deps, member.userId, sessionId) };
    },
  );

  app.delete(
    '/v1/team/:user_id/sessions',
    {
      config,
      schema: {
        tags,
        summary: 'Sign someone out everywhere',
        params: person,
        response: { 200: z.object({ ended: z.int() }).describe('How many ended.'), 404: errorSchema },
      },
    },
    async (request) => ({
      ended: orRefuse(await endSessionsOf(deps, askedBy(request), request.params.user_id)),
    }),
  );

  app.get(
    '/v1/team/log',
    {
      config,
      schema: {
        tags,
        summary: 'Who changed what about people, and who signed in, newest first',
        querystring: accessLogQuery,
        response: { 200: accessLogSchema },
      },
    },
    async (request) => {
      const { limit, cursor, created_from, created_before } = request.query;
      const after = cursor === undefined ? null : positionOf(cursor, SORT, isUuid);
      const found = await listAccess(db, personOf(request).merchantId, {
        from: created_from === undefined ? null : new Date(created_from),
        before: created_before === undefined ? null : new Date(created_before),
        after: after && { at: new Date(after.at), entryId: after.id },
        limit: limit + 1,
      });
      const { page, next_cursor } = pageOf(found, limit, SORT, ({ at, entryId }) => ({
        at: at.getTime(),
        id: entryId,
      }));
      return { entries: page.map(entryView), next_cursor };
    },
  );
}

function askedBy(request: FastifyRequest): AskedBy & { by: { userId: string } } {
  const { merchantId, userId, userEmail } = personOf(request);
  return { merchantId, by: { userId, name: userEmail }, requestId: request.id };
}

// What goes out --------------------------------------------------------------------------------------------

function memberView(member: Member, asker: string | null): z.output<typeof memberSchema> {
  return {
    user_id: member.userId,
    email: member.email,
    name: member.name,
    role: member.role,
    second_factor: member.secondFactor,
    has_password: member.hasPassword,
    disabled: member.disabledAt !== null,
    joined_at: member.joinedAt.toISOString(),
    you: member.userId === asker,
  };
}

function invitationView(link: OneTimeLink): z.output<typeof invitationSchema> {
  return {
    invitation_id: link.linkId,
    email: link.email,
    name: link.name,
    role: link.role,
    invited_by: link.madeBy,
    created_at: link.createdAt.toISOString(),
    expires_at: link.expiresAt.toISOString(),
  };
}

function entryView(entry: AccessEntry): z.output<typeof accessLogSchema>['entries'][number] {
  return {
    entry_id: entry.entryId,
    at: entry.at.toISOString(),
    by: entry.by.name,
    by_user_id: entry.by.userId,
    action: entry.action,
    user_id: entry.userId,
    email: entry.email,
    details: { ...entry.details },
    request_id: entry.requestId,
  };
}

// Refusals -------------------------------------------------------------------------------------------------

function orRefuse<Value>(result: TeamResult<Value>): Value {
  if (result.ok) return result.value;
  throw refusalError(result.refusal);
}

function refusalError(refusal: TeamRefusal): ApiError {
  switch (refusal) {
    case 'not_found':
      return new ApiError(404, 'not_found', 'Your team has nobody and no invitation with this id.');
    case 'already_member':
      return new ApiError(409, 'already_member', 'Someone with this e-mail is in your team already.', {
        field: 'email',
      });
    case 'last_admin':
      return new ApiError(
        409,
        'last_admin',
        'This is the last admin who can sign in; without one, nobody could manage the team. Make another one first.',
      );
  }
}

function ownAccount(): ApiError {
  return new ApiError(
    409,
    'own_account',
    'This is you. Change your own password and second factor under your account.',
    { accepted: 'POST /v1/me/password' },
  );
}

import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type {
  AccessLogPage,
  Invitation,
  Member,
  NewInvitation,
  NewLink,
  Team,
} from '../../api/contract/team.ts';
import { ask } from './client.ts';

/** Everyone of the merchant's team, and who is invited. */
export const teamQuery = queryOptions({
  queryKey: ['team'],
  queryFn: ({ signal }) => ask<Team>('GET', '/v1/team', { signal }),
});

/** Who changed what about people, a page at a time, newest first. */
export function accessLogQuery(cursor: string | undefined) {
  return queryOptions({
    queryKey: ['team', 'log', cursor],
    queryFn: ({ signal }) =>
      ask<AccessLogPage>('GET', '/v1/team/log', { query: { limit: 25, cursor }, signal }),
    placeholderData: keepPreviousData,
  });
}

export type Person = Pick<Invitation, 'email' | 'name' | 'role'>;

/** The link in the answer is shown this once. */
export async function invite(person: Person): Promise<NewInvitation> {
  return ask('POST', '/v1/team/invitations', { body: person });
}

export async function withdrawInvitation(invitationId: string): Promise<void> {
  await ask('DELETE', `/v1/team/invitations/${invitationId}`);
}

export async function changeMember(
  userId: string,
  change: { readonly role: Member['role'] } | { readonly disabled: boolean },
): Promise<Member> {
  return ask('PATCH', `/v1/team/${userId}`, { body: change });
}

export async function removeMember(userId: string): Promise<void> {
  await ask('DELETE', `/v1/team/${userId}`);
}

/** Ends the person's password now, and the second factor too if asked; the link in the answer is shown this once. */
export async function resetSignIn(userId: string, secondFactorToo: boolean): Promise<NewLink> {
  return ask('POST', `/v1/team/${userId}/reset`, { body: { second_factor: secondFactorToo } });
}

export async function endSessionsOf(userId: string): Promise<void> {
  await ask('DELETE', `/v1/team/${userId}/sessions`);
}

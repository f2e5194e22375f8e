import { queryOptions } from '@tanstack/react-query';
import type { LinkAnswer, SignInAnswer } from '../../api/contract/sign-in.ts';
import { ask } from './client.ts';

/** Answers whether the second factor is still missing. */
export async function signIn(email: string, password: string): Promise<SignInAnswer> {
  return ask('POST', '/auth/sign-in', { body: { email, password } });
}

/** Ends a sign-in with six digits of the app, or with a backup code. */
export async function giveCode(code: string): Promise<SignInAnswer> {
  return ask('POST', '/auth/code', { body: { code } });
}

/** Ends the session here and on the server. */
export async function signOut(): Promise<void> {
  await ask('POST', '/auth/sign-out', { body: {} });
}

/** What a one-time link is for. */
export function linkQuery(token: string) {
  return queryOptions({
    queryKey: ['link', token],
    queryFn: ({ signal }) => ask<LinkAnswer>('POST', '/auth/link', { body: { token }, signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Sets the password that a one-time link allows, and signs in with it. */
export async function spendLink(
  token: string,
  chosen: { readonly password: string; readonly name?: string },
): Promise<SignInAnswer> {
  return ask('POST', '/auth/link/use', { body: { token, ...chosen } });
}

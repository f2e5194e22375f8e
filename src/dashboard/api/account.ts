import { queryOptions } from '@tanstack/react-query';
import type { Me, Sessions } from '../../api/contract/me.ts';
import { ask } from './client.ts';

export type Session = Sessions['sessions'][number];

export interface NewSecondFactor {
  /** For an authenticator app. */
  readonly otpauth_uri: string;
  readonly backup_codes: readonly string[];
}

/** Where the person is signed in. */
export const sessionsQuery = queryOptions({
  queryKey: ['sessions'],
  queryFn: ({ signal }) => ask<Sessions>('GET', '/v1/me/sessions', { signal }),
  refetchInterval: 60_000,
});

export async function endSession(sessionId: string): Promise<void> {
  await ask('DELETE', `/v1/me/sessions/${sessionId}`);
}

export async function endOtherSessions(): Promise<void> {
  await ask('DELETE', '/v1/me/sessions');
}

export async function rename(name: string): Promise<Me> {
  return ask('PATCH', '/v1/me', { body: { name } });
}

/** Ends the person's other sessions too. */
export async function changePassword(currentPassword: string, newPassword: string): Promise<void> {
  await ask('POST', '/v1/me/password', {
    body: { current_password: currentPassword, new_password: newPassword },
  });
}

/** A secret and backup codes that count once `confirmSecondFactor` has seen a code of the app. */
export async function beginSecondFactor(password: string): Promise<NewSecondFactor> {
  return ask('POST', '/v1/me/second-factor', { body: { password } });
}

export async function confirmSecondFactor(code: string): Promise<Me> {
  return ask('POST', '/v1/me/second-factor/confirm', { body: { code } });
}

export async function endSecondFactor(password: string): Promise<Me> {
  return ask('POST', '/v1/me/second-factor/disable', { body: { password } });
}

/** Those of before stop working. */
export async function newBackupCodes(password: string): Promise<Pick<NewSecondFactor, 'backup_codes'>> {
  return ask('POST', '/v1/me/second-factor/backup-codes', { body: { password } });
}

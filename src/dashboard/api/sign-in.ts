import { ask } from './client.ts';

/** Ends the session here and on the server. */
export async function signOut(): Promise<void> {
  await ask('POST', '/auth/sign-out', { body: {} });
}

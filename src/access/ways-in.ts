/**
 * How a session was opened. A person's second factor says nothing about a session that began without it, so whoever
 * asks how strong a session is asks this.
 */
export const WAYS_IN = ['password', 'link', 'code', 'backup_code'] as const;
export type WayIn = (typeof WAYS_IN)[number];

/** Whether a second factor was shown in a session that was opened so. */
export function isByTwoFactors(openedBy: WayIn): boolean {
  return openedBy === 'code' || openedBy === 'backup_code';
}

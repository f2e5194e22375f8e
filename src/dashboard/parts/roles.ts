import type { Me } from '../../api/contract/me.ts';

export type RoleName = NonNullable<Me['role']>;

/** Each role, the least first, and what it may do in one sentence. */
export const ROLES: readonly { readonly name: RoleName; readonly label: string; readonly may: string }[] = [
  { name: 'viewer', label: 'Viewer', may: 'Sees orders, refunds and settings, and changes nothing.' },
  {
    name: 'support',
    label: 'Support',
    may: 'Does what a viewer may, refunds single orders, cancels refunds and asks the gateway about them.',
  },
  {
    name: 'operations',
    label: 'Operations',
    may: 'Does what support may, settles manual reviews, runs batches, imports orders and exports lists.',
  },
  {
    name: 'admin',
    label: 'Admin',
    may: 'Does everything: people, gateways, webhooks, API keys and settings too.',
  },
];

export function roleOf(name: string): { readonly label: string; readonly may: string } {
  return ROLES.find((role) => role.name === name) ?? { label: name, may: '' };
}

/** What a person of a team may be, each with everything that the one before it may do. */
export const ROLES = ['viewer', 'support', 'operations', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Each permission with the least role that has it, and what it lets one do, to follow "may" or "may not". */
const TABLE = {
  'own.read': { from: 'viewer', may: 'see who they are' },
  'own.manage': { from: 'viewer', may: 'manage their own sign-in' },
  'orders.read': { from: 'viewer', may: 'read orders' },
  'refunds.read': { from: 'viewer', may: 'read refunds' },
  'webhooks.read': { from: 'viewer', may: 'read webhook endpoints and deliveries' },
  'gateways.read': { from: 'viewer', may: 'read gateway accounts' },
  'requests.read': { from: 'viewer', may: 'read the request log' },
  'batches.read': { from: 'viewer', may: 'read batches' },
  'settings.read': { from: 'viewer', may: 'read settings' },
  'refunds.create': { from: 'support', may: 'make refunds' },
  'refunds.cancel': { from: 'support', may: 'cancel refunds' },
  'refunds.look': { from: 'support', may: 'ask the gateway about refunds' },
  'refunds.resolve': { from: 'operations', may: 'settle refunds in manual review' },
  'refunds.confirm': { from: 'operations', may: "confirm what a colleague settles against a gateway's word" },
  'batches.run': { from: 'operations', may: 'run batches' },
  'batches.approve': { from: 'operations', may: 'approve batches' },
  'orders.write': { from: 'operations', may: 'import orders and payments' },
  export: { from: 'operations', may: 'export lists' },
  'gateways.manage': { from: 'admin', may: 'manage gateway accounts' },
  'webhooks.manage': { from: 'admin', may: 'manage webhooks' },
  'keys.manage': { from: 'admin', may: 'manage API keys' },
  'settings.manage': { from: 'admin', may: 'change settings' },
  'team.manage': { from: 'admin', may: 'manage the team' },
} as const satisfies Record<string, { from: Role; may: string }>;

export type Permission = keyof typeof TABLE;
export const PERMISSIONS = Object.keys(TABLE) as readonly Permission[];

/** An API key is no person, cannot make one, and is nobody's second pair of eyes. */
const FOR_PEOPLE_ONLY: readonly Permission[] = [
  'own.manage',
  'team.manage',
  'batches.approve',
  'refunds.confirm',
];

export const PERMISSIONS_OF_KEYS = PERMISSIONS.filter((word) => !FOR_PEOPLE_ONLY.includes(word));

/** All that a role may do. */
export function permissionsOf(role: Role): Permission[] {
  return PERMISSIONS.filter((word) => mayRole(role, word));
}

export function mayRole(role: Role, permission: Permission): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(TABLE[permission].from);
}

/** The roles that have a permission, the least first. */
export function rolesWith(permission: Permission): Role[] {
  return ROLES.filter((role) => mayRole(role, permission));
}

/** What the permission lets one do, to follow "may" or "may not". */
export function wordsOf(permission: Permission): string {
  return TABLE[permission].may;
}

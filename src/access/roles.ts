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
  'batches.export': { from: 'operations', may: 'download the rows of batches' },
  'orders.write': { from: 'operations', may: 'import orders and payments' },
  export: { from: 'operations', may: 'export lists' },
  'gateways.manage': { from: 'admin', may: 'manage gateway accounts' },
  'webhooks.manage': { from: 'admin', may: 'manage webhooks' },
  'keys.manage': { from: 'admin', may: 'manage API keys' },
  'settings.manage': { from: 'admin', may: 'change settings' },
  'settings.confirm': { from: 'admin', may: 'confirm changes of settings that wait' },
  'settings.stop': { from: 'operations', may: 'stop changes of settings that wait' },
  'team.manage': { from: 'admin', may: 'manage the team' },
} as const satisfies Record<string, { from: Role; may: string }>;

export type Permission = keyof typeof TABLE;
export const PERMISSIONS = Object.keys(TABLE) as readonly Permission[];

/** An API key is no person, makes neither people nor keys, and is nobody's second pair of eyes. */
const FOR_PEOPLE_ONLY = [
  'own.manage',
  'team.manage',
  'keys.manage',
  'batches.approve',
  'refunds.confirm',
  'settings.confirm',
  'settings.stop',
] as const satisfies readonly Permission[];

/** What every key may do, whatever it was given. */
const ALWAYS = 'own.read' satisfies Permission;

/** What a key can be given. */
export type KeyPermission = Exclude<Permission, (typeof FOR_PEOPLE_ONLY)[number] | typeof ALWAYS>;

export const KEY_PERMISSIONS = PERMISSIONS.filter(
  (word): word is KeyPermission => word !== ALWAYS && !FOR_PEOPLE_ONLY.some((other) => other === word),
);

/**
 * What a key is given unless somebody says otherwise: to tell of orders and payments, to refund them, and to run files of
 * refunds. It changes nothing about people, keys, policy, gateway accounts or webhooks, settles no review and exports no list.
 */
export const SHOP_PERMISSIONS: readonly KeyPermission[] = [
  'orders.read',
  'orders.write',
  'refunds.read',
  'refunds.create',
  'refunds.cancel',
  'refunds.look',
  'batches.read',
  'batches.run',
  'batches.export',
  'settings.read',
];

/** All that a key with these may do. */
export function permissionsOfKey(given: readonly KeyPermission[]): Permission[] {
  return [ALWAYS, ...given];
}

/** Whether a key can be given the permission at all. */
export function isForKeys(permission: Permission): boolean {
  return permission === ALWAYS || KEY_PERMISSIONS.some((word) => word === permission);
}

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

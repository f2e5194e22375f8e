import type { Role } from '../../src/access/roles.ts';

/**
 * Who may call what, in the words that were agreed on: viewers read everything but secrets and the team; support refunds
 * single orders, cancels and asks the gateway; operations also run batches, settle manual review, import and export;
 * admins also manage users, gateways, webhooks, keys and settings. The first line that fits an address holds.
 */
const LEAST_ROLE: readonly (readonly [methods: RegExp, path: RegExp, role: Role])[] = [
  [/./, /^\/v1\/me(\/|$)/, 'viewer'],
  [/./, /^\/v1\/views(\/|$)/, 'viewer'],
  [/./, /^\/v1\/team(\/|$)/, 'admin'],
  [/./, /^\/v1\/api-keys(\/|$)/, 'admin'],
  [/./, /export/, 'operations'],
  [/GET/, /^\/v1\/batches\/[^/]+\/(file|results\.csv|failed\.csv)$/, 'operations'],
  [/POST/, /^\/v1\/settings\/waiting\/[^/]+\/stop$/, 'operations'],
  [/GET/, /./, 'viewer'],
  [/POST/, /^\/v1\/refunds(\/[^/]+\/(sync|cancel))?$/, 'support'],
  [/POST/, /\/refund-preview$/, 'viewer'],
  [/POST/, /^\/v1\/refunds\/[^/]+\/(resolve|proposal\/(confirm|withdraw))$/, 'operations'],
  [/POST/, /^\/v1\/transactions$/, 'operations'],
  [/./, /^\/v1\/batches(\/|$)/, 'operations'],
  [/./, /^\/v1\/(gateway-accounts|webhook-endpoints|webhook-deliveries|settings)(\/|$)/, 'admin'],
];

/** The least role that may call an address of `/v1`, as the OpenAPI document writes it; undefined where nobody has said. */
export function leastRole(method: string, path: string): Role | undefined {
  return LEAST_ROLE.find(([methods, paths]) => methods.test(method) && paths.test(path))?.[2];
}

import type { Gateway } from './gateway.ts';

/** The gateways this program speaks to: an explicit list, by the contract's word for each. */
export type GatewayRegistry = ReadonlyMap<string, Gateway>;

export function registryOf(gateways: readonly Gateway[]): GatewayRegistry {
  return new Map(gateways.map((gateway) => [gateway.name, gateway]));
}

import ipaddr from 'ipaddr.js';

/**
 * Whether an IP address lies on the public internet. Loopback, private, link-local, carrier-grade, reserved
 * and multicast ranges do not, nor do IPv6 forms that wrap another address, unless what they wrap is public.
 */
export function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast';
}

/**
 * Whether a URL's host can be told to be private without asking DNS: a private address in any spelling, or a
 * name that never leaves the machine or its network. What a name resolves to is checked when connecting.
 */
export function isPrivateHost(url: URL): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (ipaddr.isValid(host)) return !isPublicAddress(host);
  return !host.includes('.') || /\.(localhost|local|internal|home\.arpa)$/i.test(host);
}

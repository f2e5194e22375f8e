import { readFileSync } from 'node:fs';

/** The version of this program, as its package says it. */
export function programVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Whether one version comes after another one; what follows on a hyphen is not looked at. */
export function isLaterVersion(one: string, other: string): boolean {
  const numbers = (version: string) => version.replace(/-.*/, '').split('.').map(Number);
  const [ones, others] = [numbers(one), numbers(other)];
  const place = ones.findIndex((number, n) => number !== (others[n] ?? 0));
  return place !== -1 && ones[place]! > (others[place] ?? 0);
}

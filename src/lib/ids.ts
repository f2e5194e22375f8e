import { randomBytes } from 'node:crypto';
import { v7 } from 'uuid';

/** A UUIDv7: made by the program, never by a sequence, and sortable by the time it was made. */
export function newId(): string {
  return v7();
}

/** The id without its dashes, as public ids carry it. */
export function hexOf(uuid: string): string {
  return uuid.replaceAll('-', '');
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * A UUID as 22 letters and digits. The narrowest gateway alphabet we know (PayU's token: letters and
 * digits, at most 23) takes it, so one key serves every gateway.
 */
export function shortOf(uuid: string): string {
  let rest = BigInt(`0x${hexOf(uuid)}`);
  let text = '';
  for (let digit = 0; digit < 22; digit++) {
    text = BASE62[Number(rest % 62n)] + text;
    rest /= 62n;
  }
  return text;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** When an id was made by `newId`, to the millisecond; null for text that is none of its. */
export function madeAt(id: string): Date | null {
  if (!isUuid(id) || id[14] !== '7') return null;
  return new Date(Number.parseInt(hexOf(id).slice(0, 12), 16));
}

/** A random secret of `byteCount` bytes in hex, after a prefix that tells people what they are looking at. */
export function newSecret(prefix: string, byteCount = 24): string {
  return prefix + randomBytes(byteCount).toString('hex');
}

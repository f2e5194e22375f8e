import { createHmac } from 'node:crypto';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** The six digits that an authenticator app shows: RFC 6238 with SHA-1 and steps of 30 seconds. */
export function totp(secretBase32: string, atMs = Date.now()): string {
  return totpOf(bytesOf(secretBase32), Math.floor(atMs / 30_000));
}

/** What it shows half a minute later, which is right already: a code works once, whatever it was asked for. */
export function nextTotp(secretBase32: string): string {
  return totp(secretBase32, Date.now() + 30_000);
}

/** The secret in what an app is given to scan. */
export function secretIn(otpauthUri: string): string {
  return new URL(otpauthUri).searchParams.get('secret')!;
}

/** RFC 4226, section 5.3. */
export function totpOf(secret: Buffer, counter: number): string {
  const message = Buffer.alloc(8);
  message.writeBigUInt64BE(BigInt(counter));
  const digest = createHmac('sha1', secret).update(message).digest();
  const offset = digest.at(-1)! & 15;
  const number = digest.readUInt32BE(offset) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

/** RFC 4648, section 6, without padding. */
export function bytesOf(base32: string): Buffer {
  const bits = [...base32].map((letter) => ALPHABET.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

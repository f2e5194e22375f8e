import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

/** `t=<seconds>,v1=<hex>`: HMAC-SHA256 of "<seconds>.<raw body>". */
export const SIGNATURE_HEADER = 'sandbox-signature';

/** How far the signed time may be from the time of arrival. */
export const TOLERANCE_MS = 300_000;

/** What tells one account from another: the SHA-256 of its secret key. */
export function accountOf(secretKey: string): Buffer {
  return createHash('sha256').update(secretKey).digest();
}

/** The name of an account, for people. It says nothing about the secret key it comes from. */
export function accountIdOf(secretKey: string): string {
  const name = Buffer.from(hkdfSync('sha256', secretKey, '', 'refundry sandbox account', 16));
  return `sbxa_${name.toString('hex')}`;
}

/** The key that signs an account's webhooks. It says nothing about the secret key it comes from. */
export function webhookKeyOf(secretKey: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secretKey, '', 'refundry sandbox webhooks', 32));
}

export function signWebhook(rawBody: Buffer | string, webhookKey: Buffer, at: Date): string {
  const seconds = Math.floor(at.getTime() / 1000);
  return `t=${seconds},v1=${hmac(seconds, rawBody, webhookKey).toString('hex')}`;
}

/** Why this signature proves nothing, or null when one of the keys made it in time. */
export function signatureProblem(
  signature: string | undefined,
  rawBody: Buffer,
  webhookKeys: readonly Buffer[],
  receivedAt: Date,
): string | null {
  const parts = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(signature ?? '');
  if (!parts) return `the header ${SIGNATURE_HEADER} is missing or unreadable`;
  const seconds = Number(parts[1]);
  const given = Buffer.from(parts[2]!, 'hex');
  if (!webhookKeys.some((key) => timingSafeEqual(given, hmac(seconds, rawBody, key)))) {
    return 'the signature is not made with a key of this account';
  }
  if (Math.abs(receivedAt.getTime() - seconds * 1000) > TOLERANCE_MS) {
    return `the signature is more than ${TOLERANCE_MS / 1000} seconds old or ahead`;
  }
  return null;
}

function hmac(seconds: number, rawBody: Buffer | string, key: Buffer): Buffer {
  return createHmac('sha256', key).update(`${seconds}.`).update(rawBody).digest();
}

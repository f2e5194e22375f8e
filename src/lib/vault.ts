import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** Seals secrets for rest and makes seals that the database alone cannot make (invariants 6 and 9). */
export interface Vault {
  /** AES-256-GCM. `context` names the place the secret belongs to; opened elsewhere it fails. */
  seal(plain: string, context: string): Buffer;
  /** Throws when the bytes, the context or the master key are not those it was sealed with. */
  open(sealed: Buffer, context: string): string;
  /** HMAC-SHA256 under a key of its own for each purpose. */
  mac(purpose: string, data: Buffer): Buffer;
}

const FORMAT = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** `masterKey` is 32 bytes; every use derives its own key from it. */
export function createVault(masterKey: Buffer): Vault {
  if (masterKey.length !== 32)
    throw new RangeError(`the master key has ${masterKey.length} bytes, 32 are needed`);
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', masterKey, '', `refundry ${purpose}`, 32));
  const sealingKey = derive('sealing');
  return {
    seal(plain, context) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', sealingKey, iv).setAAD(Buffer.from(context));
      const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
      return Buffer.concat([Buffer.from([FORMAT]), iv, cipher.getAuthTag(), body]);
    },
    open(sealed, context) {
      if (sealed[0] !== FORMAT) throw new Error('sealed with an unknown format');
      const iv = sealed.subarray(1, 1 + IV_BYTES);
      const tag = sealed.subarray(1 + IV_BYTES, 1 + IV_BYTES + TAG_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', sealingKey, iv)
        .setAAD(Buffer.from(context))
        .setAuthTag(tag);
      return Buffer.concat([
        decipher.update(sealed.subarray(1 + IV_BYTES + TAG_BYTES)),
        decipher.final(),
      ]).toString('utf8');
    },
    mac: (purpose, data) =>
      createHmac('sha256', derive(`mac ${purpose}`))
        .update(data)
        .digest(),
  };
}

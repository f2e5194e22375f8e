import { createHash } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { newId, newSecret } from '../lib/ids.ts';

/** Who an API key speaks for. */
export interface KeyHolder {
  readonly merchantId: string;
  readonly apiKeyId: string;
  readonly apiKeyName: string;
  /** As stored; `settingsOf` in merchants.ts reads them. */
  readonly merchantSettings: Readonly<Record<string, unknown>>;
}

/** A key as it may be shown: never the key itself. */
export interface ApiKey {
  readonly apiKeyId: string;
  readonly name: string;
  readonly lastFour: string;
  readonly createdAt: Date;
  /** Null while it works. */
  readonly revokedAt: Date | null;
}

/** What a key may be made of. Basic authentication ends it at the first colon, so it has none. */
export const API_KEY = /^[\x21-\x39\x3b-\x7e]{1,128}$/;

/**
 * Makes a key, or keeps the one given, and returns it in clear this one time: only its SHA-256 is stored. A key
 * is random enough that a plain hash cannot be searched. Throws when the key does not look like one or is taken.
 */
export async function createApiKey(
  db: Queryable,
  clock: Clock,
  input: { readonly merchantId: string; readonly name: string; readonly key?: string | undefined },
): Promise<{ apiKeyId: string; key: string }> {
  const key = input.key ?? newSecret('rfk_');
  if (!API_KEY.test(key))
    throw new RangeError('an API key has 1 to 128 visible ASCII characters and no colon');
  const apiKeyId = newId();
  await db.query(
    `insert into api_keys (api_key_id, merchant_id, name, key_hash, last_four, created_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [apiKeyId, input.merchantId, input.name, hashOf(key), key.slice(-4), clock.now()],
  );
  return { apiKeyId, key };
}

/** The holder of a key that works, or null. The look-up is by hash, so its time tells nothing about other keys. */
export async function findCaller(db: Queryable, key: string): Promise<KeyHolder | null> {
  const rows = await db.query<KeyHolder>(
    `select k.api_key_id as "apiKeyId", k.name as "apiKeyName", k.merchant_id as "merchantId",
       m.settings as "merchantSettings"
     from api_keys k join merchants m using (merchant_id)
     where k.key_hash = $1 and k.revoked_at is null`,
    [hashOf(key)],
  );
  return rows[0] ?? null;
}

/** All keys of a merchant, newest first, revoked ones too. */
export async function listApiKeys(db: Queryable, merchantId: string): Promise<ApiKey[]> {
  return db.query<ApiKey>(
    `select api_key_id as "apiKeyId", name, last_four as "lastFour", created_at as "createdAt",
       revoked_at as "revokedAt"
     from api_keys where merchant_id = $1 order by created_at desc, api_key_id desc`,
    [merchantId],
  );
}

/** Ends a key. False when the merchant has no such key; a key revoked before keeps its first date. */
export async function revokeApiKey(
  db: Queryable,
  clock: Clock,
  merchantId: string,
  apiKeyId: string,
): Promise<boolean> {
  const rows = await db.query(
    `update api_keys set revoked_at = coalesce(revoked_at, $3)
     where merchant_id = $1 and api_key_id = $2 returning api_key_id`,
    [merchantId, apiKeyId, clock.now()],
  );
  return rows.length === 1;
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

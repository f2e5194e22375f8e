import { createHash } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';
import { newId, newSecret } from '../lib/ids.ts';
import { type KeyPermission, SHOP_PERMISSIONS } from './roles.ts';

/** Who an API key speaks for. */
export interface KeyHolder {
  readonly merchantId: string;
  readonly apiKeyId: string;
  readonly apiKeyName: string;
  readonly permissions: readonly KeyPermission[];
  /** Null: it does not expire. */
  readonly expiresAt: Date | null;
  /** As stored; `settingsOf` in merchants.ts reads them. */
  readonly merchantSettings: Readonly<Record<string, unknown>>;
}

/** A key as it may be shown: never the key itself. */
export interface ApiKey {
  readonly apiKeyId: string;
  readonly name: string;
  readonly lastFour: string;
  readonly permissions: readonly KeyPermission[];
  /** Null: it does not expire. */
  readonly expiresAt: Date | null;
  /** Since when it is refused because a restore brought it back; null while it is not. */
  readonly asleepSince: Date | null;
  readonly createdAt: Date;
  /** The e-mail address of the person, or the name of the key, that made it; null where the program did. */
  readonly createdBy: string | null;
  /** To about a minute. */
  readonly lastUsedAt: Date | null;
  /** Null while it works. */
  readonly revokedAt: Date | null;
  readonly revokedBy: string | null;
}

/** What a key is made with, by whoever makes it. */
export interface NewApiKey {
  readonly merchantId: string;
  readonly name: string;
  /** What a shop's server needs where nothing is said. */
  readonly permissions?: readonly KeyPermission[] | undefined;
  readonly expiresAt?: Date | null | undefined;
  readonly createdBy?: string | undefined;
  /** The person who makes it, and as whom it counts where a second one is asked for. */
  readonly madeById?: string | null | undefined;
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
  input: NewApiKey & { readonly key?: string | undefined },
): Promise<{ apiKeyId: string; key: string }> {
  const key = input.key ?? newSecret('rfk_');
  if (!API_KEY.test(key))
    throw new RangeError('an API key has 1 to 128 visible ASCII characters and no colon');
  const apiKeyId = newId();
  await db.query(
    `insert into api_keys (api_key_id, merchant_id, name, key_hash, last_four, created_at, created_by, permissions,
       expires_at, made_by_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      apiKeyId,
      input.merchantId,
      input.name,
      hashOf(key),
      key.slice(-4),
      clock.now(),
      input.createdBy ?? null,
      input.permissions ?? SHOP_PERMISSIONS,
      input.expiresAt ?? null,
      input.madeById ?? null,
    ],
  );
  return { apiKeyId, key };
}

/** The most keys of a merchant that work at once. */
export const MAX_API_KEYS = 100;

/**
 * Makes a key under a name that no key of the merchant has had, since the trail tells keys apart by their names.
 * Answers with the key in clear this one time, or why there is none.
 */
export async function nameApiKey(
  db: Database,
  clock: Clock,
  input: NewApiKey,
): Promise<{ readonly apiKey: ApiKey; readonly key: string } | 'name_taken' | 'too_many'> {
  return db.transaction(async (tx) => {
    // So that two requests at once cannot both take a name, or the last place.
    await tx.query('select merchant_id from merchants where merchant_id = $1 for no key update', [
      input.merchantId,
    ]);
    const [held] = await tx.query<{ working: number; taken: boolean }>(
      `select count(*) filter (where revoked_at is null and (expires_at is null or expires_at > $3)) as working,
         coalesce(bool_or(lower(name) = lower($2)), false) as taken
       from api_keys where merchant_id = $1`,
      [input.merchantId, input.name, clock.now()],
    );
    if (held!.taken) return 'name_taken';
    if (held!.working >= MAX_API_KEYS) return 'too_many';
    const { apiKeyId, key } = await createApiKey(tx, clock, input);
    return { apiKey: (await readApiKey(tx, input.merchantId, apiKeyId))!, key };
  });
}

/** The holder of a key that works, or null. The look-up is by hash, so its time tells nothing about other keys. */
export async function findCaller(db: Queryable, clock: Clock, key: string): Promise<KeyHolder | null> {
  const rows = await db.query<KeyHolder>(
    `select k.api_key_id as "apiKeyId", k.name as "apiKeyName", k.merchant_id as "merchantId", k.permissions,
       k.expires_at as "expiresAt", m.settings as "merchantSettings"
     from api_keys k join merchants m using (merchant_id)
     where k.key_hash = $1 and k.revoked_at is null and k.asleep_since is null
       and (k.expires_at is null or k.expires_at > $2)`,
    [hashOf(key), clock.now()],
  );
  return rows[0] ?? null;
}

/** All keys of a merchant, newest first, revoked ones too. */
export async function listApiKeys(db: Queryable, merchantId: string): Promise<ApiKey[]> {
  return db.query<ApiKey>(
    `select ${SHOWN_KEY} from api_keys where merchant_id = $1 order by created_at desc, api_key_id desc`,
    [merchantId],
  );
}

/** Null where the merchant has no such key. */
export async function readApiKey(
  db: Queryable,
  merchantId: string,
  apiKeyId: string,
): Promise<ApiKey | null> {
  const rows = await db.query<ApiKey>(
    `select ${SHOWN_KEY} from api_keys where merchant_id = $1 and api_key_id = $2`,
    [merchantId, apiKeyId],
  );
  return rows[0] ?? null;
}

const SHOWN_KEY = `api_key_id as "apiKeyId", name, last_four as "lastFour", permissions, expires_at as "expiresAt",
  asleep_since as "asleepSince", created_at as "createdAt", created_by as "createdBy",
  last_used_at as "lastUsedAt", revoked_at as "revokedAt", revoked_by as "revokedBy"`;

/** Ends a key. False when the merchant has no such key; a key revoked before keeps its first date. */
export async function revokeApiKey(
  db: Queryable,
  clock: Clock,
  merchantId: string,
  apiKeyId: string,
  revokedBy: string | null = null,
): Promise<boolean> {
  const rows = await db.query(
    `update api_keys set revoked_at = coalesce(revoked_at, $3),
       revoked_by = case when revoked_at is null then $4 else revoked_by end
     where merchant_id = $1 and api_key_id = $2 returning api_key_id`,
    [merchantId, apiKeyId, clock.now(), revokedBy],
  );
  return rows.length === 1;
}

/** Puts every key to sleep that still works: after a restore, one that was revoked since the backup would live again. */
export async function putKeysToSleep(db: Queryable, now: Date): Promise<void> {
  await db.query('update api_keys set asleep_since = $1 where revoked_at is null and asleep_since is null', [
    now,
  ]);
}

/** Lets a sleeping key work again. False where it was awake, was revoked, or is none of the merchant's. */
export async function wakeApiKey(db: Queryable, merchantId: string, apiKeyId: string): Promise<boolean> {
  const rows = await db.query(
    `update api_keys set asleep_since = null
     where merchant_id = $1 and api_key_id = $2 and revoked_at is null and asleep_since is not null
     returning api_key_id`,
    [merchantId, apiKeyId],
  );
  return rows.length === 1;
}

/** Lets a key work again by the key itself, for whoever holds it as the operator of the program. */
export async function wakeByKey(db: Queryable, merchantId: string, key: string): Promise<void> {
  await db.query(
    'update api_keys set asleep_since = null where merchant_id = $1 and key_hash = $2 and revoked_at is null',
    [merchantId, hashOf(key)],
  );
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

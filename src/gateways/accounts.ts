import type { Clock } from '../lib/clock.ts';
import { type Database, type Queryable, sqlState } from '../lib/db.ts';
import { urlProblem } from '../lib/http.ts';
import { hexOf, newId } from '../lib/ids.ts';
import type { Vault } from '../lib/vault.ts';
import {
  type Gateway,
  type GatewayAccountAccess,
  MAX_CONCURRENT_LIMIT,
  MAX_PER_SECOND_LIMIT,
} from './gateway.ts';
import type { GatewayRegistry } from './registry.ts';

/** One set of credentials at one gateway, as it may be shown: secrets by their last four characters only. */
export interface GatewayAccount {
  /** `ga_` and 32 hex digits. */
  readonly gatewayAccountId: string;
  readonly merchantId: string;
  /** The contract's gateway word: STRIPE, RAZORPAY … */
  readonly gateway: string;
  readonly name: string;
  /** Null: the gateway's own address. */
  readonly baseUrl: string | null;
  readonly shownCredentials: Readonly<Record<string, string>>;
  /** While false, nothing is sent to it; its webhooks are still read. */
  readonly enabled: boolean;
  readonly maxConcurrent: number;
  readonly maxPerSecond: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly failuresInARow: number;
  /** While this lies ahead, nothing is sent to the account. */
  readonly openUntil: Date | null;
  readonly lastError: string | null;
  readonly lastErrorAt: Date | null;
}

export interface NewGatewayAccount {
  readonly merchantId: string;
  readonly gateway: string;
  /** Unique per merchant and gateway; `default` when absent. */
  readonly name?: string | undefined;
  /** The gateway's own address when absent. */
  readonly baseUrl?: string | undefined;
  readonly credentials: Readonly<Record<string, string>>;
  readonly maxConcurrent?: number | undefined;
  readonly maxPerSecond?: number | undefined;
}

/** What may change later. The base URL may not: whoever can move it could have the secrets sent anywhere. */
export interface GatewayAccountChanges {
  readonly name?: string | undefined;
  readonly enabled?: boolean | undefined;
  readonly maxConcurrent?: number | undefined;
  readonly maxPerSecond?: number | undefined;
  /** Fields to replace, or to remove (null); the others stay. */
  readonly credentials?: Readonly<Record<string, string | null>> | undefined;
}

/** Why an account was not made or changed: which field, and what would be accepted. Never holds a secret. */
export interface AccountRefusal {
  readonly code:
    | 'unknown_gateway'
    | 'unknown_credential_field'
    | 'missing_credential_field'
    | 'invalid_credential'
    | 'invalid_base_url'
    | 'invalid_name'
    | 'invalid_limit'
    | 'name_taken'
    | 'too_many_accounts'
    | 'not_found';
  readonly field: string;
  readonly message: string;
  readonly accepted?: string;
}

export type AccountResult =
  | { readonly ok: true; readonly account: GatewayAccount }
  | { readonly ok: false; readonly refusal: AccountRefusal };

export interface AccountDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly vault: Vault;
  readonly gateways: GatewayRegistry;
}

/** A merchant's accounts are listed whole and asked about at every import; more are a mistake or an attack. */
export const MAX_ACCOUNTS = 100;
/** What an account is called unless something else is said, and which of several is meant then. */
const DEFAULT_NAME = 'default';
const MAX_CREDENTIAL_LENGTH = 16_384;

/**
 * Makes an account and its health row. `allowPrivateAddresses` lets the base URL be plain http or lie on a
 * private network; without it only https on a public host is taken, or the gateway's own default.
 */
export async function createGatewayAccount(
  deps: AccountDeps,
  input: NewGatewayAccount,
  options: { readonly allowPrivateAddresses: boolean },
): Promise<AccountResult> {
  const gateway = deps.gateways.get(input.gateway);
  if (!gateway) return { ok: false, refusal: unknownGateway(input.gateway, deps.gateways) };
  const baseUrl = input.baseUrl?.replace(/\/+$/, '') ?? null;
  const name = input.name ?? DEFAULT_NAME;
  const limits = {
    maxConcurrent: input.maxConcurrent ?? gateway.capabilities.maxConcurrent,
    maxPerSecond: input.maxPerSecond ?? gateway.capabilities.maxPerSecond,
  };
  const credentials = trimmed(input.credentials);
  const refusal =
    refuseName(name) ??
    (baseUrl === null ? null : refuseBaseUrl(baseUrl, gateway, options.allowPrivateAddresses)) ??
    refuseLimits(limits) ??
    refuseCredentials(credentials, gateway);
  if (refusal) return { ok: false, refusal };

  const gatewayAccountId = `ga_${hexOf(newId())}`;
  try {
    const made = await insertAccount(deps.db, {
      gatewayAccountId,
      merchantId: input.merchantId,
      gateway: gateway.name,
      name,
      baseUrl,
      sealedCredentials: seal(deps.vault, gatewayAccountId, credentials),
      shownCredentials: mask(credentials, gateway),
      ...limits,
      now: deps.clock.now(),
    });
    if (!made) return { ok: false, refusal: tooManyAccounts };
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION) return { ok: false, refusal: nameTaken(name) };
    throw error;
  }
  return { ok: true, account: (await readGatewayAccount(deps.db, input.merchantId, gatewayAccountId))! };
}

/** Changes an account; whatever is not named stays. Another merchant's account is `not_found`. */
export async function updateGatewayAccount(
  deps: AccountDeps,
  merchantId: string,
  gatewayAccountId: string,
  changes: GatewayAccountChanges,
): Promise<AccountResult> {
  try {
    const refusal = await deps.db.transaction(async (tx): Promise<AccountRefusal | null> => {
      const held = await lockAccount(tx, merchantId, gatewayAccountId);
      const gateway = held && deps.gateways.get(held.gateway);
      if (!held || !gateway) return notFound;
      const next = {
        name: changes.name ?? held.name,
        enabled: changes.enabled ?? held.enabled,
        maxConcurrent: changes.maxConcurrent ?? held.maxConcurrent,
        maxPerSecond: changes.maxPerSecond ?? held.maxPerSecond,
      };
      const credentials = trimmed({
        ...unseal(deps.vault, gatewayAccountId, held.sealedCredentials),
        ...changes.credentials,
      });
      const refused = refuseName(next.name) ?? refuseLimits(next) ?? refuseCredentials(credentials, gateway);
      if (refused) return refused;
      await writeAccount(tx, gatewayAccountId, {
        ...next,
        sealedCredentials: seal(deps.vault, gatewayAccountId, credentials),
        shownCredentials: mask(credentials, gateway),
        now: deps.clock.now(),
      });
      return null;
    });
    if (refusal) return { ok: false, refusal };
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION) return { ok: false, refusal: nameTaken(changes.name!) };
    throw error;
  }
  opened.get(deps.db)?.delete(gatewayAccountId);
  return { ok: true, account: (await readGatewayAccount(deps.db, merchantId, gatewayAccountId))! };
}

/** The merchant's accounts, oldest first. They are few: there are no pages. */
export async function listGatewayAccounts(db: Queryable, merchantId: string): Promise<GatewayAccount[]> {
  return db.query<GatewayAccount>(`${SHOWN_ACCOUNT} where a.merchant_id = $1 order by a.created_at, 1`, [
    merchantId,
  ]);
}

export async function readGatewayAccount(
  db: Queryable,
  merchantId: string,
  gatewayAccountId: string,
): Promise<GatewayAccount | null> {
  const [account] = await db.query<GatewayAccount>(
    `${SHOWN_ACCOUNT} where a.merchant_id = $1 and a.gateway_account_id = $2`,
    [merchantId, gatewayAccountId],
  );
  return account ?? null;
}

/**
 * Which of a merchant's accounts is meant by a gateway word and, perhaps, an account's id or name. Without one
 * the gateway's only enabled account is taken, or among several the one named `default`; `several` means that the
 * caller has to say which.
 */
export function chooseGatewayAccount(
  accounts: readonly GatewayAccount[],
  gateway: string,
  asked: string | null,
): GatewayAccount | 'none' | 'several' {
  const candidates = accounts.filter(
    (account) =>
      account.gateway === gateway &&
      (asked === null ? account.enabled : account.gatewayAccountId === asked || account.name === asked),
  );
  if (candidates.length <= 1) return candidates[0] ?? 'none';
  return candidates.find((account) => asked === null && account.name === DEFAULT_NAME) ?? 'several';
}

/** An account ready for use, its credentials in clear. Never logged, never answered. */
export interface OpenGatewayAccount {
  readonly merchantId: string;
  readonly gateway: string;
  readonly access: GatewayAccountAccess;
  readonly enabled: boolean;
  readonly limits: { readonly maxConcurrent: number; readonly maxPerSecond: number };
}

/**
 * Opens an account, or null when there is none, or none that this program has a connector for. What it answers
 * may be up to five seconds old, so that a worker's sends do not each read and decrypt the same row; this
 * process's own changes show at once.
 */
export async function openGatewayAccess(
  { db, vault, gateways }: Pick<AccountDeps, 'db' | 'vault' | 'gateways'>,
  gatewayAccountId: string,
): Promise<OpenGatewayAccount | null> {
  const cache =
    opened.get(db) ?? new Map<string, { readonly account: OpenGatewayAccount; readonly atMs: number }>();
  opened.set(db, cache);
  const known = cache.get(gatewayAccountId);
  if (known && performance.now() - known.atMs < OPEN_FOR_MS) return known.account;
  cache.delete(gatewayAccountId);

  const row = await readSealedAccount(db, gatewayAccountId);
  const gateway = row && gateways.get(row.gateway);
  if (!row || !gateway) return null;
  const account: OpenGatewayAccount = {
    merchantId: row.merchantId,
    gateway: row.gateway,
    access: accessOf(vault, gateway, {
      accountId: gatewayAccountId,
      baseUrl: row.baseUrl,
      credentials: unseal(vault, gatewayAccountId, row.sealedCredentials),
      told: row.identity,
    }),
    enabled: row.enabled,
    limits: { maxConcurrent: row.maxConcurrent, maxPerSecond: row.maxPerSecond },
  };
  cache.set(gatewayAccountId, { account, atMs: performance.now() });
  return account;
}

const OPEN_FOR_MS = 5000;
const opened = new WeakMap<
  Queryable,
  Map<string, { readonly account: OpenGatewayAccount; readonly atMs: number }>
>();

// Checks ------------------------------------------------------------------------------------------------

function unknownGateway(word: string, gateways: GatewayRegistry): AccountRefusal {
  return {
    code: 'unknown_gateway',
    field: 'gateway',
    message: `There is no gateway called ${JSON.stringify(word.slice(0, 100))} here.`,
    accepted: [...gateways.keys()].join(', '),
  };
}

function refuseName(name: string): AccountRefusal | null {
  if (/^[^\p{Cc}]{1,100}$/u.test(name) && name.trim() === name) return null;
  return {
    code: 'invalid_name',
    field: 'name',
    message: "The account's name cannot be used.",
    accepted: '1 to 100 characters, no line breaks, no blanks around it',
  };
}

function refuseBaseUrl(baseUrl: string, gateway: Gateway, allowPrivate: boolean): AccountRefusal | null {
  if (baseUrl === gateway.defaultBaseUrl.replace(/\/+$/, '')) return null;
  const problem = urlProblem(baseUrl, allowPrivate) ?? baseUrlProblem(new URL(baseUrl), allowPrivate);
  if (problem === null) return null;
  return {
    code: 'invalid_base_url',
    field: 'base_url',
    message: `The base URL cannot be used: ${problem}.`,
    accepted: allowPrivate ? 'an http or https address' : 'an https address on the public internet',
  };
}

function baseUrlProblem(url: URL, allowPrivate: boolean): string | null {
  if (url.search !== '' || url.hash !== '') return 'it carries a query or a fragment';
  if (url.protocol === 'http:' && !allowPrivate) return 'over http the credentials would travel in clear';
  return null;
}

function refuseLimits(limits: { maxConcurrent: number; maxPerSecond: number }): AccountRefusal | null {
  const within = (value: number, most: number) => Number.isInteger(value) && value >= 1 && value <= most;
  const refused = (field: string, most: number): AccountRefusal => ({
    code: 'invalid_limit',
    field,
    message: `The limit ${field} is out of range.`,
    accepted: `a whole number from 1 to ${most}`,
  });
  if (!within(limits.maxConcurrent, MAX_CONCURRENT_LIMIT))
    return refused('max_concurrent', MAX_CONCURRENT_LIMIT);
  if (!within(limits.maxPerSecond, MAX_PER_SECOND_LIMIT))
    return refused('max_per_second', MAX_PER_SECOND_LIMIT);
  return null;
}

function refuseCredentials(credentials: Credentials, gateway: Gateway): AccountRefusal | null {
  const known = gateway.credentialFields.map((field) => field.name);
  const stranger = Object.keys(credentials).find((name) => !known.includes(name));
  if (stranger !== undefined) {
    return {
      code: 'unknown_credential_field',
      field: `credentials.${stranger.slice(0, 100)}`,
      message: `${gateway.label} accounts have no field of this name.`,
      accepted: known.join(', ') || 'no credentials',
    };
  }
  for (const field of gateway.credentialFields) {
    const value = credentials[field.name];
    if (value === undefined) {
      if (!field.required) continue;
      return {
        code: 'missing_credential_field',
        field: `credentials.${field.name}`,
        message: `${gateway.label} accounts need the field ${field.label}.`,
        accepted: field.help,
      };
    }
    const matches = field.pattern === undefined || new RegExp(`^(?:${field.pattern})$`).test(value);
    if (!matches || value.length > MAX_CREDENTIAL_LENGTH || value.includes('\0')) {
      return {
        code: 'invalid_credential',
        field: `credentials.${field.name}`,
        message: `What was given for ${field.label} does not look like one.`,
        accepted: field.help,
      };
    }
  }
  return null;
}

function nameTaken(name: string): AccountRefusal {
  return {
    code: 'name_taken',
    field: 'name',
    message: `This gateway already has an account called ${JSON.stringify(name)}.`,
    accepted: 'a name that no other account of the gateway has',
  };
}

const tooManyAccounts: AccountRefusal = {
  code: 'too_many_accounts',
  field: 'gateway',
  message: `The merchant has ${MAX_ACCOUNTS} gateway accounts, which is the most there can be.`,
  accepted: 'a change of an account that is there: PATCH /v1/gateway-accounts/{gateway_account_id}',
};

const notFound: AccountRefusal = {
  code: 'not_found',
  field: 'gateway_account_id',
  message: 'There is no such gateway account.',
};

// Secrets -----------------------------------------------------------------------------------------------

type Credentials = Readonly<Record<string, string>>;

/** Blanks around a pasted value are never part of it; an empty or null one is no value. */
function trimmed(credentials: Readonly<Record<string, string | null>>): Credentials {
  const entries = Object.entries(credentials).map(([name, value]) => [name, value?.trim() ?? ''] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== ''));
}

/** A short secret shows nothing: four characters of it would be a good part of it. */
function mask(credentials: Credentials, gateway: Gateway): Credentials {
  const secret = new Set(gateway.credentialFields.filter((field) => field.secret).map((field) => field.name));
  const shown = ([name, value]: [string, string]) =>
    [name, secret.has(name) ? `****${value.length < 12 ? '' : value.slice(-4)}` : value] as const;
  return Object.fromEntries(Object.entries(credentials).map(shown));
}

function seal(vault: Vault, gatewayAccountId: string, credentials: Credentials): Buffer {
  return vault.seal(JSON.stringify(credentials), `gateway account ${gatewayAccountId}`);
}

function unseal(vault: Vault, gatewayAccountId: string, sealed: Buffer): Credentials {
  return JSON.parse(vault.open(sealed, `gateway account ${gatewayAccountId}`)) as Credentials;
}

// Identity ------------------------------------------------------------------------------------------------

/** How an account is reached; `told` is whose books these are in the gateway's words, where it said so. */
function accessOf(
  vault: Vault,
  gateway: Gateway,
  account: {
    readonly accountId: string;
    readonly baseUrl: string | null;
    readonly credentials: Credentials;
    readonly told: string | null;
  },
): GatewayAccountAccess {
  const { accountId, credentials } = account;
  const ownUrl = gateway.defaultBaseUrl.replace(/\/+$/, '');
  const baseUrl = account.baseUrl ?? gateway.defaultBaseUrl;
  // The gateway's own address may have several names, and the sandbox's moves with the server; it is one place.
  const place = baseUrl.replace(/\/+$/, '') === ownUrl ? gateway.name : new URL(baseUrl).host;
  const whose = account.told ?? fingerprint(vault, gateway, place, credentials);
  return { accountId, identity: `${whose} ${place}`, baseUrl, credentials };
}

/** Stands for whose books these are where the gateway does not tell. Without the master key it says nothing. */
function fingerprint(vault: Vault, gateway: Gateway, place: string, credentials: Credentials): string {
  const signingIn = gateway.credentialFields
    .filter((field) => !field.provesWebhooksOnly)
    .map(({ name }) => [name, credentials[name] ?? null]);
  const mac = vault.mac('gateway account identity', Buffer.from(JSON.stringify([place, signingIn])));
  return `key:${mac.toString('hex').slice(0, 32)}`;
}

// Statements --------------------------------------------------------------------------------------------

const UNIQUE_VIOLATION = '23505';

const SHOWN_ACCOUNT = `
  select a.gateway_account_id as "gatewayAccountId", a.merchant_id as "merchantId", a.gateway, a.name,
    a.base_url as "baseUrl", a.shown_credentials as "shownCredentials", a.enabled,
    a.max_concurrent as "maxConcurrent", a.max_per_second as "maxPerSecond",
    a.created_at as "createdAt", a.updated_at as "updatedAt",
    h.failures_in_a_row as "failuresInARow", h.open_until as "openUntil",
    h.last_error as "lastError", h.last_error_at as "lastErrorAt"
  from gateway_accounts a
  join gateway_health h using (gateway_account_id)`;

interface SealedAccount {
  readonly merchantId: string;
  readonly gateway: string;
  readonly name: string;
  readonly baseUrl: string | null;
  readonly sealedCredentials: Buffer;
  readonly enabled: boolean;
  readonly maxConcurrent: number;
  readonly maxPerSecond: number;
  readonly identity: string | null;
  readonly identityAskedAt: Date | null;
}

const SEALED_ACCOUNT = `
  select merchant_id as "merchantId", gateway, name, base_url as "baseUrl", identity,
    identity_asked_at as "identityAskedAt",
    sealed_credentials as "sealedCredentials", enabled,
    max_concurrent as "maxConcurrent", max_per_second as "maxPerSecond"
  from gateway_accounts`;

async function readSealedAccount(
  db: Queryable,
  gatewayAccountId: string,
): Promise<SealedAccount | undefined> {
  const [row] = await db.query<SealedAccount>(`${SEALED_ACCOUNT} where gateway_account_id = $1`, [
    gatewayAccountId,
  ]);
  return row;
}

async function lockAccount(
  tx: Queryable,
  merchantId: string,
  gatewayAccountId: string,
): Promise<SealedAccount | undefined> {
  const [row] = await tx.query<SealedAccount>(
    `${SEALED_ACCOUNT} where merchant_id = $1 and gateway_account_id = $2 for update`,
    [merchantId, gatewayAccountId],
  );
  return row;
}

/** False, with nothing written, where the merchant has as many as it may have. */
async function insertAccount(
  db: Database,
  account: {
    readonly gatewayAccountId: string;
    readonly merchantId: string;
    readonly gateway: string;
    readonly name: string;
    readonly baseUrl: string | null;
    readonly sealedCredentials: Buffer;
    readonly shownCredentials: Credentials;
    readonly maxConcurrent: number;
    readonly maxPerSecond: number;
    readonly now: Date;
  },
): Promise<boolean> {
  return db.transaction(async (tx) => {
    // So that two requests at once cannot both take the last place.
    await tx.query('select merchant_id from merchants where merchant_id = $1 for no key update', [
      account.merchantId,
    ]);
    const [held] = await tx.query<{ count: number }>(
      'select count(*) from gateway_accounts where merchant_id = $1',
      [account.merchantId],
    );
    if (held!.count >= MAX_ACCOUNTS) return false;
    await tx.query(
      `with account as (
         insert into gateway_accounts (gateway_account_id, merchant_id, gateway, name, base_url,
           sealed_credentials, shown_credentials, max_concurrent, max_per_second, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
         returning gateway_account_id, max_per_second, created_at
       )
       insert into gateway_health (gateway_account_id, allowance, allowance_at)
       select gateway_account_id, max_per_second, created_at from account`,
      [
        account.gatewayAccountId,
        account.merchantId,
        account.gateway,
        account.name,
        account.baseUrl,
        account.sealedCredentials,
        account.shownCredentials,
        account.maxConcurrent,
        account.maxPerSecond,
        account.now,
      ],
    );
    return true;
  });
}

async function writeAccount(
  tx: Queryable,
  gatewayAccountId: string,
  account: {
    readonly name: string;
    readonly enabled: boolean;
    readonly maxConcurrent: number;
    readonly maxPerSecond: number;
    readonly sealedCredentials: Buffer;
    readonly shownCredentials: Credentials;
    readonly now: Date;
  },
): Promise<void> {
  await tx.query(
    `update gateway_accounts
     set name = $2, enabled = $3, max_concurrent = $4, max_per_second = $5,
       sealed_credentials = $6, shown_credentials = $7, updated_at = $8
     where gateway_account_id = $1`,
    [
      gatewayAccountId,
      account.name,
      account.enabled,
      account.maxConcurrent,
      account.maxPerSecond,
      account.sealedCredentials,
      account.shownCredentials,
      account.now,
    ],
  );
}

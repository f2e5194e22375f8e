import type { Clock } from '../lib/clock.ts';
import { type Database, type Queryable, sqlState } from '../lib/db.ts';
import { urlProblem } from '../lib/http.ts';
import { hexOf, newId } from '../lib/ids.ts';
import type { Vault } from '../lib/vault.ts';
import {
  type Gateway,
  type GatewayAccountAccess,
  type GatewayHttp,
  type IdentityAnswer,
  MAX_CONCURRENT_LIMIT,
  MAX_PER_SECOND_LIMIT,
} from './gateway.ts';
import { type AccountKey, endRest } from './health.ts';
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
  /** Refunds in a row that were refused for one reason. */
  readonly refusalsInARow: number;
  readonly webhooksRejectedAt: Date | null;
  readonly webhooksRejectedWhy: string | null;
  /** Whose books its credentials open, in the gateway's words; null where it has not told. */
  readonly identity: string | null;
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
    | 'another_identity'
    | 'identity_not_told'
    | 'same_identity'
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
  /** The way to the gateway, to ask whose books the credentials open; where it is absent nobody asks. */
  readonly gatewayHttp?: GatewayHttp;
}

/** A merchant's accounts are listed whole and asked about at every import; more are a mistake or an attack. */
export const MAX_ACCOUNTS = 100;
/** What an account is called unless something else is said, and which of several is meant then. */
const DEFAULT_NAME = 'default';
const MAX_CREDENTIAL_LENGTH = 16_384;

/** Where the base URL of an account may lie beside the gateway's own address. */
export interface BaseUrlRules {
  /** Plain http, private networks and this machine. */
  readonly allowPrivateAddresses: boolean;
  /** Hosts of others for gateways that move real money. */
  readonly allowOtherHosts?: boolean;
}

/**
 * Makes an account and its health row. The gateway is asked whose books the credentials open; where no answer comes the
 * account is made all the same, and the gateway asked again later.
 */
export async function createGatewayAccount(
  deps: AccountDeps,
  input: NewGatewayAccount,
  rules: BaseUrlRules,
): Promise<AccountResult> {
  const gateway = deps.gateways.get(input.gateway);
  if (!gateway) return { ok: false, refusal: unknownGateway(input.gateway, deps.gateways) };
  const ownUrl = gateway.defaultBaseUrl.replace(/\/+$/, '');
  const askedUrl = input.baseUrl?.replace(/\/+$/, '') ?? ownUrl;
  const baseUrl = askedUrl === ownUrl ? null : askedUrl;
  const name = input.name ?? DEFAULT_NAME;
  const limits = {
    maxConcurrent: input.maxConcurrent ?? gateway.capabilities.maxConcurrent,
    maxPerSecond: input.maxPerSecond ?? gateway.capabilities.maxPerSecond,
  };
  const credentials = trimmed(input.credentials);
  const refusal =
    refuseName(name) ??
    (baseUrl === null ? null : refuseBaseUrl(baseUrl, gateway, rules)) ??
    refuseLimits(limits) ??
    refuseCredentials(credentials, gateway);
  if (refusal) return { ok: false, refusal };

  const gatewayAccountId = `ga_${hexOf(newId())}`;
  const access = accessOf(deps.vault, gateway, {
    accountId: gatewayAccountId,
    baseUrl,
    credentials,
    told: null,
  });
  const asked = await askIdentity(deps, gateway, access);
  const identity = asked?.kind === 'told' ? asked.identity : null;
  try {
    const refused = await insertAccount(deps.db, gateway, {
      gatewayAccountId,
      merchantId: input.merchantId,
      gateway: gateway.name,
      name,
      baseUrl,
      sealedCredentials: seal(deps.vault, gatewayAccountId, credentials),
      shownCredentials: mask(credentials, gateway),
      ...limits,
      identity,
      identityAskedAt: asked && deps.clock.now(),
      now: deps.clock.now(),
    });
    if (refused) return { ok: false, refusal: refused };
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION) return { ok: false, refusal: nameTaken(name) };
    throw error;
  }
  return { ok: true, account: (await readGatewayAccount(deps.db, input.merchantId, gatewayAccountId))! };
}

/**
 * Changes an account; whatever is not named stays. Another merchant's account is `not_found`. Credentials that open other
 * books are another account: they are refused where a refund of this one has gone out.
 */
export async function updateGatewayAccount(
  deps: AccountDeps,
  merchantId: string,
  gatewayAccountId: string,
  changes: GatewayAccountChanges,
): Promise<AccountResult> {
  let result: AccountRefusal | 'changed' | 'changed meanwhile' = 'changed meanwhile';
  try {
    // The gateway is asked between two looks at the account, and no lock is held for so long.
    for (let tries = 0; result === 'changed meanwhile' && tries < MAX_UPDATE_TRIES; tries++) {
      const held = await readSealedAccount(deps.db, gatewayAccountId);
      const gateway = held?.merchantId === merchantId ? deps.gateways.get(held.gateway) : undefined;
      if (!held || !gateway) return { ok: false, refusal: notFound };
      const next = withChanges(deps.vault, gatewayAccountId, held, changes);
      const refused =
        refuseName(next.name) ?? refuseLimits(next) ?? refuseCredentials(next.credentials, gateway);
      if (refused) return { ok: false, refusal: refused };
      const whose = await identifyChange(deps, gateway, gatewayAccountId, held, next.credentials);
      result = await deps.db.transaction(async (tx) => {
        const still = await lockAccount(tx, merchantId, gatewayAccountId);
        if (!still?.sealedCredentials.equals(held.sealedCredentials)) return 'changed meanwhile';
        const { credentials, ...fresh } = withChanges(deps.vault, gatewayAccountId, still, changes);
        const refusal = whose && (await refuseIdentity(tx, gateway, { gatewayAccountId, ...still }, whose));
        if (refusal) return refusal;
        await writeAccount(
          tx,
          { merchantId, gatewayAccountId },
          {
            ...fresh,
            identity: whose ? whose.identity : still.identity,
            identityAskedAt: whose ? deps.clock.now() : still.identityAskedAt,
            // Sealed anew it would be other bytes, and a change of the credentials at the same time would have to begin again.
            sealedCredentials: changes.credentials
              ? seal(deps.vault, gatewayAccountId, credentials)
              : still.sealedCredentials,
            shownCredentials: mask(credentials, gateway),
            now: deps.clock.now(),
          },
        );
        // What made it rest may have been put right by this.
        if (whose || (fresh.enabled && !still.enabled)) await endRest(tx, { merchantId, gatewayAccountId });
        return 'changed';
      });
    }
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION) return { ok: false, refusal: nameTaken(changes.name!) };
    throw error;
  }
  if (result === 'changed meanwhile') throw new Error(`account ${gatewayAccountId} does not stop changing`);
  if (result !== 'changed') return { ok: false, refusal: result };
  opened.get(deps.db)?.delete(gatewayAccountId);
  return { ok: true, account: (await readGatewayAccount(deps.db, merchantId, gatewayAccountId))! };
}

const MAX_UPDATE_TRIES = 10;

function withChanges(
  vault: Vault,
  gatewayAccountId: string,
  held: SealedAccount,
  changes: GatewayAccountChanges,
) {
  return {
    name: changes.name ?? held.name,
    enabled: changes.enabled ?? held.enabled,
    maxConcurrent: changes.maxConcurrent ?? held.maxConcurrent,
    maxPerSecond: changes.maxPerSecond ?? held.maxPerSecond,
    credentials: trimmed({
      ...unseal(vault, gatewayAccountId, held.sealedCredentials),
      ...changes.credentials,
    }),
  };
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

/** One paid payment that was told for the account, to ask its gateway about; null while there is none. */
export async function readSomePayment(
  db: Queryable,
  merchantId: string,
  gatewayAccountId: string,
): Promise<{ readonly gatewayPaymentId: string; readonly currency: string } | null> {
  // The index holds them by id, and gateways' ids mostly grow.
  const [payment] = await db.query<{ gatewayPaymentId: string; currency: string }>(
    `select t.gateway_payment_id as "gatewayPaymentId", o.currency
     from transactions t join orders o using (merchant_id, order_id)
     where t.gateway_account_id = $1 and t.merchant_id = $2 and t.status = 'CHARGED'
     order by t.gateway_payment_id desc limit 1`,
    [gatewayAccountId, merchantId],
  );
  return payment ?? null;
}

/** An account ready for use, its credentials in clear. Never logged, never answered. */
export interface OpenGatewayAccount {
  readonly merchantId: string;
  readonly gateway: string;
  readonly access: GatewayAccountAccess;
  readonly enabled: boolean;
  readonly limits: { readonly maxConcurrent: number; readonly maxPerSecond: number };
  readonly identityAskedAt: Date | null;
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
    identityAskedAt: row.identityAskedAt,
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

function refuseBaseUrl(baseUrl: string, gateway: Gateway, rules: BaseUrlRules): AccountRefusal | null {
  const { allowPrivateAddresses: allowPrivate } = rules;
  const problem = urlProblem(baseUrl, allowPrivate) ?? baseUrlProblem(new URL(baseUrl), allowPrivate);
  const refused = (why: string, accepted: string): AccountRefusal => ({
    code: 'invalid_base_url',
    field: 'base_url',
    message: `The base URL cannot be used: ${why}.`,
    accepted,
  });
  if (problem !== null) {
    return refused(
      problem,
      allowPrivate ? 'an http or https address' : 'an https address on the public internet',
    );
  }
  const url = new URL(baseUrl);
  // Who may add an account could have the gateway's credentials and "success" for refunds come from a place of their own.
  const isOwn = [new URL(gateway.defaultBaseUrl).host, ...(gateway.otherHosts ?? [])].includes(url.host);
  const isPrivate = urlProblem(baseUrl, false) !== null || !url.hostname.includes('.');
  if (!gateway.movesRealMoney || isOwn || isPrivate || rules.allowOtherHosts) return null;
  return refused(
    `${url.host} is no address of ${gateway.label}, which moves real money`,
    `no base_url, for ${gateway.label}'s own address. The operator can allow others: ALLOW_OTHER_GATEWAY_HOSTS=on`,
  );
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

/** The gateway's answer to whose books these are; null where nobody can ask. */
async function askIdentity(
  deps: AccountDeps,
  gateway: Gateway,
  access: GatewayAccountAccess,
): Promise<IdentityAnswer | null> {
  const { gatewayHttp } = deps;
  if (!gatewayHttp) return null;
  return gateway.identify(access, (request) => gatewayHttp({ ...request, timeoutMs: ASK_WITHIN_MS }));
}

/** Somebody waits for the answer. */
const ASK_WITHIN_MS = 5_000;
/** A gateway that did not tell is not asked at each send. */
const ASK_AGAIN_AFTER_MS = 3_600_000;

/** Whose books changed credentials open, beside whose the account's were. */
interface IdentityChange {
  readonly before: string | null;
  readonly identity: string | null;
  /** Why the gateway did not say, where it was asked and could have. */
  readonly unanswered: string | null;
}

/** Null where the change leaves alone what signs in. */
async function identifyChange(
  deps: AccountDeps,
  gateway: Gateway,
  gatewayAccountId: string,
  held: SealedAccount,
  credentials: Credentials,
): Promise<IdentityChange | null> {
  const accessWith = (by: Credentials) =>
    accessOf(deps.vault, gateway, {
      accountId: gatewayAccountId,
      baseUrl: held.baseUrl,
      credentials: by,
      told: null,
    });
  const access = accessWith(credentials);
  if (access.identity === accessWith(unseal(deps.vault, gatewayAccountId, held.sealedCredentials)).identity) {
    return null;
  }
  const answer = await askIdentity(deps, gateway, access);
  return {
    before: held.identity,
    identity: answer?.kind === 'told' ? answer.identity : null,
    unanswered:
      answer === null || answer.kind === 'told' || answer.kind === 'not_told' ? null : whyNotTold(answer),
  };
}

function whyNotTold(answer: Exclude<IdentityAnswer, { kind: 'told' | 'not_told' }>): string {
  if (answer.kind === 'misconfigured') return `it refuses them: ${answer.errorMessage}`;
  return answer.kind === 'busy' ? 'it is too busy just now' : answer.why;
}

/** The way on where credentials are another account's. */
const NEW_ACCOUNT =
  'credentials of the same account. For another one add an account with POST /v1/gateway-accounts, and name it in ' +
  'gateway_account when you tell the payments that lie there';

async function refuseIdentity(
  tx: Queryable,
  gateway: Gateway,
  account: SealedAccount & { readonly gatewayAccountId: string },
  { before, identity, unanswered }: IdentityChange,
): Promise<AccountRefusal | null> {
  if (identity !== null) {
    const taken = await readAccountOf(tx, identity, account);
    if (taken) return sameIdentity(gateway, identity, taken);
  }
  const mayChange = before === null || identity === before;
  if (mayChange || !(await hasSent(tx, account.merchantId, account.gatewayAccountId))) return null;
  if (unanswered !== null) {
    return {
      code: 'identity_not_told',
      field: 'credentials',
      message:
        `${gateway.label} did not say whose account these credentials open: ${unanswered}. ` +
        `Refunds of this account have gone out from ${before}, and must not be asked for elsewhere.`,
      accepted: `the same change once ${gateway.label} answers and takes the credentials`,
    };
  }
  if (identity === null) return null;
  return {
    code: 'another_identity',
    field: 'credentials',
    message:
      `These credentials open ${identity}, and this account is ${before}: refunds have gone out from there, ` +
      'and their payments lie there.',
    accepted: NEW_ACCOUNT,
  };
}

function sameIdentity(gateway: Gateway, identity: string, name: string): AccountRefusal {
  return {
    code: 'same_identity',
    field: 'credentials',
    message:
      `These credentials open ${identity} at ${gateway.label}, which is here already as the account ` +
      `${JSON.stringify(name)}. In two accounts one payment could be told, and refunded, twice.`,
    accepted: `credentials of another account at ${gateway.label}, or a change of the account that is here`,
  };
}

/** What came of asking again whose books an account's credentials open. */
export type LearntIdentity =
  | { readonly kind: 'same' | 'learnt'; readonly identity: string }
  /** The gateway tells of another account than before. */
  | { readonly kind: 'another'; readonly identity: string; readonly before: string }
  /** Another account of the merchant opens the same books. */
  | { readonly kind: 'twice'; readonly identity: string; readonly name: string }
  | { readonly kind: 'not_told'; readonly why: string };

/** Asks the gateway whose books the account's credentials open, and writes down what was not known. */
export async function learnIdentity(deps: AccountDeps, gatewayAccountId: string): Promise<LearntIdentity> {
  const row = await readSealedAccount(deps.db, gatewayAccountId);
  const gateway = row && deps.gateways.get(row.gateway);
  if (!row || !gateway) return { kind: 'not_told', why: 'there is no such account' };
  const access = accessOf(deps.vault, gateway, {
    accountId: gatewayAccountId,
    baseUrl: row.baseUrl,
    credentials: unseal(deps.vault, gatewayAccountId, row.sealedCredentials),
    told: row.identity,
  });
  const answer = await askIdentity(deps, gateway, access);
  const told = answer?.kind === 'told' ? answer.identity : null;
  await noteIdentity(deps.db, { ...row, gatewayAccountId }, told, deps.clock.now());
  if (told !== null && row.identity === null) opened.get(deps.db)?.delete(gatewayAccountId);
  if (answer === null) return { kind: 'not_told', why: 'nobody can ask it' };
  if (answer.kind === 'not_told') return { kind: 'not_told', why: answer.why };
  if (answer.kind !== 'told') return { kind: 'not_told', why: whyNotTold(answer) };
  const { identity } = answer;
  if (row.identity !== null && row.identity !== identity) {
    return { kind: 'another', identity, before: row.identity };
  }
  const name = await readAccountOf(deps.db, identity, { gatewayAccountId, ...row });
  if (name !== null) return { kind: 'twice', identity, name };
  return { kind: row.identity === null ? 'learnt' : 'same', identity };
}

/**
 * Opens an account for sending: one whose gateway was never reached is asked first whose books these are, since what is
 * sent under a fingerprint cannot be proved absent once the gateway has told.
 */
export async function openForWork(
  deps: AccountDeps,
  gatewayAccountId: string,
): Promise<OpenGatewayAccount | null> {
  const account = await openGatewayAccess(deps, gatewayAccountId);
  if (!account?.enabled || !account.access.identity.startsWith(FINGERPRINT)) return account;
  const { identityAskedAt: askedAt } = account;
  const sinceMs = askedAt
    ? Math.abs(deps.clock.now().getTime() - askedAt.getTime())
    : Number.POSITIVE_INFINITY;
  if (sinceMs < ASK_AGAIN_AFTER_MS) return account;
  const asking = learning.get(deps.db) ?? new Map<string, Promise<LearntIdentity>>();
  learning.set(deps.db, asking);
  const learnt =
    asking.get(gatewayAccountId) ??
    learnIdentity(deps, gatewayAccountId).finally(() => asking.delete(gatewayAccountId));
  asking.set(gatewayAccountId, learnt);
  await learnt;
  opened.get(deps.db)?.delete(gatewayAccountId);
  return openGatewayAccess(deps, gatewayAccountId);
}

const learning = new WeakMap<Queryable, Map<string, Promise<LearntIdentity>>>();
const FINGERPRINT = 'key:';

/** Stands for whose books these are where the gateway does not tell. Without the master key it says nothing. */
function fingerprint(vault: Vault, gateway: Gateway, place: string, credentials: Credentials): string {
  const signingIn = gateway.credentialFields
    .filter(({ name, provesWebhooksOnly }) => !provesWebhooksOnly && credentials[name] !== undefined)
    .map(({ name }) => [name, credentials[name]]);
  const mac = vault.mac('gateway account identity', Buffer.from(JSON.stringify([place, signingIn])));
  return `${FINGERPRINT}${mac.toString('hex').slice(0, 32)}`;
}

// Statements --------------------------------------------------------------------------------------------

const UNIQUE_VIOLATION = '23505';

const SHOWN_ACCOUNT = `
  select a.gateway_account_id as "gatewayAccountId", a.merchant_id as "merchantId", a.gateway, a.name,
    a.base_url as "baseUrl", a.shown_credentials as "shownCredentials", a.enabled,
    a.max_concurrent as "maxConcurrent", a.max_per_second as "maxPerSecond",
    a.created_at as "createdAt", a.updated_at as "updatedAt",
    h.failures_in_a_row as "failuresInARow", h.open_until as "openUntil",
    h.last_error as "lastError", h.last_error_at as "lastErrorAt",
    h.refusals_in_a_row as "refusalsInARow", h.webhooks_rejected_at as "webhooksRejectedAt",
    h.webhooks_rejected_why as "webhooksRejectedWhy", a.identity
  from gateway_accounts a
  join gateway_health h using (merchant_id, gateway_account_id)`;

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

/** The name of another account of the merchant that opens these books; null where there is none. */
async function readAccountOf(
  db: Queryable,
  identity: string,
  at: {
    readonly gatewayAccountId: string;
    readonly merchantId: string;
    readonly gateway: string;
    readonly baseUrl: string | null;
  },
): Promise<string | null> {
  const [row] = await db.query<{ name: string }>(
    `select name from gateway_accounts
     where merchant_id = $1 and gateway = $2 and base_url is not distinct from $3 and identity = $4
       and gateway_account_id <> $5
     order by created_at limit 1`,
    [at.merchantId, at.gateway, at.baseUrl, identity, at.gatewayAccountId],
  );
  return row?.name ?? null;
}

/** Whether a refund of the account was made at the gateway, or may have been. */
async function hasSent(db: Queryable, merchantId: string, gatewayAccountId: string): Promise<boolean> {
  const [row] = await db.query<{ sent: boolean }>(
    `select exists (
       select from refunds where merchant_id = $1 and gateway_account_id = $2
         and (gateway_refund_id is not null or key_used_at is not null)) as sent`,
    [merchantId, gatewayAccountId],
  );
  return row!.sent;
}

/** Writes down what the gateway told of these credentials, where it was not known. */
async function noteIdentity(
  db: Queryable,
  account: AccountKey & { readonly sealedCredentials: Buffer },
  identity: string | null,
  now: Date,
): Promise<void> {
  await db.query(
    `update gateway_accounts set identity = coalesce(identity, $3), identity_asked_at = $4
     where merchant_id = $5 and gateway_account_id = $1 and sealed_credentials = $2`,
    [account.gatewayAccountId, account.sealedCredentials, identity, now, account.merchantId],
  );
}

/** Why it was not written: the merchant has as many as it may have, or has this one. */
async function insertAccount(
  db: Database,
  gateway: Gateway,
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
    readonly identity: string | null;
    readonly identityAskedAt: Date | null;
    readonly now: Date;
  },
): Promise<AccountRefusal | null> {
  return db.transaction(async (tx) => {
    // So that two requests at once cannot both take the last place.
    await tx.query('select merchant_id from merchants where merchant_id = $1 for no key update', [
      account.merchantId,
    ]);
    const [held] = await tx.query<{ count: number }>(
      'select count(*) from gateway_accounts where merchant_id = $1',
      [account.merchantId],
    );
    if (held!.count >= MAX_ACCOUNTS) return tooManyAccounts;
    const { identity } = account;
    const taken = identity === null ? null : await readAccountOf(tx, identity, account);
    if (identity !== null && taken !== null) return sameIdentity(gateway, identity, taken);
    await tx.query(
      `with account as (
         insert into gateway_accounts (gateway_account_id, merchant_id, gateway, name, base_url,
           sealed_credentials, shown_credentials, max_concurrent, max_per_second, created_at, updated_at,
           identity, identity_asked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)
         returning merchant_id, gateway_account_id, max_per_second, created_at
       )
       insert into gateway_health (merchant_id, gateway_account_id, allowance, allowance_at)
       select merchant_id, gateway_account_id, max_per_second, created_at from account`,
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
        account.identity,
        account.identityAskedAt,
      ],
    );
    return null;
  });
}

async function writeAccount(
  tx: Queryable,
  { merchantId, gatewayAccountId }: AccountKey,
  account: {
    readonly name: string;
    readonly enabled: boolean;
    readonly maxConcurrent: number;
    readonly maxPerSecond: number;
    readonly sealedCredentials: Buffer;
    readonly shownCredentials: Credentials;
    readonly identity: string | null;
    readonly identityAskedAt: Date | null;
    readonly now: Date;
  },
): Promise<void> {
  await tx.query(
    `update gateway_accounts
     set name = $2, enabled = $3, max_concurrent = $4, max_per_second = $5,
       sealed_credentials = $6, shown_credentials = $7, updated_at = $8, identity = $9, identity_asked_at = $10
     where merchant_id = $11 and gateway_account_id = $1`,
    [
      gatewayAccountId,
      account.name,
      account.enabled,
      account.maxConcurrent,
      account.maxPerSecond,
      account.sealedCredentials,
      account.shownCredentials,
      account.now,
      account.identity,
      account.identityAskedAt,
      merchantId,
    ],
  );
}

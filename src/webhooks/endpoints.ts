import type { Clock } from '../lib/clock.ts';
import { plusMs } from '../lib/clock.ts';
import type { Database, Queryable } from '../lib/db.ts';
import { newId } from '../lib/ids.ts';
import type { Vault } from '../lib/vault.ts';
import { WEBHOOK_EVENT_NAMES, type WebhookEventName } from './events.ts';
import { MASK, type TryOutcome } from './outcomes.ts';
import { type WebhookCredentials, type WebhookTarget, webhookUrlProblem } from './send.ts';
import { newSigningSecret } from './sign.ts';
import { giveUpLane } from './store.ts';

/** An address where a merchant wants to be told, as it may be shown: no password, header value or secret. */
export interface WebhookEndpoint {
  readonly endpointId: string;
  readonly merchantId: string;
  readonly url: string;
  /** Null: DEFAULT_WEBHOOK_EVENTS. */
  readonly events: readonly WebhookEventName[] | null;
  readonly username: string | null;
  readonly hasPassword: boolean;
  readonly headerNames: readonly string[];
  readonly secretLastFour: string;
  /** Until then, messages are signed with the secret before the present one as well. */
  readonly previousSecretUntil: Date | null;
  readonly enabled: boolean;
  /** Why it is switched off, while it is. */
  readonly disabledReason: string | null;
  /** The first failure since the last acknowledgement. */
  readonly failingSince: Date | null;
  readonly failuresInARow: number;
  readonly lastSuccessAt: Date | null;
  readonly lastFailureAt: Date | null;
  readonly lastFailure: TryOutcome | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface NewEndpoint {
  readonly url: string;
  readonly username?: string | null | undefined;
  readonly password?: string | null | undefined;
  readonly headers?: Readonly<Record<string, string>> | null | undefined;
  readonly events?: readonly string[] | null | undefined;
}

/** What is absent stays. Of `headers`, a null value takes that header away, and null all of them. */
export interface EndpointChanges {
  readonly url?: string | undefined;
  readonly username?: string | null | undefined;
  readonly password?: string | null | undefined;
  readonly headers?: Readonly<Record<string, string | null>> | null | undefined;
  readonly events?: readonly string[] | null | undefined;
  readonly enabled?: boolean | undefined;
  /** For whoever finds it switched off; counts only where it is, or becomes, so. */
  readonly disabledReason?: string | undefined;
}

/** Why an endpoint was not made or changed, and what would be accepted. Never holds a secret. */
export interface EndpointRefusal {
  readonly code:
    | 'invalid_url'
    | 'invalid_username'
    | 'invalid_password'
    | 'invalid_header'
    | 'unknown_event'
    | 'too_many_endpoints'
    | 'secrets_needed_again'
    | 'not_found';
  readonly message: string;
  readonly field: string;
  readonly accepted?: string;
}

export type EndpointResult<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly refusal: EndpointRefusal };

export interface EndpointDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly vault: Vault;
  /** Whether addresses outside the public internet, and plain http, may be used. */
  readonly allowPrivate: boolean;
}

export const MAX_ENDPOINTS = 20;
export const MAX_HEADERS = 20;

/** Makes an endpoint; this is the only time its signing secret is given out, unless it is replaced. */
export async function createEndpoint(
  deps: EndpointDeps,
  merchantId: string,
  input: NewEndpoint,
): Promise<EndpointResult<{ endpoint: WebhookEndpoint; signingSecret: string }>> {
  const credentials = {
    username: input.username ?? null,
    password: input.password ?? null,
    headers: input.headers ?? {},
  };
  const refusal =
    refuseUrl(input.url, deps.allowPrivate) ?? refuseCredentials(credentials) ?? refuseEvents(input.events);
  if (refusal) return { ok: false, refusal };
  const endpointId = newId();
  const signingSecret = newSigningSecret();
  const now = deps.clock.now();
  return deps.db.transaction(async (tx) => {
    await lockMerchant(tx, merchantId);
    if ((await countEndpoints(tx, merchantId)) >= MAX_ENDPOINTS) return { ok: false, refusal: tooMany };
    const row = await insertEndpoint(tx, {
      endpointId,
      merchantId,
      url: input.url,
      events: chosenEvents(input.events),
      sealedCredentials: sealCredentials(deps.vault, endpointId, credentials),
      sealedSecret: sealSecret(deps.vault, endpointId, signingSecret),
      now,
    });
    return { ok: true, value: { endpoint: endpointOf(deps.vault, row), signingSecret } };
  });
}

/** The merchant's endpoints, oldest first. */
export async function listEndpoints(
  deps: Pick<EndpointDeps, 'db' | 'vault'>,
  merchantId: string,
): Promise<WebhookEndpoint[]> {
  const rows = await deps.db.query<EndpointRow>(
    'select * from webhook_endpoints where merchant_id = $1 order by created_at, endpoint_id',
    [merchantId],
  );
  return rows.map((row) => endpointOf(deps.vault, row));
}

/** Null where the merchant has no such endpoint (invariant 8). */
export async function readEndpoint(
  deps: Pick<EndpointDeps, 'db' | 'vault'>,
  merchantId: string,
  endpointId: string,
): Promise<WebhookEndpoint | null> {
  const row = await readRow(deps.db, merchantId, endpointId);
  return row && endpointOf(deps.vault, row);
}

/** Changes an endpoint. Switched off, what waits for it is given up; on again, it starts with a clean record. */
export async function updateEndpoint(
  deps: EndpointDeps,
  merchantId: string,
  endpointId: string,
  changes: EndpointChanges,
): Promise<EndpointResult<WebhookEndpoint>> {
  const result = await changeEndpoint(deps, merchantId, endpointId, changes);
  // Whatever is spread in this moment is given up when its turn comes.
  if (result.ok && !result.value.enabled) {
    await giveUpLane(deps.db, endpointId, 'endpoint_disabled', deps.clock.now());
  }
  return result;
}

function changeEndpoint(
  deps: EndpointDeps,
  merchantId: string,
  endpointId: string,
  changes: EndpointChanges,
): Promise<EndpointResult<WebhookEndpoint>> {
  return deps.db.transaction(async (tx) => {
    const row = await lockRow(tx, merchantId, endpointId);
    if (!row) return { ok: false, refusal: notFound };
    const held = openCredentials(deps.vault, row);
    const credentials = changedCredentials(held, changes);
    const url = changes.url ?? row.url;
    const refusal =
      (changes.url === undefined ? null : refuseUrl(url, deps.allowPrivate)) ??
      refuseMovedSecrets(row.url, url, held, changes) ??
      refuseCredentials(credentials) ??
      refuseEvents(changes.events);
    if (refusal) return { ok: false, refusal };
    const updated = await writeEndpoint(
      tx,
      { merchantId, endpointId },
      {
        url,
        events: changes.events === undefined ? row.events : chosenEvents(changes.events),
        sealedCredentials: sealCredentials(deps.vault, endpointId, credentials),
        enabled: changes.enabled ?? row.enabled,
        disabledReason: changes.disabledReason ?? null,
        now: deps.clock.now(),
      },
    );
    return { ok: true, value: endpointOf(deps.vault, updated) };
  });
}

/** Removes an endpoint and gives up what waits for it; false where the merchant has no such one. */
export async function deleteEndpoint(
  deps: Pick<EndpointDeps, 'db' | 'clock'>,
  merchantId: string,
  endpointId: string,
): Promise<boolean> {
  if (!(await removeRow(deps.db, merchantId, endpointId))) return false;
  await giveUpLane(deps.db, endpointId, 'endpoint_removed', deps.clock.now());
  return true;
}

/**
 * Replaces the signing secret. For `graceMs` messages carry a signature of each of the two; 0 ends the old one now.
 * Replaced again within that time, the one before the last is dropped. Null where there is no such endpoint.
 */
export async function rotateSecret(
  deps: Pick<EndpointDeps, 'db' | 'clock' | 'vault'>,
  merchantId: string,
  endpointId: string,
  graceMs: number,
): Promise<{ endpoint: WebhookEndpoint; signingSecret: string } | null> {
  const signingSecret = newSigningSecret();
  const now = deps.clock.now();
  const row = await replaceSecret(deps.db, {
    merchantId,
    endpointId,
    // PostgreSQL reads an id in capitals as well, and gives it back in small letters: the seal is opened with those.
    sealedSecret: sealSecret(deps.vault, endpointId.toLowerCase(), signingSecret),
    previousUntil: graceMs > 0 ? plusMs(now, graceMs) : null,
    now,
  });
  return row && { endpoint: endpointOf(deps.vault, row), signingSecret };
}

// For the worker ----------------------------------------------------------------------------------------

/** Which endpoints of these merchants want which events; for spreading notifications. */
export async function readSubscriptions(
  db: Queryable,
  merchantIds: readonly string[],
): Promise<
  {
    endpointId: string;
    merchantId: string;
    url: string;
    events: readonly string[] | null;
    enabled: boolean;
    createdAt: Date;
  }[]
> {
  return db.query(
    `select endpoint_id as "endpointId", merchant_id as "merchantId", url, events, enabled, created_at as "createdAt"
     from webhook_endpoints where merchant_id = any($1) order by created_at, endpoint_id`,
    [merchantIds],
  );
}

export interface OpenEndpoint {
  readonly enabled: boolean;
  readonly target: WebhookTarget;
}

/** Whose endpoint it is, and which. */
export interface EndpointKey {
  readonly merchantId: string;
  readonly endpointId: string;
}

/** The endpoints with their credentials in clear, and the secrets that are valid now, by id. */
export async function openEndpoints(
  deps: Pick<EndpointDeps, 'db' | 'clock' | 'vault'>,
  endpoints: readonly EndpointKey[],
): Promise<Map<string, OpenEndpoint>> {
  const rows = await deps.db.query<EndpointRow>(
    `select * from webhook_endpoints
     where (merchant_id, endpoint_id) in (select distinct * from unnest($1::text[], $2::uuid[]))`,
    keysOf(endpoints),
  );
  return new Map(rows.map((row) => [row.endpoint_id, openEndpoint(deps, row)]));
}

/** The endpoints of each of these merchants that are switched on, the oldest first. */
export async function openEndpointsOf(
  deps: Pick<EndpointDeps, 'db' | 'clock' | 'vault'>,
  merchantIds: readonly string[],
): Promise<Map<string, OpenEndpoint[]>> {
  const rows = await deps.db.query<EndpointRow>(
    `select * from webhook_endpoints where merchant_id = any($1) and enabled
     order by merchant_id, created_at, endpoint_id`,
    [merchantIds],
  );
  const open = rows.map((row) => ({ merchantId: row.merchant_id, endpoint: openEndpoint(deps, row) }));
  return new Map(
    [...Map.groupBy(open, ({ merchantId }) => merchantId)].map(([merchantId, group]) => [
      merchantId,
      group.map(({ endpoint }) => endpoint),
    ]),
  );
}

/** Whether both lie at one scheme, host and port; what is no URL lies nowhere. */
export function sameOrigin(one: string, other: string): boolean {
  const origin = URL.parse(one)?.origin;
  return origin !== undefined && origin === URL.parse(other)?.origin;
}

const keysOf = (endpoints: readonly EndpointKey[]) => [
  endpoints.map(({ merchantId }) => merchantId),
  endpoints.map(({ endpointId }) => endpointId),
];

export interface EndpointNews extends EndpointKey {
  readonly acknowledged: boolean;
  /** Failures since the last acknowledgement among the tries that this tells of. */
  readonly failures: number;
  readonly lastFailure: string | null;
  readonly at: Date;
}

/** Keeps each endpoint's record, at most one entry for each; a good one that stays good is written once a minute. */
export async function noteHealth(db: Queryable, news: readonly EndpointNews[]): Promise<void> {
  await db.query(
    `update webhook_endpoints e set
       last_success_at = case when n.acknowledged then n.at else e.last_success_at end,
       failing_since = case when n.failures = 0 then null
                            when n.acknowledged then n.at else coalesce(e.failing_since, n.at) end,
       failures_in_a_row = case when n.acknowledged then 0 else e.failures_in_a_row end + n.failures,
       last_failure_at = case when n."lastFailure" is null then e.last_failure_at else n.at end,
       last_failure = coalesce(n."lastFailure", e.last_failure)
     from jsonb_to_recordset($1) as n("merchantId" text, "endpointId" uuid, acknowledged boolean, failures integer,
                                      "lastFailure" text, at timestamptz)
     where e.merchant_id = n."merchantId" and e.endpoint_id = n."endpointId"
       and (n."lastFailure" is not null or e.failing_since is not null
            or coalesce(e.last_success_at < n.at - interval '1 minute', true))`,
    [JSON.stringify(news)],
  );
}

/** Switches off those of the endpoints that have failed for too long, and says which. */
export async function retireEndpoints(
  db: Queryable,
  input: {
    readonly endpoints: readonly EndpointKey[];
    readonly failingSince: Date;
    readonly failures: number;
    readonly now: Date;
  },
): Promise<{ endpointId: string; merchantId: string; reason: string }[]> {
  const [merchantIds, endpointIds] = keysOf(input.endpoints);
  return db.query(
    `update webhook_endpoints set enabled = false, updated_at = $4,
       disabled_reason = format('It acknowledged nothing since %s in %s tries; the last one ended with %s.',
         to_char(failing_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), failures_in_a_row, last_failure)
     where (merchant_id, endpoint_id) in (select * from unnest($1::text[], $5::uuid[]))
       and enabled and failing_since <= $2 and failures_in_a_row >= $3
     returning endpoint_id as "endpointId", merchant_id as "merchantId", disabled_reason as reason`,
    [merchantIds, input.failingSince, input.failures, input.now, endpointIds],
  );
}

// Checks ------------------------------------------------------------------------------------------------

function refuseUrl(url: string, allowPrivate: boolean): EndpointRefusal | null {
  const problem = webhookUrlProblem(url, allowPrivate);
  if (problem === null) return null;
  return {
    code: 'invalid_url',
    field: 'url',
    message: `Webhooks cannot be sent there: ${problem}.`,
    accepted: allowPrivate ? 'an http or https URL' : 'an https URL on the public internet',
  };
}

// Whoever may change a URL must not be able to have secrets sent to a host of theirs.
function refuseMovedSecrets(
  from: string,
  to: string,
  held: WebhookCredentials,
  changes: EndpointChanges,
): EndpointRefusal | null {
  if (sameOrigin(from, to)) return null;
  const refused = (field: string): EndpointRefusal => ({
    code: 'secrets_needed_again',
    field,
    message: `With another host in url, ${field} has to be given again.`,
    accepted: 'the value for the new host, or null for none',
  });
  if (held.password !== null && changes.password === undefined) return refused('password');
  const kept = Object.keys(held.headers).some(
    (name) => changes.headers !== null && changes.headers?.[name] === undefined,
  );
  return kept ? refused('headers') : null;
}

function changedCredentials(held: WebhookCredentials, changes: EndpointChanges): WebhookCredentials {
  const username = changes.username === undefined ? held.username : changes.username;
  const password = changes.password === undefined ? held.password : changes.password;
  const headers =
    changes.headers === null
      ? {}
      : Object.fromEntries(
          Object.entries({ ...held.headers, ...changes.headers }).filter(
            (entry): entry is [string, string] => entry[1] !== null,
          ),
        );
  // A password without a user name means nothing: it goes with it.
  return {
    username,
    password: username === null && changes.password === undefined ? null : password,
    headers,
  };
}

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/;
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?$/;
// What the connection, the client or we ourselves say.
const OUR_HEADERS =
  /^(host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|content-.*|accept-encoding|user-agent|webhook-.*)$/i;

function refuseCredentials({ username, password, headers }: WebhookCredentials): EndpointRefusal | null {
  if (username !== null && !/^[^\p{Cc}:]{1,255}$/u.test(username)) {
    return {
      code: 'invalid_username',
      field: 'username',
      message: 'This user name cannot be used.',
      accepted: '1 to 255 characters without a colon or control characters',
    };
  }
  if (
    password !== null &&
    (username === null || password === MASK || !/^[^\p{Cc}]{1,255}$/u.test(password))
  ) {
    return {
      code: 'invalid_password',
      field: 'password',
      message: username === null ? 'There is a password but no user name.' : 'This password cannot be used.',
      accepted: '1 to 255 characters without control characters, beside a user name',
    };
  }
  const names = Object.keys(headers);
  const refused = (name: string, message: string, accepted: string): EndpointRefusal => ({
    code: 'invalid_header',
    field: `headers.${name.slice(0, 64)}`,
    message,
    accepted,
  });
  if (names.length > MAX_HEADERS) {
    return refused(names[MAX_HEADERS]!, 'There are too many headers.', `at most ${MAX_HEADERS} headers`);
  }
  for (const name of names) {
    if (!HEADER_NAME.test(name)) {
      return refused(
        name,
        'This is not the name of a header.',
        "1 to 64 letters, digits and !#$%&'*+-.^_`|~",
      );
    }
    if (OUR_HEADERS.test(name) || (username !== null && name.toLowerCase() === 'authorization')) {
      return refused(name, `The header ${name} is set by the sender.`, 'another name');
    }
    if (names.some((other) => other !== name && other.toLowerCase() === name.toLowerCase())) {
      return refused(name, `The header ${name} is given twice.`, 'each name once');
    }
    if (headers[name] === MASK || !HEADER_VALUE.test(headers[name]!)) {
      return refused(
        name,
        `The value of ${name} cannot be sent.`,
        '1 to 1024 visible ASCII characters and blanks',
      );
    }
  }
  return null;
}

function refuseEvents(events: readonly string[] | null | undefined): EndpointRefusal | null {
  const accepted = WEBHOOK_EVENT_NAMES.join(', ');
  if (events?.length === 0) {
    return {
      code: 'unknown_event',
      field: 'events',
      message: 'At least one event has to be chosen.',
      accepted,
    };
  }
  const stranger = events?.find((name) => !(WEBHOOK_EVENT_NAMES as readonly string[]).includes(name));
  if (stranger === undefined) return null;
  const shown = JSON.stringify(stranger.slice(0, 100));
  return { code: 'unknown_event', field: 'events', message: `There is no event called ${shown}.`, accepted };
}

function chosenEvents(events: readonly string[] | null | undefined): WebhookEventName[] | null {
  return events ? WEBHOOK_EVENT_NAMES.filter((name) => events.includes(name)) : null;
}

const tooMany: EndpointRefusal = {
  code: 'too_many_endpoints',
  field: 'url',
  message: `There are already ${MAX_ENDPOINTS} endpoints.`,
  accepted: `at most ${MAX_ENDPOINTS} endpoints for a merchant`,
};

const notFound: EndpointRefusal = {
  code: 'not_found',
  field: 'endpoint_id',
  message: 'There is no such webhook endpoint.',
};

// Secrets -----------------------------------------------------------------------------------------------

function sealCredentials(vault: Vault, endpointId: string, credentials: WebhookCredentials): Buffer {
  return vault.seal(JSON.stringify(credentials), `webhook endpoint ${endpointId} credentials`);
}

function openCredentials(vault: Vault, row: EndpointRow): WebhookCredentials {
  return JSON.parse(vault.open(row.sealed_credentials, `webhook endpoint ${row.endpoint_id} credentials`));
}

function sealSecret(vault: Vault, endpointId: string, secret: string): Buffer {
  return vault.seal(secret, `webhook endpoint ${endpointId} secret`);
}

function openSecret(vault: Vault, row: EndpointRow, sealed: Buffer): string {
  return vault.open(sealed, `webhook endpoint ${row.endpoint_id} secret`);
}

function openEndpoint(
  { vault, clock }: Pick<EndpointDeps, 'clock' | 'vault'>,
  row: EndpointRow,
): OpenEndpoint {
  const secrets = [row.sealed_secret];
  if (row.sealed_previous_secret && row.previous_secret_until! > clock.now())
    secrets.push(row.sealed_previous_secret);
  return {
    enabled: row.enabled,
    target: {
      url: row.url,
      credentials: openCredentials(vault, row),
      secrets: secrets.map((sealed) => openSecret(vault, row, sealed)),
    },
  };
}

// Statements --------------------------------------------------------------------------------------------

interface EndpointRow {
  readonly endpoint_id: string;
  readonly merchant_id: string;
  readonly url: string;
  readonly events: WebhookEventName[] | null;
  readonly sealed_credentials: Buffer;
  readonly sealed_secret: Buffer;
  readonly sealed_previous_secret: Buffer | null;
  readonly previous_secret_until: Date | null;
  readonly enabled: boolean;
  readonly disabled_reason: string | null;
  readonly failing_since: Date | null;
  readonly failures_in_a_row: number;
  readonly last_success_at: Date | null;
  readonly last_failure_at: Date | null;
  readonly last_failure: TryOutcome | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

function endpointOf(vault: Vault, row: EndpointRow): WebhookEndpoint {
  const credentials = openCredentials(vault, row);
  return {
    endpointId: row.endpoint_id,
    merchantId: row.merchant_id,
    url: row.url,
    events: row.events,
    username: credentials.username,
    hasPassword: credentials.password !== null,
    headerNames: Object.keys(credentials.headers),
    secretLastFour: openSecret(vault, row, row.sealed_secret).slice(-4),
    previousSecretUntil: row.previous_secret_until,
    enabled: row.enabled,
    disabledReason: row.disabled_reason,
    failingSince: row.failing_since,
    failuresInARow: row.failures_in_a_row,
    lastSuccessAt: row.last_success_at,
    lastFailureAt: row.last_failure_at,
    lastFailure: row.last_failure,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** So that two requests at once cannot both take the last place. */
async function lockMerchant(tx: Queryable, merchantId: string): Promise<void> {
  await tx.query('select merchant_id from merchants where merchant_id = $1 for no key update', [merchantId]);
}

async function countEndpoints(tx: Queryable, merchantId: string): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'select count(*) from webhook_endpoints where merchant_id = $1',
    [merchantId],
  );
  return row!.count;
}

async function insertEndpoint(
  tx: Queryable,
  input: {
    readonly endpointId: string;
    readonly merchantId: string;
    readonly url: string;
    readonly events: readonly string[] | null;
    readonly sealedCredentials: Buffer;
    readonly sealedSecret: Buffer;
    readonly now: Date;
  },
): Promise<EndpointRow> {
  const [row] = await tx.query<EndpointRow>(
    `insert into webhook_endpoints (endpoint_id, merchant_id, url, events, sealed_credentials, sealed_secret,
       created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, $7) returning *`,
    [
      input.endpointId,
      input.merchantId,
      input.url,
      input.events,
      input.sealedCredentials,
      input.sealedSecret,
      input.now,
    ],
  );
  return row!;
}

async function readRow(db: Queryable, merchantId: string, endpointId: string): Promise<EndpointRow | null> {
  const [row] = await db.query<EndpointRow>(
    'select * from webhook_endpoints where merchant_id = $1 and endpoint_id = $2',
    [merchantId, endpointId],
  );
  return row ?? null;
}

async function lockRow(tx: Queryable, merchantId: string, endpointId: string): Promise<EndpointRow | null> {
  const [row] = await tx.query<EndpointRow>(
    'select * from webhook_endpoints where merchant_id = $1 and endpoint_id = $2 for update',
    [merchantId, endpointId],
  );
  return row ?? null;
}

async function removeRow(db: Queryable, merchantId: string, endpointId: string): Promise<boolean> {
  const rows = await db.query(
    'delete from webhook_endpoints where merchant_id = $1 and endpoint_id = $2 returning endpoint_id',
    [merchantId, endpointId],
  );
  return rows.length === 1;
}

async function writeEndpoint(
  tx: Queryable,
  { merchantId, endpointId }: EndpointKey,
  input: {
    readonly url: string;
    readonly events: readonly string[] | null;
    readonly sealedCredentials: Buffer;
    readonly enabled: boolean;
    readonly disabledReason: string | null;
    readonly now: Date;
  },
): Promise<EndpointRow> {
  const [row] = await tx.query<EndpointRow>(
    `update webhook_endpoints set url = $2, events = $3, sealed_credentials = $4, enabled = $5, updated_at = $6,
       disabled_reason = case when $5 then null else coalesce($7, disabled_reason, 'It was switched off.') end,
       failing_since = case when $5 and not enabled then null else failing_since end,
       failures_in_a_row = case when $5 and not enabled then 0 else failures_in_a_row end
     where merchant_id = $8 and endpoint_id = $1 returning *`,
    [
      endpointId,
      input.url,
      input.events,
      input.sealedCredentials,
      input.enabled,
      input.now,
      input.disabledReason,
      merchantId,
    ],
  );
  return row!;
}

async function replaceSecret(
  db: Queryable,
  input: {
    readonly merchantId: string;
    readonly endpointId: string;
    readonly sealedSecret: Buffer;
    readonly previousUntil: Date | null;
    readonly now: Date;
  },
): Promise<EndpointRow | null> {
  const [row] = await db.query<EndpointRow>(
    `update webhook_endpoints set sealed_secret = $3, updated_at = $5, previous_secret_until = $4,
       sealed_previous_secret = case when $4::timestamptz is null then null else sealed_secret end
     where merchant_id = $1 and endpoint_id = $2 returning *`,
    [input.merchantId, input.endpointId, input.sealedSecret, input.previousUntil, input.now],
  );
  return row ?? null;
}

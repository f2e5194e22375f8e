import { type MerchantSettings, readMerchant } from '../access/merchants.ts';
import { type Deed, isSecondPerson } from '../access/second-person.ts';
import { plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';
import { formatAmount, parseAmount } from '../lib/money.ts';
import {
  type Actor,
  type BatchRecord,
  type Confirmation,
  type Finding,
  sumOf,
  verdictsToSend,
} from './batch.ts';
import type { BatchDeps } from './deps.ts';
import { type BatchChanges, lockBatch, readFile, recordEvent, releaseFiles } from './store.ts';
import { NOTHING_CHECKED } from './upload.ts';
import type { BatchStatus } from './words.ts';

type Key = Pick<BatchRecord, 'merchantId' | 'batchId'>;

export type Decided =
  | { readonly ok: true; readonly batch: BatchRecord }
  | { readonly ok: false; readonly refusal: 'not_found' }
  | { readonly ok: false; readonly refusal: 'wrong_status'; readonly batch: BatchRecord }
  /** No row can be sent. */
  | { readonly ok: false; readonly refusal: 'nothing_to_send' }
  /** Some rows look like earlier refunds, and nobody has said whether they are meant. */
  | { readonly ok: false; readonly refusal: 'look_alikes_undecided'; readonly rows: number }
  /** What is confirmed or approved is not what it comes to. */
  | { readonly ok: false; readonly refusal: 'other_totals'; readonly expected: Expected }
  /** What was looked at is another file. */
  | { readonly ok: false; readonly refusal: 'other_file' }
  /** Whoever uploaded or confirmed a batch, or counts as the one who did, is not its second person; nor is an API key. */
  | { readonly ok: false; readonly refusal: 'same_person' };

export interface Expected {
  readonly totals: Readonly<Record<string, string>>;
  readonly rows: number;
}

/** What somebody says that a batch comes to: totals by currency, or of status updates, the number of rows. */
export interface Said {
  readonly totals?: Readonly<Record<string, string>> | undefined;
  readonly rows?: number | undefined;
}

/** Where a batch may still be stopped as a whole or in part. */
const CANCELLABLE: readonly BatchStatus[] = [
  'uploading',
  'checking',
  'checked',
  'awaiting_approval',
  'waiting',
  'running',
  'paused',
];

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** What the rows of a round come to that would be sent. */
export function expectedOf(findings: readonly Finding[], lookAlikes: 'send' | 'leave' | null): Expected {
  const { rows, byCurrency } = sumOf(findings, verdictsToSend(lookAlikes));
  const totals = [...byCurrency].map(([currency, sum]) => [currency, formatAmount(sum.minor, sum.exponent)]);
  return { rows, totals: Object.fromEntries(totals) };
}

/**
 * Somebody's yes to what the check has found: from here on it goes to a second person, waits, or starts, as the
 * merchant's settings have it.
 */
export function confirmBatch(
  deps: BatchDeps,
  key: Key,
  said: Said & { readonly lookAlikes: 'send' | 'leave' | null },
  by: Actor,
): Promise<Decided> {
  return decide(deps, key, ['checked'], async (tx, batch, now) => {
    const undecided = sumOf(batch.findings, ['look_alike']).rows;
    if (undecided > 0 && said.lookAlikes === null) {
      return { ok: false, refusal: 'look_alikes_undecided', rows: undecided };
    }
    const lookAlikes = undecided > 0 ? said.lookAlikes : null;
    const expected = expectedOf(batch.findings, lookAlikes);
    if (expected.rows === 0) return { ok: false, refusal: 'nothing_to_send' };
    if (!isSame(batch, said, expected)) return { ok: false, refusal: 'other_totals', expected };
    const settings = await settingsOf(tx, batch.merchantId);
    const confirmation: Confirmation = {
      ...expected,
      look_alikes: lookAlikes,
      by,
      at: now.toISOString(),
      approved_by: null,
      approved_at: null,
    };
    const expiresAt = plusMs(now, settings.batch_approval_hours * HOUR_MS);
    const next = settings.batch_approval
      ? { status: 'awaiting_approval', approval_expires_at: expiresAt, next_step_at: expiresAt }
      : started(settings, now);
    const event = { at: now, kind: 'confirmed', by, facts: { ...expected, look_alikes: lookAlikes } };
    return recordEvent(tx, batch, event, { ...next, confirmation, rows_confirmed: expected.rows });
  });
}

/** A second person's yes, bound to the very file and totals that they looked at. */
export function approveBatch(
  deps: BatchDeps,
  key: Key,
  said: Said & { readonly fileSha256: string },
  by: Actor,
): Promise<Decided> {
  return decide(deps, key, ['awaiting_approval'], async (tx, batch, now) => {
    const confirmation = batch.confirmation!;
    if (batch.approvalExpiresAt! <= now) return { ok: false, refusal: 'wrong_status', batch };
    const deed: Deed = { kind: by.kind, id: by.id, at: now };
    if (by.kind !== 'user' || !(await isSecondPerson(tx, batch.merchantId, deed, await handsIn(tx, batch)))) {
      return { ok: false, refusal: 'same_person' };
    }
    const { sha256 } = await readFile(tx, batch, batch.fileNo);
    if (said.fileSha256 !== sha256) return { ok: false, refusal: 'other_file' };
    if (!isSame(batch, said, confirmation)) {
      return { ok: false, refusal: 'other_totals', expected: confirmation };
    }
    const approved = { ...confirmation, approved_by: by, approved_at: now.toISOString() };
    const facts = { totals: confirmation.totals, rows: confirmation.rows, file_sha256: sha256 };
    return recordEvent(
      tx,
      batch,
      { at: now, kind: 'approved', by, facts },
      {
        ...started(await settingsOf(tx, batch.merchantId), now),
        confirmation: approved,
        approval_expires_at: null,
      },
    );
  });
}

/** A second person's no, or the first one's second thought: it may be corrected, confirmed anew or cancelled. */
export function rejectBatch(deps: BatchDeps, key: Key, reason: string | null, by: Actor): Promise<Decided> {
  return decide(deps, key, ['awaiting_approval'], (tx, batch, now) =>
    recordEvent(tx, batch, { at: now, kind: 'rejected', by, facts: { reason } }, UNCONFIRMED),
  );
}

/** Nothing more of it goes out until it is resumed. What was sent is followed as always. */
export function pauseBatch(deps: BatchDeps, key: Key, by: Actor): Promise<Decided> {
  return decide(deps, key, ['running'], async (tx, batch, now) => {
    if (batch.sentAt !== null) return { ok: false, refusal: 'wrong_status', batch };
    return recordEvent(
      tx,
      batch,
      { at: now, kind: 'paused', by, facts: {} },
      { status: 'paused', next_step_at: null, pace_at: null, pace_per_second: null },
    );
  });
}

export function resumeBatch(deps: BatchDeps, key: Key, by: Actor): Promise<Decided> {
  return decide(deps, key, ['paused'], (tx, batch, now) =>
    recordEvent(
      tx,
      batch,
      { at: now, kind: 'resumed', by, facts: {} },
      { status: 'running', next_step_at: now },
    ),
  );
}

/** Nothing more of it goes out, for good. Its file may be uploaded again where none of its rows has. */
export function cancelBatch(deps: BatchDeps, key: Key, reason: string | null, by: Actor): Promise<Decided> {
  return decide(deps, key, CANCELLABLE, async (tx, batch, now) => {
    if (batch.sentAt !== null) return { ok: false, refusal: 'wrong_status', batch };
    const begun = batch.rowsTried > 0 || batch.rowsMade > 0;
    if (!begun) await releaseFiles(tx, batch);
    const facts = { reason, rows_tried: batch.rowsTried, rows_confirmed: batch.rowsConfirmed };
    const changes = {
      status: 'cancelled',
      problem: null,
      next_step_at: begun ? now : null,
      approval_expires_at: null,
    };
    return recordEvent(tx, batch, { at: now, kind: 'cancelled', by, facts }, changes);
  });
}

/** The facts may have changed since: checks all its rows once more. */
export function checkAgain(deps: BatchDeps, key: Key, by: Actor): Promise<Decided> {
  return decide(deps, key, ['checked'], (tx, batch, now) =>
    recordEvent(
      tx,
      batch,
      { at: now, kind: 'check_asked', by, facts: {} },
      { status: 'checking', ...NOTHING_CHECKED, next_step_at: now },
    ),
  );
}

/**
 * Pauses every batch of books that were restored from a backup: rows that were sent since would be sent again, where nobody
 * can ask the gateway for them. Returns how many were paused.
 */
export async function pauseRestored(tx: Queryable, now: Date): Promise<number> {
  const keys = await tx.query<Key>(
    `select merchant_id as "merchantId", batch_id as "batchId" from batches
     where status in ('running', 'waiting') and sent_at is null`,
  );
  for (const key of keys) {
    const batch = await lockBatch(tx, key);
    await pauseBySystem(tx, batch!, 'The books were restored from a backup.', now);
  }
  return keys.length;
}

/** Pauses a locked batch in nobody's name; the trail says why. */
export async function pauseBySystem(
  tx: Queryable,
  batch: BatchRecord,
  reason: string,
  now: Date,
): Promise<void> {
  const changes = {
    status: 'paused',
    next_step_at: null,
    starts_at: null,
    pace_at: null,
    pace_per_second: null,
  };
  await recordEvent(tx, batch, { at: now, kind: 'paused', by: null, facts: { reason } }, changes);
}

/** An approval that nobody gave in time: the batch has to be confirmed anew. */
export async function expireApproval(tx: Queryable, batch: BatchRecord, now: Date): Promise<void> {
  await recordEvent(tx, batch, { at: now, kind: 'approval_expired', by: null, facts: {} }, UNCONFIRMED);
}

const UNCONFIRMED: BatchChanges = {
  status: 'checked',
  confirmation: null,
  rows_confirmed: 0,
  approval_expires_at: null,
  next_step_at: null,
};

function started(settings: MerchantSettings, now: Date): BatchChanges {
  if (settings.batch_wait_minutes === 0) return { status: 'running', next_step_at: now };
  const startsAt = plusMs(now, settings.batch_wait_minutes * MINUTE_MS);
  return { status: 'waiting', starts_at: startsAt, next_step_at: startsAt };
}

async function decide(
  deps: BatchDeps,
  key: Key,
  from: readonly BatchStatus[],
  decision: (
    tx: Queryable,
    batch: BatchRecord,
    now: Date,
  ) => Promise<BatchRecord | Extract<Decided, { ok: false }>>,
): Promise<Decided> {
  const { db, clock } = deps.engine;
  const outcome = await db.transaction(async (tx): Promise<Decided> => {
    const batch = await lockBatch(tx, key);
    if (!batch) return { ok: false, refusal: 'not_found' };
    if (!from.includes(batch.status)) return { ok: false, refusal: 'wrong_status', batch };
    const decided = await decision(tx, batch, clock.now());
    return 'ok' in decided ? decided : { ok: true, batch: decided };
  });
  if (outcome.ok) deps.wake();
  return outcome;
}

async function settingsOf(tx: Queryable, merchantId: string): Promise<MerchantSettings> {
  const merchant = await readMerchant(tx, merchantId);
  if (!merchant) throw new Error(`merchant ${merchantId} is gone`);
  return merchant.settings;
}

/** Compared as amounts, so that "100" and "100.00" are the same. */
function isSame(batch: BatchRecord, said: Said, expected: Expected): boolean {
  if (batch.kind === 'status_updates') return said.rows === expected.rows;
  if (said.rows !== undefined && said.rows !== expected.rows) return false;
  const totals = said.totals ?? {};
  const exponents = new Map(batch.findings.map(({ currency, exponent }) => [currency, exponent]));
  const currencies = new Set([...Object.keys(totals), ...Object.keys(expected.totals)]);
  return [...currencies].every((currency) => {
    const exponent = exponents.get(currency);
    const [one, other] = [totals[currency], expected.totals[currency]];
    if (exponent === undefined || exponent === null || one === undefined || other === undefined) return false;
    const given = parseAmount(one, exponent);
    const right = parseAmount(other, exponent);
    return given.ok && right.ok && given.amountMinor === right.amountMinor;
  });
}

/** Beginning, uploading, correcting and confirming it: what a second person may have had no hand in. */
async function handsIn(tx: Queryable, batch: BatchRecord): Promise<Deed[]> {
  return tx.query<Deed>(
    `select distinct by ->> 'kind' as kind, by ->> 'id' as id, at from batch_events
     where merchant_id = $1 and batch_id = $2 and by is not null
       and kind in ('begun', 'uploaded', 'corrected', 'confirmed')`,
    [batch.merchantId, batch.batchId],
  );
}

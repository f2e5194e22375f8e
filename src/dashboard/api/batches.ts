import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type {
  Batch,
  BatchApproval,
  BatchConfirmation,
  BatchEvent,
  BatchKind,
  BatchPage,
  BatchReading,
  BatchRowPage,
} from '../../api/contract/batches.ts';
import type { ErrorBody } from '../../api/contract/errors.ts';
import { ask, csvAddress, Problem, type Query, refusalOf } from './client.ts';

const MOVING_MS = 1_000;
const STANDING_MS = 5_000;
const OVER_MS = 30_000;

/** A page of batches, newest first. */
export function batchesQuery(filters: Query) {
  return queryOptions({
    queryKey: ['batches', filters],
    queryFn: ({ signal }) => ask<BatchPage>('GET', '/v1/batches', { query: filters, signal }),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.batches.some(isMoving) ? 2 * MOVING_MS : STANDING_MS),
  });
}

/** A batch, asked for each second while something of it moves. */
export function batchQuery(batchId: string) {
  return queryOptions({
    queryKey: ['batch', batchId],
    queryFn: ({ signal }) => ask<Batch>('GET', path(batchId), { signal }),
    refetchInterval: ({ state }) => {
      if (!state.data || isMoving(state.data)) return MOVING_MS;
      return isOver(state.data) ? OVER_MS : STANDING_MS;
    },
  });
}

/** A page of its rows, in the order of the file; asked for again while they change. */
export function batchRowsQuery(batch: Batch, filters: Query) {
  return queryOptions({
    queryKey: ['batch', batch.batch_id, 'rows', filters, batch.round, ...timesOf(batch)],
    queryFn: ({ signal }) =>
      ask<BatchRowPage>('GET', path(batch.batch_id, 'rows'), { query: filters, signal }),
    placeholderData: keepPreviousData,
    refetchInterval: isMoving(batch) ? 2 * MOVING_MS : OVER_MS,
  });
}

/** What was done to it and by whom, oldest first. */
export function batchEventsQuery(batch: Batch) {
  return queryOptions({
    // Each of these moves with an event; the batch itself changes by the second while it runs.
    queryKey: ['batch', batch.batch_id, 'events', batch.status, batch.round, ...timesOf(batch)],
    queryFn: async ({ signal }) =>
      (await ask<{ events: BatchEvent[] }>('GET', path(batch.batch_id, 'events'), { signal })).events,
    placeholderData: keepPreviousData,
  });
}

/** Batches that wait for a second person. */
export const approvalsQuery = queryOptions({
  queryKey: ['batches', 'approvals'],
  queryFn: async ({ signal }) =>
    (
      await ask<BatchPage>('GET', '/v1/batches', {
        query: { status: 'awaiting_approval', limit: 100 },
        signal,
      })
    ).batches,
  refetchInterval: 2 * STANDING_MS,
});

function timesOf(batch: Batch): readonly (string | null)[] {
  return [batch.checked_at, batch.started_at, batch.sent_at, batch.finished_at];
}

/** Whether it changes by itself. */
export function isMoving(batch: Batch): boolean {
  if (batch.status === 'uploading') return batch.problem === null;
  if (batch.status === 'paused' || batch.status === 'cancelled') return batch.refunds.by_status.PENDING > 0;
  return ['checking', 'waiting', 'running'].includes(batch.status);
}

/** Whether nothing is left to do with it. */
export function isOver(batch: Batch): boolean {
  return batch.status === 'finished' || batch.status === 'cancelled';
}

export interface NewBatch {
  readonly kind: BatchKind;
  readonly name: string;
  readonly file_name: string;
  readonly bytes: number;
  readonly amounts?: 'major' | 'minor';
}

/** Makes a batch whose file is sent after, in parts. */
export function createBatch(batch: NewBatch): Promise<Batch> {
  return ask('POST', '/v1/batches', { query: { ...batch } });
}

export function readBatch(batchId: string): Promise<Batch> {
  return ask('GET', path(batchId));
}

/** Reads the file that is here again, differently. */
export function readAgain(batchId: string, reading: BatchReading): Promise<Batch> {
  return ask('PATCH', path(batchId), { body: reading });
}

export function checkAgain(batchId: string): Promise<Batch> {
  return ask('POST', path(batchId, 'check'));
}

export function confirmBatch(batchId: string, body: BatchConfirmation): Promise<Batch> {
  return ask('POST', path(batchId, 'confirm'), { body });
}

export function approveBatch(batchId: string, body: BatchApproval): Promise<Batch> {
  return ask('POST', path(batchId, 'approve'), { body });
}

/** Sends it back to who confirmed it. */
export function rejectBatch(batchId: string, reason: string): Promise<Batch> {
  return ask('POST', path(batchId, 'reject'), { body: because(reason) });
}

export function pauseBatch(batchId: string): Promise<Batch> {
  return ask('POST', path(batchId, 'pause'));
}

export function resumeBatch(batchId: string): Promise<Batch> {
  return ask('POST', path(batchId, 'resume'));
}

/** Nothing of it that has not gone out goes out. */
export function cancelBatch(batchId: string, reason: string): Promise<Batch> {
  return ask('POST', path(batchId, 'cancel'), { body: because(reason) });
}

/** Files that the browser itself fetches. */
export const sampleHref = (kind: BatchKind) => csvAddress('/v1/batches/sample.csv', { kind });
export const resultsHref = (batchId: string) => csvAddress(path(batchId, 'results.csv'));
export const failedHref = (batchId: string) => csvAddress(path(batchId, 'failed.csv'));
export const fileHref = (batchId: string) => path(batchId, 'file');

/** Told how many bytes have left, as far as the browser knows. */
type Progress = (bytes: number) => void;

/** Sends a part of a batch's file from an offset on. With the last one, which may be empty, the file is taken. */
export function sendPart(
  batchId: string,
  offset: number,
  part: ArrayBuffer,
  onProgress: Progress,
): Promise<Batch> {
  const headers = { 'content-type': 'application/octet-stream', 'upload-offset': String(offset) };
  return send('PATCH', path(batchId, 'file'), part, headers, onProgress);
}

/** Puts corrected rows in the place of those that they name. */
export function sendCorrected(batchId: string, file: File, onProgress: Progress): Promise<Batch> {
  // A form carries the file's name as well.
  const form = new FormData();
  form.set('file', file);
  return send('PUT', path(batchId, 'rows'), form, {}, onProgress);
}

/** After so long without a byte gone, or without an answer to all of them, the connection counts as lost. */
const STALLED_MS = 30_000;
const UNANSWERED_MS = 300_000;

/** As `ask`, for what takes long enough that its progress is shown. */
function send(
  method: string,
  to: string,
  body: ArrayBuffer | FormData,
  headers: Readonly<Record<string, string>>,
  onProgress: Progress,
): Promise<Batch> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let lost: ReturnType<typeof setTimeout> | undefined;
    const lostAfter = (ms: number) => {
      clearTimeout(lost);
      lost = setTimeout(() => request.abort(), ms);
    };
    request.open(method, to);
    request.responseType = 'json';
    request.setRequestHeader('x-refundry', 'dashboard');
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      lostAfter(STALLED_MS);
      onProgress(event.loaded);
    };
    // From here on the server works, and may take its time.
    request.upload.onload = () => lostAfter(UNANSWERED_MS);
    request.onloadend = () => {
      clearTimeout(lost);
      if (request.status >= 200 && request.status < 300) return resolve(request.response as Batch);
      reject(refusalOf(request.status, request.response, request.getResponseHeader('x-request-id')));
    };
    lostAfter(body instanceof ArrayBuffer && body.byteLength === 0 ? UNANSWERED_MS : STALLED_MS);
    request.send(body);
  });
}

/** What reading a file of the person's own disk fails with. */
export function unreadableFile(name: string): Problem {
  const error: ErrorBody = {
    code: 'file_unreadable',
    message: `Your browser can no longer read ${name}: it was moved or changed since you chose it. Choose it again.`,
  };
  return new Problem(400, error, null);
}

function because(reason: string): { reason?: string } {
  return reason.trim() === '' ? {} : { reason: reason.trim() };
}

function path(batchId: string, of?: string): string {
  return `/v1/batches/${encodeURIComponent(batchId)}${of ? `/${of}` : ''}`;
}

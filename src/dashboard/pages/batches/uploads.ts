import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import type { Batch } from '../../../api/contract/batches.ts';
import { batchQuery, readBatch, sendPart, unreadableFile } from '../../api/batches.ts';
import { Problem } from '../../api/client.ts';

/** How far a file has come that this tab sends. */
export interface Upload {
  readonly file: File;
  readonly sent: number;
  /**
   * `sending`; `broken`: the connection was lost, and it tries again by itself; `stopped`: it has tried for a while and
   * waits for the person; `refused`: the server or the disk does not let it go on; `done`.
   */
  readonly state: 'sending' | 'broken' | 'stopped' | 'refused' | 'done';
  /** Why it does not go on. */
  readonly problem: Problem | null;
  readonly bytesPerSecond: number | null;
}

const PART_BYTES = 8_000_000;
/** After a lost connection; when they are used up, a person is asked. */
const TRY_AGAIN_AFTER_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];
const RATE_OVER_MS = 10_000;

const uploads = new Map<string, Upload>();
const listeners = new Set<() => void>();

/** The upload of a batch in this tab, if there is one: it goes on whatever page is looked at. */
export function useUpload(batchId: string): Upload | undefined {
  return useSyncExternalStore(subscribe, () => uploads.get(batchId));
}

/**
 * Sends a batch's file from where the server stands, part by part. What it has is asked for after every loss, so that
 * nothing is sent twice or left out.
 */
export async function upload(client: QueryClient, batch: Batch, file: File): Promise<void> {
  const batchId = batch.batch_id;
  const before = uploads.get(batchId);
  if (before?.state === 'sending' || before?.state === 'broken') return;
  let now = batch;
  let offset = batch.file.received_bytes;
  let losses = 0;
  const rate = rateOf(offset);
  const tell = (change: Partial<Upload>) => {
    const last = uploads.get(batchId);
    uploads.set(batchId, { ...(last ?? nothingSent(file, offset)), file, ...change });
    for (const listener of listeners) listener();
  };
  const take = (answer: Batch) => {
    now = answer;
    offset = now.file.received_bytes;
    client.setQueryData(batchQuery(batchId).queryKey, now);
  };

  tell({ state: 'sending', sent: offset, problem: null, bytesPerSecond: null });
  while (isAwaited(now)) {
    try {
      const from = offset;
      const part = await bytesOf(file, from);
      take(
        await sendPart(batchId, from, part, (bytes) => {
          const sent = Math.min(from + bytes, file.size);
          tell({ state: 'sending', sent, bytesPerSecond: rate(sent) });
        }),
      );
      losses = 0;
      tell({ state: 'sending', sent: offset, problem: null });
    } catch (error) {
      const problem = error instanceof Problem ? error : unreadableFile(file.name);
      if (!mayPass(problem)) return tell({ state: 'refused', problem, sent: offset });
      const waitMs = TRY_AGAIN_AFTER_MS[losses];
      losses += 1;
      if (waitMs === undefined)
        return tell({ state: 'stopped', problem, sent: offset, bytesPerSecond: null });
      tell({ state: 'broken', problem, sent: offset, bytesPerSecond: null });
      await pause(waitMs);
      const answer = await readBatch(batchId).catch(() => null);
      if (answer) take(answer);
    }
  }
  tell({ state: 'done', sent: file.size, problem: null });
}

/** Until the server has taken the file, or says why it does not; when all its bytes are there, with one more question. */
function isAwaited({ status, problem }: Batch): boolean {
  return status === 'uploading' && problem === null;
}

/** Whether the file is the one that the batch began with, as far as its name and its size tell; else why not. */
export function otherFile(batch: Batch, file: File): string | null {
  if (file.name !== batch.file.name)
    return `This is ${file.name}; the upload that was cut off was of ${batch.file.name}.`;
  if (batch.file.bytes !== null && file.size !== batch.file.bytes)
    return `This file has ${file.size.toLocaleString()} bytes; the one whose upload was cut off had ${batch.file.bytes.toLocaleString()}.`;
  return null;
}

function nothingSent(file: File, sent: number): Upload {
  return { file, sent, state: 'sending', problem: null, bytesPerSecond: null };
}

async function bytesOf(file: File, from: number): Promise<ArrayBuffer> {
  try {
    return await file.slice(from, from + PART_BYTES).arrayBuffer();
  } catch {
    throw unreadableFile(file.name);
  }
}

/** No answer, overload, or another tab that sends the same file: the server's own count says how to go on. */
function mayPass(problem: Problem): boolean {
  return [0, 429].includes(problem.status) || problem.status >= 500 || problem.code === 'wrong_offset';
}

/** A little while, or until the network is there again. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(wait);
      window.removeEventListener('online', over);
      resolve();
    };
    const wait = setTimeout(over, ms);
    window.addEventListener('online', over);
  });
}

/** Bytes per second over the last while, once there is a second to judge by. */
function rateOf(start: number): (sent: number) => number | null {
  const samples = [{ atMs: performance.now(), sent: start }];
  return (sent) => {
    const atMs = performance.now();
    samples.push({ atMs, sent });
    while (samples.length > 2 && atMs - samples[0]!.atMs > RATE_OVER_MS) samples.shift();
    const [first] = samples;
    const tookMs = atMs - first!.atMs;
    return tookMs < 1_000 ? null : ((sent - first!.sent) / tookMs) * 1_000;
  };
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

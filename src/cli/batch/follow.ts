import { setTimeout as sleep } from 'node:timers/promises';
import type { Batch } from '../../api/contract/batches.ts';
import type { Client } from './client.ts';
import { beginStep, refunds, rows, type Step, timeLeft } from './progress.ts';

const FIRST_MS = 250;
const LONGEST_MS = 2_000;

/** Follows a batch and shows how far it is, until it is where `until` says. */
export async function follow(client: Client, begun: Batch, until: (batch: Batch) => boolean): Promise<Batch> {
  let batch = begun;
  let pauseMs = FIRST_MS;
  let stage: Stage | null = null;
  let step: Step | null = null;
  try {
    for (;;) {
      const now = stageOf(batch);
      if (now !== null && now.what !== stage?.what) {
        // What has come to the next has come to its end.
        if (stage?.total) step?.update(stage.total, stage.total);
        step?.end();
        step = beginStep(now.what, now.show);
        pauseMs = FIRST_MS;
      }
      if (now !== null) {
        step?.update(now.value, now.total, now.note);
        stage = now;
      }
      if (until(batch)) return batch;
      await sleep(pauseMs);
      pauseMs = Math.min(LONGEST_MS, pauseMs * 1.3);
      batch = await client.insist<Batch>('GET', `/v1/batches/${batch.batch_id}`);
    }
  } finally {
    step?.end();
  }
}

/** Where a batch goes forward by itself. */
export const movesOn = ({ status, problem }: Batch) =>
  problem === null && ['uploading', 'checking', 'waiting', 'running'].includes(status);

interface Stage {
  readonly what: string;
  readonly show: (value: number) => string;
  readonly value: number;
  readonly total: number | null;
  readonly note?: string;
}

function stageOf(batch: Batch): Stage | null {
  const { status, rows: count, confirmation, refunds: made } = batch;
  if (status === 'checking' && count.checked === 0) {
    return { what: 'Reading', show: rows, value: count.total, total: null };
  }
  if (status === 'checking')
    return { what: 'Checking', show: rows, value: count.checked, total: count.total };
  if (status === 'waiting') {
    return { what: 'Waiting', show: () => `until ${batch.starts_at}`, value: 0, total: null };
  }
  if (confirmation === null || (status !== 'running' && status !== 'finished')) return null;
  const unsent = count.left + count.made - made.sent;
  if (status === 'running' && batch.sent_at === null) {
    const rate = batch.rate_per_second === null ? [] : [`${Math.round(batch.rate_per_second)} a second`];
    const left = batch.seconds_left === null ? [] : [timeLeft(batch.seconds_left)];
    const value = Math.max(0, confirmation.rows - unsent);
    return {
      what: 'Sending',
      show: rows,
      value,
      total: confirmation.rows,
      note: [...rate, ...left].join(', '),
    };
  }
  if (batch.kind === 'status_updates') return null;
  const { PENDING = 0 } = made.by_status;
  return { what: 'Outcomes', show: refunds, value: count.made - PENDING, total: count.made };
}

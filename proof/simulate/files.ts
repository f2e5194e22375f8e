import type { Actor, BatchRecord } from '../../src/batches/batch.ts';
import {
  approveBatch,
  cancelBatch,
  checkAgain,
  confirmBatch,
  type Decided,
  type Expected,
  expectedOf,
  pauseBatch,
  rejectBatch,
  resumeBatch,
} from '../../src/batches/decide.ts';
import type { BatchDeps } from '../../src/batches/deps.ts';
import { listRows, readBatch, readFile, type ShownRow } from '../../src/batches/store.ts';
import { addBytes, beginBatch, beginCorrection, takeFile } from '../../src/batches/upload.ts';
import { parseAmount } from '../../src/lib/money.ts';
import type { BatchAuditor } from './batch-auditor.ts';
import type { Chance } from './chance.ts';
import type { Faults } from './faults.ts';
import { DatabaseFault } from './process.ts';
import type { Timeline } from './timeline.ts';

/** A refund that stands in a file, or what has become of one. */
export interface FileLine {
  readonly orderId: string;
  readonly uniqueRequestId: string;
  /** Decimal text, or `full`. */
  readonly amount: string;
  readonly currency: string;
  readonly exponent: number;
}

export interface StatusLine {
  readonly refundId: string;
  readonly outcome: 'succeeded' | 'failed';
}

/** What a line has come to, for those who wrote it. */
export type LineAnswer =
  | {
      readonly kind: 'made';
      readonly refundId: string;
      /** Another than was written at first where the row was corrected. */
      readonly uniqueRequestId: string;
      readonly amountMinor: number;
    }
  | { readonly kind: 'refused'; readonly code: string }
  /** It could not be sent as it was. */
  | { readonly kind: 'bad' }
  /** The batch was cancelled before its turn, or never confirmed. */
  | { readonly kind: 'withdrawn' };

export interface FileWorld {
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly chance: Chance;
  readonly auditor: BatchAuditor;
  /** One of the processes that answer requests. */
  door(): BatchDeps;
  /** An id that no refund of the merchant has been asked for under. */
  newRequestId(merchantId: string): string;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** Who is not answered in this time asks again. */
const PATIENCE_MS = MINUTE;

/**
 * People with files of refunds, or of outcomes: they upload, look, confirm, approve, pause, resume, correct and cancel as
 * they do, lose answers and ask again, and go on from whatever they find. Everything they mean to do is told to the auditor
 * before they try it, and what must not be done, with what they were answered.
 */
export class FilePeople {
  readonly #world: FileWorld;
  readonly #done: Job[] = [];

  constructor(world: FileWorld) {
    this.#world = world;
  }

  /** Carries a file of a merchant's refunds through. Throws where a restore has taken it away. */
  async refund(merchantId: string, lines: readonly FileLine[]): Promise<LineAnswer[]> {
    const { auditor } = this.#world;
    const batchId = await this.#begin(merchantId, 'refunds');
    const written = new Map(lines.map((line, n) => [n + 1, line]));
    for (const [rowNo, line] of written) auditor.written(batchId, rowNo, writtenOf(line));
    const text = csvOf(lines.map(cellsOf));
    const batch = await this.#carryThrough({ merchantId, batchId, text, written, mayCorrect: true });
    const rows = new Map((await this.#rowsOf(batch)).map((row) => [row.rowNo, row]));
    return [...written.keys()].map((rowNo) => answerOf(rows.get(rowNo)));
  }

  /** Has refunds settled by a file of outcomes. */
  async settle(merchantId: string, lines: readonly StatusLine[]): Promise<void> {
    const batchId = await this.#begin(merchantId, 'status_updates');
    const rows = lines.map(
      ({ refundId, outcome }) =>
        `${refundId},${outcome === 'succeeded' ? 'SUCCESS' : 'FAILURE'},seen at the gateway`,
    );
    const text = `refund_id,status,evidence\n${rows.join('\n')}\n`;
    await this.#carryThrough({ merchantId, batchId, text, written: new Map(), mayCorrect: false });
  }

  /** The books are those of a backup again: what was done with is looked at once more, and goes on where it stands. */
  lookAgain(): void {
    for (const job of this.#done.splice(0)) this.#carryThrough(job).catch(() => undefined);
  }

  async #carryThrough(job: Job): Promise<BatchRecord> {
    const batch = await this.#carry(job);
    this.#done.push(job);
    return batch;
  }

  async #begin(merchantId: string, kind: 'refunds' | 'status_updates'): Promise<string> {
    // Whoever was not told that it has begun begins another.
    const { batchId } = await this.#insist((deps) =>
      beginBatch(deps, {
        merchantId,
        kind,
        name: 'refunds',
        fileName: 'refunds.csv',
        bytes: null,
        reading: { amounts: 'major', sameFile: 'allow', columns: {} },
        by: makerOf(merchantId),
      }),
    );
    this.#world.auditor.begun(batchId, merchantId, kind, makerOf(merchantId).id);
    return batchId;
  }

  /** From step to step, as somebody who looks at its page. Returns it when nothing more is to come. */
  async #carry(job: Job): Promise<BatchRecord> {
    const { faults, chance } = this.#world;
    const key = { merchantId: job.merchantId, batchId: job.batchId };
    let corrections = job.mayCorrect ? 2 : 0;
    let waitMs = chance.pick([SECOND, 10 * SECOND, MINUTE]);
    let was = '';
    for (;;) {
      const batch = await this.#insist((deps) => readBatch(deps.engine.db, key));
      if (batch === null) throw new Error(`batch ${job.batchId} is gone`);
      // Nobody looks every second at what takes days.
      waitMs =
        batch.status === was ? Math.min(3 * waitMs, 4 * HOUR) : chance.pick([SECOND, 10 * SECOND, MINUTE]);
      was = batch.status;
      const ends = ['finished', 'cancelled'].includes(batch.status);
      if (!ends && batch.sentAt === null && faults.strikes('batch cancelled')) {
        await this.#cancel(batch);
        continue;
      }
      switch (batch.status) {
        case 'uploading':
          await this.#upload(batch, 1, job.text);
          break;
        case 'checked': {
          if (corrections > 0 && batch.rowsBad > 0 && faults.strikes('batch corrected')) {
            corrections--;
            await this.#correct(job, batch);
            break;
          }
          if (faults.strikes('batch checked again')) {
            await this.#insist((deps) => checkAgain(deps, key, makerOf(job.merchantId)));
            break;
          }
          const expected = expectedOf(batch.findings, 'send');
          if (expected.rows === 0) return batch;
          await this.#confirm(batch, expected);
          break;
        }
        case 'awaiting_approval':
          await this.#approve(batch);
          break;
        case 'running':
          if (faults.strikes('batch paused')) await this.#pause(batch);
          break;
        case 'paused':
          await this.#sleep(chance.pick([SECOND, 10 * MINUTE, HOUR, 6 * HOUR]));
          this.#world.auditor.resumes(job.batchId);
          await this.#insist(
            (deps) => resumeBatch(deps, key, makerOf(job.merchantId)),
            () => this.#world.auditor.mayResumeLate(job.batchId),
          );
          break;
        case 'finished':
          if (corrections > 0 && (await this.#hasFailed(batch)) && faults.strikes('batch corrected')) {
            corrections--;
            await this.#correct(job, batch);
            break;
          }
          return batch;
        case 'cancelled':
          if (batch.nextStepAt === null) return batch;
      }
      await this.#sleep(waitMs);
    }
  }

  /** In one go, or broken off and taken up again from where the file ends. */
  async #upload(batch: BatchRecord, fileNo: number, text: string): Promise<void> {
    const { faults, chance } = this.#world;
    const bytes = Buffer.from(text);
    for (;;) {
      const { receivedBytes } = await this.#insist((deps) => readFile(deps.engine.db, batch, fileNo));
      if (receivedBytes >= bytes.length) break;
      const until = faults.strikes('file broken off')
        ? chance.whole(receivedBytes + 1, bytes.length)
        : bytes.length;
      const part = bytes.subarray(receivedBytes, until);
      await this.#insist((deps) =>
        addBytes(deps, batch, { fileNo, bytes: null }, receivedBytes, oneOf(part)),
      );
    }
    await this.#insist((deps) => takeFile(deps, batch, fileNo, makerOf(batch.merchantId)));
  }

  async #confirm(batch: BatchRecord, expected: Expected): Promise<void> {
    const { faults, auditor } = this.#world;
    const by = makerOf(batch.merchantId);
    if (faults.strikes('batch confirmed with other totals')) {
      const [currency, total] = Object.entries(expected.totals)[0] ?? [];
      const said =
        currency === undefined
          ? { rows: expected.rows + 1 }
          : { totals: { ...expected.totals, [currency]: `1${total}` } };
      const decided = await this.#insist((deps) =>
        confirmBatch(deps, batch, { ...said, lookAlikes: 'send' }, by),
      );
      auditor.refused(batch.batchId, 'a yes to other totals', !decided.ok);
      return;
    }
    const exponents = new Map(batch.findings.map(({ currency, exponent }) => [currency, exponent]));
    const totals = Object.entries(expected.totals).map(([currency, total]) => {
      const parsed = parseAmount(total, exponents.get(currency)!);
      return [currency, parsed.ok ? Number(parsed.amountMinor) : 0] as const;
    });
    auditor.confirms(batch.batchId, batch.round, by.id, new Map(totals));
    const said = batch.kind === 'refunds' ? { totals: expected.totals } : { rows: expected.rows };
    await this.#insist((deps) => confirmBatch(deps, batch, { ...said, lookAlikes: 'send' }, by));
  }

  /** A second person looks at it; before that, sometimes the one who must not. */
  async #approve(batch: BatchRecord): Promise<void> {
    const { faults, auditor, chance } = this.#world;
    const { sha256 } = await this.#insist((deps) => readFile(deps.engine.db, batch, batch.fileNo));
    const { totals, rows } = batch.confirmation!;
    const said = { ...(batch.kind === 'refunds' ? { totals } : { rows }), fileSha256: sha256! };
    if (faults.strikes('batch approved by who confirmed it')) {
      const decided = await this.#insist((deps) =>
        approveBatch(deps, batch, said, makerOf(batch.merchantId)),
      );
      auditor.refused(batch.batchId, 'the approval of who confirmed it', !decided.ok);
    }
    if (faults.strikes('batch approved too late')) await this.#sleep(chance.whole(HOUR, 30 * HOUR));
    const second = checkerOf(batch.merchantId);
    if (faults.strikes('batch rejected')) {
      await this.#insist((deps) => rejectBatch(deps, batch, 'not now', second));
      return;
    }
    auditor.approves(batch.batchId, second.id);
    await this.#insist((deps) => approveBatch(deps, batch, said, second));
  }

  async #pause(batch: BatchRecord): Promise<void> {
    const decided = await this.#insist((deps) => pauseBatch(deps, batch, makerOf(batch.merchantId)));
    this.#noteStopped(batch, decided);
  }

  async #cancel(batch: BatchRecord): Promise<void> {
    const by = makerOf(batch.merchantId);
    const decided = await this.#insist((deps) => cancelBatch(deps, batch, 'not wanted any more', by));
    this.#noteStopped(batch, decided);
  }

  /** Said twice, or in doubt: it is what it says now. */
  #noteStopped({ batchId }: BatchRecord, decided: Decided): void {
    const now = 'batch' in decided ? decided.batch.status : null;
    if (decided.ok || now === 'paused' || now === 'cancelled')
      this.#world.auditor.stopped(batchId, now === 'cancelled');
  }

  /** Asks for what has come to nothing under new ids, half of it for all that is left; and for some of what is well, by mistake. */
  async #correct(job: Job, batch: BatchRecord): Promise<void> {
    const { auditor, chance } = this.#world;
    const failed = await this.#insist((deps) =>
      listRows(deps.engine.db, batch, { failed: true, afterRow: 0, limit: 500 }),
    );
    const rowNos = new Set(failed.map(({ rowNo }) => rowNo));
    for (const rowNo of job.written.keys()) if (chance.hit(0.1)) rowNos.add(rowNo);
    if (rowNos.size === 0) return;
    const by = makerOf(job.merchantId);
    const begun = await this.#insist((deps) =>
      beginCorrection(deps, batch, { fileName: 'corrected.csv', by }),
    );
    if (!begun.ok) return;
    const rows = [...rowNos].map((rowNo) => {
      const was = job.written.get(rowNo)!;
      const uniqueRequestId = this.#world.newRequestId(job.merchantId);
      const line = { ...was, uniqueRequestId, amount: chance.hit(0.5) ? 'full' : was.amount };
      auditor.written(batch.batchId, rowNo, writtenOf(line));
      return `${cellsOf(line)},${rowNo}`;
    });
    await this.#upload(batch, begun.batch.fileNo, csvOf(rows, 'row'));
  }

  async #hasFailed(batch: BatchRecord): Promise<boolean> {
    const failed = await this.#insist((deps) =>
      listRows(deps.engine.db, batch, { failed: true, afterRow: 0, limit: 1 }),
    );
    return failed.length > 0;
  }

  #rowsOf(batch: BatchRecord): Promise<ShownRow[]> {
    return this.#insist((deps) => listRows(deps.engine.db, batch, { afterRow: 0, limit: 1_000 }));
  }

  /** Asks until it is answered; the process that was asked may be dead. */
  async #insist<Answer>(
    ask: (deps: BatchDeps) => Promise<Answer>,
    /** Told when one that was asked may still do it, at any time. */
    onUnheard: () => void = () => undefined,
  ): Promise<Answer> {
    for (;;) {
      const answer = await this.#askOnce(ask, onUnheard);
      if (answer) return answer.value;
      await this.#sleep(SECOND);
    }
  }

  #askOnce<Answer>(
    ask: (deps: BatchDeps) => Promise<Answer>,
    onUnheard: () => void,
  ): Promise<{ readonly value: Answer } | null> {
    const { timeline } = this.#world;
    return new Promise((resolve, reject) => {
      const giveNoMore = timeline.at(timeline.nowMs + PATIENCE_MS, () => {
        onUnheard();
        resolve(null);
      });
      ask(this.#world.door()).then(
        (value) => {
          giveNoMore();
          resolve({ value });
        },
        (error: unknown) => {
          giveNoMore();
          // Anything else is no accident: after a restore, say, the file is not there.
          if (error instanceof DatabaseFault) resolve(null);
          else reject(error);
        },
      );
    });
  }

  async #sleep(durationMs: number): Promise<void> {
    const { timeline } = this.#world;
    await timeline.turn(null, timeline.nowMs + durationMs);
  }
}

interface Job {
  readonly merchantId: string;
  readonly batchId: string;
  readonly text: string;
  /** By row: what stood in it at first. */
  readonly written: ReadonlyMap<number, FileLine>;
  readonly mayCorrect: boolean;
}

function makerOf(merchantId: string): Actor {
  return { kind: 'user', id: userId(`maker ${merchantId}`), name: 'maker@shop.test' };
}

function checkerOf(merchantId: string): Actor {
  return { kind: 'user', id: userId(`check ${merchantId}`), name: 'checker@shop.test' };
}

/** An id of a user's shape, of at most 16 letters. */
function userId(text: string): string {
  const hex = Buffer.from(text.padEnd(16)).toString('hex');
  return [0, 8, 12, 16, 20].map((from, n, starts) => hex.slice(from, starts[n + 1])).join('-');
}

function csvOf(rows: readonly string[], ...more: readonly string[]): string {
  const header = ['order_id', 'unique_request_id', 'amount', 'currency', 'note', ...more].join(',');
  return `${[header, ...rows].join('\n')}\n`;
}

function cellsOf({ orderId, uniqueRequestId, amount, currency }: FileLine): string {
  return `${orderId},${uniqueRequestId},${amount},${currency},`;
}

function writtenOf({ orderId, uniqueRequestId, amount, currency, exponent }: FileLine) {
  const parsed = amount === 'full' ? null : parseAmount(amount, exponent);
  const amountMinor = parsed?.ok ? Number(parsed.amountMinor) : null;
  return { orderId, uniqueRequestId, amountMinor, currency };
}

function answerOf(row: ShownRow | undefined): LineAnswer {
  if (!row) return { kind: 'withdrawn' };
  if (row.refund) {
    const { refundId, amountMinor } = row.refund;
    return { kind: 'made', refundId, uniqueRequestId: row.uniqueRequestId!, amountMinor };
  }
  if (row.state === 'refused') return { kind: 'refused', code: String(row.problem?.['code']) };
  // The check may have taken it for another row's, which then was not made.
  return { kind: row.verdict === 'bad' ? 'bad' : 'withdrawn' };
}

async function* oneOf(part: Buffer): AsyncGenerator<Buffer> {
  yield part;
}

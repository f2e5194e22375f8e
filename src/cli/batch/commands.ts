import { createWriteStream } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Batch, BatchConfirmation, BatchPage, BatchRowPage } from '../../api/contract/batches.ts';
import { BATCH_LIMITS } from '../../batches/words.ts';
import { readRemote, readSettings } from '../../config.ts';
import { OperatorError } from '../../lib/operator-error.ts';
import { type Client, createClient, Refused } from './client.ts';
import { follow, movesOn } from './follow.ts';
import { beginStep, size } from './progress.ts';
import { reportOf, statusOf } from './report.ts';
import { INTERRUPTED, SOME_FAILED, WAITS_FOR_PEOPLE } from './status.ts';
import { hashOf, openFile, sendFile, wholeOf } from './upload.ts';

export interface Following {
  readonly wait?: boolean;
  readonly json?: boolean;
}

export interface Confirming {
  readonly confirm?: string;
  readonly lookAlikes?: 'send' | 'leave';
}

export interface Uploading extends Following, Confirming {
  readonly name?: string;
  readonly kind: 'refunds' | 'status_updates';
  readonly minor?: boolean;
  readonly columns?: string;
  readonly sameFile?: boolean;
  readonly sheet?: string;
  readonly resume?: string;
}

// Uploading ---------------------------------------------------------------------------------------------

export async function upload(path: string, options: Uploading): Promise<void> {
  const confirmation = options.confirm === undefined ? null : confirmationOf(options.confirm, options);
  const columns = options.columns === undefined ? null : columnsOf(options.columns);
  const client = await open();
  const file = await openFile(path);
  if (file.bytes > BATCH_LIMITS.bytes) {
    throw new OperatorError(
      `${path} is longer than ${size(BATCH_LIMITS.bytes)}. Split it into several files.`,
    );
  }
  try {
    const begun = options.resume
      ? await batchToResume(client, options.resume, file.bytes)
      : await client.ask<Batch>('POST', '/v1/batches', {
          query: {
            name: options.name,
            file_name: basename(path),
            kind: options.kind,
            bytes: file.bytes,
            amounts: options.minor ? 'minor' : undefined,
            same_file: options.sameFile ? 'allow' : undefined,
            sheet: options.sheet,
          },
        });
    const { batch_id: id } = begun;
    if (columns) await client.insist('PATCH', `/v1/batches/${id}`, { json: { columns } });
    const calm = onInterrupt(`The upload has stopped. Go on: refundry batch upload ${path} --resume ${id}`);
    const step = beginStep('Upload', size);
    const sent = await sendFile(client, begun, file, (bytes) => step.update(bytes, file.bytes)).finally(() =>
      step.end(),
    );
    calm();
    if (sent.problem?.code === 'same_file') {
      await client.insist('POST', `/v1/batches/${id}/cancel`, { json: { reason: 'uploaded before' } });
      throw new OperatorError(`${sent.problem.message} With --same-file it is taken nevertheless.`);
    }
    if (sent.file.sha256 !== null && sent.file.sha256 !== (await hashOf(file))) {
      await client.insist('POST', `/v1/batches/${id}/cancel`, { json: { reason: 'other bytes have come' } });
      throw new OperatorError(
        `What has come is not what is in ${path}: it has changed meanwhile, or is another file. Nothing was sent.`,
      );
    }
    await goOn(client, sent, options, confirmation);
  } finally {
    await file.handle.close();
  }
}

async function batchToResume(client: Client, id: string, bytes: number): Promise<Batch> {
  const batch = await client.insist<Batch>('GET', addressOf(id));
  if (batch.file.bytes === bytes) return batch;
  throw new OperatorError(
    `That batch waits for another file: one of ${batch.file.bytes} bytes, and this one has ${bytes}.`,
  );
}

export async function correct(id: string, path: string, options: Following & Confirming): Promise<void> {
  const confirmation = options.confirm === undefined ? null : confirmationOf(options.confirm, options);
  const client = await open();
  const file = await openFile(path);
  try {
    const step = beginStep('Upload', size);
    const taken = await client
      .ask<Batch>('PUT', `${addressOf(id)}/rows`, {
        headers: { 'content-type': 'application/octet-stream' },
        body: wholeOf(file, (bytes) => step.update(bytes, file.bytes)),
        timeoutMs: 1_800_000,
      })
      .finally(() => step.end());
    await goOn(client, taken, options, confirmation);
  } finally {
    await file.handle.close();
  }
}

/** After a file was taken: to the end of its check, through its confirmation, to its end, as far as was asked. */
async function goOn(
  client: Client,
  taken: Batch,
  options: Following,
  confirmation: BatchConfirmation | null,
): Promise<void> {
  let batch = taken;
  const calm = onInterrupt(howToFollow(batch));
  if (options.wait || confirmation) {
    batch = await follow(client, batch, ({ status, problem }) => status !== 'checking' || problem !== null);
  }
  if (confirmation && batch.status === 'checked') {
    batch = await confirmed(client, batch, confirmation);
  }
  if (options.wait) batch = await follow(client, batch, (now) => !movesOn(now));
  calm();
  await tell(client, batch, options);
}

// Deciding ----------------------------------------------------------------------------------------------

export async function confirm(
  id: string,
  total: string,
  options: Following & Pick<Confirming, 'lookAlikes'>,
): Promise<void> {
  const confirmation = confirmationOf(total, options);
  const client = await open();
  const batch = await client.insist<Batch>('GET', addressOf(id));
  await goOn(client, await confirmed(client, batch, confirmation), options, null);
}

async function confirmed(client: Client, batch: Batch, confirmation: BatchConfirmation): Promise<Batch> {
  try {
    return await client.ask<Batch>('POST', `${addressOf(batch.batch_id)}/confirm`, { json: confirmation });
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 409) throw error;
    // Nothing is lost: somebody has to look again.
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.code === 'nothing_to_send' ? SOME_FAILED : WAITS_FOR_PEOPLE;
    return client.insist<Batch>('GET', addressOf(batch.batch_id));
  }
}

export async function decide(
  act: 'pause' | 'resume' | 'cancel',
  id: string,
  options: Following & { readonly reason?: string },
): Promise<void> {
  const client = await open();
  const { reason } = options;
  const batch = await client.ask<Batch>('POST', `${addressOf(id)}/${act}`, {
    json: reason ? { reason } : {},
  });
  if (act !== 'resume') return print(batch, options);
  await goOn(client, batch, options, null);
}

// Reading -----------------------------------------------------------------------------------------------

export async function list(options: {
  readonly status?: string;
  readonly limit: string;
  readonly json?: boolean;
}): Promise<void> {
  const { status, limit, json } = options;
  const page = await (await open()).insist<BatchPage>('GET', '/v1/batches', { query: { status, limit } });
  if (json) return void process.stdout.write(`${JSON.stringify(page, null, 2)}\n`);
  for (const { batch_id: id, status: is, rows, created_at: at, name } of page.batches) {
    const count = `${rows.total.toLocaleString('en')} rows`;
    process.stdout.write(`${id}  ${is.padEnd(17)}  ${count.padStart(14)}  ${at}  ${name}\n`);
  }
}

export async function show(id: string, options: Following): Promise<void> {
  const client = await open();
  await goOn(client, await client.insist<Batch>('GET', addressOf(id)), options, null);
}

export async function download(
  what: 'results' | 'failed',
  id: string,
  options: { readonly to?: string },
): Promise<void> {
  await save(`${addressOf(id)}/${what}.csv`, options.to);
}

export async function sample(options: { readonly kind: string; readonly to?: string }): Promise<void> {
  await save(`/v1/batches/sample.csv?kind=${options.kind}`, options.to);
}

async function save(path: string, to: string | undefined): Promise<void> {
  const bytes = Readable.from(await (await open()).download(path));
  try {
    if (to === undefined) for await (const piece of bytes) process.stdout.write(piece);
    else await pipeline(bytes, createWriteStream(to));
  } catch (error) {
    throw new OperatorError(`The file is not whole: ${(error as Error).message}. Ask for it again.`);
  }
}

// What they share ---------------------------------------------------------------------------------------

async function open(): Promise<Client> {
  const remote = readRemote();
  const apiKey = remote.apiKey ?? (remote.isLocal ? await demoKey() : null);
  if (apiKey === null) {
    throw new OperatorError(
      'REFUNDRY_API_KEY is not set. "refundry api-key create --merchant <id>" makes a key.',
    );
  }
  return createClient({ ...remote, apiKey });
}

async function demoKey(): Promise<string | null> {
  const { readDemoKey } = await import('../../access/demo-key.ts');
  return readDemoKey(readSettings(undefined, { needsMasterKey: false }));
}

function addressOf(id: string): string {
  if (/^[0-9a-f-]{36}$/i.test(id)) return `/v1/batches/${id.toLowerCase()}`;
  throw new OperatorError(`"${id}" is not the id of a batch. "refundry batch list" shows them.`);
}

async function tell(client: Client, batch: Batch, options: Following): Promise<void> {
  print(batch, options);
  if (process.exitCode !== undefined && process.exitCode !== 0) return;
  const failed =
    batch.status === 'finished' &&
    (
      await client.insist<BatchRowPage>('GET', `${addressOf(batch.batch_id)}/rows`, {
        query: { failed: 'true', limit: 1 },
      })
    ).rows.length > 0;
  process.exitCode = statusOf(batch, failed);
}

function print(batch: Batch, { json }: Following): void {
  process.stdout.write(json ? `${JSON.stringify(batch, null, 2)}\n` : reportOf(batch));
}

function howToFollow({ batch_id: id }: Batch): string {
  return `The batch goes on by itself. Follow it: refundry batch show ${id} --wait`;
}

/** Says how to go on when somebody presses Ctrl-C; until what it returns is called. */
function onInterrupt(sentence: string): () => void {
  const hear = () => {
    // The cursor that a bar has hidden.
    process.stderr.write(`${process.stderr.isTTY ? '\u001b[?25h' : ''}\n${sentence}\n`);
    process.exit(INTERRUPTED);
  };
  process.on('SIGINT', hear);
  return () => void process.off('SIGINT', hear);
}

/** `INR 12450.00`, several with commas; of status updates, `12 rows`. */
function confirmationOf(text: string, { lookAlikes }: Pick<Confirming, 'lookAlikes'>): BatchConfirmation {
  const asked = lookAlikes && { look_alikes: lookAlikes };
  const counted = /^(\d{1,7})( rows?)?$/.exec(text.trim());
  if (counted) return { rows: Number(counted[1]), ...asked };
  const totals = text
    .split(/[,+]/)
    .map((part) => /^([A-Z]{3})\s*(\d{1,15}(?:\.\d{1,4})?)$/.exec(part.trim()));
  if (totals.includes(null)) {
    throw new OperatorError(
      `"${text}" is not a total. Write it as the check has shown it: "INR 12450.00", several as "INR 12450.00, EUR 20.00"; of status updates "12 rows".`,
    );
  }
  return { totals: Object.fromEntries(totals.map((part) => [part![1]!, part![2]!])), ...asked };
}

/** `order_id=Bestellnr,amount=Betrag`: ours, and the file's. */
function columnsOf(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=');
    return [pair.slice(0, Math.max(0, at)).trim(), pair.slice(at + 1).trim()] as const;
  });
  if (pairs.some(([ours, theirs]) => ours === '' || theirs === '')) {
    throw new OperatorError(
      `"${text}" does not say which column is which. Write it as order_id=Bestellnr,amount=Betrag.`,
    );
  }
  return Object.fromEntries(pairs);
}

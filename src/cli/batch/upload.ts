import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { Batch } from '../../api/contract/batches.ts';
import { OperatorError } from '../../lib/operator-error.ts';
import { type Client, createPatience, NoAnswer, Refused } from './client.ts';

/** What one request carries. */
const PART_BYTES = 8_000_000;
const PIECE_BYTES = 262_144;
const PART_MS = 600_000;

export interface LocalFile {
  readonly handle: FileHandle;
  readonly bytes: number;
}

export async function openFile(path: string): Promise<LocalFile> {
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new OperatorError(`${path} cannot be read: ${error.code}.`);
  });
  const { size, isFile } = await handle.stat().then((stat) => ({ size: stat.size, isFile: stat.isFile() }));
  if (isFile && size > 0) return { handle, bytes: size };
  await handle.close();
  throw new OperatorError(isFile ? `${path} is empty.` : `${path} is not a file.`);
}

/**
 * Sends what the batch does not have of the file yet, in parts. Where the connection is lost, it asks how much has come
 * and goes on from there. Returns the batch once its file is taken, or cannot be.
 */
export async function sendFile(
  client: Client,
  begun: Batch,
  file: LocalFile,
  onBytes: (sent: number) => void,
): Promise<Batch> {
  const address = `/v1/batches/${begun.batch_id}`;
  const patience = createPatience();
  let batch = begun;
  let lost = false;
  while (batch.status === 'uploading' && batch.problem === null) {
    const from = batch.file.received_bytes;
    onBytes(from);
    try {
      if (lost) {
        batch = await client.ask<Batch>('GET', address);
        lost = false;
        if (batch.file.received_bytes > from) patience.renew();
        continue;
      }
      const to = Math.min(from + PART_BYTES, file.bytes);
      batch = await client.ask<Batch>('PATCH', `${address}/file`, {
        headers: { 'content-type': 'application/octet-stream', 'upload-offset': String(from) },
        // At the end nothing is left to send, but the file may still have to be taken.
        ...(to > from && { body: partOf(file.handle, from, to, onBytes) }),
        timeoutMs: PART_MS,
      });
      patience.renew();
    } catch (error) {
      const elsewhere = error instanceof Refused && ['wrong_offset', 'wrong_status'].includes(error.code);
      await patience.pause(elsewhere ? new NoAnswer(error.message) : error);
      lost = true;
    }
  }
  onBytes(batch.file.received_bytes);
  return batch;
}

async function* partOf(
  handle: FileHandle,
  from: number,
  to: number,
  onBytes: (sent: number) => void,
): AsyncGenerator<Uint8Array> {
  for (let at = from; at < to; ) {
    const { buffer, bytesRead } = await handle.read({
      buffer: Buffer.allocUnsafe(Math.min(PIECE_BYTES, to - at)),
      position: at,
    });
    if (bytesRead === 0) throw new OperatorError('The file has become shorter while it was sent.');
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
    onBytes(at);
  }
}

/** All of it, from its beginning. */
export function wholeOf(file: LocalFile, onBytes: (sent: number) => void): AsyncGenerator<Uint8Array> {
  return partOf(file.handle, 0, file.bytes, onBytes);
}

export async function hashOf(file: LocalFile): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of wholeOf(file, () => undefined)) hash.update(piece);
  return hash.digest('hex');
}

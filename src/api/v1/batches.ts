import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { STAND_IN_DAYS } from '../../access/second-person.ts';
import type { Actor, BatchRecord } from '../../batches/batch.ts';
import {
  approveBatch,
  cancelBatch,
  checkAgain,
  confirmBatch,
  type Decided,
  pauseBatch,
  rejectBatch,
  resumeBatch,
} from '../../batches/decide.ts';
import { listBatches, listRows, readBatch, readBatchEvents, readFile } from '../../batches/store.ts';
import {
  addBytes,
  beginBatch,
  beginCorrection,
  readAnew,
  takeFile,
  type UploadOutcome,
  type UploadRefusal,
  uploadingBatch,
} from '../../batches/upload.ts';
import { BATCH_LIMITS, BATCH_STATUSES } from '../../batches/words.ts';
import { maskCardNumbers } from '../../lib/card-number.ts';
import { isUuid } from '../../lib/ids.ts';
import { requireAlso } from '../auth.ts';
import {
  batchApprovalSchema,
  batchConfirmationSchema,
  batchEventsSchema,
  batchListQuerySchema,
  batchPageSchema,
  batchParamsSchema,
  batchReadingSchema,
  batchReasonSchema,
  batchRowPageSchema,
  batchRowsQuerySchema,
  batchSchema,
  newBatchQuerySchema,
} from '../contract/batches.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { callerName } from '../record-access.ts';
import { batchRowView, batchViews } from './batch-object.ts';
import { pageOf, positionOf } from './pages.ts';

const tags = ['Batches'];
const refusals = { 404: errorSchema, 409: errorSchema };

/** Batches: uploaded, checked, confirmed, run, followed and corrected. */
export async function batchRoutes(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  await app.register(async (scope) => uploadRoutes(scope, deps));
  decisionRoutes(app, deps);
  readingRoutes(app, deps);
}

// Uploading ------------------------------------------------------------------------------------------------------

async function uploadRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  // A file comes under many types, as its sender's system calls it; what it is, its content says.
  instance.addContentTypeParser('*', async (_request: FastifyRequest, payload: IncomingMessage) => payload);
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { batches } = deps;
  const uploads = { permission: 'batches.run', streaming: true } as const;
  const consumes = [
    'text/csv',
    'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
    'application/octet-stream',
    'multipart/form-data',
  ];

  app.post(
    '/v1/batches',
    {
      config: uploads,
      schema: {
        tags,
        summary: 'Upload a file of refunds, or of outcomes of refunds',
        description:
          'The body is the file (CSV or XLSX), by itself or as the one file of a form. Without a body but with `bytes`, ' +
          'the file is sent in parts afterwards. Nothing is sent to any gateway before the batch is confirmed. A file that ' +
          'cannot be read as it is, or was uploaded before, leaves the batch `uploading`, with the reason in `problem`.',
        querystring: newBatchQuerySchema,
        consumes,
        response: { 201: batchSchema, 400: errorSchema, 409: errorSchema, 413: errorSchema },
      },
    },
    async (request, reply) => {
      const asked = request.query;
      requireForKind(request, asked.kind);
      const upload = await fileOf(request);
      if (upload === null && asked.bytes === undefined) {
        throw new ApiError(400, 'missing_file', 'The request has no file.', {
          accepted: 'a CSV or XLSX file as the body, or bytes=… to send it in parts',
        });
      }
      const by = actorOf(request);
      const fileName = asked.file_name ?? upload?.name ?? asked.name ?? 'batch.csv';
      const batch = await beginBatch(batches, {
        merchantId: request.caller.merchantId,
        kind: asked.kind,
        name: asked.name ?? fileName,
        fileName,
        bytes: upload === null ? asked.bytes! : upload.length,
        reading: {
          amounts: asked.amounts ?? 'major',
          sameFile: asked.same_file ?? 'refuse',
          columns: {},
          ...(asked.sheet !== undefined && { sheet: asked.sheet }),
        },
        by,
      });
      reply.code(201);
      if (upload === null) return shown(deps, batch);
      const file = { fileNo: 1, bytes: upload.length };
      const added = await addBytes(batches, batch, file, 0, upload.bytes);
      if (!added.ok) throw uploadRefused(added);
      return shown(deps, taken(await takeFile(batches, batch, 1, by)));
    },
  );

  app.patch(
    '/v1/batches/:batch_id/file',
    {
      config: uploads,
      schema: {
        tags,
        summary: 'Send the next part of a file',
        description:
          'The header `upload-offset` says how many bytes came before. Whoever was cut off reads `file.received_bytes` of ' +
          'the batch and goes on from there. With the last part, the file is taken and checked.',
        params: batchParamsSchema,
        consumes: ['application/octet-stream'],
        response: { 200: batchSchema, ...refusals, 413: errorSchema },
      },
    },
    async (request) => {
      const batch = taken(await uploadingBatch(batches, keyOf(request)));
      const atByte = offsetOf(request);
      const file = await readFile(deps.db, batch, 1);
      const upload = await fileOf(request);
      if (upload === null && atByte < (file.bytes ?? 0)) {
        throw new ApiError(400, 'missing_file', 'The part has no bytes.', {
          accepted: 'the bytes of the file',
        });
      }
      const added = await addBytes(batches, batch, file, atByte, upload?.bytes ?? Readable.from([]));
      if (!added.ok) throw uploadRefused(added);
      if (file.bytes === null || added.receivedBytes < file.bytes) return shown(deps, batch);
      return shown(deps, taken(await takeFile(batches, batch, 1, actorOf(request))));
    },
  );

  app.put(
    '/v1/batches/:batch_id/rows',
    {
      config: uploads,
      schema: {
        tags,
        summary: 'Upload corrected rows',
        description:
          'A file as in the upload, with a column `row` that names the row of the batch that each row replaces; the file of ' +
          'failed rows has it. Only rows that have come to nothing are replaced. Allowed once the check is over, and again ' +
          'once all rows are out: then the replaced rows are checked and confirmed like the first.',
        params: batchParamsSchema,
        consumes,
        response: { 202: batchSchema, 400: errorSchema, ...refusals, 413: errorSchema, 422: errorSchema },
      },
    },
    async (request, reply) => {
      await requireForBatch(deps, request);
      const upload = await fileOf(request);
      if (upload === null) {
        throw new ApiError(400, 'missing_file', 'The request has no file.', {
          accepted: 'a CSV or XLSX file',
        });
      }
      const by = actorOf(request);
      const batch = taken(
        await beginCorrection(batches, keyOf(request), { fileName: upload.name ?? 'corrected.csv', by }),
      );
      const added = await addBytes(batches, batch, { fileNo: batch.fileNo, bytes: null }, 0, upload.bytes);
      if (!added.ok) throw uploadRefused(added);
      reply.code(202);
      return shown(deps, taken(await takeFile(batches, batch, batch.fileNo, by)));
    },
  );
}

interface Upload {
  readonly name: string | null;
  /** Null while nobody has said. Where it is known, an upload that was cut off can go on in parts. */
  readonly length: number | null;
  readonly bytes: AsyncIterable<Buffer>;
}

async function fileOf(request: FastifyRequest): Promise<Upload | null> {
  const type = request.headers['content-type'] ?? '';
  if (request.body !== undefined && request.body !== null && !(request.body instanceof Readable)) {
    throw new ApiError(415, 'unsupported_media_type', 'The body is JSON, not a file.', {
      field: 'content-type',
      value: type,
      accepted: 'text/csv, application/octet-stream or multipart/form-data',
    });
  }
  const length = Number(request.headers['content-length'] ?? 0);
  if (length > BATCH_LIMITS.bytes + FORM_BYTES) throw tooLarge();
  if (!(request.body instanceof Readable)) return null;
  if (length === 0 && request.headers['transfer-encoding'] === undefined) return null;
  return type.toLowerCase().startsWith('multipart/form-data')
    ? fileOfForm(request.body, type)
    : { name: null, length: length || null, bytes: request.body };
}

/** What a form adds to its file. */
const FORM_BYTES = 10_000;

/** The one file of a form, while it comes. */
function fileOfForm(body: Readable, contentType: string): Promise<Upload> {
  const { promise, resolve, reject } = Promise.withResolvers<Upload>();
  const broken = (message: string) =>
    new ApiError(400, 'invalid_form', message, { accepted: 'a form with one file' });
  let form: InstanceType<typeof Busboy>;
  try {
    form = new Busboy({
      headers: { 'content-type': contentType },
      limits: { files: 1, fields: 20, parts: 21 },
    });
  } catch {
    throw broken('The form cannot be read: its content-type names no boundary.');
  }
  let file: Readable | undefined;
  form.on('file', (_field, stream, name) => {
    file = stream;
    // Whoever reads it learns of it there.
    stream.on('error', () => undefined);
    resolve({
      length: null,
      name:
        maskCardNumbers(name?.replace(/\p{Cc}/gu, '') ?? '')
          .slice(0, 255)
          .toWellFormed() || null,
      bytes: whole(stream),
    });
  });
  async function* whole(stream: Readable): AsyncGenerator<Buffer> {
    try {
      yield* stream;
    } catch {
      throw broken('The form broke off in the middle of its file.');
    }
  }
  // A body that breaks off must not look like a file that is whole.
  const fail = () => {
    reject(broken('The form is broken.'));
    file?.destroy(new Error('the form broke off'));
  };
  form.on('error', fail);
  body.on('error', fail);
  body.on('aborted', fail);
  form.on('finish', () => reject(broken('The form has no file.')));
  body.pipe(form);
  return promise;
}

function offsetOf(request: FastifyRequest): number {
  const said = request.headers['upload-offset'];
  if (typeof said === 'string' && /^\d{1,12}$/.test(said)) return Number(said);
  throw new ApiError(
    400,
    'invalid_offset',
    'The header upload-offset does not say how many bytes came before.',
    {
      field: 'upload-offset',
      ...(typeof said === 'string' && { value: said.slice(0, 100) }),
      accepted: 'a whole number of bytes: file.received_bytes of the batch',
    },
  );
}

// Deciding -------------------------------------------------------------------------------------------------------

function decisionRoutes(instance: FastifyInstance, deps: ApiDeps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { batches } = deps;
  const params = batchParamsSchema;
  const response = { 200: batchSchema, ...refusals };
  const config = { permission: 'batches.run' } as const;
  const answer = async (decided: Promise<Decided>) => {
    const outcome = await decided;
    if (outcome.ok) return shown(deps, outcome.batch);
    throw decisionRefused(outcome);
  };

  app.patch(
    '/v1/batches/:batch_id',
    {
      config,
      schema: {
        tags,
        summary: 'Say how a file is to be read, where it cannot be read as it is',
        params,
        body: batchReadingSchema,
        response,
      },
    },
    async (request) => {
      const { columns, amounts, same_file, sheet, save_columns } = request.body;
      const asked = {
        ...(columns && { columns }),
        ...(amounts && { amounts }),
        ...(same_file && { sameFile: same_file }),
        ...(sheet !== undefined && { sheet }),
        saveColumns: save_columns ?? false,
      };
      return shown(deps, taken(await readAnew(batches, keyOf(request), asked, actorOf(request))));
    },
  );
  app.post(
    '/v1/batches/:batch_id/check',
    { config, schema: { tags, summary: 'Check all rows again', params, response } },
    (request) => answer(checkAgain(batches, keyOf(request), actorOf(request))),
  );
  app.post(
    '/v1/batches/:batch_id/confirm',
    {
      config,
      schema: {
        tags,
        summary: 'Confirm what will be sent',
        description:
          'Names the totals that the check has found. From here the batch waits for a second person, for its wait to end, ' +
          'or starts, as your settings say.',
        params,
        body: batchConfirmationSchema,
        response,
      },
    },
    async (request) => {
      await requireForBatch(deps, request);
      const { totals, rows, look_alikes } = request.body;
      const said = { totals, rows, lookAlikes: look_alikes ?? null };
      return answer(confirmBatch(batches, keyOf(request), said, actorOf(request)));
    },
  );
  app.post(
    '/v1/batches/:batch_id/approve',
    {
      config: { permission: 'batches.approve' },
      schema: {
        tags,
        summary: 'Approve a batch as its second person',
        description:
          'Bound to the very file and totals that were looked at. Nobody approves what they uploaded or confirmed.',
        params,
        body: batchApprovalSchema,
        response: { ...response, 403: errorSchema },
      },
    },
    (request) => {
      const { file_sha256, totals, rows } = request.body;
      const said = { fileSha256: file_sha256, totals, rows };
      return answer(approveBatch(batches, keyOf(request), said, actorOf(request)));
    },
  );
  app.post(
    '/v1/batches/:batch_id/reject',
    {
      config,
      schema: {
        tags,
        summary: 'Send a batch back to be looked at again',
        params,
        body: batchReasonSchema,
        response,
      },
    },
    (request) => answer(rejectBatch(batches, keyOf(request), request.body?.reason ?? null, actorOf(request))),
  );
  app.post(
    '/v1/batches/:batch_id/pause',
    { config, schema: { tags, summary: 'Send nothing more for now', params, response } },
    (request) => answer(pauseBatch(batches, keyOf(request), actorOf(request))),
  );
  app.post(
    '/v1/batches/:batch_id/resume',
    { config, schema: { tags, summary: 'Go on sending', params, response } },
    async (request) => {
      await requireForBatch(deps, request);
      return answer(resumeBatch(batches, keyOf(request), actorOf(request)));
    },
  );
  app.post(
    '/v1/batches/:batch_id/cancel',
    {
      config,
      schema: {
        tags,
        summary: 'Send nothing more, for good',
        description: 'What has gone out is followed to its outcome; what has not stays undone.',
        params,
        body: batchReasonSchema,
        response,
      },
    },
    (request) => answer(cancelBatch(batches, keyOf(request), request.body?.reason ?? null, actorOf(request))),
  );
}

// Reading --------------------------------------------------------------------------------------------------------

function readingRoutes(instance: FastifyInstance, deps: ApiDeps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { db } = deps;
  const config = { permission: 'batches.read' } as const;
  const found = async (request: FastifyRequest) => {
    const batch = await readBatch(db, keyOf(request));
    if (!batch) throw batchNotFound();
    return batch;
  };

  app.get(
    '/v1/batches',
    {
      config,
      schema: {
        tags,
        summary: 'List batches',
        querystring: batchListQuerySchema,
        response: { 200: batchPageSchema },
      },
    },
    async (request) => {
      const { limit, cursor, kind, status, search, created_from, created_before } = request.query;
      const statuses = status?.split(',').map((word) => word.trim());
      const unknown = statuses?.find((word) => !(word in BATCH_STATUSES));
      if (unknown !== undefined) {
        throw new ApiError(400, 'invalid_filter', 'There is no such status.', {
          field: 'status',
          value: unknown.slice(0, 100),
          accepted: Object.keys(BATCH_STATUSES).join(', '),
        });
      }
      const rows = await listBatches(db, {
        merchantId: request.caller.merchantId,
        kind,
        statuses,
        search,
        createdFrom: created_from === undefined ? undefined : new Date(created_from),
        createdBefore: created_before === undefined ? undefined : new Date(created_before),
        after: cursor === undefined ? undefined : positionOf(cursor, 'newest', isUuid),
        limit: limit + 1,
      });
      const { page, next_cursor } = pageOf(rows, limit, 'newest', ({ createdAt, batchId }) => ({
        at: createdAt.getTime(),
        id: batchId,
      }));
      return { batches: await batchViews(db, page), next_cursor };
    },
  );

  app.get(
    '/v1/batches/:batch_id',
    {
      config,
      schema: {
        tags,
        summary: 'Read a batch',
        params: batchParamsSchema,
        response: { 200: batchSchema, 404: errorSchema },
      },
    },
    async (request) => shown(deps, await found(request)),
  );

  app.get(
    '/v1/batches/:batch_id/events',
    {
      config,
      schema: {
        tags,
        summary: 'Everything that was done to a batch',
        params: batchParamsSchema,
        response: { 200: batchEventsSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const events = await readBatchEvents(db, await found(request));
      return { events: events.map(({ at, ...event }) => ({ at: at.toISOString(), ...event })) };
    },
  );

  app.get(
    '/v1/batches/:batch_id/rows',
    {
      config,
      schema: {
        tags,
        summary: 'The rows of a batch, each with its verdict and its refund',
        params: batchParamsSchema,
        querystring: batchRowsQuerySchema,
        response: { 200: batchRowPageSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { limit, cursor, verdict, failed } = request.query;
      const batch = await found(request);
      const rows = await listRows(db, batch, {
        verdicts: verdict?.split(',').map((word) => word.trim()),
        failed: failed === 'true',
        afterRow: cursor === undefined ? 0 : positionOf(cursor, 'row', (id) => id === '-').at,
        limit: limit + 1,
      });
      const { page, next_cursor } = pageOf(rows, limit, 'row', ({ rowNo }) => ({ at: rowNo, id: '-' }));
      return { rows: page.map((row) => batchRowView(batch, row)), next_cursor };
    },
  );
}

// Words ----------------------------------------------------------------------------------------------------------

async function shown(deps: ApiDeps, batch: BatchRecord) {
  const [view] = await batchViews(deps.db, [batch]);
  return view!;
}

function keyOf(request: FastifyRequest) {
  const { batch_id } = request.params as { batch_id: string };
  if (!isUuid(batch_id)) throw batchNotFound();
  return { merchantId: request.caller.merchantId, batchId: batch_id };
}

/** A file of outcomes settles refunds, whoever may run batches. */
function requireForKind(request: FastifyRequest, kind: BatchRecord['kind']): void {
  if (kind === 'status_updates') requireAlso(request, 'refunds.resolve');
}

async function requireForBatch(deps: ApiDeps, request: FastifyRequest): Promise<void> {
  const batch = await readBatch(deps.db, keyOf(request));
  if (batch) requireForKind(request, batch.kind);
}

function actorOf({ caller }: FastifyRequest): Actor {
  return {
    kind: caller.kind,
    id: caller.kind === 'user' ? caller.userId : caller.apiKeyId,
    name: callerName(caller),
  };
}

function taken(outcome: UploadOutcome): BatchRecord {
  if (outcome.ok) return outcome.batch;
  throw uploadRefused(outcome);
}

export function batchNotFound(): ApiError {
  return new ApiError(404, 'batch_not_found', 'There is no batch with this id.', { field: 'batch_id' });
}

function tooLarge(): ApiError {
  return new ApiError(
    413,
    'file_too_large',
    'The file is longer than a batch may have, or than was said. Split it into several.',
    {
      accepted: `at most ${BATCH_LIMITS.bytes} bytes`,
    },
  );
}

function wrongStatus({ status }: BatchRecord): ApiError {
  return new ApiError(
    409,
    'wrong_status',
    `That cannot be done now: the batch is ${status}. ${BATCH_STATUSES[status]} Nothing was changed.`,
    { field: 'status', value: status },
  );
}

function uploadRefused(outcome: UploadRefusal): ApiError {
  switch (outcome.refusal) {
    case 'not_found':
      return batchNotFound();
    case 'wrong_status':
      return wrongStatus(outcome.batch);
    case 'too_large':
      return tooLarge();
    case 'wrong_offset':
      return new ApiError(409, 'wrong_offset', 'The part does not begin where the file ends so far.', {
        field: 'upload-offset',
        accepted: String(outcome.receivedBytes),
      });
    case 'incomplete':
      return new ApiError(409, 'file_incomplete', 'Not all bytes of the file have come. Send the rest.', {
        field: 'upload-offset',
        accepted: String(outcome.receivedBytes),
      });
    case 'unreadable': {
      const { code, message, ...detail } = outcome.problem;
      return new ApiError(422, code, `${message} No row was replaced.`, detail);
    }
  }
}

function decisionRefused(outcome: Extract<Decided, { ok: false }>): ApiError {
  switch (outcome.refusal) {
    case 'not_found':
      return batchNotFound();
    case 'wrong_status':
      return wrongStatus(outcome.batch);
    case 'nothing_to_send':
      return new ApiError(
        409,
        'nothing_to_send',
        'No row of the batch can be sent. Upload corrected rows, or cancel it.',
      );
    case 'look_alikes_undecided':
      return new ApiError(
        409,
        'look_alikes_undecided',
        `${outcome.rows} rows look like refunds that were made before, or stand in the file twice. Say whether they are sent too.`,
        { field: 'look_alikes', accepted: 'send or leave' },
      );
    case 'other_totals':
      return new ApiError(
        409,
        'other_totals',
        'That is not what the batch comes to. Nothing was sent; look at it again.',
        {
          field:
            outcome.expected.totals && Object.keys(outcome.expected.totals).length > 0 ? 'totals' : 'rows',
          accepted: JSON.stringify(outcome.expected),
        },
      );
    case 'other_file':
      return new ApiError(
        409,
        'other_file',
        'The batch now has another file than the one that you looked at. Nothing was approved.',
        {
          field: 'file_sha256',
        },
      );
    case 'same_person':
      return new ApiError(
        403,
        'same_person',
        'Whoever uploaded or confirmed a batch cannot approve it, nor can an API key. You count as whoever did if you made ' +
          `the key that did, or if one of you came in by a link of the other within ${STAND_IN_DAYS} days. Nothing was approved.`,
        { accepted: 'a colleague who had no hand in it' },
      );
  }
}

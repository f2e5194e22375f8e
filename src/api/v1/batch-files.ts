import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { BatchRecord } from '../../batches/batch.ts';
import { sampleCsv } from '../../batches/file/sample.ts';
import { readAlignment } from '../../batches/results.ts';
import { listRows, readBatch, readChunks, readFile } from '../../batches/store.ts';
import { csvRow } from '../../lib/csv.ts';
import { isUuid } from '../../lib/ids.ts';
import {
  type BatchRow,
  batchFileQuerySchema,
  batchParamsSchema,
  sampleQuerySchema,
} from '../contract/batches.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { batchRowView } from './batch-object.ts';
import { batchNotFound } from './batches.ts';
import { CSV, createFileSender } from './file-sender.ts';

/** Rows that are read, and held, at a time. */
const SLICE = 250;

const tags = ['Batches'];
/** Whole files of rows with who was refunded what, like the other exports. */
const config = { permission: 'batches.export' } as const;
const csv = {
  200: {
    description: 'Comma-separated values in UTF-8, with a first line of names.',
    content: { 'text/csv': { schema: z.string() } },
  },
};

/** The files of batches: to begin with, as they came, and with what became of each row. */
export async function batchFileRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const send = createFileSender(app);

  async function found(request: FastifyRequest): Promise<BatchRecord> {
    const { batch_id: batchId } = request.params as { batch_id: string };
    if (!isUuid(batchId)) throw batchNotFound();
    const batch = await readBatch(deps.db, { merchantId: request.caller.merchantId, batchId });
    if (!batch) throw batchNotFound();
    return batch;
  }

  app.get(
    '/v1/batches/sample.csv',
    {
      config: { permission: 'batches.read' },
      schema: {
        tags,
        summary: 'A file to begin with',
        querystring: sampleQuerySchema,
        produces: ['text/csv'],
        response: csv,
      },
    },
    async (request, reply) => {
      const { kind, bom } = request.query;
      return send(
        reply,
        { name: `${kind}-sample.csv`, type: CSV, bom: bom === 'true' },
        once(sampleCsv(kind)),
      );
    },
  );

  app.get(
    '/v1/batches/:batch_id/file',
    {
      config,
      schema: {
        tags,
        summary: 'The file of a batch as it was uploaded',
        params: batchParamsSchema,
        produces: ['text/csv', XLSX],
        response: {
          200: {
            description: 'The bytes as they came.',
            content: { 'application/octet-stream': { schema: z.string() } },
          },
          404: errorSchema,
          409: errorSchema,
          410: errorSchema,
        },
      },
    },
    async (request, reply) => {
      const batch = await found(request);
      const { name, format, bytes, receivedBytes, bytesDropped } = await readFile(deps.db, batch, 1);
      if (bytes === null || receivedBytes < bytes) {
        throw new ApiError(409, 'file_incomplete', 'Not all bytes of the file have come yet.', {
          field: 'received_bytes',
          value: String(receivedBytes),
        });
      }
      if (bytesDropped) {
        throw new ApiError(
          410,
          'file_not_kept',
          'The file held card numbers, so its bytes were not kept. Its rows were, without them: read results.csv.',
        );
      }
      const type = format === 'xlsx' ? XLSX : format === 'csv' ? 'text/csv' : 'application/octet-stream';
      return send(reply, { name, type }, readChunks(deps.db, batch, 1));
    },
  );

  app.get(
    '/v1/batches/:batch_id/results.csv',
    {
      config,
      schema: {
        tags,
        summary: 'All rows of a batch with what became of each',
        description:
          'The columns of the file in their order, then ours, each named `result_…`. It can be read at any time, and shows ' +
          'each row as it is then. A cell that a spreadsheet would take for a formula gets an apostrophe before it.',
        params: batchParamsSchema,
        querystring: batchFileQuerySchema,
        produces: ['text/csv'],
        response: { ...csv, 404: errorSchema },
      },
    },
    async (request, reply) => {
      const batch = await found(request);
      return send(
        reply,
        { name: `${baseOf(batch)}-results.csv`, type: CSV, bom: request.query.bom === 'true' },
        results(batch, false),
      );
    },
  );

  app.get(
    '/v1/batches/:batch_id/failed.csv',
    {
      config,
      schema: {
        tags,
        summary: 'The rows of a batch that came to nothing, to be corrected and uploaded again',
        description:
          'Rows that are bad, were refused, or whose refund failed, was cancelled or was taken back. The first column, `row`, ' +
          'says which row of the batch each of them is: correct the others, and send the file to `PUT …/rows`.',
        params: batchParamsSchema,
        querystring: batchFileQuerySchema,
        produces: ['text/csv'],
        response: { ...csv, 404: errorSchema },
      },
    },
    async (request, reply) => {
      const batch = await found(request);
      return send(
        reply,
        { name: `${baseOf(batch)}-failed.csv`, type: CSV, bom: request.query.bom === 'true' },
        results(batch, true),
      );
    },
  );

  async function* results(batch: BatchRecord, failed: boolean): AsyncGenerator<string> {
    const { columns, cellsOf } = await readAlignment(deps.db, batch);
    // Where the file counts its rows itself, two columns would say which row is meant.
    const kept = [...columns.keys()].filter((place) => !failed || columns[place]!.field !== 'row');
    const ours = Object.entries(RESULT_COLUMNS).filter(([name]) => !failed || name !== 'result_row');
    yield csvRow([
      ...(failed ? ['row'] : []),
      ...kept.map((place) => columns[place]!.header),
      ...ours.map(([name]) => name),
    ]);
    for (let afterRow = 0; ; ) {
      const rows = await listRows(deps.db, batch, { failed, afterRow, limit: SLICE });
      yield rows
        .map((row) => {
          const cells = cellsOf(row);
          const view = batchRowView(batch, row) as BatchRow;
          return csvRow([
            ...(failed ? [row.rowNo] : []),
            ...kept.map((place) => cells[place]),
            // What has more cells than the header has still has them, after ours.
            ...ours.map(([, cell]) => cell(view)),
            ...cells.slice(columns.length),
          ]);
        })
        .join('');
      if (rows.length < SLICE) return;
      afterRow = rows.at(-1)!.rowNo;
    }
  }
}

const XLSX = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet';

/** What we add to each row. No name is one that the reader of files takes for a column of ours. */
const RESULT_COLUMNS: Readonly<Record<string, (row: BatchRow) => string | number | null | undefined>> = {
  result_row: (row) => row.row,
  result_line: (row) => row.line,
  result_verdict: (row) => row.verdict,
  result_state: (row) => row.state,
  result_status: (row) => row.refund?.status,
  result_refund_id: (row) => row.refund?.refund_id,
  result_amount: (row) => row.refund?.amount,
  result_currency: (row) => row.refund?.currency,
  result_gateway: (row) => row.refund?.gateway,
  result_gateway_refund_id: (row) => row.refund?.gateway_refund_id,
  result_arn: (row) => row.refund?.arn,
  result_error_code: (row) => errorOf(row)?.code,
  result_error: (row) => errorOf(row)?.message,
};

/** Why a row came to nothing, or to nothing yet. What only looked like another refund and was sent has no error. */
function errorOf({
  refund,
  problem,
  verdict,
  state,
}: BatchRow): { code: string | null; message: string | null } | null {
  if (problem && (verdict === 'bad' || state !== 'made')) return problem;
  return refund && { code: refund.error_code, message: refund.error_message };
}

/** The name of the batch without the ending of its file. */
function baseOf({ name }: BatchRecord): string {
  return name.replace(/\.(csv|xlsx|txt|tsv)$/i, '').slice(0, 100) || 'batch';
}

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}

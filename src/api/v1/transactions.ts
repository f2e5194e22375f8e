import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { readJson } from '../../lib/json.ts';
import { type Line, linesOf, slicesOf } from '../../lib/lines.ts';
import {
  MAX_LINE_BYTES,
  readLine,
  recordLines,
  recordTransactions,
  SLICE_LENGTH,
  type TransactionOutcome,
} from '../../orders/import.ts';
import { causeOf } from '../auth.ts';
import { answerLineSchema, recordedSchema, toldTransactionSchema } from '../contract/transactions.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';

/** What has come is recorded when nothing more has come for this long. */
const IDLE_MS = 10;
const LINGER_MS = 5_000;

/** POST /v1/transactions: tells of one payment, or of any number of them as a stream of lines. */
export async function transactionRoutes(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  await app.register(async (scope) => {
    readBodies(scope);
    let closing = false;
    const isClosing = () => closing;
    scope.addHook('preClose', async () => {
      closing = true;
    });
    scope.post(
      '/v1/transactions',
      {
        bodyLimit: MAX_LINE_BYTES,
        config: { permission: 'orders.write', streaming: true },
        schema: documented,
        // The verb reads the fields, with the same words for every door.
        validatorCompiler: () => (value) => ({ value }),
      },
      async (request, reply) => {
        if (!(request.body instanceof Readable)) return recordOne(deps, request);
        reply.header('content-type', NDJSON);
        endStopped(request, reply, isClosing);
        return reply.send(
          Readable.from(answers(deps, request, request.body, isClosing), { objectMode: false }),
        );
      },
    );
  });
}

const NDJSON = 'application/x-ndjson; charset=utf-8';

function readBodies(scope: FastifyInstance): void {
  scope.removeContentTypeParser('application/json');
  scope.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    async (_request: FastifyRequest, text: string) => {
      const reading = readJson(text, 'written');
      if (!reading.ok) {
        throw new ApiError(400, 'invalid_json', `The body cannot be read as JSON: ${reading.why}.`);
      }
      return reading.value;
    },
  );
  scope.addContentTypeParser(
    'application/x-ndjson',
    async (_request: FastifyRequest, payload: Readable) => payload,
  );
}

async function recordOne(deps: ApiDeps, request: FastifyRequest) {
  const { merchantId } = request.caller;
  const [outcome] = await recordTransactions(
    deps.db,
    deps.clock,
    merchantId,
    [request.body],
    causeOf(request),
  );
  if (outcome!.outcome !== 'refused') return answerOf(outcome!);
  const { code, message, ...detail } = outcome!.refusal;
  throw new ApiError(code === 'contradiction' ? 409 : 400, code, message, detail);
}

/** One line of answer for each line that came, in order, as the slices are committed. */
async function* answers(
  deps: ApiDeps,
  request: FastifyRequest,
  body: Readable,
  isClosing: () => boolean,
): AsyncGenerator<string> {
  // Destroying the body would cut the connection before the last line of answer is out.
  const chunks = body.iterator({ destroyOnReturn: false });
  for await (const slice of slicesOf(linesOf(chunks, MAX_LINE_BYTES), SLICE_LENGTH, IDLE_MS)) {
    if (isClosing()) {
      yield stopped(slice[0]!.no, 'The server is stopping.');
      return;
    }
    try {
      yield await answerLines(deps, request, slice);
    } catch (error) {
      request.log.error({ err: error, requestId: request.id }, 'a stream of transactions was broken off');
      yield stopped(slice[0]!.no, 'Something went wrong on our side. It has been logged.');
      return;
    }
  }
}

/** A stream that was stopped is heard out for a while, so that the client can read why; then the connection ends. */
function endStopped(request: FastifyRequest, reply: FastifyReply, isClosing: () => boolean): void {
  const { raw } = request;
  reply.raw.once('finish', () => {
    if (raw.complete) {
      if (isClosing()) raw.socket.end();
      return;
    }
    raw.once('end', () => raw.socket.end()).resume();
    setTimeout(() => raw.socket.destroy(), LINGER_MS).unref();
  });
}

async function answerLines(deps: ApiDeps, request: FastifyRequest, slice: readonly Line[]): Promise<string> {
  const lines = slice.map(readLine);
  const cause = causeOf(request);
  const outcomes = await recordLines(deps.db, deps.clock, request.caller.merchantId, lines, () => cause);
  return outcomes
    .map((outcome, index) => `${JSON.stringify({ line: slice[index]!.no, ...answerOf(outcome) })}\n`)
    .join('');
}

function answerOf(outcome: TransactionOutcome) {
  return outcome.outcome === 'refused'
    ? { outcome: outcome.outcome, error: outcome.refusal }
    : { outcome: outcome.outcome, order_id: outcome.orderId, txn_id: outcome.txnId };
}

/** The last line of a stream that could not be finished; the status was sent long ago. */
function stopped(line: number, why: string): string {
  const message = `${why} Line ${line} and all after it are not recorded; send them again.`;
  return `${JSON.stringify({ line, outcome: 'stopped', error: { code: 'stopped', message } })}\n`;
}

// What the OpenAPI page shows ---------------------------------------------------------------------------

const documented = {
  tags: ['Orders'],
  summary: 'Tell of a payment, or of many',
  description:
    'Records that an order was paid, or that someone tried to: order and transaction are made or brought up to ' +
    'date. Telling the same again changes nothing. What contradicts what is known, such as another amount, is ' +
    'refused by the name of the field and changes nothing.\n\n' +
    'As `application/x-ndjson` any number of lines can be sent, one transaction each. Each line gets a line of ' +
    'answer with its number, in order, while the rest is still on its way: read the answers while you send, for ' +
    'the server stops reading when they pile up.',
  consumes: ['application/json', 'application/x-ndjson'],
  body: toldTransactionSchema,
  response: {
    200: {
      description: 'Recorded, or known before; for a stream, a line for each line.',
      content: {
        'application/json': { schema: recordedSchema },
        'application/x-ndjson': { schema: answerLineSchema },
      },
    },
    409: errorSchema,
  },
};

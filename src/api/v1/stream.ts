import { PassThrough } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { readStanding } from '../../access/standing.ts';
import { STATES } from '../../refunds/states.ts';
import type { changeEventSchema } from '../contract/stream.ts';
import type { ApiDeps, Caller } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { createLive, type LiveNews } from '../live.ts';

const BEAT_MS = 15_000;
const MOST = { process: 200, merchant: 100, caller: 10 } as const;
/** Who does not read gets no more; they come again and resume. */
const MOST_UNREAD_BYTES = 256 * 1024;

interface Stream {
  readonly caller: Caller;
  readonly out: PassThrough;
}

/** GET /v1/stream: what changes, as it changes. */
export async function streamRoutes(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  const live = createLive(deps);
  const streams = new Set<Stream>();
  let beating: NodeJS.Timeout | undefined;

  app.addHook('onReady', async () => {
    live.loop.start();
    beating = setInterval(() => void beat(), BEAT_MS).unref();
  });
  app.addHook('preClose', async () => {
    clearInterval(beating);
    for (const stream of streams) end(stream);
  });
  app.addHook('onClose', () => live.loop.stop());

  app.get(
    '/v1/stream',
    {
      config: { permission: 'refunds.read' },
      // A HEAD request would hold a stream open for nobody.
      exposeHeadRoute: false,
      schema: {
        tags: ['Live'],
        summary: 'Follow what changes',
        description:
          'Server-sent events. `ready` comes first; then a `change` for each order and refund that changes, with the ' +
          'ids, `kind`, and for a refund `status`, `state`; a `counts` where numbers of refunds may have changed; and a ' +
          '`here` every 15 seconds: without one, the connection is lost. Events may come twice: `seq` counts within the order. A `change` whose `order_id` ' +
          'is null means that so much changed that everything should be asked for again. With `Last-Event-ID` of ' +
          'the last event, what changed since is told first. `bye` comes before the server ends the stream.',
        response: {
          200: {
            description: 'Events, for as long as the caller listens and may.',
            content: { 'text/event-stream': { schema: z.string() } },
          },
          429: errorSchema,
        },
      },
    },
    async (request, reply) => {
      const { caller } = request;
      requireRoom(streams, caller);
      const out = new PassThrough();
      const stream: Stream = { caller, out };
      const follower = (news: LiveNews) => write(stream, eventsOf(news));
      streams.add(stream);
      out.once('close', () => {
        streams.delete(stream);
        live.leave(caller.merchantId, follower);
      });
      write(stream, `retry: 2000\n${message('ready', {}, null)}`);
      live
        .follow(caller.merchantId, follower, lastToldOf(request.headers['last-event-id']))
        .catch((error) => {
          request.log.warn({ err: error }, 'a stream ended because its events could not be read');
          end(stream);
        });
      return reply.type('text/event-stream; charset=utf-8').header('x-accel-buffering', 'no').send(out);
    },
  );

  /** Ends the streams of those who may listen no longer, and shows all others that we are here. */
  async function beat(): Promise<void> {
    if (streams.size === 0) return;
    const callers = [...streams].map(({ caller }) => caller);
    const standing = await readStanding(deps.db, deps.clock, {
      apiKeyIds: callers.flatMap((caller) => (caller.kind === 'key' ? [caller.apiKeyId] : [])),
      sessionIds: callers.flatMap((caller) => (caller.kind === 'user' ? [caller.sessionId] : [])),
      sessionLifeMs: deps.settings.sessionLifeMs,
    }).catch((error: unknown) => {
      deps.log.warn({ err: error }, 'who listens could not be checked; it is tried again');
      return null;
    });
    for (const stream of streams) {
      if (standing?.has(idOf(stream.caller)) === false) end(stream);
      else write(stream, message('here', {}, null));
    }
  }
}

function requireRoom(streams: ReadonlySet<Stream>, caller: Caller): void {
  const all = [...streams];
  const ofMerchant = all.filter((stream) => stream.caller.merchantId === caller.merchantId);
  const own = ofMerchant.filter((stream) => personOf(stream.caller) === personOf(caller));
  if (all.length < MOST.process && ofMerchant.length < MOST.merchant && own.length < MOST.caller) return;
  throw new ApiError(429, 'too_many_streams', 'Too many streams are open; close one, or try again later.', {
    accepted: `${MOST.caller} of one caller, ${MOST.merchant} of one merchant`,
  });
}

function personOf(caller: Caller): string {
  return caller.kind === 'user' ? caller.userId : caller.apiKeyId;
}

/** What its right to listen hangs on. */
function idOf(caller: Caller): string {
  return caller.kind === 'user' ? caller.sessionId : caller.apiKeyId;
}

function write(stream: Stream, text: string): void {
  if (stream.out.writableEnded || stream.out.destroyed) return;
  stream.out.write(text);
  if (stream.out.writableLength + stream.out.readableLength > MOST_UNREAD_BYTES) stream.out.destroy();
}

function end(stream: Stream): void {
  write(stream, message('bye', {}, null));
  stream.out.end();
}

/** The time up to which nothing was missed; null for a caller who has heard nothing yet, or not from us. */
function lastToldOf(header: string | string[] | undefined): Date | null {
  return typeof header === 'string' && /^\d{1,13}$/.test(header) ? new Date(Number(header)) : null;
}

function eventsOf({ changes, tooMany, upTo }: LiveNews): string {
  const events = changes.map(changeOf);
  if (tooMany) {
    const at = upTo.toISOString();
    events.push({ order_id: null, refund_id: null, kind: 'many', status: null, state: null, seq: 0, at });
  }
  if (events.length === 0) return '';
  const refunds = events.some(({ refund_id, order_id }) => refund_id !== null || order_id === null);
  return [
    ...events.map((event) => message('change', event, upTo)),
    ...(refunds ? [message('counts', {}, upTo)] : []),
  ].join('');
}

function changeOf(change: LiveNews['changes'][number]): z.output<typeof changeEventSchema> {
  const state = change.refundId === null ? null : (change.to as keyof typeof STATES | null);
  return {
    order_id: change.orderId,
    refund_id: change.refundId,
    kind: change.kind,
    status: state && STATES[state].public,
    state,
    seq: change.seq,
    at: change.at.toISOString(),
  };
}

function message(event: string, data: unknown, upTo: Date | null): string {
  return `${upTo ? `id: ${upTo.getTime()}\n` : ''}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

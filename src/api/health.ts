import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { clockApartMs, TOLERATED_APART_MS } from '../lib/database-clock.ts';
import { type DatabaseTrouble, TROUBLES, troubleOf } from '../lib/database-trouble.ts';
import type { Queryable } from '../lib/db.ts';
import type { ApiDeps } from './deps.ts';

const ANSWER_WITHIN_MS = 2_000;
const REMEMBERED_MS = 15_000;
/** An answer is as good for whoever asks in the next moment: strangers may ask as often as they like. */
const SHARED_MS = 200;

const health = z.object({
  status: z.enum(['ok', 'failing']),
  database: z.enum(['reachable', ...(Object.keys(TROUBLES) as DatabaseTrouble[])]),
  clock: z.literal('wrong').optional(),
  books: z.literal('in_doubt').optional(),
});

/**
 * Whether this process can do its work now: 200, or 503 with what is wrong in a word. Needs no key. A full disk shows
 * only when something is written, so a request that met one is remembered for some seconds.
 */
export function serveHealth(app: FastifyInstance, deps: ApiDeps): void {
  let fullAtMs = Number.NEGATIVE_INFINITY;
  app.addHook('onError', async (_request, _reply, error) => {
    if (troubleOf(error) === 'full') fullAtMs = performance.now();
  });
  app.addHook('onResponse', async (request, reply) => {
    if (request.method === 'POST' && reply.statusCode < 300) fullAtMs = Number.NEGATIVE_INFINITY;
  });
  let asked: { readonly atMs: number; readonly seen: Promise<Seen> } | null = null;
  const look = () => {
    const atMs = performance.now();
    if (asked === null || atMs - asked.atMs >= SHARED_MS) asked = { atMs, seen: askDatabase(deps) };
    return asked.seen;
  };
  app.get(
    '/health',
    {
      schema: {
        tags: ['Operation'],
        summary: 'Whether this process can do its work',
        security: [],
        response: { 200: health, 503: health },
      },
    },
    async (_request, reply) => {
      const { database, apartMs, inDoubt } = await look();
      const clockIsWrong = apartMs > TOLERATED_APART_MS;
      const seen =
        database === 'reachable' && performance.now() - fullAtMs < REMEMBERED_MS ? 'full' : database;
      if (seen === 'reachable' && !clockIsWrong && !inDoubt) return { status: 'ok' as const, database: seen };
      return reply.code(503).send({
        status: 'failing',
        database: seen,
        ...(clockIsWrong && { clock: 'wrong' as const }),
        ...(inDoubt && { books: 'in_doubt' as const }),
      });
    },
  );
}

interface Seen {
  readonly database: 'reachable' | DatabaseTrouble;
  readonly apartMs: number;
  readonly inDoubt: boolean;
}

async function askDatabase({ db, clock, engine }: ApiDeps): Promise<Seen> {
  const nothingMore = { apartMs: 0, inDoubt: false };
  const { promise: late, resolve } = Promise.withResolvers<Seen>();
  const timer = setTimeout(() => resolve({ database: 'slow', ...nothingMore }), ANSWER_WITHIN_MS);
  const asked = Promise.all([clockApartMs(db, clock), requireWritable(db), engine.booksInDoubt?.()]).then(
    ([apartMs, , inDoubt]): Seen => ({ database: 'reachable', apartMs, inDoubt: inDoubt === true }),
    (error: unknown): Seen => ({ database: troubleOf(error) ?? 'unreachable', ...nothingMore }),
  );
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}

/**
 * Fails where the database takes no changes, as a change itself would, and so lets go of a connection to a server that
 * has been replaced. It makes no change: anybody may ask.
 */
async function requireWritable(db: Queryable): Promise<void> {
  await db.query(`do $$ begin
    if current_setting('transaction_read_only')::boolean then
      raise exception using errcode = 'read_only_sql_transaction';
    end if;
  end $$`);
}

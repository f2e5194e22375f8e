import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply } from 'fastify';

/** Answers with a file that is made while the client reads it. */
export type SendFile = (
  reply: FastifyReply,
  file: { readonly name: string; readonly type: string; readonly bom?: boolean },
  parts: AsyncIterable<string | Buffer>,
) => FastifyReply;

export const CSV = 'text/csv; charset=utf-8';

/** A file that the server's end cuts off ends in the middle, which the client is told by its connection. */
export function createFileSender(app: FastifyInstance): SendFile {
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });

  async function* whole(
    bom: boolean,
    parts: AsyncIterable<string | Buffer>,
  ): AsyncGenerator<string | Buffer> {
    if (bom) yield '\uFEFF';
    for await (const part of parts) {
      yield part;
      if (closing) throw new Error('the server is stopping in the middle of a file');
    }
  }

  return (reply, { name, type, bom = false }, parts) => {
    reply.header('content-type', type);
    reply.header('content-disposition', dispositionOf(name));
    return reply.send(Readable.from(whole(bom, parts), { objectMode: false, highWaterMark: 1 }));
  };
}

/** RFC 6266: with a plain name for who does not read the other. */
function dispositionOf(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%;/]/g, '_');
  if (plain === name) return `attachment; filename="${name}"`;
  const coded = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${coded}`;
}

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply } from 'fastify';

/** Where `npm run build` puts the page. */
const BUILT = join(import.meta.dirname, '../../dist/dashboard');

/**
 * The first words of the page's addresses; what comes after is the page's own affair. They stay clear of the contract's
 * (`/orders`, `/refunds` …), which answer programs.
 */
const PAGES = [
  'operations',
  'batch',
  'approvals',
  'developers',
  'settings',
  'account',
  'sign-in',
  'join',
  'reset',
];

const NOT_BUILT =
  '<!doctype html><title>Refundry</title><p>The dashboard has not been built. Run <code>npm run build</code>, then reload. ' +
  'The API and its <a href="/docs">reference</a> work without it.';

/**
 * The dashboard's page at `/` and below. Scripts come from our own address only and none stands in the page; a style
 * needs this answer's nonce. The built files never change under their names, so they are kept for a year.
 */
export async function serveDashboard(app: FastifyInstance): Promise<void> {
  const index = join(BUILT, 'index.html');
  const sendPage = async (reply: FastifyReply) => {
    // Each time anew: after a build, the files that it names are others.
    const page = await readFile(index, 'utf8').catch(() => null);
    const nonce = randomBytes(18).toString('base64');
    return reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', policy(nonce))
      .header('cache-control', 'no-store')
      .send(page === null ? NOT_BUILT : page.replace('%STYLE_NONCE%', nonce));
  };
  const hidden = { schema: { hide: true } };
  app.get('/', hidden, async (_request, reply) => sendPage(reply));
  for (const name of PAGES) {
    app.get(`/${name}`, hidden, async (_request, reply) => sendPage(reply));
    app.get(`/${name}/*`, hidden, async (_request, reply) => sendPage(reply));
  }
  if (!existsSync(index)) return;
  await app.register(fastifyStatic, {
    root: join(BUILT, 'assets'),
    prefix: '/assets/',
    preCompressed: true,
    immutable: true,
    maxAge: '365d',
    index: false,
    decorateReply: true,
    schemaHide: true,
  });
  for (const file of ['favicon.svg', 'colours.js']) {
    app.get(`/${file}`, hidden, async (_request, reply) =>
      reply.sendFile(file, BUILT, { maxAge: '1h', immutable: false }),
    );
  }
}

function policy(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ');
}

import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { programVersion } from '../lib/version.ts';
import type { ApiDeps } from './deps.ts';
import { speaksContract } from './error-answers.ts';
import { errorSchema } from './errors.ts';
import { contractErrorSchema } from './juspay/schemas.ts';

/**
 * OpenAPI 3.1 from the routes' own schemas, as a page and as a file. The page asks nobody but us. What is answered to
 * every request that cannot be served is added here; routes name only the refusals of their own.
 */
export async function serveDocs(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Refundry',
        version: programVersion(),
        description:
          'Refunds in, sent to the payment gateway, followed to the end. The routes without `/v1` are those that ' +
          "Juspay's merchants already call, in the same words; `/v1` is our own.",
      },
      servers: [{ url: deps.settings.publicUrl }],
      tags: TAGS,
      components: {
        securitySchemes: {
          apiKey: {
            type: 'http',
            scheme: 'basic',
            description: 'The API key as the user name; no password.',
          },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: 'refundry.session_token',
            description:
              "A person's session in the dashboard. What changes something needs `x-refundry: dashboard`.",
          },
        },
      },
      security: [{ apiKey: [] }, { session: [] }],
    },
    transform: (document) => {
      const { schema } = document;
      const whole =
        schema && !schema.hide ? { ...schema, response: answersOf(document.url, schema) } : schema;
      return jsonSchemaTransform({ ...document, schema: whole });
    },
    transformObject: (document) => tidied(jsonSchemaTransformObject(document)),
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP:
      "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
      "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    uiConfig: { deepLinking: true, defaultModelsExpandDepth: -1, docExpansion: 'list' },
    theme: { title: 'Refundry API', css: [{ filename: 'refundry.css', content: ONE_DOCUMENT }] },
    logo: { type: 'image/svg+xml', content: Buffer.from(WORDMARK), href: '/docs' },
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

/** In the order in which a newcomer needs them. */
const TAGS = [
  { name: 'Refunds', description: 'Made, followed, cancelled, and settled by a person.' },
  { name: 'Orders', description: 'What was paid, as your shop tells it, and what is left to refund.' },
  { name: 'Webhooks', description: 'Where you are told, and what was brought there.' },
  { name: 'Gateways', description: 'Your accounts at payment gateways.' },
  { name: 'Live', description: 'What changes, as it changes.' },
  { name: 'API keys', description: 'Made, listed, revoked.' },
  { name: 'Requests', description: 'Who asked what with which answer.' },
  { name: 'Views', description: 'Filters of lists, kept under a name.' },
  { name: 'Settings', description: 'What your merchant decides for itself.' },
  { name: 'Sign-in', description: 'How people come in, and what they change about themselves.' },
  { name: 'Team', description: 'Who may do what.' },
  { name: 'Juspay-compatible', description: "The routes that Juspay's merchants already call." },
  { name: 'Operation', description: 'For those who run Refundry.' },
];

/** The page shows this server's document; no field asks for the address of another. */
const ONE_DOCUMENT =
  '.swagger-ui .topbar .download-url-wrapper .download-url-input, .swagger-ui .topbar .download-url-button { display: none }';

const WORDMARK =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 170 40"><text x="0" y="29" font-size="30" ' +
  'font-family="Inter, system-ui, sans-serif" font-weight="600" fill="#fff">Refundry</text></svg>';

const MEANINGS: Readonly<Record<string, string>> = {
  400: 'The request cannot be understood; the message names the field.',
  401: "The key is missing, unknown or revoked, or is not this merchant's; or nobody is signed in.",
  403: 'The caller may not do this; the message says who may.',
  404: 'It is not there, or is not yours.',
  409: 'It contradicts how things are; nothing was changed.',
  413: 'The body is too large.',
  415: 'The body is of a type that is not read here.',
  429: 'Too many tries or requests; try again after `Retry-After`.',
  503: 'The database cannot be reached; try again after `Retry-After`.',
};

/** The answers that a route names and those that every route of its kind gives, each with what it means. */
function answersOf(url: string, schema: FastifySchema): Record<string, unknown> {
  const named = schema.response as Record<string, unknown>;
  const refused = speaksContract(url) ? contractErrorSchema : errorSchema;
  const takes = schema.body || schema.querystring || schema.params;
  const common =
    schema.security?.length === 0
      ? []
      : [
          ...(takes ? [400] : []),
          401,
          ...(speaksContract(url) ? [] : [403]),
          ...(schema.body ? [413, 415] : []),
          429,
          503,
        ];
  const all = { ...Object.fromEntries(common.map((status) => [status, refused])), ...named };
  return Object.fromEntries(
    Object.entries(all).map(([status, answer]) => [
      status,
      answer instanceof z.ZodType && !(answer instanceof z.ZodNull)
        ? {
            description: MEANINGS[status] ?? answer.description ?? 'As asked.',
            content: { 'application/json': { schema: answer } },
          }
        : answer,
    ]),
  );
}

/** That an integer is one that JavaScript can hold says nothing to a reader, and makes examples of it. */
function withoutLimits(key: string, value: unknown): unknown {
  const isLimit = key === 'minimum' || key === 'maximum';
  return isLimit && Math.abs(value as number) === Number.MAX_SAFE_INTEGER ? undefined : value;
}

type Document = ReturnType<typeof jsonSchemaTransformObject>;

const REFERENCE = /"#\/components\/schemas\/(\w+)"/g;

/**
 * Shared schemas come twice: as what is answered and, with `Input` behind the name, as what is taken. Those that
 * nothing refers to are left out, and a name that is not needed twice is a plain one.
 */
function tidied(document: Document): Document {
  const { components = {}, paths } = document as Document & {
    components?: { schemas?: object };
    paths: object;
  };
  const schemas = new Map<string, unknown>(Object.entries(components.schemas ?? {}));
  const used = new Set<string>();
  const visit = (part: unknown) => {
    for (const [, name = ''] of JSON.stringify(part).matchAll(REFERENCE)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(schemas.get(name));
    }
  };
  visit(paths);
  const plain = (name: string) => {
    const short = name.replace(/Input$/, '');
    return used.has(short) ? name : short;
  };
  const kept = Object.fromEntries([...used].sort().map((name) => [plain(name), schemas.get(name)]));
  const whole = JSON.stringify({ ...document, components: { ...components, schemas: kept } }, withoutLimits);
  return JSON.parse(whole.replaceAll(REFERENCE, (_, name) => `"#/components/schemas/${plain(name)}"`));
}

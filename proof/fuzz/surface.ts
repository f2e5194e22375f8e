import { z } from 'zod';

/** A part of a JSON Schema, as the OpenAPI document has it. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly format?: string;
}

/** An address with a method, as the OpenAPI document describes it. */
export interface Route {
  readonly method: string;
  readonly path: string;
  readonly params: readonly string[];
  readonly query: Readonly<Record<string, Schema>>;
  /** Null where none is documented. */
  readonly body: { readonly types: readonly string[]; readonly schema: Schema } | null;
  /** What may be answered, by status and media type. */
  readonly answers: ReadonlyMap<string, z.ZodType>;
  /** Whether it answers callers without a key. */
  readonly open: boolean;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly name: string; readonly schema?: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: Schema }>> };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }>
  >;
  readonly security?: readonly unknown[];
}

/** Every route of a running server. */
export async function readSurface(url: string): Promise<Route[]> {
  const written: unknown = await (await fetch(`${url}/openapi.json`)).json();
  const document = inlined(written, written) as Document;
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => routeOf(method.toUpperCase(), path, operation)),
  );
  // An answer that goes on for as long as somebody listens is none that could be judged.
  return routes.filter((route) => !route.answers.has('200 text/event-stream'));
}

/** The same without references: each is replaced by what it leads to. */
function inlined(value: unknown, root: unknown): unknown {
  if (Array.isArray(value)) return value.map((entry) => inlined(entry, root));
  if (typeof value !== 'object' || value === null) return value;
  const reference = (value as { readonly $ref?: unknown }).$ref;
  if (typeof reference === 'string') {
    const steps = reference.replace('#/', '').split('/');
    return inlined(
      steps.reduce((here, step) => (here as Record<string, unknown>)[step], root),
      root,
    );
  }
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, inlined(inner, root)]));
}

function routeOf(method: string, path: string, operation: Operation): Route {
  const parameters = operation.parameters ?? [];
  const content = operation.requestBody?.content;
  return {
    method,
    path,
    params: [...path.matchAll(/\{([^}]+)\}/g)].map((found) => found[1]!),
    query: Object.fromEntries(
      parameters.filter((one) => one.in === 'query').map((one) => [one.name, one.schema ?? {}]),
    ),
    body: content ? { types: Object.keys(content), schema: Object.values(content)[0]!.schema ?? {} } : null,
    answers: new Map(
      Object.entries(operation.responses).flatMap(([status, answer]) =>
        Object.entries(answer.content ?? { none: {} }).map(([type, { schema }]): [string, z.ZodType] => [
          `${status} ${type}`,
          schema ? z.fromJSONSchema(schema as z.core.JSONSchema.BaseSchema) : z.unknown(),
        ]),
      ),
    ),
    open: operation.security?.length === 0,
  };
}

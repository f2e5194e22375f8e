import { type Answer, call, type TestApi } from './api.ts';

/** The OpenAPI document of a running server, with every shared schema put where it is referred to. */
export async function readOpenApi(api: TestApi): Promise<Answer['body']> {
  const { body } = await call(api, '/openapi.json', { as: null });
  const inlined = (part: unknown): unknown => {
    if (typeof part !== 'object' || part === null) return part;
    if (Array.isArray(part)) return part.map(inlined);
    const name = /^#\/components\/schemas\/(\w+)$/.exec((part as { $ref?: string }).$ref ?? '')?.[1];
    if (name !== undefined) return inlined(body.components.schemas[name]);
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, inlined(value)]));
  };
  return { ...body, paths: inlined(body.paths) };
}

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { mayRole } from '../../access/roles.ts';
import { deleteView, listViews, MAX_VIEWS, readView, type SavedView, saveView } from '../../access/views.ts';
import {
  type VIEW_PAGES,
  viewBodySchema,
  viewFilterSchema,
  viewListSchema,
  viewParamsSchema,
  viewSchema,
} from '../contract/views.ts';
import type { ApiDeps, Caller } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { callerName } from '../record-access.ts';

/** Saved views of the lists of orders and refunds. */
export async function viewRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  // Views are a convenience of whoever reads lists; what is shared is guarded below.
  const config = { permission: 'orders.read' } as const;
  const tags = ['Views'];

  app.get(
    '/v1/views',
    {
      config,
      schema: {
        tags,
        summary: 'List your saved views and the shared ones',
        querystring: viewFilterSchema,
        response: { 200: viewListSchema },
      },
    },
    async ({ caller, query }) => {
      const of = { madeById: idOf(caller), page: query.page ?? null };
      const found = await listViews(deps.db, caller.merchantId, of);
      return { views: found.map((view) => viewOf(view, caller)) };
    },
  );

  app.put(
    '/v1/views/:view_id',
    {
      config,
      schema: {
        tags,
        summary: 'Make a view, or replace one',
        description: 'A view that everybody has is made, changed and removed by operations and admins only.',
        params: viewParamsSchema,
        body: viewBodySchema,
        response: { 200: viewSchema, 403: errorSchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async ({ caller, params, body }) => {
      const held = await readView(deps.db, caller.merchantId, params.view_id);
      requireRight(caller, held, body.shared);
      const saved = await saveView(deps.db, deps.clock, {
        merchantId: caller.merchantId,
        viewId: params.view_id,
        madeById: held?.madeById ?? idOf(caller),
        madeBy: held?.madeBy ?? callerName(caller),
        name: body.name,
        page: body.page,
        query: body.query,
        columns: body.columns ?? null,
        shared: body.shared,
      });
      if (saved === 'too_many') {
        throw new ApiError(
          409,
          'too_many_views',
          `You keep ${MAX_VIEWS} views, which is the most there can be.`,
          {
            accepted: 'fewer: remove one, or replace one',
          },
        );
      }
      return viewOf(saved, caller);
    },
  );

  app.delete(
    '/v1/views/:view_id',
    {
      config,
      schema: {
        tags,
        summary: 'Remove a view',
        params: viewParamsSchema,
        response: { 204: z.null().describe('Removed.'), 403: errorSchema, 404: errorSchema },
      },
    },
    async ({ caller, params }, reply) => {
      const held = await readView(deps.db, caller.merchantId, params.view_id);
      if (!held) throw viewNotFound();
      requireRight(caller, held, held.shared);
      await deleteView(deps.db, caller.merchantId, params.view_id);
      return reply.code(204).send(null);
    },
  );
}

/** One's own are one's own affair; another's private one is as absent as one that never was. */
function requireRight(caller: Caller, held: SavedView | null, shared: boolean): void {
  if (held && !held.shared && held.madeById !== idOf(caller)) throw viewNotFound();
  if (!(shared || held?.shared)) return;
  if (caller.kind === 'user' && !mayRole(caller.role, 'orders.write')) {
    throw new ApiError(403, 'forbidden', `Your role (${caller.role}) may not change what everybody sees.`, {
      field: 'shared',
      accepted: 'operations or admin; or a view of your own, with "shared": false',
    });
  }
}

function idOf(caller: Caller): string {
  return caller.kind === 'user' ? caller.userId : caller.apiKeyId;
}

function viewOf(view: SavedView, caller: Caller): z.output<typeof viewSchema> {
  return {
    view_id: view.viewId,
    name: view.name,
    page: view.page as (typeof VIEW_PAGES)[number],
    query: view.query,
    columns: view.columns && [...view.columns],
    shared: view.shared,
    mine: view.madeById === idOf(caller),
    made_by: view.madeBy,
    updated_at: view.updatedAt.toISOString(),
  };
}

function viewNotFound(): ApiError {
  return new ApiError(404, 'view_not_found', 'There is no view of yours with this id.', { field: 'view_id' });
}

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { readMerchant } from '../../access/merchants.ts';
import { STAND_IN_DAYS } from '../../access/second-person.ts';
import {
  ALONE_HOURS,
  type AskedBy,
  askForSettings,
  type ChangeDecision,
  confirmChange,
  LAPSES_AFTER_DAYS,
  listWaiting,
  stopChange,
} from '../../access/waiting-changes.ts';
import {
  merchantSchema,
  merchantSettingsChangesSchema,
  waitingChangeParamsSchema,
} from '../contract/settings.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { callerName } from '../record-access.ts';

/** What the calling merchant may decide for itself. Other processes follow within five seconds. */
export async function settingsRoutes(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const about = { tags: ['Settings'] };

  routes.get(
    '/v1/settings',
    {
      config: { permission: 'settings.read' },
      schema: { ...about, summary: "Your merchant's settings", response: { 200: merchantSchema } },
    },
    ({ caller }) => shown(deps, caller.merchantId),
  );

  routes.patch(
    '/v1/settings',
    {
      config: { permission: 'settings.manage' },
      schema: {
        ...about,
        summary: "Change your merchant's settings; absent ones stay",
        description:
          'What would turn `batch_approval` or `require_second_factor` off does not hold at once: it stands in `waiting_changes` ' +
          `until another admin confirms it (for ${LAPSES_AFTER_DAYS} days). Where there is no other admin who could, it takes effect ${ALONE_HOURS} hours ` +
          'later by itself. Until then it can be stopped.',
        body: merchantSettingsChangesSchema,
        response: { 200: merchantSchema },
      },
    },
    async (request) => {
      const { body } = request;
      const changes = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
      await askForSettings(deps, askedBy(request), changes);
      return shown(deps, request.caller.merchantId);
    },
  );

  routes.post(
    '/v1/settings/waiting/:change_id/confirm',
    {
      config: { permission: 'settings.confirm' },
      schema: {
        ...about,
        summary: 'Confirm a waiting change as its second person',
        description:
          'For another admin than who asked for it: nor who made the key that asked, nor who came in lately by a link of theirs.',
        params: waitingChangeParamsSchema,
        response: { 200: merchantSchema, 403: errorSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const asked = askedBy(request);
      refuse(await confirmChange(deps, asked, request.params.change_id));
      return shown(deps, asked.merchantId);
    },
  );

  routes.post(
    '/v1/settings/waiting/:change_id/stop',
    {
      config: { permission: 'settings.stop' },
      schema: {
        ...about,
        summary: 'Stop a waiting change: the setting stays as it is',
        params: waitingChangeParamsSchema,
        response: { 200: merchantSchema, 404: errorSchema },
      },
    },
    async (request) => {
      refuse(await stopChange(deps, askedBy(request), request.params.change_id));
      return shown(deps, request.caller.merchantId);
    },
  );
}

function askedBy({ caller, id }: FastifyRequest): AskedBy {
  const by = caller.kind === 'user' ? caller.userId : caller.apiKeyId;
  const { merchantId, kind } = caller;
  return { merchantId, kind, id: by, name: callerName(caller), requestId: id };
}

function refuse(decision: ChangeDecision): void {
  if (decision === 'not_found') {
    throw new ApiError(404, 'waiting_change_not_found', 'No change with this id waits.', {
      field: 'change_id',
      accepted:
        'an id from waiting_changes of GET /v1/settings; one that was stopped or lapsed is asked for anew',
    });
  }
  if (decision === 'same_person') {
    throw new ApiError(
      403,
      'same_person',
      'You asked for it yourself, or count as the one who did: nothing is changed until another person confirms it.',
      {
        accepted: `another admin, who neither asked for it, nor made the key that asked, nor came in by a link of the asker within ${STAND_IN_DAYS} days`,
      },
    );
  }
}

async function shown(deps: ApiDeps, merchantId: string): Promise<z.output<typeof merchantSchema>> {
  const [found, waiting] = await Promise.all([
    readMerchant(deps.db, merchantId),
    listWaiting(deps.db, merchantId, deps.clock.now()),
  ]);
  if (!found) throw new ApiError(404, 'merchant_not_found', 'The merchant of this key is gone.');
  return {
    merchant_id: found.merchantId,
    name: found.name,
    settings: found.settings,
    waiting_changes: waiting.map((change) => ({
      change_id: change.changeId,
      changes: change.changes,
      asked_by: change.askedBy,
      asked_at: change.askedAt.toISOString(),
      takes_effect_at: change.takesEffectAt?.toISOString() ?? null,
      lapses_at: change.lapsesAt.toISOString(),
    })),
  };
}

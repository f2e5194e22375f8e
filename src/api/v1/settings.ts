import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { changeMerchantSettings, type Merchant, readMerchant } from '../../access/merchants.ts';
import { merchantSchema, merchantSettingsChangesSchema } from '../contract/settings.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError } from '../errors.ts';
import { recordAccess } from '../record-access.ts';

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
    async ({ caller }) => shown(await readMerchant(deps.db, caller.merchantId)),
  );

  routes.patch(
    '/v1/settings',
    {
      config: { permission: 'settings.manage' },
      schema: {
        ...about,
        summary: "Change your merchant's settings; absent ones stay",
        body: merchantSettingsChangesSchema,
        response: { 200: merchantSchema },
      },
    },
    async ({ caller, body, id }) => {
      const changes = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
      const changed = await deps.db.transaction(async (tx) => {
        const merchant = await changeMerchantSettings(tx, caller.merchantId, changes);
        await recordAccess({ db: tx, clock: deps.clock }, { caller, id }, 'settings_changed', changes);
        return merchant;
      });
      return shown(changed);
    },
  );
}

function shown(found: Merchant | null): z.output<typeof merchantSchema> {
  if (!found) throw new ApiError(404, 'merchant_not_found', 'The merchant of this key is gone.');
  return { merchant_id: found.merchantId, name: found.name, settings: found.settings };
}

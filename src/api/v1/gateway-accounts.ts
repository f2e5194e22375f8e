import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import {
  type AccountRefusal,
  type AccountResult,
  chooseGatewayAccount,
  createGatewayAccount,
  type GatewayAccount,
  type LearntIdentity,
  learnIdentity,
  listGatewayAccounts,
  openGatewayAccess,
  readGatewayAccount,
  readSomePayment,
  updateGatewayAccount,
} from '../../gateways/accounts.ts';
import type { AccessCheck, Gateway } from '../../gateways/gateway.ts';
import { readCallsTaken } from '../../gateways/health.ts';
import { type Hold, readHolds, releaseHold } from '../../refunds/holds.ts';
import { countPending } from '../../refunds/pending.ts';
import {
  gatewayAccountChangesSchema,
  gatewayAccountListSchema,
  gatewayAccountParamsSchema,
  gatewayAccountReleaseSchema,
  gatewayAccountSchema,
  gatewayAccountTestSchema,
  gatewayListSchema,
  type gatewaySchema,
  newGatewayAccountSchema,
} from '../contract/gateway-accounts.ts';
import type { ApiDeps } from '../deps.ts';
import { ApiError, errorSchema } from '../errors.ts';
import { callerName, recordAccess } from '../record-access.ts';

const tags = ['Gateways'];

/** Gateways and the merchant's accounts at them. */
export async function gatewayAccountRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const viewAll = async (merchantId: string, accounts: readonly GatewayAccount[]) => {
    const ids = accounts.map((account) => account.gatewayAccountId);
    const [taken, pending, holds] = await Promise.all([
      readCallsTaken(deps.db, deps.clock, ids),
      countPending(deps.db, ids),
      readHolds(deps.db, merchantId, ids),
    ]);
    return accounts.map((account) => {
      const { gatewayAccountId: id } = account;
      return accountView(account, {
        webhookUrl: deps.engine.webhookUrlOf(id),
        callsTaken: taken.get(id) ?? 0,
        pending: pending.get(id) ?? 0,
        hold: holds.get(id) ?? null,
      });
    });
  };
  const view = async (account: GatewayAccount) => (await viewAll(account.merchantId, [account]))[0]!;
  const viewOf = (result: AccountResult) => {
    if (!result.ok) throw refusalError(result.refusal);
    return view(result.account);
  };

  /** A new account, another name or a switch may decide where payments lie that name no account: never without a trace. */
  const recordMove = async (request: FastifyRequest, gateway: string, before: readonly GatewayAccount[]) => {
    const after = await listGatewayAccounts(deps.db, request.caller.merchantId);
    const [from, to] = [before, after].map((accounts) => {
      const chosen = chooseGatewayAccount(accounts, gateway, null);
      return typeof chosen === 'string' ? null : chosen;
    });
    if (from?.gatewayAccountId === to?.gatewayAccountId) return;
    const shownOf = (account: GatewayAccount | null | undefined) =>
      account ? { gateway_account_id: account.gatewayAccountId, name: account.name } : null;
    await recordAccess(deps, request, 'unnamed_payments_moved', {
      gateway,
      from: shownOf(from),
      to: shownOf(to),
    });
  };

  app.get(
    '/v1/gateways',
    {
      config: { permission: 'gateways.read' },
      schema: {
        tags,
        summary: 'The gateways this Refundry speaks to',
        response: { 200: gatewayListSchema },
      },
    },
    async () => ({ gateways: [...deps.gateways.values()].map(gatewayView) }),
  );

  app.post(
    '/v1/gateway-accounts',
    {
      config: { permission: 'gateways.manage' },
      schema: {
        tags,
        summary: 'Add an account at a gateway',
        body: newGatewayAccountSchema,
        response: { 201: gatewayAccountSchema, 409: errorSchema },
      },
    },
    async (request, reply) => {
      const { gateway, name, base_url, credentials, max_concurrent, max_per_second } = request.body;
      const before = await listGatewayAccounts(deps.db, request.caller.merchantId);
      const result = await createGatewayAccount(
        deps,
        {
          merchantId: request.caller.merchantId,
          gateway,
          name,
          baseUrl: base_url,
          credentials,
          maxConcurrent: max_concurrent,
          maxPerSecond: max_per_second,
        },
        {
          allowPrivateAddresses: deps.settings.allowPrivateWebhooks,
          allowOtherHosts: deps.settings.allowOtherGatewayHosts,
        },
      );
      const shown = await viewOf(result);
      request.log.info(
        { merchant_id: request.caller.merchantId, gateway_account_id: shown.gateway_account_id, gateway },
        'gateway account added',
      );
      const { gateway_account_id } = shown;
      await recordAccess(deps, request, 'gateway_account_made', {
        gateway_account_id,
        gateway,
        name: shown.name,
        base_url: shown.base_url,
      });
      await recordMove(request, gateway, before);
      return reply.code(201).send(shown);
    },
  );

  app.get(
    '/v1/gateway-accounts',
    {
      config: { permission: 'gateways.read' },
      schema: {
        tags,
        summary: 'List the accounts at gateways',
        response: { 200: gatewayAccountListSchema },
      },
    },
    async (request) => ({
      gateway_accounts: await viewAll(
        request.caller.merchantId,
        await listGatewayAccounts(deps.db, request.caller.merchantId),
      ),
    }),
  );

  app.get(
    '/v1/gateway-accounts/:gateway_account_id',
    {
      config: { permission: 'gateways.read' },
      schema: {
        tags,
        summary: 'Read one account',
        params: gatewayAccountParamsSchema,
        response: { 200: gatewayAccountSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const shown = await readGatewayAccount(deps.db, merchantId, request.params.gateway_account_id);
      if (!shown) throw notFound();
      return view(shown);
    },
  );

  app.patch(
    '/v1/gateway-accounts/:gateway_account_id',
    {
      config: { permission: 'gateways.manage' },
      schema: {
        tags,
        summary: 'Rotate credentials, switch on or off, change limits',
        params: gatewayAccountParamsSchema,
        body: gatewayAccountChangesSchema,
        response: { 200: gatewayAccountSchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const { name, enabled, credentials, max_concurrent, max_per_second } = request.body;
      const { merchantId } = request.caller;
      const { gateway_account_id } = request.params;
      const before = await listGatewayAccounts(deps.db, merchantId);
      const result = await updateGatewayAccount(deps, merchantId, gateway_account_id, {
        name,
        enabled,
        credentials,
        maxConcurrent: max_concurrent,
        maxPerSecond: max_per_second,
      });
      const shown = await viewOf(result);
      const changed = [...Object.keys(request.body), ...Object.keys(credentials ?? {})];
      request.log.info({ merchant_id: merchantId, gateway_account_id, changed }, 'gateway account changed');
      const about = { gateway_account_id, gateway: shown.gateway, name: shown.name };
      const isIt = (account: GatewayAccount) => account.gatewayAccountId === gateway_account_id;
      await recordAccess(deps, request, 'gateway_account_changed', {
        ...about,
        changed,
        ...(enabled !== undefined && { enabled }),
        ...(name !== undefined && { name_before: before.find(isIt)?.name }),
      });
      await recordMove(request, shown.gateway, before);
      deps.engine.wake();
      return shown;
    },
  );

  app.post(
    '/v1/gateway-accounts/:gateway_account_id/release',
    {
      config: { permission: 'gateways.manage' },
      schema: {
        tags,
        summary: 'Send through a held account again, having looked',
        description:
          'The account is held because its gateway knows refunds of ours that these books do not. Where books went back in ' +
          'time, `refundry restore --as-of` releases it too, and has each payment asked about first.',
        params: gatewayAccountParamsSchema,
        body: gatewayAccountReleaseSchema,
        response: { 200: gatewayAccountSchema, 404: errorSchema, 409: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const { gateway_account_id } = request.params;
      const { reason, shared = false } = request.body;
      const account = await readGatewayAccount(deps.db, merchantId, gateway_account_id);
      if (!account) throw notFound();
      const released = await releaseHold(
        deps.db,
        deps.clock,
        { merchantId, gatewayAccountId: gateway_account_id },
        { by: callerName(request.caller), reason, shared },
      );
      if (!released) {
        throw new ApiError(
          409,
          'gateway_account_not_held',
          'This gateway account is not held: nothing was changed.',
          {
            field: 'gateway_account_id',
            accepted: 'an account whose "held" is not null',
          },
        );
      }
      request.log.warn(
        { merchant_id: merchantId, gateway_account_id, shared, reason },
        'gateway account released',
      );
      const { gateway, name } = account;
      await recordAccess(deps, request, 'gateway_account_released', {
        gateway_account_id,
        gateway,
        name,
        shared,
        reason,
      });
      deps.engine.wake();
      return view(account);
    },
  );

  app.post(
    '/v1/gateway-accounts/:gateway_account_id/test',
    {
      config: { permission: 'gateways.manage' },
      schema: {
        tags,
        summary: 'Ask the gateway something harmless, and see what comes back',
        description:
          'Tried with the stored credentials, switched on or not. It changes nothing at the gateway.',
        params: gatewayAccountParamsSchema,
        response: { 200: gatewayAccountTestSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const { merchantId } = request.caller;
      const id = request.params.gateway_account_id;
      const account = await readGatewayAccount(deps.db, merchantId, id);
      const gateway = account && deps.gateways.get(account.gateway);
      const opened = gateway && (await openGatewayAccess(deps, id));
      if (!opened) throw notFound();
      const at = deps.clock.now();
      const begunMs = performance.now();
      const { tried, answer } = await gateway.checkAccess(opened.access, deps.gatewayHttp);
      const outcome = answer.kind === 'misconfigured' ? ('refused' as const) : answer.kind;
      const whose = answer.kind === 'works' ? await learnIdentity(deps, id) : null;
      const payment = answer.kind === 'works' ? await tryKnownPayment(deps, gateway, account) : null;
      return {
        outcome,
        tried,
        says: [whatCameBack(gateway, answer), whose && whoseWords(gateway, whose), payment?.says]
          .filter(Boolean)
          .join(' '),
        identity: whose && 'identity' in whose ? whose.identity : null,
        payment: payment && { gateway_payment_id: payment.gatewayPaymentId, known: payment.known },
        answer: { ...answer.evidence },
        duration_ms: Math.round(performance.now() - begunMs),
        at: at.toISOString(),
      };
    },
  );
}

interface TriedPayment {
  readonly gatewayPaymentId: string;
  /** Null: the gateway did not say. */
  readonly known: boolean | null;
  readonly says: string;
}

/** Asks for one of the account's paid payments: credentials that work may still be another account's. */
async function tryKnownPayment(
  deps: ApiDeps,
  gateway: Gateway,
  { merchantId, gatewayAccountId }: GatewayAccount,
): Promise<TriedPayment | null> {
  const payment = gateway.findPayment && (await readSomePayment(deps.db, merchantId, gatewayAccountId));
  // Opened again: what was learnt of the account just now is in it.
  const opened = payment && (await openGatewayAccess(deps, gatewayAccountId));
  const answer = opened && (await gateway.findPayment?.(payment, opened.access, deps.gatewayHttp));
  if (!answer) return null;
  const { gatewayPaymentId } = payment;
  const { label } = gateway;
  const tried = (known: boolean | null, says: string) => ({ gatewayPaymentId, known, says });
  switch (answer.kind) {
    case 'known':
      return tried(true, `It knows ${gatewayPaymentId}, a payment that was told for this account.`);
    case 'unknown':
      return tried(
        false,
        `But it does not know ${gatewayPaymentId}, a payment that was told for this account: either the credentials ` +
          `are of another account at ${label}, or of its other mode (test or live), or the payment was told for the ` +
          'wrong account. Its refunds cannot be made until that is put right.',
      );
    case 'misfit':
      return tried(
        true,
        `But of ${gatewayPaymentId} it says: ${answer.why}. Tell the payment as ${label} has it.`,
      );
    case 'misconfigured':
      return tried(null, `But asked for ${gatewayPaymentId} it refuses: ${sentence(answer.errorMessage)}`);
    default:
      return tried(null, `Whether it knows ${gatewayPaymentId} could not be learnt.`);
  }
}

function whoseWords({ label }: Gateway, whose: LearntIdentity): string {
  switch (whose.kind) {
    case 'another':
      return (
        `But they open ${whose.identity}, and this account is ${whose.before}: enter credentials of ${whose.before}, ` +
        'or add an account for the other one.'
      );
    case 'twice':
      return (
        `They open ${whose.identity}, and so do those of the account ${JSON.stringify(whose.name)}: one payment could ` +
        'be told for both, and refunded twice. Tell new payments for one of them only.'
      );
    case 'not_told':
      return `${label} does not say whose account they open: ${sentence(whose.why)}`;
    default:
      return `They open ${whose.identity}.`;
  }
}

/** The outcome of a test call, with what to do. */
function whatCameBack({ label }: Gateway, answer: AccessCheck['answer']): string {
  switch (answer.kind) {
    case 'works':
      return `${label} accepts the credentials and answers.`;
    case 'misconfigured':
      return `${label} refuses the credentials: ${sentence(answer.errorMessage)} Check them, and what they may do there.`;
    case 'busy':
      return `${label} answers that it is too busy just now. The credentials are not judged; try again in a while.`;
    case 'no_answer':
      return `No usable answer came from ${label}: ${sentence(answer.why)} The credentials are not judged.`;
  }
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** What is well-formed and contradicts how things are. */
const CODES: Partial<Record<AccountRefusal['code'], string>> = {
  name_taken: 'gateway_account_name_taken',
  too_many_accounts: 'too_many_gateway_accounts',
  another_identity: 'another_identity',
  identity_not_told: 'identity_not_told',
  same_identity: 'same_identity',
};

function refusalError(refusal: AccountRefusal): ApiError {
  if (refusal.code === 'not_found') return notFound();
  const code = CODES[refusal.code] ?? refusal.code;
  return new ApiError(CODES[refusal.code] ? 409 : 400, code, refusal.message, {
    field: refusal.field,
    accepted: refusal.accepted,
  });
}

function notFound(): ApiError {
  return new ApiError(404, 'gateway_account_not_found', 'There is no gateway account with this id.', {
    field: 'gateway_account_id',
    accepted: 'an id from GET /v1/gateway-accounts',
  });
}

function accountView(
  shown: GatewayAccount,
  now: {
    readonly webhookUrl: string;
    readonly callsTaken: number;
    readonly pending: number;
    readonly hold: Hold | null;
  },
): z.infer<typeof gatewayAccountSchema> {
  return {
    gateway_account_id: shown.gatewayAccountId,
    gateway: shown.gateway,
    name: shown.name,
    base_url: shown.baseUrl,
    credentials: { ...shown.shownCredentials },
    identity: shown.identity,
    enabled: shown.enabled,
    max_concurrent: shown.maxConcurrent,
    max_per_second: shown.maxPerSecond,
    webhook_url: now.webhookUrl,
    health: {
      failures_in_a_row: shown.failuresInARow,
      paused_until: shown.openUntil?.toISOString() ?? null,
      last_error: shown.lastError,
      last_error_at: shown.lastErrorAt?.toISOString() ?? null,
      refusals_in_a_row: shown.refusalsInARow,
      webhook_rejected_at: shown.webhooksRejectedAt?.toISOString() ?? null,
      webhook_rejected_because: shown.webhooksRejectedWhy,
      calls_in_last_second: now.callsTaken,
      pending_refunds: now.pending,
    },
    held: now.hold && {
      since: now.hold.heldAt.toISOString(),
      why: now.hold.why,
      refunds: now.hold.strangers.map((stranger) => ({
        refund_id: stranger.refundId,
        gateway_refund_id: stranger.gatewayRefundId,
        gateway_payment_id: stranger.gatewayPaymentId,
        heard_at: stranger.heardAt.toISOString(),
      })),
    },
    created_at: shown.createdAt.toISOString(),
    updated_at: shown.updatedAt.toISOString(),
  };
}

function gatewayView(gateway: Gateway): z.infer<typeof gatewaySchema> {
  const { capabilities } = gateway;
  return {
    gateway: gateway.name,
    label: gateway.label,
    gateway_id: gateway.gatewayId,
    base_url: gateway.defaultBaseUrl,
    docs_url: gateway.docsUrl,
    moves_real_money: gateway.movesRealMoney,
    credential_fields: gateway.credentialFields.map(({ pattern, lines, ...field }) => ({
      ...field,
      type: !field.secret ? 'text' : lines ? 'secret_lines' : 'secret',
      pattern: pattern ?? null,
    })),
    capabilities: {
      partial_refunds: capabilities.partialRefunds,
      instant_refunds: capabilities.instantRefunds,
      key_life_seconds: capabilities.keyLifeMs === null ? null : capabilities.keyLifeMs / 1000,
      webhook_proof: capabilities.webhookProof,
      max_concurrent: capabilities.maxConcurrent,
      max_per_second: capabilities.maxPerSecond,
    },
    capabilities_say: capabilityWords(capabilities),
  };
}

function capabilityWords(can: Gateway['capabilities']): string[] {
  const proofs = {
    signed: 'Its webhooks are signed: what they say is taken as its word.',
    unsigned: 'Its webhooks are not signed: each makes us ask the gateway.',
    none: 'It sends no webhooks about refunds: outcomes are learnt by asking.',
  };
  return [
    can.partialRefunds
      ? 'A part of a payment can be refunded, several times until nothing is left.'
      : 'Only a whole payment can be refunded, once.',
    can.instantRefunds ? 'Instant refunds are possible.' : 'There are no instant refunds.',
    can.keyLifeMs === null
      ? 'It has no idempotency keys: a refund whose answer was lost is never sent again without proof that it was not made.'
      : `The same refund can safely be sent again for ${hoursWords(can.keyLifeMs)}.`,
    proofs[can.webhookProof],
  ];
}

function hoursWords(ms: number): string {
  const hours = ms / 3_600_000;
  if (hours < 1) return `${Math.floor(ms / 60_000)} minutes`;
  return hours < 48 ? `${Math.floor(hours)} hours` : `${Math.floor(hours / 24)} days`;
}

import type {
  Capabilities,
  CreateAnswer,
  Gateway,
  GatewayAccountAccess,
  GatewayHttp,
  LookAnswer,
  RefundFacts,
} from '../gateways/gateway.ts';
import type { GatewayRegistry } from '../gateways/registry.ts';
import type { Clock } from '../lib/clock.ts';
import type { Database } from '../lib/db.ts';
import type { Logger } from '../lib/log.ts';
import type { Circumstances, Look } from './outcome.ts';
import type { Refund } from './refund.ts';
import type { Restored } from './restored.ts';
import type { WriteChange } from './writer.ts';

/** What the verbs that speak to gateways may reach. Time, chance and the network all come from here. */
export interface EngineDeps {
  readonly db: Database;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** The one way to change a refund that exists. */
  readonly write: WriteChange;
  readonly gateways: GatewayRegistry;
  readonly gatewayHttp: GatewayHttp;
  /** The account's credentials in clear, or null where it does not exist or is switched off. */
  readonly openAccess: (gatewayAccountId: string) => Promise<GatewayAccountAccess | null>;
  /** Where the gateway's webhooks of this account reach us. */
  readonly webhookUrlOf: (gatewayAccountId: string) => string;
  readonly manualReviewAfterMs: number;
  /** Set where these books were restored from a backup not long ago; read anew for each send, for it may happen any time. */
  readonly restored?: Restored | null;
  /** Whether nothing may be sent because the books themselves may have gone back in time. */
  readonly booksInDoubt?: () => Promise<boolean>;
  /** False while the worker has to rest because this process's clock is wrong. */
  readonly clockIsRight?: () => boolean;
  /** The batches of which nothing more may go out for now; none where absent. */
  readonly stoppedBatches?: () => Promise<readonly string[]>;
  /** Tells this process's worker that there may be work. */
  readonly wake: () => void;
}

export function circumstances(
  deps: Pick<EngineDeps, 'clock' | 'random' | 'manualReviewAfterMs'>,
  capabilities: Capabilities,
): Circumstances {
  return {
    now: deps.clock.now(),
    capabilities,
    manualReviewAfterMs: deps.manualReviewAfterMs,
    jitter: deps.random(),
  };
}

export function gatewayOf(deps: EngineDeps, refund: Refund): Gateway {
  const gateway = deps.gateways.get(refund.gateway);
  if (!gateway) throw new Error(`no connector for gateway ${refund.gateway} of refund ${refund.refundId}`);
  return gateway;
}

/** What may be counted on where the connector is gone: nothing. Time, people and webhooks can still settle it. */
const WITHOUT_CONNECTOR: Capabilities = {
  partialRefunds: false,
  instantRefunds: false,
  keyLifeMs: 0,
  absenceProof: null,
  pollDelaysMs: [3_600_000],
  recheckDelaysMs: [],
  lookDelaysMs: [3_600_000],
  resendDelaysMs: [3_600_000],
  maxSends: 0,
  webhookProof: 'none',
  maxConcurrent: 1,
  maxPerSecond: 1,
};

export function capabilitiesOf(deps: Pick<EngineDeps, 'gateways'>, refund: Refund): Capabilities {
  return deps.gateways.get(refund.gateway)?.capabilities ?? WITHOUT_CONNECTOR;
}

export function factsOf(deps: EngineDeps, refund: Refund): RefundFacts {
  return {
    refundId: refund.refundId,
    idempotencyKey: refund.idempotencyKey,
    orderId: refund.orderId,
    gatewayPaymentId: refund.gatewayPaymentId,
    gatewayRefundId: refund.gatewayRefundId,
    amountMinor: refund.amountMinor,
    currency: refund.currency,
    exponent: refund.exponent,
    refundType: refund.refundType,
    reason: refund.reason,
    webhookUrl: deps.webhookUrlOf(refund.gatewayAccountId),
  };
}

/** How long a worker holds a refund: twice the time-out, for connectors that need two calls, and some air. */
export function holdMs(capabilities: Capabilities): number {
  return 2 * answerWithinMs(capabilities) + 5_000;
}

export function answerWithinMs(capabilities: Capabilities): number {
  return capabilities.answerWithinMs ?? 30_000;
}

/** Asks the gateway about a refund. */
export async function askGateway(deps: EngineDeps, refund: Refund): Promise<Look> {
  const noAnswer = (why: string): LookAnswer => ({ kind: 'no_answer', why, answered: false, evidence: {} });
  const access = await deps.openAccess(refund.gatewayAccountId);
  const askedAt = deps.clock.now();
  if (!access) return { answer: noAnswer('the gateway account is switched off'), askedAt, identity: null };
  const gateway = deps.gateways.get(refund.gateway);
  if (!gateway)
    return { answer: noAnswer(`there is no connector for ${refund.gateway}`), askedAt, identity: null };
  const answer = await askSafely(
    deps,
    refund,
    () => gateway.fetchRefund(factsOf(deps, refund), access, timedHttp(deps, gateway.capabilities)),
    noAnswer,
  );
  return { answer, askedAt, identity: access.identity };
}

/** The way out with this gateway's own time-out. */
export function timedHttp(deps: Pick<EngineDeps, 'gatewayHttp'>, capabilities: Capabilities): GatewayHttp {
  return (request) => deps.gatewayHttp({ timeoutMs: answerWithinMs(capabilities), ...request });
}

/** The connector's own errors are our bugs; for the money they are an answer that we do not have. */
export async function askSafely<Answer extends CreateAnswer | LookAnswer>(
  deps: EngineDeps,
  refund: Refund,
  ask: () => Promise<Answer>,
  noAnswer: (why: string) => Answer,
): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    deps.log.error({ err: error, refund_id: refund.refundId }, 'the connector failed');
    return noAnswer(`the connector failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

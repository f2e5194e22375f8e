import { setTimeout } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import type {
  Capabilities,
  CreateAnswer,
  FindAnswer,
  Gateway,
  LookAnswer,
  PreparedRequest,
  RefundFacts,
  RefundNews,
} from '../../src/gateways/gateway.ts';
import type { Loop } from '../../src/lib/loop.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import type { Refund } from '../../src/refunds/refund.ts';
import { readRefund } from '../../src/refunds/store.ts';
import { createRefundWorker } from '../../src/refunds/worker.ts';
import { freshDatabase } from '../support/database.ts';
import { engineDeps, ManualClock, merchantWithAccount, putOrder, refundRequest } from '../support/engine.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

/** A gateway in this process that answers as the test tells it, and notes what reached it. */
export class ModelGateway {
  /** The refunds that were asked for, in this order. */
  readonly asked: RefundFacts[] = [];
  /** The refunds that were asked about. */
  readonly looked: RefundFacts[] = [];
  create: (facts: RefundFacts) => CreateAnswer | Promise<CreateAnswer> = () => unanswered;
  look: (facts: RefundFacts) => LookAnswer | Promise<LookAnswer> = () => absent;
  find: () => FindAnswer = () => ({
    kind: 'no_answer',
    answered: false,
    why: 'not asked for here',
    evidence: {},
  });
  prepare = (facts: RefundFacts): PreparedRequest => ({
    method: 'POST',
    path: '/refunds',
    headers: {},
    body: facts.refundId,
  });
  readonly gateway: Gateway;

  constructor(capabilities: Partial<Capabilities> = {}) {
    this.gateway = {
      name: 'MODEL',
      label: 'Model',
      gatewayId: 77,
      defaultBaseUrl: 'https://gateway.test',
      docsUrl: null,
      movesRealMoney: true,
      credentialFields: [],
      capabilities: {
        partialRefunds: true,
        instantRefunds: false,
        keyLifeMs: 24 * HOUR,
        absenceProof: { answers: 2, spacingMs: MINUTE },
        pollDelaysMs: [10 * MINUTE],
        recheckDelaysMs: [],
        lookDelaysMs: [10_000],
        resendDelaysMs: [10_000],
        maxSends: 3,
        webhookProof: 'signed',
        answerWithinMs: 10_000,
        maxConcurrent: 50,
        maxPerSecond: 10_000,
        ...capabilities,
      },
      prepareRefund: (facts) => this.prepare(facts),
      createRefund: async (_request, facts) => {
        this.asked.push(facts);
        return this.create(facts);
      },
      fetchRefund: async (facts) => {
        this.looked.push(facts);
        return this.look(facts);
      },
      findRefunds: async () => this.find(),
      checkAccess: async () => ({ tried: 'nothing', answer: { kind: 'works', evidence: {} } }),
      identify: async () => ({ kind: 'not_told', why: 'not asked for here' }),
      readWebhook: () => ({ kind: 'rejected', why: 'not asked for here' }),
    };
  }
}

export const unanswered: CreateAnswer = {
  kind: 'unknown',
  answered: false,
  why: 'no answer in time',
  evidence: {},
};
export const absent: LookAnswer = { kind: 'absent', evidence: {} };

export function news(status: RefundNews['status'], changes: Partial<RefundNews> = {}) {
  return {
    kind: 'news' as const,
    news: {
      status,
      gatewayRefundId: 'rf_1',
      gatewayReference: null,
      rawStatus: status,
      errorCode: null,
      errorMessage: null,
      arn: null,
      at: null,
      evidence: { said: status },
      ...changes,
    },
  };
}

/** A webhook that the gateway signed, or one that anybody may have written. */
export function webhook(
  refundId: string,
  said: RefundNews | null,
  kind: 'authentic' | 'unproven' = 'authentic',
) {
  return {
    kind,
    events: [{ eventId: 'evt_1', refundId, gatewayRefundId: null, gatewayPaymentId: null, news: said }],
  };
}

/** An answer that stays away until the test gives it. */
export class Held<Answer> {
  #begin!: () => void;
  give!: (answer: Answer) => void;
  /** Ends when somebody has begun to wait for the answer. */
  readonly begun = new Promise<void>((resolve) => {
    this.#begin = resolve;
  });
  readonly #answer = new Promise<Answer>((resolve) => {
    this.give = resolve;
  });
  wait(): Promise<Answer> {
    this.#begin();
    return this.#answer;
  }
}

export interface Scene {
  readonly deps: EngineDeps;
  readonly clock: ManualClock;
  readonly model: ModelGateway;
  readonly accountId: string;
  readonly account: { readonly merchantId: string; readonly gatewayAccountId: string };
  /** Records a refund of an order of its own, or of one that is there. */
  refund(orderId: string, options?: { amount?: string; key?: string; batchId?: string }): Promise<string>;
  read(refundId: string): Promise<Refund>;
  /** A worker of its own, as a process of its own would have it; ended with the scene. */
  worker(changes?: Partial<EngineDeps>): Loop;
  /** Waits, a step of the clock at a time, until the refund is in this state. */
  becomes(refundId: string, state: Refund['state'], stepMs?: number): Promise<Refund>;
  end(): Promise<void>;
}

export async function scene(
  options: { capabilities?: Partial<Capabilities>; maxConcurrent?: number } = {},
): Promise<Scene> {
  const fresh = await freshDatabase();
  const clock = new ManualClock();
  const model = new ModelGateway(options.capabilities);
  const deps = engineDeps(fresh.db, { clock, gateways: [model.gateway] });
  const { merchantId, accountId } = await merchantWithAccount(fresh.db, options);
  const workers: Loop[] = [];
  const read = async (refundId: string) => (await readRefund(fresh.db, merchantId, refundId))!;
  return {
    deps,
    clock,
    model,
    accountId,
    account: { merchantId, gatewayAccountId: accountId },
    read,
    async refund(orderId, { amount = '4.00', key = orderId, batchId } = {}) {
      await fresh.db.query('select 1 from orders where order_id = $1', [orderId]).then(async (rows) => {
        if (rows.length === 0) await putOrder(fresh.db, { orderId, amountMinor: 10_00 });
      });
      const [outcome] = await recordRefunds(deps, [
        refundRequest({ orderId, uniqueRequestId: key, amount, batchId: batchId ?? null }),
      ]);
      if (!outcome?.ok) throw new Error(`not recorded: ${JSON.stringify(outcome)}`);
      return outcome.refund.refundId;
    },
    worker(changes = {}) {
      const worker = createRefundWorker({ ...deps, ...changes });
      workers.push(worker);
      worker.start();
      return worker;
    },
    becomes(refundId, state, stepMs = 0) {
      return vi.waitFor(
        async () => {
          const refund = await read(refundId);
          if (refund.state !== state) clock.pass(stepMs);
          expect(refund.state).toBe(state);
          return refund;
        },
        { timeout: 20_000, interval: 50 },
      );
    },
    async end() {
      // A test that failed may have left an answer held.
      await Promise.race([Promise.all(workers.map((worker) => worker.stop())), setTimeout(2_000)]);
      await fresh.drop();
    },
  };
}

/** Polls with a generous deadline. */
export function until(check: () => void | Promise<void>): Promise<void> {
  return vi.waitFor(check, { timeout: 20_000, interval: 30 });
}

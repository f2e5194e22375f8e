import { newId } from '../../src/lib/ids.ts';
import type { EngineDeps } from '../../src/refunds/engine.ts';
import { type RefundOutcome, type RefundRequest, recordRefunds } from '../../src/refunds/record.ts';

export type AskedRefund = Pick<RefundRequest, 'merchantId' | 'uniqueRequestId' | 'amount'> & {
  readonly orderId: string;
};

/** A way in for refunds. A new one joins by a row here. */
export interface SimulatedDoor {
  readonly name: string;
  /** An outcome for each, in its place. */
  readonly ask: (deps: EngineDeps, refunds: readonly AskedRefund[]) => Promise<RefundOutcome[]>;
}

export const DOORS: readonly SimulatedDoor[] = [
  {
    name: 'api',
    ask: (deps, refunds) =>
      recordRefunds(
        deps,
        refunds.map((refund) => request(refund, 'api', null)),
      ),
  },
  {
    name: 'batch',
    ask: (deps, refunds) => {
      const batchId = newId();
      return recordRefunds(
        deps,
        refunds.map((refund) => request(refund, 'batch', batchId)),
      );
    },
  },
];

function request(refund: AskedRefund, door: 'api' | 'batch', batchId: string | null): RefundRequest {
  return {
    txnId: null,
    currency: null,
    refundType: 'STANDARD',
    reason: null,
    note: null,
    metadata: {},
    initiatedBy: 'simulation',
    door,
    batchId,
    batchRow: null,
    sameAmountWindowMs: 0,
    expectedRemaining: null,
    cause: { by: 'api', key: 'simulated', request_id: refund.uniqueRequestId },
    ...refund,
  };
}

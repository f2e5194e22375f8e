import { type RefundRequest, recordRefunds } from '../../src/refunds/record.ts';
import type { FilePeople } from './files.ts';
import type { Process } from './process.ts';

export type AskedRefund = Pick<RefundRequest, 'merchantId' | 'uniqueRequestId' | 'amount'> & {
  readonly orderId: string;
  readonly currency: string;
  readonly exponent: number;
};

/** What becomes of one that was asked for, as whoever asked is told. */
export type DoorAnswer =
  | {
      readonly kind: 'accepted';
      readonly refund: {
        readonly refundId: string;
        readonly uniqueRequestId: string;
        readonly amountMinor: number;
      };
    }
  /** There is a refund of that id. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly code: string };

/** A way in for refunds. A new one joins by a row here. */
export interface SimulatedDoor {
  readonly name: string;
  /** How many are asked for at once. */
  readonly most: number;
  readonly isOfOneMerchant: boolean;
  /** Only where there are files. */
  readonly isForFiles: boolean;
  /** Who is not answered in this time asks again; null: the way in sees to that itself. */
  readonly patienceMs: number | null;
  /** An answer for each, in its place. */
  readonly ask: (
    at: { readonly process: Process; readonly files: FilePeople },
    refunds: readonly AskedRefund[],
  ) => Promise<DoorAnswer[]>;
}

export const DOORS: readonly SimulatedDoor[] = [
  {
    name: 'api',
    most: 12,
    isOfOneMerchant: false,
    isForFiles: false,
    patienceMs: 60_000,
    async ask({ process }, refunds) {
      const outcomes = await recordRefunds(process.deps, refunds.map(requestOf));
      return outcomes.map((outcome): DoorAnswer => {
        if (outcome.ok) return { kind: 'accepted', refund: outcome.refund };
        return refusedFor(outcome.refusal);
      });
    },
  },
  {
    name: 'file',
    most: 50,
    isOfOneMerchant: true,
    isForFiles: true,
    patienceMs: null,
    async ask({ files }, refunds) {
      const answers = await files.refund(refunds[0]!.merchantId, refunds);
      return answers.map((answer): DoorAnswer => {
        if (answer.kind === 'made') return { kind: 'accepted', refund: answer };
        return refusedFor(answer.kind === 'refused' ? answer.code : answer.kind);
      });
    },
  },
];

function refusedFor(code: string): DoorAnswer {
  return code === 'duplicate_request_id' ? { kind: 'known' } : { kind: 'refused', code };
}

function requestOf({ merchantId, orderId, uniqueRequestId, amount }: AskedRefund): RefundRequest {
  return {
    merchantId,
    orderId,
    uniqueRequestId,
    amount,
    txnId: null,
    currency: null,
    refundType: 'STANDARD',
    reason: null,
    note: null,
    metadata: {},
    initiatedBy: 'simulation',
    door: 'api',
    batchId: null,
    batchRow: null,
    sameAmountWindowMs: 0,
    expectedRemaining: null,
    cause: { by: 'api', key: 'simulated', request_id: uniqueRequestId },
  };
}

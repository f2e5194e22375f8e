import type { Evidence } from '../gateways/gateway.ts';

/** Who or what made a change. Written into every event (invariant 6). */
export type Cause =
  | { readonly by: 'api'; readonly key: string; readonly request_id: string }
  | { readonly by: 'user'; readonly user_id: string; readonly email: string; readonly request_id: string }
  | { readonly by: 'file'; readonly name: string; readonly line: number }
  | {
      readonly by: 'batch';
      readonly batch_id: string;
      readonly row: number;
      /** A person's e-mail address, or the name of an API key. */
      readonly confirmed_by: string;
      /** Null where nobody had to. */
      readonly approved_by: string | null;
    }
  | { readonly by: 'worker'; readonly why: string }
  | { readonly by: 'gateway_answer' }
  | { readonly by: 'gateway_webhook'; readonly event_id: string | null }
  | { readonly by: 'look'; readonly why: string }
  | { readonly by: 'clock'; readonly why: string }
  | { readonly by: 'restore'; readonly backed_up_at: string };

/** One change of an order or of a refund of it, as the trail keeps it. Times are ISO 8601 in UTC. */
export interface TrailEvent {
  readonly seq: number;
  readonly at: string;
  /** `order.created`, `transaction.recorded`, `refund.<state>`, `refund.<what was learnt>` */
  readonly kind: string;
  readonly refundId: string | null;
  readonly from: string | null;
  readonly to: string | null;
  readonly cause: Cause;
  readonly evidence: Evidence | null;
  /** Hex; sha256 of the previous event's hash and this event's body. */
  readonly hash: string;
}

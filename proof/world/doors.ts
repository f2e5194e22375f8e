import type { Answer, Client } from './client.ts';

/** A refund as the merchant's own books have it. */
export interface Wanted {
  readonly orderId: string;
  readonly txnId: string;
  readonly key: string;
  /** Decimal text in major units. */
  readonly amount: string;
}

/** What a merchant learns from asking once. */
export type Told =
  | { readonly kind: 'accepted'; readonly refundId: string | null }
  /** There is a refund with this key already. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly why: string }
  /** No answer, or one that settles nothing. */
  | { readonly kind: 'unanswered' };

/** A way in which refunds are asked for. */
export interface Door {
  readonly name: string;
  readonly ask: (client: Client, wanted: Wanted) => Promise<Told>;
}

/** Every door there is; new ones join here, and every proof that makes load uses them. */
export const DOORS: readonly Door[] = [
  {
    name: 'POST /orders/{id}/refunds, form',
    ask: async (client, { orderId, key, amount }) =>
      inContract(await client.form(`/orders/${orderId}/refunds`, { unique_request_id: key, amount })),
  },
  {
    name: 'POST /orders/{id}/refunds, JSON',
    ask: async (client, { orderId, key, amount }) =>
      inContract(
        await client.post(`/orders/${orderId}/refunds`, { unique_request_id: key, amount: Number(amount) }),
      ),
  },
  {
    name: 'POST /refunds by transaction',
    ask: async (client, { txnId, key, amount }) =>
      inContract(await client.form('/refunds', { txn_id: txnId, unique_request_id: key, amount })),
  },
  {
    name: 'POST /v1/refunds',
    ask: async (client, { orderId, key, amount }) =>
      inOurs(await client.post('/v1/refunds', { order_id: orderId, unique_request_id: key, amount })),
  },
];

function inContract({ status, body }: Answer): Told {
  if (status === 200) return { kind: 'accepted', refundId: null };
  if (!isRefusal(status)) return { kind: 'unanswered' };
  return body.error_code === 'duplicate.call' && /unique_request_id/.test(body.error_message)
    ? { kind: 'known' }
    : { kind: 'refused', why: `${status} ${JSON.stringify(body)}` };
}

function inOurs({ status, body }: Answer): Told {
  if (status === 201) return { kind: 'accepted', refundId: body.refund_id };
  if (!isRefusal(status)) return { kind: 'unanswered' };
  return body.error.code === 'duplicate_request_id'
    ? { kind: 'known' }
    : { kind: 'refused', why: `${status} ${JSON.stringify(body)}` };
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500;
}

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { formatAmount } from '../../lib/money.ts';
import { type OrderHit, searchOrders, searchTransactions } from '../../orders/search.ts';
import { type RefundHit, searchRefunds } from '../../refunds/search.ts';
import { STATES } from '../../refunds/states.ts';
import { type SearchAnswer, searchAnswerSchema, searchQuerySchema } from '../contract/search.ts';
import type { ApiDeps } from '../deps.ts';

const MOST_OF_A_KIND = 8;

/** GET /v1/search: whatever has an id, address or number. */
export async function searchRoutes(instance: FastifyInstance, { db }: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();

  app.get(
    '/v1/search',
    {
      config: { permission: 'refunds.read' },
      schema: {
        tags: ['Orders'],
        summary: 'Find orders, transactions and refunds by any id, address or number',
        description:
          'Of order ids and refund ids the beginning is enough. What is asked for whole comes first.',
        querystring: searchQuerySchema,
        response: { 200: searchAnswerSchema },
      },
    },
    async (request): Promise<SearchAnswer> => {
      const { merchantId } = request.caller;
      const { q } = request.query;
      const [orders, transactions, refunds] = await Promise.all([
        searchOrders(db, merchantId, q, MOST_OF_A_KIND),
        searchTransactions(db, merchantId, q, MOST_OF_A_KIND),
        searchRefunds(db, merchantId, q, MOST_OF_A_KIND),
      ]);
      const kinds = [
        some(orders, ({ orderId }) => orderId).map(orderHit),
        some(transactions, ({ txnId }) => txnId).map(orderHit),
        some(refunds, ({ refundId }) => refundId).map(refundHit),
      ];
      return { hits: kinds.flat().toSorted(exactFirst) };
    },
  );
}

const exactFirst = (a: { readonly exact: boolean }, b: { readonly exact: boolean }) =>
  Number(b.exact) - Number(a.exact);

/** Each once, by the best of its matches. */
function some<Hit extends { readonly exact: boolean }>(
  hits: readonly Hit[],
  idOf: (hit: Hit) => unknown,
): Hit[] {
  const best = new Map<unknown, Hit>();
  for (const hit of hits.toSorted(exactFirst)) if (!best.has(idOf(hit))) best.set(idOf(hit), hit);
  return [...best.values()].slice(0, MOST_OF_A_KIND);
}

function orderHit(hit: OrderHit): SearchAnswer['hits'][number] {
  return { ...shared(hit), kind: hit.kind, txn_id: hit.txnId, refund_id: null, status: hit.status };
}

function refundHit(hit: RefundHit): SearchAnswer['hits'][number] {
  return {
    ...shared(hit),
    kind: 'refund',
    txn_id: hit.txnId,
    refund_id: hit.refundId,
    status: STATES[hit.state].public,
  };
}

function shared(hit: OrderHit | RefundHit) {
  return {
    order_id: hit.orderId,
    matched: hit.matched,
    value: hit.value,
    exact: hit.exact,
    amount: formatAmount(hit.amountMinor, hit.exponent),
    currency: hit.currency,
    customer_email: hit.customerEmail,
    created_at: hit.createdAt.toISOString(),
  };
}

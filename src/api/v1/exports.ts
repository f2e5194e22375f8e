import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { csvRow } from '../../lib/csv.ts';
import { listOrders } from '../../orders/list.ts';
import { listRefunds } from '../../refunds/list.ts';
import { readWaits } from '../../refunds/waits.ts';
import { type Order, orderExportQuerySchema } from '../contract/orders.ts';
import { type RefundInList, refundExportQuerySchema, refundInListSchema } from '../contract/refunds.ts';
import type { ApiDeps } from '../deps.ts';
import { CSV, createFileSender } from './file-sender.ts';
import { orderFilterOf } from './order-filter.ts';
import { orderView } from './order-view.ts';
import type { Position } from './pages.ts';
import { refundFilterOf } from './refund-filter.ts';
import { refundInListView } from './refund-object.ts';

/** Rows that are read, and held, at a time. */
const SLICE = 500;

const file = {
  200: {
    description: 'Comma-separated values in UTF-8, with a first line of names. Times are ISO 8601 in UTC.',
    content: { 'text/csv': { schema: z.string() } },
  },
};

/** The lists of orders and refunds as files: the same filters, all rows, in slices as the client reads them. */
export async function exportRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const sendFile = createFileSender(app);
  const send = (reply: FastifyReply, name: string, bom: boolean, slices: AsyncIterable<string>) => {
    const day = deps.clock.now().toISOString().slice(0, 10);
    return sendFile(reply, { name: `${name}-${day}.csv`, type: CSV, bom }, slices);
  };

  app.get(
    '/v1/orders/export.csv',
    {
      config: { permission: 'export' },
      schema: {
        tags: ['Orders'],
        summary: 'Orders as a CSV file, narrowed as in their list',
        querystring: orderExportQuerySchema,
        produces: ['text/csv'],
        response: file,
      },
    },
    async (request, reply) => {
      const { bom, ...query } = request.query;
      const filter = orderFilterOf(request.caller.merchantId, query);
      const slices = inSlices(ORDER_COLUMNS, async (after) => {
        const found = await listOrders(deps.db, { ...filter, after, limit: SLICE });
        const last = found.at(-1)?.order;
        const at = query.sort.startsWith('amount') ? last?.amountMinor : last?.createdAt.getTime();
        return { rows: found.map(orderView), last: last && { at: at!, id: last.orderId } };
      });
      return send(reply, 'orders', bom === 'true', slices);
    },
  );

  app.get(
    '/v1/refunds/export.csv',
    {
      config: { permission: 'export' },
      schema: {
        tags: ['Refunds'],
        summary: 'Refunds as a CSV file, narrowed as in their list',
        querystring: refundExportQuerySchema,
        produces: ['text/csv'],
        response: file,
      },
    },
    async (request, reply) => {
      const { bom, ...query } = request.query;
      const now = deps.clock.now();
      const filter = await refundFilterOf(deps.db, request.caller.merchantId, query, now);
      const slices = inSlices(REFUND_COLUMNS, async (after) => {
        const found = await listRefunds(deps.db, { ...filter, after, limit: SLICE });
        const last = found.at(-1)?.refund;
        const at = query.sort === 'due' ? last?.dueAt : last?.createdAt;
        const waitOf = await readWaits(
          deps.engine,
          found.map(({ refund }) => refund),
        );
        return {
          rows: found.map((each) => refundInListView(each, now, waitOf(each.refund))),
          last: last && { at: at!.getTime(), id: last.refundId },
        };
      });
      return send(reply, 'refunds', bom === 'true', slices);
    },
  );
}

type Columns<Row> = Readonly<Record<string, (row: Row) => string | number | boolean | null | undefined>>;

async function* inSlices<Row>(
  columns: Columns<Row>,
  read: (
    after: Position | undefined,
  ) => Promise<{ readonly rows: readonly Row[]; readonly last: Position | undefined }>,
): AsyncGenerator<string> {
  yield csvRow(Object.keys(columns));
  const cells = Object.values(columns);
  let after: Position | undefined;
  for (;;) {
    const { rows, last } = await read(after);
    yield rows.map((row) => csvRow(cells.map((cell) => cell(row)))).join('');
    if (rows.length < SLICE) return;
    after = last;
  }
}

const paid = ({ transactions }: Order) =>
  transactions.find(({ status }) => status === 'CHARGED') ?? transactions.at(-1);

const ORDER_COLUMNS: Columns<Order> = {
  created_at: (order) => order.created_at,
  order_id: (order) => order.order_id,
  status: (order) => order.status,
  currency: (order) => order.currency,
  amount: (order) => order.amount,
  charged_amount: (order) => order.charged_amount,
  refunded_amount: (order) => order.refunded_amount,
  refunding_amount: (order) => order.refunding_amount,
  refundable_amount: (order) => order.refundable_amount,
  refunded: (order) => order.refunded,
  gateway: (order) => order.gateway,
  payment_method_type: (order) => order.payment_method_type,
  payment_method: (order) => order.payment_method,
  customer_id: (order) => order.customer_id,
  customer_email: (order) => order.customer_email,
  customer_phone: (order) => order.customer_phone,
  txn_id: (order) => paid(order)?.txn_id,
  gateway_account_id: (order) => paid(order)?.gateway_account_id,
  gateway_payment_id: (order) => paid(order)?.gateway_payment_id,
  charged_at: (order) => paid(order)?.charged_at,
  updated_at: (order) => order.updated_at,
  details: (order) => JSON.stringify(order.details),
  metadata: (order) => JSON.stringify(order.metadata),
};

/** Everything that the list shows of a refund, under the same names. */
const REFUND_COLUMNS: Columns<RefundInList> = Object.fromEntries(
  Object.keys(refundInListSchema.shape).map((name) => [
    name,
    (refund: RefundInList) => {
      const value = refund[name as keyof RefundInList];
      return typeof value === 'object' && value !== null ? JSON.stringify(value) : value;
    },
  ]),
);

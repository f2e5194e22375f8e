import { formatAmount } from '../../lib/money.ts';
import type { ListedOrder } from '../../orders/list.ts';
import type { Transaction } from '../../orders/order.ts';
import type { Order as OrderJson, Transaction as TransactionJson } from '../contract/orders.ts';

/** The order as /v1 shows it. */
export function orderView({ order, transactions, refundingMinor }: ListedOrder): OrderJson {
  const decimal = (amountMinor: number) => formatAmount(amountMinor, order.exponent);
  const charged = transactions.filter(({ status }) => status === 'CHARGED');
  const chargedMinor = charged.reduce((sum, { effectiveMinor }) => sum + effectiveMinor, 0);
  const refundedMinor = charged.reduce((sum, { reservedMinor }) => sum + reservedMinor, 0);
  const main = charged[0] ?? transactions.at(-1);
  return {
    order_id: order.orderId,
    status: order.status,
    amount: decimal(order.amountMinor),
    currency: order.currency,
    charged_amount: decimal(chargedMinor),
    refunded_amount: decimal(refundedMinor),
    refunding_amount: decimal(refundingMinor),
    refundable_amount: decimal(chargedMinor - refundedMinor),
    refunded: refundedMinor === 0 ? 'none' : refundedMinor < chargedMinor ? 'partly' : 'fully',
    gateway: main?.gateway ?? null,
    payment_method_type: main?.paymentMethodType ?? null,
    payment_method: main?.paymentMethod ?? null,
    customer_id: order.customerId,
    customer_email: order.customerEmail,
    customer_phone: order.customerPhone,
    details: order.details,
    metadata: order.metadata,
    created_at: order.createdAt.toISOString(),
    updated_at: order.updatedAt.toISOString(),
    transactions: transactions.map((each) => transactionView(each, decimal)),
  };
}

function transactionView(each: Transaction, decimal: (amountMinor: number) => string): TransactionJson {
  return {
    txn_id: each.txnId,
    status: each.status,
    amount: decimal(each.amountMinor),
    surcharge: decimal(each.surchargeMinor),
    offer_discount: decimal(each.offerMinor),
    effective_amount: decimal(each.effectiveMinor),
    refunded_amount: decimal(each.reservedMinor),
    gateway: each.gateway,
    gateway_account_id: each.gatewayAccountId,
    gateway_payment_id: each.gatewayPaymentId,
    payment_method_type: each.paymentMethodType,
    payment_method: each.paymentMethod,
    charged_at: each.chargedAt?.toISOString() ?? null,
    created_at: each.createdAt.toISOString(),
  };
}

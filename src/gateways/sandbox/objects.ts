import { randomBytes } from 'node:crypto';
import { hexOf, newId } from '../../lib/ids.ts';
import { formatAmount } from '../../lib/money.ts';
import type { Payout, Webhook } from './store.ts';

/** An acquirer reference number: 23 digits, the first of them 7 or 8 in real life. */
export function newArn(): string {
  return `7${(BigInt(`0x${randomBytes(12).toString('hex')}`) % 10n ** 22n).toString().padStart(22, '0')}`;
}

export function newEventId(): string {
  return `sbxe_${hexOf(newId())}`;
}

/** What a webhook says of a payout as it is now; null for one whose maker wants none. */
export function webhookAbout(payout: Payout, dueAt: Date, eventId: string): Webhook | null {
  if (payout.webhookUrl === null) return null;
  return {
    webhookId: newId(),
    account: payout.account,
    url: payout.webhookUrl,
    body: JSON.stringify({
      id: eventId,
      type: 'refund.updated',
      created_at: payout.updatedAt.toISOString(),
      data: { refund: refundObject(payout) },
    }),
    dueAt,
  };
}

/** The refund object of the sandbox's API. */
export function refundObject(payout: Payout): Readonly<Record<string, unknown>> {
  return {
    id: payout.sandboxRefundId,
    payment: payout.gatewayPaymentId,
    refund_id: payout.refundId,
    order_id: payout.orderId,
    amount: payout.amountMinor,
    currency: payout.currency,
    reason: payout.reason,
    status: payout.status,
    failure:
      payout.failureCode === null ? null : { code: payout.failureCode, message: payout.failureMessage },
    arn: payout.arn,
    created_at: payout.createdAt.toISOString(),
    updated_at: payout.updatedAt.toISOString(),
  };
}

/** One line of the books. */
export function bookEntry(payout: Payout): Readonly<Record<string, unknown>> {
  return {
    id: payout.sandboxRefundId,
    order_id: payout.orderId,
    gateway_payment_id: payout.gatewayPaymentId,
    refund_id: payout.refundId,
    idempotency_key: payout.idempotencyKey,
    amount: formatAmount(payout.amountMinor, payout.exponent),
    amount_minor: payout.amountMinor,
    currency: payout.currency,
    status: payout.status,
    arn: payout.arn,
    created_at: payout.createdAt.toISOString(),
    updated_at: payout.updatedAt.toISOString(),
  };
}

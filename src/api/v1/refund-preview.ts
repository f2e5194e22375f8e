import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type GatewayAccount, listGatewayAccounts } from '../../gateways/accounts.ts';
import { amountText, formatAmount } from '../../lib/money.ts';
import type { Transaction } from '../../orders/order.ts';
import { readOrder } from '../../orders/store.ts';
import {
  inFlightOf,
  isUnderWay,
  leftOf,
  type Preview,
  type PreviewFacts,
  previewRefund,
} from '../../refunds/preview.ts';
import type { Refund } from '../../refunds/refund.ts';
import { STATES } from '../../refunds/states.ts';
import { readOrderRefunds } from '../../refunds/store.ts';
import {
  type previewTransactionSchema,
  refundPreviewAskSchema,
  refundPreviewSchema,
} from '../contract/refund-preview.ts';
import type { ApiDeps } from '../deps.ts';
import { errorSchema } from '../errors.ts';
import { lookAlikeWords, notRecorded, orderNotFound } from './refusals.ts';

type Answer = z.output<typeof refundPreviewSchema>;
type Warning = Answer['warnings'][number];

/** What a refund of an order would do, before anybody asks for it. */
export async function refundPreviewRoutes(instance: FastifyInstance, deps: ApiDeps): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();

  app.post(
    '/v1/orders/:order_id/refund-preview',
    {
      config: { permission: 'refunds.read', onlyReads: true },
      schema: {
        tags: ['Refunds'],
        summary: 'See what a refund would do',
        description:
          'Changes nothing and promises nothing: send `left_before` along as `expected_remaining`, and a refund that ' +
          'no longer fits is refused.',
        params: z.object({ order_id: z.string().max(512) }),
        body: refundPreviewAskSchema,
        response: { 200: refundPreviewSchema, 404: errorSchema },
      },
    },
    async ({ caller: { merchantId }, params, body }) => {
      const found = await readOrder(deps.db, merchantId, params.order_id);
      if (!found) throw orderNotFound(params.order_id);
      const [refunds, accounts] = await Promise.all([
        readOrderRefunds(deps.db, merchantId, found.order.orderId),
        listGatewayAccounts(deps.db, merchantId),
      ]);
      const ask = { txnId: body?.txn_id ?? null, amount: body?.amount ?? 'full' };
      const canOf = (gateway: string) => deps.gateways.get(gateway)?.capabilities ?? null;
      const facts = { ...found, refunds, canOf, now: deps.clock.now() };
      return answerOf(facts, previewRefund(facts, ask), ask, {
        accountOf: ({ gatewayAccountId }) => accounts.find((a) => a.gatewayAccountId === gatewayAccountId),
        labelOf: (gateway) => deps.gateways.get(gateway)?.label ?? gateway,
      });
    },
  );
}

interface Names {
  readonly accountOf: (transaction: Transaction) => GatewayAccount | undefined;
  readonly labelOf: (gateway: string) => string;
}

function answerOf(
  facts: PreviewFacts,
  preview: Preview,
  ask: { readonly txnId: string | null; readonly amount: string },
  names: Names,
): Answer {
  const { order, transactions } = facts;
  const decimal = (minor: number) => formatAmount(minor, order.exponent);
  const refused =
    preview.refusal &&
    notRecorded(
      {
        ok: false,
        refusal: preview.refusal,
        orderId: order.orderId,
        remaining: preview.transaction && decimal(preview.leftMinor),
        currency: order.currency,
      },
      {
        order_id: order.orderId,
        txn_id: ask.txnId ?? undefined,
        unique_request_id: '',
        amount: ask.amount,
        refund_type: 'STANDARD',
      },
    );
  return {
    order_id: order.orderId,
    currency: order.currency,
    possible: refused === null,
    blockers: refused
      ? [{ code: refused.code, message: refused.message, field: refused.detail.field ?? null }]
      : [],
    warnings: warningsOf(facts, preview, names),
    transactions: transactions.map((t) => transactionOf(t, facts, names)),
    refunds_left: preview.refundsLeft,
    refund: refused ? null : refundOf(facts, preview, names),
  };
}

function transactionOf(
  t: Transaction,
  { order, refunds }: PreviewFacts,
  names: Names,
): z.output<typeof previewTransactionSchema> {
  const decimal = (minor: number) => formatAmount(minor, order.exponent);
  const inFlight = inFlightOf(t, refunds);
  const blockers = [
    ...(t.status === 'CHARGED'
      ? []
      : [
          {
            code: 'order_not_charged',
            message: `It was not charged: its status is ${t.status}.`,
            field: 'txn_id',
          },
        ]),
    ...(t.status === 'CHARGED' && leftOf(t) === 0
      ? [{ code: 'amount_exceeds_rest', message: 'Nothing of it is left to refund.', field: 'amount' }]
      : []),
  ];
  return {
    txn_id: t.txnId,
    status: t.status,
    paid: decimal(t.effectiveMinor),
    refunded: decimal(t.reservedMinor - inFlight),
    in_flight: decimal(inFlight),
    left: decimal(t.status === 'CHARGED' ? leftOf(t) : 0),
    gateway: t.gateway,
    gateway_label: names.labelOf(t.gateway),
    gateway_account_id: t.gatewayAccountId,
    gateway_account: names.accountOf(t)?.name ?? null,
    gateway_payment_id: t.gatewayPaymentId,
    payment_method_type: t.paymentMethodType,
    payment_method: t.paymentMethod,
    charged_at: t.chargedAt?.toISOString() ?? null,
    refundable: blockers.length === 0,
    blockers,
  };
}

function refundOf(facts: PreviewFacts, preview: Preview, names: Names): Answer['refund'] {
  const { transaction: t, amountMinor, leftMinor, dueAt } = preview;
  if (!t || amountMinor === null || !dueAt) return null;
  const { order } = facts;
  const decimal = (minor: number) => formatAmount(minor, order.exponent);
  const can = facts.canOf(t.gateway);
  const to = methodWords(t);
  const through = `${names.labelOf(t.gateway)}, account “${names.accountOf(t)?.name ?? t.gatewayAccountId}”`;
  const more = can?.partialRefunds !== false && preview.refundsLeft > 1 && amountMinor < leftMinor;
  return {
    txn_id: t.txnId,
    amount: decimal(amountMinor),
    full: amountMinor === leftMinor,
    left_before: decimal(leftMinor),
    left_after: decimal(leftMinor - amountMinor),
    to,
    through,
    due_at: dueAt.toISOString(),
    partial_possible: can?.partialRefunds ?? true,
    several_possible: more,
    instant_possible: can?.instantRefunds ?? false,
    says: `Refunds ${amountText(amountMinor, order.exponent, order.currency)} to ${to} through ${through}; it should be there by ${dayWords(dueAt)}.`,
    cannot_be_undone:
      'Until it is sent, which is usually within seconds, it can be cancelled; after that it cannot be undone.',
  };
}

// Warnings ----------------------------------------------------------------------------------------------

function warningsOf(
  facts: PreviewFacts,
  { lookAlikes, transaction, refusal }: Preview,
  names: Names,
): Warning[] {
  const { order, refunds, now } = facts;
  const money = (refund: Refund) => amountText(refund.amountMinor, refund.exponent, refund.currency);
  const about = (refund: Refund, code: string, message: string): Warning => ({
    code,
    message,
    field: null,
    refund_id: refund.refundId,
    at: refund.createdAt.toISOString(),
    by: refund.initiatedBy,
  });
  const account = transaction && names.accountOf(transaction);
  const plain = (code: string, message: string): Warning => ({
    code,
    message,
    field: null,
    refund_id: null,
    at: null,
    by: null,
  });
  return [
    ...(refusal === null ? lookAlikes : [])
      .slice(0, 1)
      .map((refund) => about(refund, 'look_alike', lookAlikeWords(refund, now))),
    ...refunds
      .filter((refund) => isUnderWay(refund) && refund.state !== 'manual_review')
      .map((refund) =>
        about(refund, 'in_flight', `${money(refund)} is under way. ${STATES[refund.state].says}`),
      ),
    ...refunds
      .filter((refund) => refund.state === 'manual_review')
      .map((refund) =>
        about(
          refund,
          'in_review',
          `${money(refund)} is in manual review: whether it was paid is not known yet.`,
        ),
      ),
    ...(account && !account.enabled
      ? [
          plain(
            'account_disabled',
            `The account “${account.name}” is switched off: the refund waits until it is on.`,
          ),
        ]
      : []),
    ...(account?.openUntil && account.openUntil > now
      ? [
          plain(
            'gateway_paused',
            `${names.labelOf(account.gateway)} does not answer just now: the refund may wait.`,
          ),
        ]
      : []),
    ...(transaction && !account
      ? [plain('account_missing', `The gateway account of ${order.orderId} is gone: nothing can be sent.`)]
      : []),
  ];
}

// Words -------------------------------------------------------------------------------------------------

const METHODS: Readonly<Record<string, string>> = {
  CARD: 'card',
  NB: 'bank account',
  UPI: 'UPI account',
  WALLET: 'wallet',
};

/** Money goes back where it came from. */
function methodWords({ paymentMethodType, paymentMethod }: Transaction): string {
  const kind = METHODS[paymentMethodType ?? ''];
  if (!kind) return paymentMethod ? `${paymentMethod}, where it came from` : 'where it came from';
  const name = paymentMethod && paymentMethod !== paymentMethodType ? `${paymentMethod} ` : '';
  return `the ${name}${kind} that paid`;
}

function dayWords(at: Date): string {
  return at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' });
}

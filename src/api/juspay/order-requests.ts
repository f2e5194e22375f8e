import { urlProblem } from '../../lib/http.ts';
import { currencyProblem, exponentOf, formatAmount, MAX_AMOUNT_MINOR, parseAmount } from '../../lib/money.ts';
import type { CreateRefusal, NewOrder } from '../../orders/create.ts';
import { ORDER_ID } from '../../orders/order.ts';
import type { OrderWithTransactions } from '../../orders/store.ts';
import type { OrderChanges } from '../../orders/update.ts';
import type { ContractError } from '../errors.ts';
import { invalidField, orderExists } from './errors.ts';
import { type Fields, optionalObject, optionalText, saysNothing, textFrom } from './fields.ts';

/** Contract section 5.1: the order that `POST /orders` announces. Throws a ContractError naming the field. */
export function newOrder(fields: Fields, merchantId: string): NewOrder {
  const orderId = optionalText(fields, 'order_id', 128);
  if (orderId === undefined) throw invalidField('order_id', 'Missing field or Invalid Value');
  if (!ORDER_ID.test(orderId)) throw invalidField('order_id', 'Must be 1 to 128 visible ASCII characters');
  const currency = optionalText(fields, 'currency') ?? 'INR';
  const exponent = exponentOf(currency);
  if (exponent === undefined) throw invalidField('currency', currencyProblem(currency));
  return {
    merchantId,
    orderId,
    amountMinor: orderAmount(fields, currency, exponent),
    currency,
    exponent,
    customerId: optionalText(fields, 'customer_id', 128) ?? null,
    customerEmail: optionalText(fields, 'customer_email', 254) ?? null,
    customerPhone: optionalText(fields, 'customer_phone', 32) ?? null,
    details: detailsOf(fields),
    metadata: metadataOf(fields),
  };
}

/** Contract section 5.1: what `POST /orders/{id}` changes. Absent fields stay as they are. */
export function orderChanges(fields: Fields, { order }: OrderWithTransactions): OrderChanges {
  const customerId = optionalText(fields, 'customer_id', 128);
  const customerEmail = optionalText(fields, 'customer_email', 254);
  const customerPhone = optionalText(fields, 'customer_phone', 32);
  return {
    ...(fields.has('amount') && { amountMinor: orderAmount(fields, order.currency, order.exponent) }),
    ...(customerId !== undefined && { customerId }),
    ...(customerEmail !== undefined && { customerEmail }),
    ...(customerPhone !== undefined && { customerPhone }),
    details: detailsOf(fields),
    metadata: metadataOf(fields),
  };
}

export function creationRefused(refusal: CreateRefusal, { order }: OrderWithTransactions): ContractError {
  switch (refusal) {
    case 'exists_with_other_amount':
      return orderExists(`Exists with the amount ${formatAmount(order.amountMinor, order.exponent)}`);
    case 'exists_with_other_currency':
      return orderExists(`Exists with the currency ${order.currency}`);
    case 'id_differs_only_by_case':
      return orderExists(`Exists as ${order.orderId}; order ids are compared without case`);
  }
}

function orderAmount(fields: Fields, currency: string, exponent: number): number {
  const value = fields.get('amount');
  if (saysNothing(value)) throw invalidField('amount', 'Missing field or Invalid Value');
  const amount = parseAmount(textFrom(value) ?? '', exponent);
  if (amount.ok && amount.amountMinor > 0) return amount.amountMinor;
  const decimals = exponent === 0 ? 'without decimals' : `with at most ${exponent} decimals`;
  const most = formatAmount(MAX_AMOUNT_MINOR, exponent);
  throw invalidField(
    'amount',
    `Invalid amount: must be a number above 0, at most ${most}, ${decimals} for ${currency}`,
  );
}

const DETAILS = [
  'product_id',
  'description',
  'return_url',
  'gateway_id',
  'basket',
  ...Array.from({ length: 10 }, (_, index) => `udf${index + 1}`),
  ...['billing', 'shipping'].flatMap((kind) =>
    [
      'first_name',
      'last_name',
      'line1',
      'line2',
      'line3',
      'city',
      'state',
      'country',
      'country_code_iso',
      'postal_code',
      'phone',
    ].map((part) => `${kind}_address_${part}`),
  ),
];

function detailsOf(fields: Fields): Record<string, string> {
  const details: Record<string, string> = {};
  for (const name of DETAILS) {
    const text = optionalText(fields, name, 4096);
    if (text !== undefined && text !== '[object Object]') details[name] = text;
  }
  return details;
}

function metadataOf(fields: Fields): Readonly<Record<string, unknown>> {
  const metadata = optionalObject(fields, 'metadata') ?? {};
  const webhookUrl = metadata['webhook_url'];
  if (webhookUrl === undefined) return metadata;
  if (saysNothing(webhookUrl))
    return Object.fromEntries(Object.entries(metadata).filter(([name]) => name !== 'webhook_url'));
  if (typeof webhookUrl !== 'string' || webhookUrl.length > 2048 || urlProblem(webhookUrl, true) !== null) {
    throw invalidField('metadata.webhook_url', 'Must be a http or https URL');
  }
  return metadata;
}

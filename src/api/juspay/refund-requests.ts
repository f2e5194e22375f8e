import { settingsOf } from '../../access/merchants.ts';
import type { Cause } from '../../audit/events.ts';
import type { RefundType } from '../../gateways/gateway.ts';
import { urlProblem } from '../../lib/http.ts';
import { currencyProblem, exponentOf } from '../../lib/money.ts';
import type { RefundOutcome, RefundRequest } from '../../refunds/record.ts';
import type { Caller } from '../deps.ts';
import type { ContractError } from '../errors.ts';
import {
  amountExceeded,
  duplicateRequestId,
  instantNotEnabled,
  invalidAmount,
  invalidField,
  mandatoryFieldMissing,
  orderNotCharged,
  orderNotFound,
  sameAmountAgain,
  tooManyRefunds,
  transactionNotFound,
} from './errors.ts';
import { type Fields, optionalObject, optionalText, saysNothing, textFrom } from './fields.ts';

/** Contract section 2.4: the same amount of the same order is refused for five seconds. */
const SAME_AMOUNT_WINDOW_MS = 5_000;

/** Which order or transaction is meant; at least one of them is there. */
export interface RefundTarget {
  readonly orderId: string | null;
  readonly txnId: string | null;
}

/**
 * The refund that a request of the contract asks for (sections 2.1 and 3). Throws a ContractError where it does
 * not say clearly which refund that is: money is never moved on a guess.
 */
export function refundRequest(
  fields: Fields,
  target: RefundTarget,
  caller: Caller,
  cause: Cause,
): RefundRequest {
  const uniqueRequestId = requestIdOf(fields);
  const amount = amountOf(fields, caller);
  refuseUnsupported(fields);
  const note = optionalObject(fields, 'metaData') ? undefined : optionalText(fields, 'metaData');
  return {
    merchantId: caller.merchantId,
    ...target,
    uniqueRequestId,
    amount,
    currency: currencyOf(fields),
    refundType: refundTypeOf(fields),
    reason: optionalText(fields, 'refund_reason') ?? null,
    note: note === '[object Object]' ? null : (note ?? null),
    metadata: { ...optionalObject(fields, 'metaData'), ...optionalObject(fields, 'metadata') },
    initiatedBy: 'API',
    door: 'api',
    batchId: null,
    batchRow: null,
    sameAmountWindowMs: SAME_AMOUNT_WINDOW_MS,
    expectedRemaining: null,
    cause,
  };
}

/** The contract's answer to a refund that was not recorded (section 2.4). */
export function refundRefused(
  outcome: Extract<RefundOutcome, { ok: false }>,
  target: RefundTarget,
): ContractError {
  switch (outcome.refusal) {
    case 'order_not_found':
      return target.orderId === null
        ? transactionNotFound(target.txnId ?? '')
        : orderNotFound(target.orderId);
    case 'order_not_charged':
      return orderNotCharged();
    case 'duplicate_request_id':
      return duplicateRequestId();
    case 'too_many_refunds':
      return tooManyRefunds();
    case 'amount_unreadable':
      return invalidAmount('Must be a decimal number such as 12.50');
    case 'amount_not_positive':
      return invalidAmount('Must be more than 0');
    case 'amount_too_many_decimals':
      return invalidAmount(decimalsText(outcome.currency));
    case 'currency_mismatch':
      return invalidField('currency', `The order's currency is ${outcome.currency}`);
    case 'same_amount_again':
      return sameAmountAgain();
    case 'remaining_mismatch':
    case 'amount_exceeds_rest':
      return amountExceeded();
    case 'instant_not_supported':
      return instantNotEnabled();
    case 'partial_not_supported':
      return invalidAmount('The gateway of this order refunds only the whole amount');
    case 'too_old':
      return invalidField('order_id', 'The payment is older than its gateway refunds');
  }
}

function decimalsText(currency: string | null): string {
  const exponent = currency === null ? undefined : exponentOf(currency);
  if (exponent === undefined) return 'Has more decimals than the currency';
  return exponent === 0 ? `${currency} has no decimals` : `${currency} has at most ${exponent} decimals`;
}

function requestIdOf(fields: Fields): string {
  const value = fields.get('unique_request_id');
  if (saysNothing(value)) throw mandatoryFieldMissing('unique_request_id');
  const text = textFrom(value);
  if (text === undefined || !/^[A-Za-z0-9_.:-]{1,255}$/.test(text)) {
    throw invalidField('unique_request_id', 'Must be 1 to 255 letters, digits, "_", ".", ":" or "-"');
  }
  return text;
}

/** Everything that a request without `amount` may hold, so that a misspelt amount never becomes a full refund. */
const KNOWN_FIELDS = new Set([
  'unique_request_id',
  'order_id',
  'txn_id',
  'merchant_id',
  'currency',
  'refund_type',
  'refund_reason',
  'order_type',
  'metaData',
  'metadata',
  'beneficiary_details',
  'initiated_by',
  'webhook_url',
  'options',
  ...Array.from({ length: 10 }, (_, index) => `udf${index + 1}`),
]);

function amountOf(fields: Fields, caller: Caller): string | 'full' {
  if (fields.has('amount')) {
    const text = textFrom(fields.get('amount'));
    if (text === undefined || text.length > 40 || !/^\d+(?:\.\d+)?$/.test(text)) {
      throw invalidAmount('Must be a decimal number such as 12.50');
    }
    return text;
  }
  const unknown = [...fields.keys()].find((name) => !KNOWN_FIELDS.has(name));
  if (unknown !== undefined) {
    throw invalidField(
      unknown.slice(0, 100),
      'Not a field of a refund; without "amount", which gives back all that is left, only known fields are taken',
    );
  }
  if (!settingsOf(caller.merchantSettings).full_refund_when_amount_absent)
    throw mandatoryFieldMissing('amount');
  return 'full';
}

function currencyOf(fields: Fields): string | null {
  const currency = optionalText(fields, 'currency');
  if (currency === undefined) return null;
  if (exponentOf(currency) === undefined) throw invalidField('currency', currencyProblem(currency));
  return currency;
}

const REFUND_TYPES: readonly RefundType[] = ['STANDARD', 'INSTANT', 'INSTANT_WITH_FALLBACK', 'GATEWAY'];

function refundTypeOf(fields: Fields): RefundType {
  const asked = optionalText(fields, 'refund_type');
  if (asked === undefined) return 'STANDARD';
  const known = REFUND_TYPES.find((type) => type === asked);
  if (!known) throw invalidField('refund_type', `Must be one of ${REFUND_TYPES.join(', ')}`);
  return known;
}

/** Asked-for ways of paying out that would send the money elsewhere than a refund goes. */
function refuseUnsupported(fields: Fields): void {
  if (!saysNothing(fields.get('beneficiary_details'))) {
    throw invalidField('beneficiary_details', 'A refund goes back to the method that was paid with');
  }
  const orderType = optionalText(fields, 'order_type');
  if (orderType !== undefined && orderType !== 'JUSPAY') throw invalidField('order_type', 'Must be JUSPAY');
  for (const name of ['metadata', 'metaData']) {
    if (optionalObject(fields, name)?.['split_settlement_details'] !== undefined) {
      throw invalidField(`${name}.split_settlement_details`, 'Split settlements cannot be refunded here');
    }
  }
  const webhookUrl = optionalText(fields, 'webhook_url', 2048);
  if (webhookUrl !== undefined && urlProblem(webhookUrl, true) !== null) {
    throw invalidField('webhook_url', 'Must be a http or https URL');
  }
}

import { exponentOf, parseAmount } from '../../lib/money.ts';
import { ApiError } from '../errors.ts';

/** What filters of several lists are read by. Each throws ApiError for what the filter cannot be. */

/** The words of a list, each of them known. */
export function knownWords<Word extends string>(
  field: string,
  text: string | undefined,
  known: readonly Word[],
): Word[] | undefined {
  return text?.split(',').map((asked) => {
    const word = known.find((candidate) => candidate === asked);
    if (word !== undefined) return word;
    throw new ApiError(400, 'invalid_field', `There is no ${field} ${asked.slice(0, 64)}.`, {
      field,
      value: asked.slice(0, 64),
      accepted: known.join(', '),
    });
  });
}

/** The ends of an amount range in minor units. */
export function amountRange(query: {
  readonly currency?: string | undefined;
  readonly amount_from?: string | undefined;
  readonly amount_to?: string | undefined;
}): { readonly amountFromMinor: number | undefined; readonly amountToMinor: number | undefined } {
  return {
    amountFromMinor: amountEnd('amount_from', query.amount_from, query.currency),
    amountToMinor: amountEnd('amount_to', query.amount_to, query.currency),
  };
}

/** Refuses to put amounts of several currencies into one order. */
export function requireCurrency(field: string, value: string, currency: string | undefined): string {
  if (currency !== undefined) return currency;
  throw new ApiError(400, 'missing_field', `Amounts compare only within a currency: ${field} needs it.`, {
    field,
    value,
    accepted: 'currency beside it, such as INR',
  });
}

function amountEnd(
  field: string,
  text: string | undefined,
  currency: string | undefined,
): number | undefined {
  if (text === undefined) return undefined;
  const exponent = exponentOf(requireCurrency(field, text, currency));
  if (exponent === undefined) {
    throw new ApiError(400, 'invalid_field', `There is no currency ${currency}.`, {
      field: 'currency',
      value: currency,
      accepted: 'an ISO 4217 code, such as INR',
    });
  }
  const parsed = parseAmount(text, exponent);
  if (parsed.ok) return parsed.amountMinor;
  throw new ApiError(400, 'invalid_field', `In the query, ${field} is no amount of ${currency}.`, {
    field,
    value: text,
    accepted: `decimal text with at most ${exponent} decimals`,
  });
}

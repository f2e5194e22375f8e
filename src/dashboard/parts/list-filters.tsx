import { Button } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { currencyProblem, exponentOf, formatAmount } from '../../lib/money.ts';
import { gatewayChoicesQuery } from '../api/choices.ts';
import { groupDigits, readTypedAmount } from './amounts.ts';
import { ChoiceFilter, FieldFilter, type FieldValues, type ReadFields } from './filters.tsx';
import { rangeText } from './ranges.ts';

/** What the addresses of both lists may narrow them by, under the names that they have there. */
export type SharedFilters = Readonly<
  Partial<Record<'gateway' | 'currency' | 'amount_from' | 'amount_to' | 'from' | 'to', string | undefined>>
>;

interface Props {
  readonly search: SharedFilters;
  readonly onChange: (changed: SharedFilters) => void;
}

/** The filters of orders and refunds alike: gateway, amount in a currency, and days. */
export function ListFilters({ search, onChange }: Props) {
  const gateways = useQuery(gatewayChoicesQuery).data ?? [];
  return (
    <>
      <ChoiceFilter
        name="Gateway"
        value={search.gateway}
        choices={gateways}
        onChange={(gateway) => onChange({ gateway })}
      />
      <FieldFilter
        name="Amount"
        shown={amountText(search)}
        fields={[
          { key: 'currency', label: 'Currency, such as INR', value: search.currency },
          { key: 'amount_from', label: 'From', value: asShown(search.amount_from) },
          { key: 'amount_to', label: 'To', value: asShown(search.amount_to) },
        ]}
        read={readAmountFields}
        onChange={onChange}
      />
      <FieldFilter
        name="Created"
        shown={rangeText(search.from, search.to)}
        fields={[
          { key: 'from', label: 'From', type: 'date', value: search.from },
          { key: 'to', label: 'To', type: 'date', value: search.to },
        ]}
        onChange={onChange}
      />
    </>
  );
}

/** The bounds as plain decimal text; amounts compare only within a currency. */
function readAmountFields(typed: FieldValues): ReadFields {
  const currency = typed['currency']?.toUpperCase();
  const bounds = [typed['amount_from'], typed['amount_to']];
  if (currency === undefined) {
    return bounds.every((bound) => bound === undefined)
      ? { ok: true, values: typed }
      : { ok: false, problems: { currency: 'Amounts compare only within a currency: say which.' } };
  }
  const decimals = exponentOf(currency);
  if (decimals === undefined) return { ok: false, problems: { currency: `${currencyProblem(currency)}.` } };
  const field = { currency, decimals, example: formatAmount(EXAMPLE_MINOR, decimals) };
  const values: Record<string, string | undefined> = { ...typed, currency };
  const problems: Record<string, string> = {};
  for (const key of ['amount_from', 'amount_to']) {
    const reading = typed[key] === undefined ? null : readTypedAmount(typed[key], field);
    if (reading?.ok) values[key] = reading.amount;
    else if (reading) problems[key] = reading.message;
  }
  return Object.keys(problems).length === 0 ? { ok: true, values } : { ok: false, problems };
}

const EXAMPLE_MINOR = 1_299_000;

/** A bound as the address has it, in the person's spelling. */
function asShown(bound: string | undefined): string | undefined {
  return bound !== undefined && /^\d{1,15}(\.\d{1,4})?$/.test(bound) ? groupDigits(bound) : bound;
}

function amountText({ currency, amount_from, amount_to }: SharedFilters): string | undefined {
  const [from, to] = [asShown(amount_from), asShown(amount_to)];
  const bounds = from && to ? `${from} to ${to}` : from ? `from ${from}` : to && `to ${to}`;
  return [currency, bounds].filter(Boolean).join(' ') || undefined;
}

/** All that the list's filters leave, as a file that the browser itself fetches. */
export function ExportButton({ href }: { readonly href: string }) {
  return (
    <Button variant="default" component="a" href={href} download leftSection={<IconDownload size={15} />}>
      Export CSV
    </Button>
  );
}

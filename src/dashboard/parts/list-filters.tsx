import { Button } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { gatewayChoicesQuery } from '../api/choices.ts';
import { ChoiceFilter, FieldFilter } from './filters.tsx';
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
          { key: 'amount_from', label: 'From', value: search.amount_from },
          { key: 'amount_to', label: 'To', value: search.amount_to },
        ]}
        onChange={(values) => onChange({ ...values, currency: values['currency']?.toUpperCase() })}
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

function amountText({ currency, amount_from: from, amount_to: to }: SharedFilters): string | undefined {
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

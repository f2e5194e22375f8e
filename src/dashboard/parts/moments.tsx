import { useMemo } from 'react';
import { usePreferences } from '../preferences.tsx';
import { FieldFilter } from './filters.tsx';
import { absoluteTime } from './time.tsx';

/** Moments in the fields of a form: shown in the person's zone, ISO 8601 UTC everywhere else. */
export function useMoments(): {
  readonly toField: (iso: string | undefined) => string | undefined;
  /** Undefined for what is no moment. */
  readonly fromField: (text: string | undefined) => string | undefined;
} {
  const { zone } = usePreferences();
  return useMemo(
    () => ({
      toField: (iso) => {
        const moment = new Date(iso ?? '');
        if (Number.isNaN(moment.getTime())) return undefined;
        const offsetMs = zone === 'UTC' ? 0 : moment.getTimezoneOffset() * 60_000;
        return new Date(moment.getTime() - offsetMs).toISOString().slice(0, 16);
      },
      fromField: (text) => {
        const moment = new Date(text ? (zone === 'UTC' ? `${text}Z` : text) : '');
        return Number.isNaN(moment.getTime()) ? undefined : moment.toISOString();
      },
    }),
    [zone],
  );
}

interface Props {
  readonly name: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly onChange: (range: { from: string | undefined; to: string | undefined }) => void;
}

/** A filter for a stretch of time, open at either end. */
export function MomentFilter({ name, from, to, onChange }: Props) {
  const { zone } = usePreferences();
  const { toField, fromField } = useMoments();
  const short = (iso: string) => absoluteTime(new Date(iso), zone).replace(/:\d\d [^ ]+$/, '');
  const shown = [from && `from ${short(from)}`, to && `before ${short(to)}`].filter(Boolean).join(' ');
  return (
    <FieldFilter
      name={name}
      shown={shown || undefined}
      fields={[
        { key: 'from', label: 'From', type: 'datetime-local', value: toField(from) },
        { key: 'to', label: 'Before', type: 'datetime-local', value: toField(to) },
      ]}
      onChange={(typed) => onChange({ from: fromField(typed['from']), to: fromField(typed['to']) })}
    />
  );
}

import { useMemo } from 'react';
import { usePreferences } from '../preferences.tsx';
import { FieldFilter } from './filters.tsx';
import { hourText } from './time.tsx';

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
        if (!isMoment(iso)) return undefined;
        const moment = new Date(iso);
        const offsetMs = zone === 'UTC' ? 0 : moment.getTimezoneOffset() * 60_000;
        return new Date(moment.getTime() - offsetMs).toISOString().slice(0, 16);
      },
      fromField: (text) => {
        const zoned = text && zone === 'UTC' ? `${text}Z` : text;
        return isMoment(zoned) ? new Date(zoned).toISOString() : undefined;
      },
    }),
    [zone],
  );
}

function isMoment(text: string | undefined): text is string {
  return text !== undefined && !Number.isNaN(Date.parse(text));
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
  const shown = [
    isMoment(from) && `from ${hourText(new Date(from), zone)}`,
    isMoment(to) && `before ${hourText(new Date(to), zone)}`,
  ]
    .filter(Boolean)
    .join(' ');
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

import { useEffect, useState } from 'react';
import { usePreferences } from '../preferences.tsx';

/** A moment: relative ("4 min ago") with the absolute time on hover, or absolute with its zone. */
export function Time({ at, exact = false }: { readonly at: string; readonly exact?: boolean }) {
  const { zone } = usePreferences();
  const nowMs = useNow();
  const moment = new Date(at);
  const absolute = absoluteTime(moment, zone);
  return (
    <time dateTime={at} title={absolute} className="figure">
      {exact ? absolute : relativeTime(moment, nowMs, zone)}
    </time>
  );
}

/** A day without a time: "3 Dec 2026". */
export function Day({ at }: { readonly at: string }) {
  const { zone } = usePreferences();
  return (
    <time
      dateTime={at}
      title={absoluteTime(new Date(at), zone)}
      className="figure"
      style={{ whiteSpace: 'nowrap' }}
    >
      {dayText(new Date(at), zone)}
    </time>
  );
}

export function dayText(moment: Date, zone: string): string {
  return formatter(zone, { day: 'numeric', month: 'short', year: 'numeric' }).format(moment);
}

/** "23 Nov 2026, 14:05:09 IST" */
export function absoluteTime(moment: Date, zone: string): string {
  return formatter(zone, {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'short',
  }).format(moment);
}

/** "23 Nov, 14:00" */
export function hourText(moment: Date, zone: string): string {
  return formatter(zone, {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(moment);
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** "just now", "4 min ago", "in 2 h", "3 d ago"; beyond a week the day itself. */
export function relativeTime(moment: Date, nowMs: number, zone: string): string {
  const apartMs = moment.getTime() - nowMs;
  const sizeMs = Math.abs(apartMs);
  if (sizeMs < MINUTE_MS) return apartMs > 5_000 ? 'in a moment' : 'just now';
  if (sizeMs > 7 * DAY_MS) return dayText(moment, zone);
  const words =
    sizeMs < HOUR_MS
      ? `${Math.floor(sizeMs / MINUTE_MS)} min`
      : sizeMs < DAY_MS
        ? `${Math.floor(sizeMs / HOUR_MS)} h`
        : `${Math.floor(sizeMs / DAY_MS)} d`;
  return apartMs > 0 ? `in ${words}` : `${words} ago`;
}

/** "350 ms", "42 s", "3 min", "5 h", "2 d": two digits are enough to judge by. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < MINUTE_MS) return `${trimmed(ms / 1_000)} s`;
  if (ms < HOUR_MS) return `${trimmed(ms / MINUTE_MS)} min`;
  if (ms < DAY_MS) return `${trimmed(ms / HOUR_MS)} h`;
  return `${trimmed(ms / DAY_MS)} d`;
}

function trimmed(figure: number): string {
  return figure < 10 ? figure.toFixed(1).replace(/\.0$/, '') : String(Math.round(figure));
}

/** The time now, told again every half minute. */
export function useNow(everyMs = 30_000): number {
  const [nowMs, setNowMs] = useState(() => Date.now());
  useEffect(() => {
    const tick = setInterval(() => setNowMs(Date.now()), everyMs);
    return () => clearInterval(tick);
  }, [everyMs]);
  return nowMs;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = `${zone} ${JSON.stringify(options)}`;
  const known = formatters.get(name) ?? new Intl.DateTimeFormat('en-GB', { timeZone: zone, ...options });
  formatters.set(name, known);
  return known;
}

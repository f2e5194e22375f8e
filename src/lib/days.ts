/** When a day (`2026-03-31`) begins in a time zone (`Asia/Kolkata`). */
export function startOfDay(day: string, zone: string): Date {
  const midnight = Date.parse(`${day}T00:00:00Z`);
  // The zone's distance from UTC may change between the two moments; the second look is at the right one.
  const near = midnight - distanceAt(midnight, zone);
  const at = midnight - distanceAt(near, zone);
  // Where clocks go forward at midnight, the day has none and begins later.
  return new Date(at + distanceAt(at, zone) < midnight ? near : at);
}

/** The day that lies so many days after, or before, another. */
export function dayPlus(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

function distanceAt(ms: number, zone: string): number {
  const parts = formatOf(zone).formatToParts(ms);
  const at = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((part) => part.type === type)!.value);
  const shown = Date.UTC(at('year'), at('month') - 1, at('day'), at('hour'), at('minute'), at('second'));
  return shown - Math.floor(ms / 1000) * 1000;
}

const MOST_KEPT = 100;
const formats = new Map<string, Intl.DateTimeFormat>();

/** Kept, since making one takes longer than using it a hundred times. */
function formatOf(zone: string): Intl.DateTimeFormat {
  const kept = formats.get(zone);
  if (kept) return kept;
  if (formats.size >= MOST_KEPT) formats.clear();
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  formats.set(zone, format);
  return format;
}

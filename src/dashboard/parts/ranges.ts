/**
 * What filters have, as moments that the API takes: days ("2026-11-23", the last one included), or the moments
 * themselves where a figure leads to exactly its rows.
 */
export function dayRange(
  from: string | undefined,
  to: string | undefined,
  zone: string,
): { created_from?: string; created_before?: string } {
  return {
    ...(isDay(from) && { created_from: startOfDay(from, zone) }),
    ...(isMoment(from) && { created_from: from }),
    ...(isDay(to) && { created_before: startOfDay(dayAfter(to), zone) }),
    ...(isMoment(to) && { created_before: to }),
  };
}

export function rangeText(since: string | undefined, until: string | undefined): string | undefined {
  const [from, to] = [since, until].map((end) =>
    isMoment(end) ? `${end.slice(0, 16).replace('T', ' ')} UTC` : end,
  );
  if (from && to) return from === to ? from : `${from} to ${to}`;
  if (from) return `since ${from}`;
  return to && `until ${to}`;
}

function isDay(text: string | undefined): text is string {
  return text !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}

function isMoment(text: string | undefined): text is string {
  return text !== undefined && /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** The day that it is in a zone. */
export function dayIn(zone: string, atMs: number): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: zone }).format(atMs);
}

export function dayAfter(day: string, days = 1): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** The first moment of a day in a zone, as ISO 8601 in UTC. */
export function startOfDay(day: string, zone: string): string {
  const guessMs = Date.parse(`${day}T00:00:00Z`);
  // Twice, because the offset at the guess may be another one than at the moment itself (daylight saving).
  const once = guessMs - offsetMs(guessMs, zone);
  const twice = guessMs - offsetMs(once, zone);
  // Where clocks go forward at midnight, the day has none and begins later.
  return new Date(twice + offsetMs(twice, zone) < guessMs ? once : twice).toISOString();
}

function offsetMs(atMs: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  }).formatToParts(atMs);
  const part = (type: string) => Number(parts.find((one) => one.type === type)?.value);
  return (
    Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second')) -
    Math.floor(atMs / 1000) * 1000
  );
}

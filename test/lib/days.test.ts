import { expect, test } from 'vitest';
import { startOfDay as startOnPage } from '../../src/dashboard/parts/ranges.ts';
import { startOfDay } from '../../src/lib/days.ts';

// Where clocks change at midnight, in the small hours, by half an hour, on the day line, and never.
const ZONES = [
  'America/Santiago',
  'Africa/Cairo',
  'Asia/Beirut',
  'Australia/Sydney',
  'Australia/Lord_Howe',
  'Pacific/Kiritimati',
  'America/New_York',
  'Europe/Berlin',
  'Asia/Kolkata',
  'UTC',
];

test.each(ZONES)(
  'every day of a year begins with its first moment, on the server and on the page: %s',
  (zone) => {
    const dayOf = new Intl.DateTimeFormat('en-CA', { timeZone: zone });
    let before = '';
    for (let ms = Date.UTC(2026, 0, 1); ms < Date.UTC(2027, 0, 1); ms += 900_000) {
      const day = dayOf.format(ms);
      if (before !== '' && day !== before) {
        expect(startOfDay(day, zone).toISOString()).toBe(new Date(ms).toISOString());
        expect(startOnPage(day, zone)).toBe(new Date(ms).toISOString());
      }
      before = day;
    }
  },
);

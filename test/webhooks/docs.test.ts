import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MAX_ENDPOINTS } from '../../src/webhooks/endpoints.ts';
import { DEFAULT_WEBHOOK_EVENTS, WEBHOOK_EVENT_NAMES, WEBHOOK_EVENTS } from '../../src/webhooks/events.ts';
import { GIVEN_UP_BECAUSE, TRY_OUTCOMES } from '../../src/webhooks/outcomes.ts';
import { RETIRE_AFTER_FAILURES, RETIRE_AFTER_MS, RETRY_SCHEDULE } from '../../src/webhooks/schedule.ts';
import { TRY_TIMEOUT_MS } from '../../src/webhooks/send.ts';

const page = readFileSync(new URL('../../docs/webhooks.md', import.meta.url), 'utf8').replaceAll('\n', ' ');

test('docs/webhooks.md says what the code does', () => {
  for (const name of WEBHOOK_EVENT_NAMES) {
    const byDefault = DEFAULT_WEBHOOK_EVENTS.includes(name) ? 'yes' : 'no';
    expect(page).toContain(`| \`${name}\` | ${WEBHOOK_EVENTS[name]} | ${byDefault} |`);
  }
  for (const [word, says] of Object.entries({ ...TRY_OUTCOMES, ...GIVEN_UP_BECAUSE })) {
    expect(page).toContain(`| \`${word}\` | ${says} |`);
  }
  const schedule = RETRY_SCHEDULE.map(({ times, delayMs }) => {
    const minutes = delayMs / 60_000;
    const [count, unit] = minutes < 60 ? [minutes, 'minute'] : [minutes / 60, 'hour'];
    return `${times > 1 ? `${times} × ` : ''}${count} ${unit}${count > 1 ? 's' : ''}`;
  });
  expect(page).toContain(`**${schedule.join('; ')}**`);
  expect(page).toContain(`within ${TRY_TIMEOUT_MS / 1000} seconds`);
  expect(page).toContain(
    `nothing for ${RETIRE_AFTER_MS / 86_400_000} days, in at least ${RETIRE_AFTER_FAILURES} tries`,
  );
  expect(page).toContain(`A merchant may have ${MAX_ENDPOINTS} endpoints`);
});

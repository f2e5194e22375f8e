/** Writes the pages that follow from the code: `node docs/make.ts`. A test fails while one is out of date. */
import { writeFileSync } from 'node:fs';
import { STATE_NAMES, STATES } from '../src/refunds/states.ts';

export function statesPage(): string {
  const lines = [
    '# The states of a refund',
    '',
    'Made from `src/refunds/states.ts` by `node docs/make.ts`. The database refuses every move that is not drawn here.',
    '',
    '```mermaid',
    'stateDiagram-v2',
    '  [*] --> queued: recorded',
  ];
  for (const from of STATE_NAMES) {
    for (const [to, why] of Object.entries(STATES[from].moves))
      lines.push(`  ${from} --> ${to}: ${why.replaceAll(':', ' -')}`);
  }
  for (const state of STATE_NAMES) if (STATES[state].final) lines.push(`  ${state} --> [*]`);
  lines.push(
    '```',
    '',
    '| state | public status | sent to gateway | holds its amount | final | what it means |',
    '|---|---|---|---|---|---|',
  );
  for (const state of STATE_NAMES) {
    const row = STATES[state];
    const yes = (flag: boolean) => (flag ? 'yes' : 'no');
    lines.push(
      `| ${state} | ${row.public} | ${yes(row.sent)} | ${yes(row.reserves)} | ${yes(row.final)} | ${row.says} |`,
    );
  }
  lines.push('', '## Moves', '', '| from | to | when |', '|---|---|---|');
  for (const from of STATE_NAMES) {
    for (const [to, why] of Object.entries(STATES[from].moves)) lines.push(`| ${from} | ${to} | ${why} |`);
  }
  return `${lines.join('\n')}\n`;
}

if (import.meta.main) writeFileSync(new URL('states.md', import.meta.url), statesPage());

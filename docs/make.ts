/** Writes the pages that follow from the code: `node docs/make.ts`. A test fails while one is out of date. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { ApiDeps } from '../src/api/deps.ts';
import { buildServer } from '../src/api/server.ts';
import { COLUMNS_OF } from '../src/batches/file/columns.ts';
import { FILE_CODES } from '../src/batches/file/file-problem.ts';
import { ROW_CODES } from '../src/batches/file/row-codes.ts';
import { sampleCsv } from '../src/batches/file/sample.ts';
import { BATCH_KINDS } from '../src/batches/words.ts';
import { describeSettings, readSettings } from '../src/config.ts';
import { registryOf } from '../src/gateways/registry.ts';
import { systemClock } from '../src/lib/clock.ts';
import { createLogger } from '../src/lib/log.ts';
import { createVault } from '../src/lib/vault.ts';
import { STATE_NAMES, STATES } from '../src/refunds/states.ts';
import { startPage } from '../src/start-page.ts';
import { flowPicture, THEMES, terminalPicture } from './pictures.ts';

const ROOT = new URL('../', import.meta.url);

/** Every page that is made, by its path in the project. */
export const PAGES: Readonly<Record<string, () => string | Promise<string>>> = {
  'README.md': readme,
  'docs/states.md': statesPage,
  'docs/api.md': apiPage,
  'docs/batch-files.md': batchFilesPage,
  'docs/flow-light.svg': () => flowPicture(THEMES.light),
  'docs/flow-dark.svg': () => flowPicture(THEMES.dark),
  'docs/start-page.svg': () =>
    terminalPicture('The start page in a terminal', `$ npm start\n${demoPage(true)}`),
};

export function readPage(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

/** The start page of a first start, as its reader sees it: own folder, own key, the first of the demo's orders. */
export function demoPage(colours: boolean): string {
  const settings = readSettings({});
  return startPage(
    {
      url: settings.publicUrl,
      settings,
      place: '/home/you/refundry/data (embedded PostgreSQL)',
      inDoubt: () => null,
      demoKey: 'demo_45a33ef97b6e4245193dcf95',
      demoPassword: 'demo-6f1d09c2ab47',
    },
    { orderId: 'IN10386', amount: '2290.00' },
    colours,
  ).trimEnd();
}

/** The README as it is, with the settings as they are in force. */
function readme(): string {
  const rows = describeSettings({}).map(
    ({ name, otherwise, accepts, about }) => `| \`${name}\` | ${otherwise} | ${accepts} | ${about} |`,
  );
  const table = ['| setting | default | accepts | for |', '|---|---|---|---|', ...rows];
  return withTable(readPage('README.md'), 'settings', table.join('\n'));
}

/** The tour of the API as it is, with every address that the server describes. */
async function apiPage(): Promise<string> {
  const vault = createVault(Buffer.alloc(32));
  const deps = { settings: readSettings({}), clock: systemClock, log: createLogger('silent'), vault };
  // No request is answered, so nothing else is reached.
  const server = await buildServer({ ...deps, gateways: registryOf([]), engine: {} } as unknown as ApiDeps);
  await server.ready();
  const { paths = {} } = server.swagger();
  await server.close();
  const rows = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations as Record<string, { tags?: string[]; summary?: string }>).map(
      ([method, { tags = [], summary = '' }]) => ({
        tag: tags.join(),
        row: `| \`${method.toUpperCase()} ${path}\` | ${summary} |`,
      }),
    ),
  );
  const tables = [...Map.groupBy(rows, ({ tag }) => tag)].map(
    ([tag, group]) =>
      `**${tag}**\n\n| address | what |\n|---|---|\n${group.map(({ row }) => row).join('\n')}`,
  );
  return withTable(readPage('docs/api.md'), 'addresses', tables.join('\n\n'));
}

/** The page of batch files, with the columns, the samples and the codes as they are. */
function batchFilesPage(): string {
  let page = readPage('docs/batch-files.md');
  for (const kind of BATCH_KINDS) {
    const rows = COLUMNS_OF[kind].map(
      ({ name, required, aliases, about }) =>
        `| \`${name}\` | ${required ? 'yes' : ''} | ${about} | ${aliases.join(', ')} |`,
    );
    const table = ['| column | needed | what | also understood |', '|---|---|---|---|', ...rows];
    page = withTable(page, `columns of ${kind}`, table.join('\n'));
    const sample = sampleCsv(kind).replaceAll('\r\n', '\n').trimEnd();
    page = withTable(page, `sample of ${kind}`, `\`\`\`csv\n${sample}\n\`\`\``);
  }
  for (const [name, codes] of [
    ['codes of files', FILE_CODES],
    ['codes of rows', ROW_CODES],
  ] as const) {
    const rows = Object.entries(codes).map(([code, says]) => `| \`${code}\` | ${says} |`);
    page = withTable(page, name, ['| code | what it means |', '|---|---|', ...rows].join('\n'));
  }
  return page;
}

function withTable(page: string, name: string, table: string): string {
  const marked = new RegExp(`(<!-- ${name}: made by docs/make\\.ts -->\n)[\\s\\S]*?(\n<!-- /${name} -->)`);
  if (!marked.test(page)) throw new Error(`the page has no place for ${name}`);
  return page.replace(marked, (_, before: string, after: string) => `${before}\n${table}\n${after}`);
}

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

if (import.meta.main) {
  for (const [path, make] of Object.entries(PAGES)) writeFileSync(new URL(path, ROOT), await make());
}

import { spawn } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoPage, PAGES, readPage } from '../docs/make.ts';
import { type Started, startProgram } from './support/program.ts';
import { newDataDir } from './support/running.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const DOCUMENTS = globSync(['*.md', 'docs/*.md', 'test/**/*.md'], { cwd: ROOT });

describe('pages that follow from the code', () => {
  test.each(Object.entries(PAGES))('%s is what `node docs/make.ts` makes', async (path, make) => {
    expect(await make()).toBe(readPage(path));
  });
});

test.each(DOCUMENTS)('what %s points to is there', (document) => {
  const text = readPage(document);
  const links = [...text.matchAll(/(?:\]\(|src="|srcset=")([^)"\s]+)/g)].map((found) => found[1]!);
  for (const link of links.filter((target) => !/^[a-z]+:/.test(target))) {
    const [path, heading] = link.split('#') as [string, string?];
    const target = path === '' ? document : join(dirname(document), path);
    expect(existsSync(join(ROOT, target)), link).toBe(true);
    if (heading !== undefined) expect(headingsOf(target), link).toContain(heading);
  }
  for (const [, path] of text.matchAll(/`((?:src|test|migrations|docs|bench|bin)\/[\w./-]+)`/g))
    expect(existsSync(join(ROOT, path!)), path).toBe(true);
});

/** As GitHub makes them into links. */
function headingsOf(document: string): string[] {
  return [...readPage(document).matchAll(/^#+ (.+)$/gm)].map((found) =>
    found[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('the sentences that operators look up are those that the program says', () => {
  const source = globSync('src/**/*.ts', { cwd: ROOT })
    .map(readPage)
    .join('\n')
    .replaceAll(/['`] \+\s*['`]/g, '');
  const tables = readPage('docs/operating.md').split(/^#+ /m);
  const quoted = ['Logs', 'What needs a person', 'When it does not start'].flatMap((heading) =>
    tables
      .find((section) => section.startsWith(heading))!
      .split('\n')
      .filter((line) => /^\| (?!-|sentence|level)/.test(line))
      .map((line) => line.split(' | ')[heading === 'Logs' ? 1 : 0]!.replace(/^\| /, '')),
  );
  expect(quoted.length).toBeGreaterThan(20);
  const parts = quoted.flatMap((cell) => cell.split(/…|`/)).filter((part) => part.length > 8);
  expect(parts.filter((part) => !source.includes(part))).toEqual([]);
});

test('the races that are named are tests', () => {
  const [, section] = readPage('docs/reliability.md').split('## Races\n');
  const rows = [...section!.split('\n## ')[0]!.matchAll(/^\| .*\| `(test\/\S+)` \| (.+) \|$/gm)];
  const titles = rows.flatMap(([, file, tests]) =>
    [...tests!.matchAll(/\*([^*]+)\*/g)].map(([, title]) => [file!, title!] as const),
  );
  expect(titles.length).toBeGreaterThan(15);
  const titlesIn = (file: string) => readPage(file).replaceAll('%s', '…');
  expect(titles.filter(([file, title]) => !titlesIn(file).includes(title))).toEqual([]);
});

describe('against a fresh start', () => {
  let folder: Awaited<ReturnType<typeof newDataDir>>;
  let server: Started;
  beforeAll(async () => {
    folder = await newDataDir();
    server = await startProgram({ PORT: '0', DATA_DIR: folder.path });
  });
  afterAll(async () => {
    await server.end('SIGINT');
    await folder.remove();
  });

  test('the picture of the start page shows what the terminal does', () => {
    const real = server.page
      .replaceAll(server.url!, 'http://127.0.0.1:8080')
      .replaceAll(/demo[_-][0-9a-f]{12,}/g, '<key>')
      .replace(folder.path, '<data>');
    const drawn = demoPage(false)
      .replaceAll(/demo[_-][0-9a-f]{12,}/g, '<key>')
      .replace('/home/you/refundry/data', '<data>');
    expect(drawn.trim()).toBe(real.trim());
  });

  test.each(['README.md', 'docs/api.md'])(
    'the examples of %s run as printed',
    async (document) => {
      const examples = examplesOf(readPage(document));
      expect(examples.length).toBeGreaterThanOrEqual(3);
      const variables: string[] = [];
      for (const { commands, answer } of examples) {
        const run = () => shell([...variables, commands].join('\n'), server.url!, folder.path);
        let differing = differences(answer, await run());
        // A question may be asked before the gateway has told; what changes something is done once.
        const isQuestion = !/ (-d|--data-binary|-X) /.test(commands);
        for (const end = Date.now() + 30_000; isQuestion && differing.length > 0 && Date.now() < end; ) {
          await new Promise((resolve) => setTimeout(resolve, 200));
          differing = differences(answer, await run());
        }
        expect(differing, commands).toEqual([]);
        variables.push(...commands.split('\n').filter((line) => /^[A-Z]+=/.test(line)));
      }
    },
    240_000,
  );
});

interface Example {
  readonly commands: string;
  /** The lines of JSON that it should answer; `…` stands for what may be anything. */
  readonly answer: readonly unknown[];
}

/** Each block of shell commands, with the block that follows it and shows what they answer. */
function examplesOf(document: string): Example[] {
  const blocks = /^```sh\n([\s\S]*?)^```\n+^```js\n([\s\S]*?)^```$/gm;
  const examples = [...document.matchAll(blocks)].map(([, commands, answer]) => ({
    commands: commands!.trim(),
    answer: answer!
      .trim()
      .split(/\n(?=\{)/)
      .map((line) => JSON.parse(line.replaceAll(/,\s*…(?=\s*\})/g, ''))),
  }));
  expect(examples.length, 'each block of commands has its answer').toBe(document.split('```sh\n').length - 1);
  return examples;
}

const CURL = `
if command -v curl > /dev/null; then curl() { command curl --silent --show-error "$@"; }
else curl() { "$NODE" test/support/curl.ts "$@"; }; fi
`;

async function shell(script: string, url: string, dataDir: string): Promise<string> {
  const child = spawn('sh', ['-ec', CURL + script.replaceAll('http://127.0.0.1:8080', url)], {
    cwd: ROOT,
    env: { ...process.env, DATA_DIR: dataDir, NODE: process.execPath },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) said += chunk;
  return said.replaceAll(url, 'http://127.0.0.1:8080');
}

/** Where what was said differs from what is printed. */
function differences(answer: readonly unknown[], said: string): string[] {
  const lines = answer.length === 1 ? [said] : said.trim().split('\n');
  return answer.flatMap((printed, n) => compare(printed, JSON.parse(lines[n] ?? 'null'), `line ${n + 1}`));
}

function compare(printed: unknown, real: unknown, at: string): string[] {
  if (typeof printed === 'string' && typeof real === 'string' && printed.includes('…')) {
    const pattern = printed.split('…').map((part) => part.replaceAll(/[^\w ]/g, '\\$&'));
    return new RegExp(`^${pattern.join('.*')}$`).test(real) ? [] : [`${at}: ${real}`];
  }
  if (typeof printed !== 'object' || printed === null || typeof real !== 'object' || real === null) {
    return Object.is(printed, real) ? [] : [`${at}: ${JSON.stringify(real)}`];
  }
  if (Array.isArray(printed) && printed.length !== (real as unknown[]).length) {
    return [`${at}: ${(real as unknown[]).length} in place of ${printed.length}`];
  }
  return Object.entries(printed).flatMap(([key, value]) =>
    compare(value, (real as Record<string, unknown>)[key], `${at} ${key}`),
  );
}

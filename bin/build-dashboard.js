#!/usr/bin/env node
// Builds the dashboard's page into dist/dashboard. With --if-stale only where what it is made of has changed.
import { createHash } from 'node:crypto';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const root = join(import.meta.dirname, '..');
const out = join(root, 'dist/dashboard');
const stamp = join(out, '.made-of');

const madeOf = hashOfSources();
if (!process.argv.includes('--if-stale') || builtOf() !== madeOf) await build();

async function build() {
  // Whoever starts it, such as a test run that sets another one: the page is built for use.
  process.env.NODE_ENV = 'production';
  const { build } = await import('vite');
  process.stderr.write('Building the dashboard …\n');
  await build({
    configFile: join(root, 'src/dashboard/vite.config.ts'),
    logLevel: 'warn',
    clearScreen: false,
  });
  let total = 0;
  let first = 0;
  const firstPage = readFileSync(join(out, 'index.html'), 'utf8');
  for (const file of globSync('assets/*.{js,css}', { cwd: out })) {
    const bytes = readFileSync(join(out, file));
    const small = brotliCompressSync(bytes);
    writeFileSync(join(out, `${file}.br`), small);
    writeFileSync(join(out, `${file}.gz`), gzipSync(bytes, { level: 9 }));
    total += small.length;
    if (firstPage.includes(file)) first += small.length;
  }
  writeFileSync(stamp, madeOf);
  const kb = (bytes) => `${Math.round(bytes / 1000)} kB`;
  process.stderr.write(
    `Built: ${kb(first)} for the first page, ${kb(total)} in all (brotli, without fonts).\n`,
  );
}

function builtOf() {
  try {
    return readFileSync(stamp, 'utf8');
  } catch {
    return null;
  }
}

function hashOfSources() {
  const sources = [
    'src/dashboard/**/*',
    'src/api/contract/*',
    'src/lib/money.ts',
    'src/refunds/states.ts',
    'package-lock.json',
  ];
  const hash = createHash('sha256');
  for (const file of globSync(sources, { cwd: root, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()) {
    hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

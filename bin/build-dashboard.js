#!/usr/bin/env node
// Builds the dashboard's page into dist/dashboard. With --if-stale only where what it is made of has changed.
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const root = join(import.meta.dirname, '..');
const built = join(root, 'dist/dashboard');
// Put in place when it is whole: two builds at once do not meet, and a server never finds half of one.
const out = join(root, `dist/building-${process.pid}`);

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
    build: { outDir: out },
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
  writeFileSync(join(out, '.made-of'), madeOf);
  putInPlace();
  const kb = (bytes) => `${Math.round(bytes / 1000)} kB`;
  process.stderr.write(
    `Built: ${kb(first)} for the first page, ${kb(total)} in all (brotli, without fonts).\n`,
  );
}

function putInPlace() {
  const before = join(root, `dist/before-${process.pid}`);
  mkdirSync(before);
  try {
    renameSync(built, join(before, 'dashboard'));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  try {
    renameSync(out, built);
  } catch (error) {
    // Another build was as fast; its page is as good.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    rmSync(out, { recursive: true });
  }
  rmSync(before, { recursive: true });
}

function builtOf() {
  try {
    return readFileSync(join(built, '.made-of'), 'utf8');
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

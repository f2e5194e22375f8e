import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

// main, cli → api, batches → orders, refunds → gateways, webhooks, audit, access → lib
const FLOORS: Readonly<Record<string, number>> = {
  lib: 0,
  gateways: 1,
  webhooks: 1,
  audit: 1,
  access: 1,
  orders: 2,
  refunds: 2,
  api: 3,
  batches: 3,
  dashboard: 3,
  cli: 4,
};
const TOP = 4;
const SRC = join(import.meta.dirname, '../../src');
const files = globSync('**/*.{ts,tsx}', { cwd: SRC });

function importsOf(file: string): { target: string; typeOnly: boolean }[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  return [...text.matchAll(/^(?:import|export)(\s+type)?[^;]*?from\s+'(\.[^']+)';/gms)].map((found) => ({
    target: relative(SRC, join(SRC, dirname(file), found[2]!)),
    typeOnly: found[1] !== undefined,
  }));
}

const folderOf = (file: string) => (file.includes('/') ? file.split('/')[0]! : null);
const floorOf = (file: string) => {
  const folder = folderOf(file);
  return folder === null ? TOP : FLOORS[folder]!;
};

describe('the arrows between the folders', () => {
  test('every folder has its floor', () => {
    const folders = new Set(files.map(folderOf).filter((folder) => folder !== null));
    expect([...folders].filter((folder) => FLOORS[folder] === undefined)).toEqual([]);
    expect(files.length).toBeGreaterThan(40);
  });

  test('imports go down or stay on their floor; settings’ types may be seen from anywhere', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter(
          ({ target, typeOnly }) => floorOf(target) > floorOf(file) && !(typeOnly && target === 'config.ts'),
        )
        .map(({ target }) => `${file} → ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  test('the dashboard knows the contract of the API and nothing else of the server', () => {
    const pure = /^(dashboard\/|api\/contract\/|lib\/money\.ts$)/;
    const wrong = files
      .filter((file) => folderOf(file) === 'dashboard')
      .flatMap((file) =>
        importsOf(file).filter(({ target }) => !target.endsWith('.css') && !pure.test(target)),
      )
      .map(({ target }) => target);
    expect(wrong).toEqual([]);
  });

  test('the contract is made of schemas and pure modules only', () => {
    // Words and numbers that stand by themselves: such a module imports nothing when it runs.
    const standsAlone = (file: string) => importsOf(file).every(({ typeOnly }) => typeOnly);
    const pure = (file: string) => /^(api\/contract\/|lib\/)/.test(file) || standsAlone(file);
    const wrong = files
      .filter((file) => file.startsWith('api/contract/'))
      .flatMap((file) => importsOf(file).filter(({ target }) => !pure(target)))
      .map(({ target }) => target);
    expect(wrong).toEqual([]);
  });

  test('no gateway is named above gateways/, but where the list of them is put together', () => {
    const names = globSync('*.ts', { cwd: join(SRC, 'gateways') }).map((file) => file.replace('.ts', ''));
    const vendors = names.filter((name) =>
      readFileSync(join(SRC, 'gateways', `${name}.ts`), 'utf8').includes(': Gateway = {'),
    );
    expect(vendors).toContain('stripe');
    const naming = files.filter(
      (file) =>
        floorOf(file) > 1 &&
        file !== 'main.ts' &&
        vendors.some((vendor) => new RegExp(vendor, 'i').test(readFileSync(join(SRC, file), 'utf8'))),
    );
    expect(naming).toEqual([]);
  });

  test('only config.ts reads the environment', () => {
    const readers = files.filter((file) => readFileSync(join(SRC, file), 'utf8').includes('process.env'));
    expect(readers).toEqual(['config.ts']);
  });
});

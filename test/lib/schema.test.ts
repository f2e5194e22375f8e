import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MIGRATIONS_DIR } from '../../src/lib/migrate.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';

const COMMENT = /^(A|The only) row [\s\S]*\. It belongs to (a merchant|the cell|the installation)\.$/;
type Kind = 'a merchant' | 'the cell' | 'the installation';

let fresh: FreshDatabase;
const kinds = new Map<string, Kind | undefined>();
beforeAll(async () => {
  fresh = await freshDatabase();
  const tables = await fresh.db.query<{ name: string; comment: string | null }>(
    `select relname as name, obj_description(oid, 'pg_class') as comment from pg_class
     where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')`,
  );
  for (const { name, comment } of tables)
    kinds.set(name, COMMENT.exec(comment ?? '')?.[2] as Kind | undefined);
});
afterAll(() => fresh.drop());

/** The tables of a kind that a statement names. */
const named = (sql: string) => {
  const text = sql.replace(/--.*/g, '').replace(/\s+/g, ' ');
  const places =
    /\b(?:from|join|into|update|using|table|copy|only) (?:only )?(\w+)|, ?(\w+)(?= (?:\w+ )?(?:where|,))/gi;
  const words = [...text.matchAll(places)].map(([, after, listed]) => (after ?? listed)!.toLowerCase());
  return [...new Set(words)].filter((word) => kinds.has(word));
};
const crosses = (sql: string) => {
  const tables = named(sql);
  const isDirectory = (table: string) => kinds.get(table) === 'the installation';
  return tables.some(isDirectory) && !tables.every(isDirectory);
};

describe('the tables', () => {
  test('say each what a row is, and whether it belongs to a merchant, the cell or the installation', () => {
    expect([...kinds].filter(([, kind]) => kind === undefined)).toEqual([]);
    expect([...kinds].filter(([, kind]) => kind === 'a merchant').length).toBeGreaterThan(20);
  });

  test('of a merchant begin each key and unique index with the merchant', async () => {
    const rows = await fresh.db.query<{ table: string; index: string; first: string | null }>(
      `select i.indrelid::regclass::text as table, i.indexrelid::regclass::text as index,
              (select attname::text from pg_attribute where attrelid = i.indrelid and attnum = i.indkey[0]) as first
       from pg_index i join pg_class c on c.oid = i.indexrelid
       where c.relnamespace = current_schema()::regnamespace and i.indisunique`,
    );
    expect(rows.length).toBeGreaterThan(40);
    const wrong = rows.filter(
      ({ table, first }) => kinds.get(table) === 'a merchant' && first !== 'merchant_id',
    );
    expect(wrong).toEqual([]);
  });

  test('of a merchant name it in each row, those of the cell none', async () => {
    const rows = await fresh.db.query<{ table: string }>(
      `select attrelid::regclass::text as table from pg_attribute
       where attname = 'merchant_id' and attnotnull and attnum > 0
         and attrelid in (select oid from pg_class where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p'))`,
    );
    const bound = new Set(rows.map(({ table }) => table));
    for (const [table, kind] of kinds)
      if (kind !== 'the installation')
        expect([table, bound.has(table)]).toEqual([table, kind === 'a merchant']);
  });

  test('of two kinds are joined by no foreign key', async () => {
    const rows = await fresh.db.query<{ from: string; to: string }>(
      `select conrelid::regclass::text as from, confrelid::regclass::text as to from pg_constraint where contype = 'f'`,
    );
    expect(rows.length).toBeGreaterThan(10);
    expect(rows.filter(({ from, to }) => kinds.get(from) !== kinds.get(to))).toEqual([]);
  });
});

describe('the functions', () => {
  const files = readdirSync(join(MIGRATIONS_DIR, 'verbs')).map((name) => ({
    name,
    text: readFileSync(join(MIGRATIONS_DIR, 'verbs', name), 'utf8'),
  }));
  const defined = files.flatMap(({ text }) =>
    [...text.matchAll(/^create or replace (?:function|aggregate) (\w+)\(/gm)].map(([, name]) => name!),
  );

  test('stand each in one file of verbs, and with them the triggers', async () => {
    const functions = await fresh.db.query<{ name: string }>(
      'select proname::text as name from pg_proc where pronamespace = current_schema()::regnamespace',
    );
    expect(defined.sort()).toEqual(functions.map(({ name }) => name).sort());
    const triggers = await fresh.db.query<{ name: string }>(
      'select tgname::text as name from pg_trigger where not tgisinternal',
    );
    const made = files.flatMap(({ text }) =>
      [...text.matchAll(/^create or replace trigger (\w+)/gm)].map(([, name]) => name!),
    );
    expect(made.sort()).toEqual(triggers.map(({ name }) => name).sort());
  });

  test('and triggers name no tables of two kinds', async () => {
    const bodies = await fresh.db.query<{ name: string; text: string }>(
      `select proname::text as name, pg_get_functiondef(oid) as text from pg_proc
       where pronamespace = current_schema()::regnamespace and prokind = 'f'
       union all
       select t.tgname, format('from %s; %s', t.tgrelid::regclass, pg_get_functiondef(t.tgfoid)) from pg_trigger t
       where not t.tgisinternal`,
    );
    expect(bodies.filter(({ text }) => crosses(text)).map(({ name }) => name)).toEqual([]);
  });

  test('take no types of their own', async () => {
    const types = await fresh.db.query(
      `select typname from pg_type t join pg_class c on c.oid = t.typrelid
       where t.typnamespace = current_schema()::regnamespace and c.relkind = 'c'`,
    );
    expect(types).toEqual([]);
  });
});

describe('the statements of the program', () => {
  const root = join(import.meta.dirname, '../../src');
  const statements = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => statementsIn(readFileSync(join(root, file), 'utf8')).map((sql) => ({ file, sql })));

  test('name no tables of two kinds', () => {
    expect(statements.filter(({ sql }) => crosses(sql))).toEqual([]);
    // Or the statements would not have been found.
    const tables = new Set(statements.flatMap(({ sql }) => named(sql)));
    expect([...kinds.keys()].filter((table) => !tables.has(table))).toEqual([]);
  });

  test('and of the migrations name no schema', () => {
    const migrations = readdirSync(MIGRATIONS_DIR, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.sql'))
      .map((file) => ({ file, sql: readFileSync(join(MIGRATIONS_DIR, file), 'utf8') }));
    const names = ({ sql }: { sql: string }) =>
      /\b(from|join|into|update|table|on|references) (public|refundry)\./i.test(sql);
    expect([...statements, ...migrations].filter(names)).toEqual([]);
  });
});

interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The SQL texts of a file, with the file's own constants in their places. */
function statementsIn(text: string): string[] {
  const constants = new Map<string, Node>();
  const texts: Node[] = [];
  const visit = (node: Node): void => {
    const { id, init } = node as { readonly id?: Node; readonly init?: Node };
    if (node.type === 'VariableDeclarator' && id?.type === 'Identifier' && init)
      constants.set(id['name'] as string, init);
    if (node.type === 'TemplateLiteral' || typeof node['value'] === 'string') texts.push(node);
    for (const child of Object.values(node).flat())
      if (typeof (child as Node | null)?.type === 'string') visit(child as Node);
  };
  visit(parseSync('file.ts', text).program as unknown as Node);
  const textOf = (node: Node | undefined, depth = 0): string => {
    if (!node || depth > 5) return ' ';
    if (node.type === 'Identifier') return textOf(constants.get(node['name'] as string), depth + 1);
    if (typeof node['value'] === 'string') return node['value'];
    if (node.type !== 'TemplateLiteral') return ' ';
    const { quasis, expressions } = node as unknown as {
      readonly quasis: readonly { readonly value: { readonly cooked: string } }[];
      readonly expressions: readonly Node[];
    };
    return quasis
      .map(({ value }, n) => value.cooked + (expressions[n] ? textOf(expressions[n], depth) : ''))
      .join('');
  };
  return texts
    .map((node) => textOf(node))
    .filter((sql) => /\b(select|insert into|update|delete from|lock table|copy)\b/.test(sql));
}

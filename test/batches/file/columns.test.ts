import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { COLUMNS_OF, matchColumns, ONE_OF } from '../../../src/batches/file/columns.ts';
import type { FileProblem } from '../../../src/batches/file/file-problem.ts';
import { BATCH_KINDS, type BatchKind } from '../../../src/batches/words.ts';

function problemOf(kind: BatchKind, header: string[], mapping: Record<string, string> = {}): FileProblem {
  const match = matchColumns(kind, header, mapping);
  if (match.ok) throw new Error('no problem');
  return match.problem;
}

describe('columns', () => {
  test.each(BATCH_KINDS)('no name or alias of %s means two columns', (kind) => {
    const bare = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
    const names = COLUMNS_OF[kind].flatMap(({ name, aliases }) =>
      [...new Set([name, ...aliases].map(bare))].map((text) => text),
    );
    expect(names.filter((text, at) => names.indexOf(text) !== at)).toEqual([]);
    for (const set of ONE_OF[kind].flat(2)) expect(COLUMNS_OF[kind].map(({ name }) => name)).toContain(set);
  });

  test.each(BATCH_KINDS)('every name and alias of %s is understood in any order and spelling', (kind) => {
    const specs = COLUMNS_OF[kind].filter(({ name }) => name !== 'amount_minor');
    const spelling = (text: string) =>
      fc
        .tuple(fc.constantFrom(' ', '_', '-', '', '. '), fc.boolean(), fc.boolean())
        .map(([sign, upper, padded]) => {
          const words = text.split(/[ _-]/).join(sign);
          return (padded ? `  ${words} ` : words)[upper ? 'toUpperCase' : 'toString']();
        });
    const column = (spec: (typeof specs)[number]) =>
      fc
        .constantFrom(spec.name, ...spec.aliases)
        .chain((text) => spelling(text).map((header) => ({ name: spec.name, header })));
    const header = fc
      .tuple(...specs.map(column))
      .chain((columns) => fc.shuffledSubarray(columns, { minLength: columns.length }));
    fc.assert(
      fc.property(header, (columns) => {
        const match = matchColumns(
          kind,
          columns.map(({ header }) => header),
          {},
        );
        expect(match).toMatchObject({ ok: true, columns: columns.map(({ name }) => name), minor: false });
      }),
    );
  });

  test('unknown columns are kept as unknown, also nameless and equal ones', () => {
    const header = ['Order No.', 'Store', 'Request ID', 'Store', 'Refund Amount', 'CCY', ''];
    expect(matchColumns('refunds', header, {})).toMatchObject({
      ok: true,
      columns: ['order_id', null, 'unique_request_id', null, 'amount', 'currency', null],
      minor: false,
    });
  });

  test('a column of minor units says so', () => {
    const match = matchColumns('refunds', ['txn_id', 'request_id', 'Amount in Paise', 'currency'], {});
    expect(match).toMatchObject({
      ok: true,
      columns: ['txn_id', 'unique_request_id', 'amount_minor', 'currency'],
      minor: true,
    });
  });

  test('what is missing is named with what would be understood, and with what is there', () => {
    const problem = problemOf('refunds', ['Bestellnummer', 'request_id', 'Betrag']);
    expect(problem.code).toBe('missing_columns');
    for (const word of [
      'order_id or txn_id',
      'amount or amount_minor',
      'currency',
      '“Bestellnummer”',
      '“Betrag”',
    ])
      expect(problem.message).toContain(word);
    expect(problem.message).not.toContain('unique_request_id');
    expect(problem.accepted).toContain('ccy');
    expect(problemOf('status_updates', ['order_id', 'status', 'evidence']).message).toContain(
      'refund_id or order_id with unique_request_id',
    );
  });

  test('a first row that is data is shown as what the header says', () => {
    const problem = problemOf('refunds', ['order_id']);
    expect(problem.message).toContain('but says “order_id”');
  });

  test('a mapping names the header of a column, and goes before names', () => {
    const header = ['Bestellnummer', 'Referenz', 'Betrag', 'currency', 'amount', 'note'];
    const mapping = { order_id: 'bestellnummer', unique_request_id: 'Referenz', amount: 'Betrag' };
    expect(matchColumns('refunds', header, mapping)).toMatchObject({
      ok: true,
      columns: ['order_id', 'unique_request_id', 'amount', 'currency', null, 'note'],
      minor: false,
    });
  });

  test.each<[string, Record<string, string>, string, RegExp]>([
    ['a column that is none of ours', { colour: 'note' }, 'bad_mapping', /no column “colour”/],
    ['a property of all objects', { toString: 'note' }, 'bad_mapping', /no column “toString”/],
    ['a header that is not there', { order_id: 'Nummer' }, 'bad_mapping', /the file has none.*“order_id”/],
    [
      'one header for two columns',
      { order_id: 'note', txn_id: 'note' },
      'bad_mapping',
      /order_id and for txn_id/,
    ],
  ])('a mapping with %s', (_, mapping, code, says) => {
    const problem = problemOf('refunds', ['order_id', 'request_id', 'amount', 'currency', 'note'], mapping);
    expect(problem.code).toBe(code);
    expect(problem.message).toMatch(says);
  });

  test('a column of our very name goes before aliases, but where money depends on it', () => {
    const header = ['order_id', 'unique_request_id', 'refund_id', 'amount', 'currency', 'note', 'remarks'];
    expect(matchColumns('refunds', header, {})).toMatchObject({
      ok: true,
      columns: ['order_id', 'unique_request_id', null, 'amount', 'currency', 'note', null],
    });
    for (const [alias, field] of [
      ['Refund Amount', 'amount'],
      ['order_no', 'order_id'],
      ['ccy', 'currency'],
    ])
      expect(problemOf('refunds', [...header, alias!])).toMatchObject({ code: 'duplicate_columns', field });
    // Without our name, two aliases are never chosen between.
    expect(problemOf('status_updates', ['refund_id', 'status', 'note', 'reason'])).toMatchObject({
      code: 'duplicate_columns',
      field: 'evidence',
    });
  });

  test('two headers for one column, or two units, are not chosen between', () => {
    const twice = problemOf('refunds', ['order_id', 'Order ID', 'request_id', 'amount', 'currency']);
    expect(twice).toMatchObject({ code: 'duplicate_columns', field: 'order_id' });
    expect(twice.message).toContain('columns 1, 2');
    const units = problemOf('refunds', ['order_id', 'request_id', 'amount', 'amount_minor', 'currency']);
    expect(units).toMatchObject({ code: 'duplicate_columns', field: 'amount' });
  });
});

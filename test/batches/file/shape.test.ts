import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchColumns } from '../../../src/batches/file/columns.ts';
import { readRefundRow, readStatusRow } from '../../../src/batches/file/read-row.ts';
import { readAll } from './support.ts';

/** What each row of a file would refund, or the code of what is wrong with it. */
async function understood(text: string): Promise<string[]> {
  const { file, rows } = await readAll(text);
  const match = matchColumns('refunds', file.header, {});
  if (!match.ok) throw match.problem;
  return rows.map((row) => {
    const { fields, problem } = readRefundRow(match.columns, row, match);
    return problem?.code ?? `${fields.currency} ${fields.amount}`;
  });
}

const HEADER = 'order_id,unique_request_id,currency,amount,note';

describe('money never comes out of a row whose shape is in doubt', () => {
  test.each([
    ['an amount that its comma splits', `${HEADER}\nA-1,r1,INR,1,234.50,`, ['too_many_cells']],
    ['decimals after a comma', `${HEADER}\nA-1,r1,EUR,12,50,`, ['too_many_cells']],
    ['the same, the empty note left out', `${HEADER}\nA-1,r1,INR,1,234.50`, ['split_amount']],
    ['decimals, the note left out', `${HEADER}\nA-1,r1,EUR,12,50`, ['split_amount']],
    ['one decimal', `${HEADER}\nA-1,r1,EUR,1250,5`, ['split_amount']],
    ['lakhs', `${HEADER},email\nA-1,r1,INR,1,23,456.00`, ['split_amount']],
    ['three decimals', `${HEADER}\nA-1,r1,KWD,1234,500`, ['split_amount']],
    [
      'in a file of semicolons',
      'order_id;unique_request_id;currency;amount;note\nA-1;r1;EUR;12;50',
      ['split_amount'],
    ],
    [
      'minor units',
      'order_id,unique_request_id,currency,amount_minor,note\nA-1,r1,INR,1,234',
      ['split_amount'],
    ],
    [
      'beside a column that is only given back',
      'order_id,unique_request_id,currency,amount,remark of ours\nA-1,r1,INR,1,234.50',
      ['split_amount'],
    ],
    [
      'a number that is another column',
      'order_id,unique_request_id,currency,amount,Store No\nA-1,r1,INR,12,50',
      ['INR 12'],
    ],
    [
      'an amount before the amount',
      'order_id,unique_request_id,currency,paid,amount,note\nA-1,r1,INR,1,234.50,100',
      ['split_amount'],
    ],
    [
      'a quantity before the amount',
      'order_id,unique_request_id,currency,qty,amount,note\nA-1,r1,INR,2,234.50,',
      ['INR 234.50'],
    ],
    [
      'a comma in a text before the amount',
      'order_id,unique_request_id,currency,comment,amount,more\nA-1,r1,INR,Items 2,3,12.50',
      ['split_amount'],
    ],
    [
      'an id beside the amount',
      'order_id,currency,amount,unique_request_id,note\nA-1,INR,12,50,r1',
      ['split_amount'],
    ],
    [
      'an id of digits beside an amount with decimals',
      'order_id,currency,amount,unique_request_id,note\nA-1,INR,12.00,50,',
      ['INR 12.00'],
    ],
    ['an amount with its decimals', `${HEADER}\nA-1,r1,INR,1.00,234.50`, ['INR 1.00']],
    ['a note with words', `${HEADER}\nA-1,r1,INR,12,ticket 50`, ['INR 12']],
    ['a long number as a note', `${HEADER}\nA-1,r1,INR,12,481234`, ['INR 12']],
  ])('%s', async (_, text, expected) => {
    expect(await understood(text)).toEqual(expected);
  });

  test('cells that Excel leaves out at the end are empty ones', async () => {
    expect(
      await understood(
        `${HEADER},customer_email\nA-1,r1,INR,10.00,,\nA-2,r2,INR,11.00\nA-3,r3,INR,12.00,late\nA-4,r4,INR\nA-5,r5,INR,12,50\nA-6,r6,INR,12.00,50`,
      ),
    ).toEqual(['INR 10.00', 'INR 11.00', 'INR 12.00', 'too_few_cells', 'too_few_cells', 'too_few_cells']);
    const { file, rows } = await readAll(`${HEADER}\nA-4,r4`);
    const match = matchColumns('refunds', file.header, {});
    if (!match.ok) throw match.problem;
    const { problem } = readRefundRow(match.columns, rows[0]!, match);
    expect(problem).toMatchObject({ code: 'too_few_cells', field: 'currency' });
    expect(problem!.message).toContain('Excel leaves out empty cells at the end');
  });

  test('status updates likewise', async () => {
    const { file, rows } = await readAll(
      'order_id,unique_request_id,status,evidence,arn\nA-1,r1,SUCCESS,Seen on the statement\nA-1,r2,SUCCESS,"Seen on, the statement",ABC123,\nA-1,r3,SUCCESS\n',
    );
    const match = matchColumns('status_updates', file.header, {});
    if (!match.ok) throw match.problem;
    expect(rows.map((row) => readStatusRow(match.columns, row).problem?.code ?? null)).toEqual([
      null,
      'too_many_cells',
      'too_few_cells',
    ]);
  });

  test('whatever a table holds and however its rows are broken, no other amount comes out than the one that is meant', async () => {
    const text = fc.constantFrom('', 'late', 'Late, sorry', 'Items 2,3', '2,3', '1,234.50', 'x', '48213');
    const amount = fc.constantFrom(
      '1,234.50',
      '12,50',
      '1,23,456.00',
      '12.50',
      '100',
      '1,234',
      '7.00',
      '234.50',
    );
    const row = fc.record({
      order_id: fc.constantFrom('A-1', '77', '1001'),
      unique_request_id: fc.constantFrom('r1', '12'),
      currency: fc.constant('INR'),
      amount,
      note: text,
      remark: text,
      paid: amount,
      customer_email: fc.constantFrom('', 'asha@example.com'),
    });
    const names = [
      'order_id',
      'unique_request_id',
      'currency',
      'amount',
      'note',
      'remark',
      'paid',
      'customer_email',
    ] as const;
    const table = fc.record({
      order: fc.shuffledSubarray([...names], { minLength: names.length }),
      rows: fc.array(row, { minLength: 1, maxLength: 5 }),
      // Whether whoever wrote it leaves out empty cells at the end of rows, and how many separators stand after all of them.
      cuts: fc.boolean(),
      surplus: fc.nat(2),
    });
    await fc.assert(
      fc.asyncProperty(table, async ({ order, rows, cuts, surplus }) => {
        const after = ','.repeat(surplus);
        const lines = rows.map((cells) => {
          const line = `${order.map((name) => cells[name]).join(',')}${after}`;
          return cuts ? line.replace(/,+$/, '') : line;
        });
        const header = `${order.join(',')}${after}`;
        const width = header.split(',').length;
        const outcomes = await understood(`${header}\n${lines.join('\n')}`);
        for (const [at, outcome] of outcomes.entries()) {
          if (!outcome.startsWith('INR ')) continue;
          const isOfShape = lines[at]!.split(',').length === width;
          const said = [outcome, lines[at], header];
          if (!isOfShape) expect([`INR ${rows[at]!.amount}`, lines[at], header]).toEqual(said);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

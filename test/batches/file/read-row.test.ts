import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newRefundSchema, resolutionSchema } from '../../../src/api/contract/refunds.ts';
import { COLUMNS_OF, type ColumnName, matchColumns } from '../../../src/batches/file/columns.ts';
import type { FileRow } from '../../../src/batches/file/file-row.ts';
import { readRefundRow, readStatusRow } from '../../../src/batches/file/read-row.ts';
import { sampleCsv } from '../../../src/batches/file/sample.ts';
import { BATCH_KINDS } from '../../../src/batches/words.ts';
import { csvCell } from '../../../src/lib/csv.ts';
import { formatAmount, parseAmount } from '../../../src/lib/money.ts';
import { readAll } from './support.ts';

const rowOf = (cells: readonly string[], more: Partial<FileRow> = {}): FileRow => ({
  rowNo: 1,
  line: 2,
  cells,
  present: cells.length,
  isShort: false,
  trouble: null,
  cellTroubles: [],
  ...more,
});

const GOOD = { order_id: 'A-1001', unique_request_id: 'A-1001-r1', amount: '499.00', currency: 'INR' };
const CONFIRMED = {
  refund_id: '01932c5e-8f2a-7c3e-9b1d-2a4f6c8e0b1d',
  status: 'SUCCESS',
  evidence: 'Seen on the bank statement of 2 March',
};

function refund(cells: Partial<Record<ColumnName, string>>, minor = false) {
  const given = { ...GOOD, ...cells };
  return readRefundRow(Object.keys(given) as ColumnName[], rowOf(Object.values(given)), { minor });
}

function update(cells: Partial<Record<ColumnName, string>>) {
  const given = { ...CONFIRMED, ...cells };
  return readStatusRow(Object.keys(given) as ColumnName[], rowOf(Object.values(given)));
}

describe('a row of refunds', () => {
  test('that is good is handed on as it will be recorded', () => {
    const cells = {
      order_id: ' A-1001 ',
      txn_id: 'T 1',
      refund_type: 'INSTANT',
      note: '  two\nlines ',
      customer_email: 'asha@example.com',
      row: '17',
    } as const;
    expect(refund(cells)).toEqual({
      fields: {
        order_id: 'A-1001',
        txn_id: 'T 1',
        unique_request_id: 'A-1001-r1',
        amount: '499.00',
        currency: 'INR',
        refund_type: 'INSTANT',
        note: 'two\nlines',
        customer_email: 'asha@example.com',
        row: 17,
      },
      problem: null,
    });
    expect(refund({ amount: 'Full' }).fields.amount).toBe('full');
    expect(refund({ order_id: '', txn_id: 'T-1' }).problem).toBeNull();
  });

  test.each<[ColumnName, string, string, string]>([
    ['amount', '', 'empty_amount', 'full'],
    ['amount', '0', 'zero_amount', '0'],
    ['amount', '0.00', 'zero_amount', '0.00'],
    ['amount', '-5.00', 'negative_amount', '-5.00'],
    ['amount', '−5.00', 'negative_amount', '−5.00'],
    ['amount', '(5.00)', 'negative_amount', '(5.00)'],
    ['amount', '5.00-', 'negative_amount', '5.00-'],
    ['amount', '1,234.50', 'grouped_digits', 'Write 1234.50.'],
    ['amount', '1 234,50', 'grouped_digits', 'Write 1234.50.'],
    ['amount', '1.234,50', 'grouped_digits', 'Write 1234.50.'],
    ['amount', '1\u00a0234,50', 'grouped_digits', 'Write 1234.50.'],
    ['amount', '1\u202f234.50', 'grouped_digits', 'Write 1234.50.'],
    ['amount', "1'234.50", 'grouped_digits', 'Write 1234.50.'],
    ['amount', '12,34,567.00', 'grouped_digits', 'Write 1234567.00.'],
    ['amount', '1,234', 'grouped_digits', '1234 or 1.234'],
    ['amount', '1.234.567', 'grouped_digits', 'Write 1234567.'],
    ['amount', '12,50', 'decimal_comma', 'write 12.50'],
    ['amount', '1234,5', 'decimal_comma', 'write 1234.5'],
    ['amount', '₹500', 'currency_sign', '₹500'],
    ['amount', 'INR 500', 'currency_sign', 'INR 500'],
    ['amount', '500 Rs.', 'currency_sign', 'own column'],
    ['amount', '500/-', 'currency_sign', '500/-'],
    ['amount', '$1,234.50', 'currency_sign', '$1,234.50'],
    ['amount', '1.23E+05', 'scientific_notation', 'shortened'],
    ['amount', '1e3', 'scientific_notation', 'shortened'],
    ['amount', '=A1*2', 'formula', '=A1*2'],
    ['amount', '2026-03-12', 'date_in_cell', 'date'],
    ['amount', '12-Mar', 'date_in_cell', 'date'],
    ['amount', '12/03/2026', 'date_in_cell', 'date'],
    ['amount', '10.505', 'too_many_decimals', 'INR has 2 decimals'],
    ['amount', '10.000', 'too_many_decimals', 'INR has 2 decimals'],
    ['amount', '9999999999999999', 'amount_too_large', 'larger'],
    ['amount', '99999999999999.00', 'amount_too_large', 'larger'],
    ['amount', '50%', 'unreadable_amount', '50%'],
    ['amount', '.5', 'unreadable_amount', '.5'],
    ['amount', '5.', 'unreadable_amount', '5.'],
    ['amount', '+5', 'unreadable_amount', '+5'],
    ['amount', '५००', 'unreadable_amount', '0 to 9'],
    ['amount', 'all', 'unreadable_amount', 'full'],
    ['currency', '', 'missing_value', 'INR'],
    ['currency', 'inr', 'bad_currency', 'Write INR'],
    ['currency', '₹', 'bad_currency', 'ISO 4217'],
    ['currency', 'XAU', 'bad_currency', 'XAU'],
    ['currency', 'ABC', 'bad_currency', 'ISO 4217'],
    ['order_id', '', 'missing_value', 'order id'],
    ['order_id', 'A 1', 'bad_order_id', 'A 1'],
    ['order_id', 'é', 'bad_order_id', 'ASCII'],
    ['order_id', 'A-1\u200b2', 'bad_order_id', 'cannot be seen'],
    ['order_id', 'x'.repeat(129), 'bad_order_id', '128'],
    ['order_id', '=1+2', 'formula', '=1+2'],
    ['order_id', '@cmd', 'formula', 'apostrophe'],
    ['order_id', '1.23E+05', 'scientific_notation', 'format the column as text'],
    ['order_id', '1,23457E+14', 'scientific_notation', '1,23457E+14'],
    ['unique_request_id', '', 'missing_value', 'twice'],
    ['unique_request_id', 'r/1', 'bad_unique_request_id', 'r/1'],
    ['unique_request_id', '1.2E+12', 'scientific_notation', '1.2E+12'],
    ['unique_request_id', '-r1', 'formula', '-r1'],
    ['txn_id', 'x'.repeat(257), 'bad_txn_id', '256'],
    ['refund_type', 'FAST', 'bad_refund_type', 'INSTANT_WITH_FALLBACK'],
    ['customer_email', 'asha', 'bad_email', 'asha@example.com'],
    ['note', 'paid with 4111 1111 1111 1111', 'card_number', 'card number'],
    ['note', 'x'.repeat(2_001), 'too_long', '2000'],
    ['note', '=HYPERLINK("http://x")', 'formula', 'HYPERLINK'],
    ['row', '0', 'bad_row_number', '0'],
    ['row', 'two', 'bad_row_number', 'two'],
  ])('%s %j is %s', (field, text, code, says) => {
    const { problem, fields } = refund({ [field]: text });
    expect(problem).toMatchObject({ code, field });
    expect(problem!.message.toLowerCase()).toContain(says.toLowerCase());
    expect(fields[field as keyof typeof fields]).toBeNull();
  });

  test('minor units are whole numbers', () => {
    const read = (amount: string) =>
      readRefundRow(
        ['order_id', 'unique_request_id', 'amount_minor', 'currency'],
        rowOf(['A-1', 'r1', amount, 'INR']),
        { minor: true },
      );
    expect(read('49900')).toMatchObject({ problem: null, fields: { amount: '49900' } });
    expect(read('049900').fields.amount).toBe('49900');
    expect(read('full').fields.amount).toBe('full');
    expect(read('499.00').problem).toMatchObject({ code: 'minor_with_decimals', field: 'amount_minor' });
    expect(read('0').problem).toMatchObject({ code: 'zero_amount' });
    expect(read('49,900').problem).toMatchObject({ code: 'grouped_digits' });
    expect(read('').problem).toMatchObject({ code: 'empty_amount' });
    expect(read('9'.repeat(15)).problem).toBeNull();
    expect(read('9'.repeat(16)).problem).toMatchObject({ code: 'amount_too_large' });
    expect(refund({ amount: '499.00' }, true).problem).toMatchObject({
      code: 'minor_with_decimals',
      field: 'amount',
    });
  });

  test('no decimals where the currency has none, three where it has three', () => {
    expect(refund({ amount: '500', currency: 'JPY' }).problem).toBeNull();
    expect(refund({ amount: '500.0', currency: 'JPY' }).problem).toMatchObject({ code: 'too_many_decimals' });
    expect(refund({ amount: '1.234', currency: 'KWD' }).problem).toBeNull();
  });

  test('what the reader could not read counts where its column is used', () => {
    const columns = ['order_id', 'unique_request_id', 'amount', 'currency', null, 'note'] as const;
    const cells = ['A-1', 'r1', '1.00', 'INR', 'José', '2026-03-12'];
    const at = (column: number, code: 'not_utf8' | 'date_in_cell') =>
      readRefundRow(columns, rowOf(cells, { cellTroubles: [{ code, column, message: 'So it is.' }] }), {
        minor: false,
      });
    expect(at(4, 'not_utf8').problem).toBeNull();
    expect(at(5, 'date_in_cell')).toMatchObject({ problem: null, fields: { note: '2026-03-12' } });
    expect(at(2, 'date_in_cell')).toEqual({
      problem: { code: 'date_in_cell', field: 'amount', message: 'So it is.' },
      fields: expect.objectContaining({ amount: null, order_id: 'A-1' }),
    });
    const broken = rowOf(cells, {
      trouble: { code: 'too_many_cells', column: null, message: 'It has more.' },
    });
    expect(readRefundRow(columns, broken, { minor: false })).toEqual({
      problem: { code: 'too_many_cells', field: null, message: 'It has more.' },
      fields: {
        order_id: null,
        txn_id: null,
        unique_request_id: null,
        amount: null,
        currency: null,
        refund_type: null,
        note: null,
        customer_email: null,
        row: null,
      },
    });
  });

  test('a card number is not repeated in a message', () => {
    const { problem } = refund({ order_id: '4111111111111111 x' });
    expect(problem!.code).toBe('bad_order_id');
    expect(problem!.message).not.toContain('4111');
  });

  test('what our own files write comes back as it was, also what looks like a formula', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[=+@-][\x21-\x7e]{1,20}$/), (orderId) => {
        const written = csvCell(orderId).slice(1, -1).replaceAll('""', '"');
        expect(refund({ order_id: written })).toMatchObject({ problem: null, fields: { order_id: orderId } });
      }),
    );
  });
});

test('an amount that our files wrote with an apostrophe is what it was', () => {
  expect(refund({ amount: "'-5.00" }).problem).toMatchObject({ code: 'negative_amount' });
  expect(refund({ amount: "'=A1" }).problem).toMatchObject({ code: 'formula' });
  expect(refund({ note: "'- called back", order_id: "'\tA-1" })).toMatchObject({
    problem: null,
    fields: { note: '- called back', order_id: 'A-1' },
  });
});

describe('the rules are those of a single refund', () => {
  // Texts as the door gets them: without blanks around, not empty, and nothing that only spreadsheets write.
  const text = fc
    .oneof(
      fc.string({ maxLength: 20 }),
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.stringMatching(/^[A-Za-z0-9_.:-]{1,30}$/),
      fc.constantFrom('x'.repeat(128), 'x'.repeat(129), 'x'.repeat(255), 'x'.repeat(256), 'x'.repeat(257)),
    )
    .filter((one) => one !== '' && one.trim() === one && !/^['=+@-]|e[+-]\d/i.test(one));

  test.each(['order_id', 'unique_request_id'] as const)('%s', (field) => {
    fc.assert(
      fc.property(text, (value) => {
        const { amount, order_id, unique_request_id } = GOOD;
        const accepted = newRefundSchema.safeParse({
          amount,
          order_id,
          unique_request_id,
          [field]: value,
        }).success;
        expect(refund({ [field]: value }).problem === null).toBe(accepted);
      }),
      { numRuns: 500 },
    );
  });

  test('txn_id, note and refund_type: nothing is accepted that the door refuses', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('txn_id', 'note', 'refund_type'),
        fc.oneof(text, fc.constantFrom('GATEWAY', '4111111111111111')),
        (field, value) => {
          const { amount, order_id, unique_request_id } = GOOD;
          const accepted = newRefundSchema.safeParse({
            amount,
            order_id,
            unique_request_id,
            [field]: value,
          }).success;
          if (refund({ [field]: value }).problem === null) expect(accepted).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each(['arn', 'evidence'] as const)('%s of a status update', (field) => {
    fc.assert(
      fc.property(
        fc.oneof(
          text,
          fc.string({ minLength: 8, maxLength: 12 }).filter((one) => !/^[\s'=+@-]|\s$/.test(one)),
          fc.constantFrom('x'.repeat(4_000), 'x'.repeat(4_001)),
        ),
        (value) => {
          const accepted = resolutionSchema.safeParse({
            outcome: 'failed',
            evidence: CONFIRMED.evidence,
            [field]: value,
          }).success;
          expect(update({ [field]: value }).problem === null).toBe(accepted || value === '');
        },
      ),
      { numRuns: 500 },
    );
  });

  test('an amount is good exactly when money can read it', () => {
    const amounts = fc.oneof(
      fc
        .tuple(fc.bigInt({ min: 0n, max: 10n ** 17n }), fc.nat(4))
        .map(([digits, decimals]) => formatAmount(digits, decimals)),
      fc.string({ unit: fc.constantFrom(...'0123456789.,-+ eE₹()'), maxLength: 12 }),
    );
    fc.assert(
      fc.property(
        amounts,
        fc.constantFrom(['INR', 2], ['JPY', 0], ['KWD', 3]),
        (amount, [currency, exponent]) => {
          const parsed = parseAmount(amount.trim(), exponent as number);
          const { problem, fields } = refund({ amount, currency: currency as string });
          expect(problem === null).toBe(parsed.ok && parsed.amountMinor > 0);
          if (problem === null) expect(fields.amount).toBe(amount.trim());
          else expect(problem.field).toBe('amount');
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('whatever stands in the cells, there is an answer, and its message is one short line', () => {
    const names = COLUMNS_OF.refunds.map(({ name }) => name);
    const cells = fc.array(fc.string({ unit: 'binary', maxLength: 200 }), {
      minLength: names.length,
      maxLength: names.length,
    });
    fc.assert(
      fc.property(cells, (texts) => {
        for (const { problem } of [
          readRefundRow(names, rowOf(texts), { minor: false }),
          readStatusRow(
            COLUMNS_OF.status_updates.map(({ name }) => name),
            rowOf(texts),
          ),
        ]) {
          if (!problem) continue;
          expect(problem.message.length).toBeLessThan(400);
          expect(problem.message).toMatch(/^[^\n\0]+\.$/);
        }
      }),
    );
  });
});

describe('a row of status updates', () => {
  test('that is good', () => {
    expect(
      update({
        refund_id: CONFIRMED.refund_id.toUpperCase(),
        status: 'processed',
        arn: '74332745678901234567890',
      }),
    ).toEqual({
      fields: {
        refund_id: CONFIRMED.refund_id,
        order_id: null,
        unique_request_id: null,
        status: 'SUCCESS',
        arn: '74332745678901234567890',
        evidence: CONFIRMED.evidence,
        row: null,
      },
      problem: null,
    });
    expect(
      update({ refund_id: '', order_id: 'A-1', unique_request_id: 'r1', status: 'Failed' }),
    ).toMatchObject({ problem: null, fields: { status: 'FAILURE' } });
  });

  test.each<[Partial<Record<ColumnName, string>>, string, ColumnName]>([
    [{ refund_id: 'A-1' }, 'bad_refund_id', 'refund_id'],
    [{ refund_id: '' }, 'missing_value', 'refund_id'],
    [{ refund_id: '', order_id: 'A-1', unique_request_id: '' }, 'missing_value', 'refund_id'],
    [{ status: '' }, 'missing_value', 'status'],
    [{ status: 'PENDING' }, 'bad_status', 'status'],
    [{ status: 'constructor' }, 'bad_status', 'status'],
    [{ arn: '7.43327E+22' }, 'scientific_notation', 'arn'],
    [{ arn: '12' }, 'bad_arn', 'arn'],
    [{ evidence: '' }, 'missing_value', 'evidence'],
    [{ evidence: 'bank' }, 'too_short', 'evidence'],
    [{ evidence: 'x'.repeat(4_001) }, 'too_long', 'evidence'],
    [{ evidence: 'card 4111111111111111' }, 'card_number', 'evidence'],
  ])('%j is %s', (cells, code, field) => {
    expect(update(cells).problem).toMatchObject({ code, field });
  });
});

describe('the sample', () => {
  test.each(BATCH_KINDS)('of %s reads without a problem', async (kind) => {
    const { file, rows } = await readAll(sampleCsv(kind));
    const match = matchColumns(kind, file.header, {});
    if (!match.ok) throw match.problem;
    expect(match.columns).not.toContain(null);
    expect(rows.length).toBe(3);
    for (const row of rows) {
      const reading =
        kind === 'refunds'
          ? readRefundRow(match.columns, row, { minor: match.minor })
          : readStatusRow(match.columns, row);
      expect(reading.problem).toBeNull();
    }
  });

  test('of refunds shows a part, all that is left, and a note', async () => {
    const { rows } = await readAll(sampleCsv('refunds'));
    expect(rows.map(({ cells }) => cells[2])).toEqual(['499.00', 'full', '120.50']);
    expect(rows[2]!.cells[4]).not.toBe('');
  });
});

/** Everything that can be wrong with one row by itself: a stable word for programs, and what it means for people. */
export const ROW_CODES = {
  missing_value: 'A cell that must be filled is empty.',
  empty_amount:
    'The amount is empty. Nothing is refunded in full by accident: for all that is left, write `full`.',
  zero_amount: 'The amount is zero.',
  negative_amount: 'The amount is negative. Refunds are written as positive amounts.',
  grouped_digits: 'The digits of the amount are grouped, as in 1,234.50 or 1 234,50. Write 1234.50.',
  decimal_comma: 'The amount has a comma for its decimals, as in 12,50. Write 12.50.',
  currency_sign:
    'The amount holds a currency or other words, as in ₹500 or INR 500. The currency has a column of its own.',
  scientific_notation:
    'A spreadsheet has shortened a long number, as in 1.23E+05, and its digits are lost. Format the column as text, fill in the value again, and save.',
  rounded_number:
    'The cell is a number of more than 15 digits. Spreadsheets round those, so the last digits are lost. Format the column as text, and fill in the value again.',
  date_in_cell:
    'A spreadsheet has made a date of the cell. Format the column as text, and fill in the value again.',
  too_many_decimals: 'The amount has more decimals than its currency.',
  minor_with_decimals:
    'The file says that its amounts are in minor units (such as paise), but this one is no whole number.',
  amount_too_large: 'The amount is larger than any that can be refunded.',
  unreadable_amount: 'The amount is written in a way that could be misread.',
  formula:
    'The cell is a formula, or would be one in a spreadsheet. Formulas are never computed here: paste the value in its place.',
  cell_error: 'The cell shows an error of the spreadsheet, such as #REF!.',
  bad_currency: 'The currency is not the code of a currency, such as INR.',
  bad_order_id:
    'The order id holds a blank or another character that order ids cannot have, or is longer than 128.',
  bad_txn_id: 'The transaction id is longer than 256 characters, or holds a control character.',
  bad_unique_request_id:
    'The unique_request_id holds something else than letters, digits, _ . : or -, or is longer than 255.',
  bad_refund_type: 'The refund type is not one of those there are.',
  bad_email: 'The e-mail address has no form of an e-mail address.',
  bad_refund_id: 'The refund id is not one of ours.',
  bad_status: 'The status is neither SUCCESS nor FAILURE.',
  bad_arn: 'The ARN is not 6 to 40 letters and digits.',
  bad_row_number: 'The row to correct is not a number of a row.',
  card_number:
    'The text holds what looks like a card number or its security code. Card data is never stored here.',
  too_short: 'The text is shorter than it must be.',
  too_long: 'The text is longer than it may be.',
  split_amount:
    'The amount and the cell beside it read like one amount that its own comma has split, as 1,234.50 or 12,50 is. Write 1234.50; or, where the amount is right, write it with its decimals.',
  too_few_cells:
    'The row has fewer cells than the header, and what is missing is needed, or may have gone into another cell. Fill the last column of the row.',
  too_many_cells:
    'The row has more cells than the header, even if they are empty. Mostly a cell holds the separator and is not in quotes.',
  unclosed_quote: 'A cell begins with a double quote that is not closed, or text follows the closing one.',
  not_utf8: 'The cell is not in UTF-8, so its letters are not known for certain.',
  hidden_row:
    'The row is hidden in the sheet, by a filter or by hand. Nothing is done that nobody saw: show the row, or delete it.',
  hidden_cell:
    'The number format of the cell shows nothing, or another number than the one that is stored. Format the column as text.',
  nul_character: 'The cell holds a NUL character, which no text has.',
} as const;

export type RowCode = keyof typeof ROW_CODES;

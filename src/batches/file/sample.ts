import type { BatchKind } from '../words.ts';

const SAMPLES: Readonly<Record<BatchKind, readonly (readonly string[])[]>> = {
  refunds: [
    ['order_id', 'unique_request_id', 'amount', 'currency', 'note'],
    ['A-1001', 'A-1001-r1', '499.00', 'INR', ''],
    ['A-1002', 'A-1002-r1', 'full', 'INR', ''],
    ['A-1003', 'A-1003-r1', '120.50', 'INR', 'Arrived late, as agreed with the customer'],
  ],
  status_updates: [
    ['order_id', 'unique_request_id', 'status', 'arn', 'evidence'],
    [
      'A-1001',
      'A-1001-r1',
      'SUCCESS',
      '74332745678901234567890',
      'The bank confirms the credit in its letter of 2 March, case 4711.',
    ],
    [
      'A-1002',
      'A-1002-r1',
      'FAILURE',
      '',
      'The support of the gateway says in ticket 8812 that it was never made.',
    ],
    ['A-1003', 'A-1003-r1', 'SUCCESS', '', 'Credit of 2 March seen on the bank statement of the customer.'],
  ],
};

/** A file to begin with: the columns, and three rows that show what can stand in them. UTF-8 without a byte order mark. */
export function sampleCsv(kind: BatchKind): string {
  const cell = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return SAMPLES[kind].map((cells) => `${cells.map(cell).join(',')}\r\n`).join('');
}

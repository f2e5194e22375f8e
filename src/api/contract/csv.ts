export { BYTE_ORDER_MARK, csvRow } from '../../lib/csv.ts';

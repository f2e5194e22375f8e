/** Reads a generated file of just under 200 MB, and prints how many rows it had and how far memory rose. */
import { matchColumns } from '../../../src/batches/file/columns.ts';
import { openBatchFile } from '../../../src/batches/file/read-file.ts';
import { readRefundRow } from '../../../src/batches/file/read-row.ts';

const ROWS = 1_000_000;
const NOTE = `${'Arrived late, as agreed. '.repeat(5)}""ok"" é`;

async function* bytes(): AsyncGenerator<Buffer> {
  yield Buffer.from('order_id,unique_request_id,amount,currency,note\r\n');
  for (let at = 0; at < ROWS; at += 1_000) {
    let text = '';
    for (let row = at; row < at + 1_000; row++)
      text += `ORD-${row},ORD-${row}-r1,${row + 1}.50,INR,"${NOTE}"\r\n`;
    yield Buffer.from(text);
  }
}

const rssAtStart = process.memoryUsage().rss;
const file = await openBatchFile(bytes());
const match = matchColumns('refunds', file.header, {});
if (!match.ok) throw match.problem;
let rows = 0;
let bad = 0;
for await (const list of file.rows()) {
  for (const row of list) {
    rows++;
    if (readRefundRow(match.columns, row, { minor: match.minor }).problem !== null) bad++;
  }
}
const rose = process.resourceUsage().maxRSS * 1024 - rssAtStart;
console.log(JSON.stringify({ rows, bad, rose }));

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRenderBatch } from '../../src/api/v1/render-batch.ts';
import { COLUMNS_OF, matchColumns } from '../../src/batches/file/columns.ts';
import { doNextStep } from '../../src/batches/worker.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';

const clock = new ManualClock();
let api: TestApi;
beforeAll(async () => {
  api = await startApi({ clock });
});
afterAll(() => api.close());

const read = (text: string): Record<string, string>[] => parse(text, { columns: true, bom: true });
const cellsOf = (text: string): string[][] => parse(text, { relax_column_count: true });

/** Does all steps that are due, and those that become due in the next minutes. */
async function work(): Promise<void> {
  for (let n = 0; n < 20; n++) {
    while (await doNextStep(api.batches));
    clock.pass(5_000);
  }
}

async function upload(name: string, file: string | Buffer): Promise<string> {
  const made = await call(api, `/v1/batches?name=${encodeURIComponent(name)}`, {
    method: 'POST',
    body: file,
    headers: { 'content-type': 'text/csv' },
  });
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  expect(made.body.problem).toBeNull();
  await work();
  return made.body.batch_id;
}

const show = async (batchId: string) => (await call(api, `/v1/batches/${batchId}`)).body;
const download = (batchId: string, file: string) => call(api, `/v1/batches/${batchId}/${file}`);

async function confirm(batchId: string): Promise<void> {
  const { check } = await show(batchId);
  const answer = await call(api, `/v1/batches/${batchId}/confirm`, { json: { totals: check.totals } });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  await work();
}

async function cancel(refundId: string): Promise<void> {
  const cause = { by: 'api', key: 'test', request_id: 'r' } as const;
  await cancelRefund(api.batches.engine, 'acme', refundId, { reason: 'a test', cause });
}

test('no column of ours is one that a file of rows may have', () => {
  const ours = [
    'result_row',
    'result_line',
    'result_verdict',
    'result_state',
    'result_status',
    'result_refund_id',
    'result_amount',
    'result_currency',
    'result_gateway',
    'result_gateway_refund_id',
    'result_arn',
    'result_error_code',
    'result_error',
  ];
  const page = readFileSync(new URL('../../docs/batches.md', import.meta.url), 'utf8');
  for (const name of ours) expect(page).toContain(`\`${name}\``);
  for (const kind of ['refunds', 'status_updates'] as const) {
    const names = COLUMNS_OF[kind].map(({ name }) => name).filter((name) => name !== 'amount_minor');
    const match = matchColumns(kind, [...names, ...ours], {});
    expect(match).toMatchObject({ ok: true, columns: [...names, ...ours.map(() => null)] });
  }
});

test('the results have the columns of the file, in its order, and then what became of each row', async () => {
  await putOrder(api.db, { orderId: 'R-1', amountMinor: 10_000 });
  await putOrder(api.db, { orderId: 'R-2', amountMinor: 5_000 });
  await putOrder(api.db, { orderId: 'R-3', amountMinor: 5_000 });
  const file =
    'Team;amount;order_id;"Why; or ""why not""";unique_request_id;currency\r\n' +
    'north;25.00;R-1;"=1+1";r1;INR\r\n' +
    '\r\n' +
    '"so\nuth";full;R-2;;r1;INR\r\n' +
    'west;1;nowhere;@SUM(A1);r1;INR\r\n' +
    "east;12.50;R-3;'=kept;r1;INR\r\n";
  const batchId = await upload('Refunds of März.csv', file);

  const before = await download(batchId, 'results.csv');
  expect(before.status).toBe(200);
  expect(before.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(before.headers.get('content-disposition')).toBe(
    `attachment; filename="Refunds of M_rz-results.csv"; filename*=UTF-8''Refunds%20of%20M%C3%A4rz-results.csv`,
  );
  expect(cellsOf(before.body)[0]!.slice(0, 6)).toEqual([
    'Team',
    'amount',
    'order_id',
    'Why; or "why not"',
    'unique_request_id',
    'currency',
  ]);
  const rows = read(before.body);
  expect(rows.map((row) => [row['Team'], row['Why; or "why not"']])).toEqual([
    ['north', "'=1+1"],
    ['so\nuth', ''],
    ['west', "'@SUM(A1)"],
    ['east', "'=kept"],
  ]);
  expect(
    rows.map((row) => [row['result_row'], row['result_line'], row['result_verdict'], row['result_state']]),
  ).toEqual([
    ['1', '2', 'good', 'left'],
    ['2', '4', 'good', 'left'],
    ['3', '6', 'bad', 'not_sent'],
    ['4', '7', 'good', 'left'],
  ]);
  expect(rows[2]).toMatchObject({ result_error_code: 'order_not_found', result_refund_id: '' });
  expect(rows[2]!['result_error']).toMatch(/^There is no such order: .*nowhere/);

  await confirm(batchId);
  const made = read((await download(batchId, 'results.csv')).body);
  const refunds = await api.db.query<{ order_id: string; refund_id: string }>(
    'select order_id, refund_id from refunds where batch_id = $1 order by order_id',
    [batchId],
  );
  expect(refunds).toHaveLength(3);
  expect(made.map((row) => [row['result_refund_id'], row['result_status'], row['result_amount']])).toEqual([
    [refunds[0]!.refund_id, 'PENDING', '25.00'],
    [refunds[1]!.refund_id, 'PENDING', '50.00'],
    ['', '', ''],
    [refunds[2]!.refund_id, 'PENDING', '12.50'],
  ]);
  expect(made[0]).toMatchObject({
    result_state: 'made',
    result_currency: 'INR',
    result_gateway: 'MODEL',
    result_gateway_refund_id: '',
    result_error: '',
  });

  const withBom = await fetch(`${api.url}/v1/batches/${batchId}/results.csv?bom=true`, {
    headers: {
      authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`,
      'x-merchantid': 'acme',
    },
  });
  expect([...new Uint8Array(await withBom.arrayBuffer()).subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
});

test('the failed rows can be corrected and uploaded again, as often as need be', async () => {
  for (const orderId of ['F-1', 'F-2', 'F-3', 'F-4'])
    await putOrder(api.db, { orderId, amountMinor: 10_000 });
  const batchId = await upload(
    'failing.csv',
    'line,order_id,unique_request_id,amount,currency,note,Desk\n' +
      '7,F-1,a,10.00,INR,,=A1\n' +
      '8,F-2,a,10.00,INR,=A1,-9\n' +
      '9,F-3,a,10.00,INR,fine,+49\n' +
      '10,F-9,a,10.00,INR,,\n',
  );
  const first = await download(batchId, 'failed.csv');
  expect(first.headers.get('content-disposition')).toBe('attachment; filename="failing-failed.csv"');
  expect(cellsOf(first.body).map((cells) => cells.slice(0, 7))).toEqual([
    ['row', 'order_id', 'unique_request_id', 'amount', 'currency', 'note', 'Desk'],
    ['2', 'F-2', 'a', '10.00', 'INR', "'=A1", "'-9"],
    ['4', 'F-9', 'a', '10.00', 'INR', '', ''],
  ]);
  expect(read(first.body).map((row) => row['result_error_code'])).toEqual(['formula', 'order_not_found']);

  // What was guarded is taken for the text that it guards; the other order id is mended. Columns may move.
  const moved = cellsOf(first.body).map(([row, ...cells]) => [...cells.slice(1), row, cells[0]!]);
  const mended = moved
    .map((cells) => cells.map((cell) => `"${cell!.replaceAll('"', '""')}"`).join(','))
    .join('\n')
    .replaceAll('F-9', 'F-4');
  const put = await call(api, `/v1/batches/${batchId}/rows`, {
    method: 'PUT',
    body: mended,
    headers: { 'content-type': 'text/csv' },
  });
  expect(put.status, JSON.stringify(put.body)).toBe(202);
  await work();
  expect((await show(batchId)).rows).toMatchObject({ total: 4, good: 4, bad: 0 });
  expect(read((await download(batchId, 'failed.csv')).body)).toEqual([]);

  await confirm(batchId);
  const results = read((await download(batchId, 'results.csv')).body);
  expect(
    results.map((row) => [row['line'], row['order_id'], row['note'], row['Desk'], row['result_status']]),
  ).toEqual([
    ['7', 'F-1', '', "'=A1", 'PENDING'],
    ['', 'F-2', "'=A1", "'-9", 'PENDING'],
    ['9', 'F-3', 'fine', "'+49", 'PENDING'],
    ['', 'F-4', '', '', 'PENDING'],
  ]);
  expect(
    await api.db.query('select note from refunds where batch_id = $1 order by order_id', [batchId]),
  ).toEqual([{ note: null }, { note: '=A1' }, { note: 'fine' }, { note: null }]);

  // A refund that comes to nothing is a failed row too, and its row may be tried again under a new key.
  await cancel(results[2]!['result_refund_id']!);
  await work();
  const failed = read((await download(batchId, 'failed.csv')).body);
  expect(failed).toHaveLength(1);
  expect(failed[0]).toMatchObject({
    row: '3',
    order_id: 'F-3',
    result_status: 'FAILURE',
    result_state: 'made',
  });

  for (const place of [0, 1, 3]) await cancel(results[place]!['result_refund_id']!);
  await work();
  const again = await call(api, `/v1/batches/${batchId}/rows`, {
    method: 'PUT',
    body: 'row,order_id,unique_request_id,amount,currency\n3,F-3,b,9.00,INR\n',
    headers: { 'content-type': 'text/csv' },
  });
  expect(again.status, JSON.stringify(again.body)).toBe(202);
  await work();
  await confirm(batchId);
  const still = read((await download(batchId, 'failed.csv')).body);
  expect(still.map((row) => row['row'])).toEqual(['1', '2', '4']);
  expect(read((await download(batchId, 'results.csv')).body)[2]).toMatchObject({
    order_id: 'F-3',
    unique_request_id: 'b',
    result_status: 'PENDING',
    result_amount: '9.00',
  });
});

test('a long file comes whole, in order, each row once', async () => {
  await api.db.query(
    `insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, created_at, updated_at)
     select 'acme', 'L-' || n, gen_random_uuid(), 'CHARGED', 10000, 'INR', 2, now(), now() from generate_series(1, 50) n`,
  );
  const lines = Array.from({ length: 3_456 }, (_, n) => `L-${n},k${n},1.00,INR,text ${n}`);
  const file = ['order_id,unique_request_id,amount,currency,note', ...lines].join('\n');
  const batchId = await upload('long.csv', file);
  const rows = read((await download(batchId, 'results.csv')).body);
  expect(rows.map((row) => row['note'])).toEqual(lines.map((_, n) => `text ${n}`));
  const failed = read((await download(batchId, 'failed.csv')).body);
  expect(failed.map((row) => row['row'])).toEqual(lines.map((_, n) => `${n + 1}`));
});

test('the file comes back byte for byte, and not before it is here', async () => {
  const bytes = Buffer.concat([
    Buffer.from('order_id,unique_request_id,amount,currency\n'),
    Buffer.from('\uFEFFG-1,é,1,INR\n'),
    Buffer.from([0xff, 0x00, 0x0d, 0x0a]),
  ]);
  const batchId = await upload('raw;"x\\y".csv', bytes);
  const answer = await fetch(`${api.url}/v1/batches/${batchId}/file`, {
    headers: {
      authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`,
      'x-merchantid': 'acme',
    },
  });
  const sha256 = (of: Uint8Array) => createHash('sha256').update(of).digest('hex');
  expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(sha256(bytes));
  expect(answer.headers.get('content-disposition')).toMatch(
    /^attachment; filename="raw__x_y_.csv"; filename\*=/,
  );
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');

  const begun = await call(api, '/v1/batches?name=begun&bytes=100', { method: 'POST' });
  const early = await download(begun.body.batch_id, 'file');
  expect([early.status, early.body.error.code]).toEqual([409, 'file_incomplete']);
  expect((await download(begun.body.batch_id, 'results.csv')).status).toBe(200);
});

test('nobody else gets them, nor of a batch that is not there', async () => {
  const batchId = await upload('mine.csv', 'order_id,unique_request_id,amount,currency\nM-1,a,1,INR\n');
  for (const file of ['file', 'results.csv', 'failed.csv']) {
    expect((await call(api, `/v1/batches/${batchId}/${file}`, { as: 'other' })).status).toBe(404);
    expect((await call(api, `/v1/batches/${batchId}/${file}`, { as: null })).status).toBe(401);
    expect((await download('no-uuid', file)).status).toBe(404);
  }
});

test('the sample is a file that can be uploaded', async () => {
  const sample = await call(api, '/v1/batches/sample.csv');
  expect(sample.headers.get('content-disposition')).toBe('attachment; filename="refunds-sample.csv"');
  expect(Object.keys(read(sample.body)[0]!)).toEqual([
    'order_id',
    'unique_request_id',
    'amount',
    'currency',
    'note',
  ]);
  const batchId = await upload('sample.csv', sample.body);
  expect((await show(batchId)).status).toBe('checked');
  expect((await call(api, '/v1/batches/sample.csv?kind=status_updates')).body).toContain('evidence');
  expect((await call(api, '/v1/batches/sample.csv?kind=other')).status).toBe(400);
});

test('what a webhook tells of a batch is the object of the API', async () => {
  const batchId = await upload('told.csv', 'order_id,unique_request_id,amount,currency\nT-1,a,1,INR\n');
  const render = createRenderBatch(api.db);
  const told = await render('acme', batchId);
  expect(told!.batch).toEqual(await show(batchId));
  const [row] = await api.db.query<{ event_seq: number }>(
    'select event_seq from batches where batch_id = $1',
    [batchId],
  );
  expect(told!.sequence).toBe(row!.event_seq);
  expect(await render('other', batchId)).toBeNull();
  expect(await api.db.query('select event_name from notifications where batch_id = $1', [batchId])).toEqual([
    { event_name: 'BATCH_CHECKED' },
  ]);
});

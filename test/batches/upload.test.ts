import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { call, startApi, type TestApi } from '../support/api.ts';
import { putOrder } from '../support/engine.ts';
import { until } from '../support/running.ts';
import { csv, get, post, rowsOf, steps, upload } from './batch.ts';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
  for (let n = 1; n <= 3; n++) await putOrder(api.db, { orderId: `o${n}`, amountMinor: 10_000 });
});
afterEach(() => api.close());

const FILE = csv(['o1,a,10.00,INR,first', 'o2,a,20.00,INR,', 'o3,a,full,INR,"a note, with a comma"']);
const begin = (bytes: number) =>
  call(api, `/v1/batches?name=parts&file_name=parts.csv&bytes=${bytes}`, { method: 'POST' });
const part = (id: string, offset: number, body: Buffer) =>
  call(api, `/v1/batches/${id}/file`, {
    method: 'PATCH',
    body: new Uint8Array(body),
    headers: { 'content-type': 'application/octet-stream', 'upload-offset': String(offset) },
  });

describe('a file comes', () => {
  test('by itself', async () => {
    const { body: batch } = await upload(api, FILE);
    expect(batch.file).toMatchObject({
      format: 'csv',
      received_bytes: Buffer.byteLength(FILE),
      sha256: createHash('sha256').update(FILE).digest('hex'),
      columns: ['order_id', 'unique_request_id', 'amount', 'currency', 'note'].map((name) => ({
        header: name,
        field: name,
      })),
    });
    expect(batch).toMatchObject({ status: 'checked', rows: { total: 3, good: 3 } });
  });

  test('as the one file of a form', async () => {
    const form = new FormData();
    form.set('file', new Blob([FILE], { type: 'text/csv' }), 'returns of May.csv');
    const made = await call(api, '/v1/batches', { body: form });
    await steps(api);
    expect((await get(api, made.body.batch_id)).body).toMatchObject({
      name: 'returns of May.csv',
      status: 'checked',
      rows: { total: 3, good: 3 },
    });
  });

  test('in parts, of which each goes on where the one before ended', async () => {
    const bytes = Buffer.from(FILE);
    const { body: batch } = await begin(bytes.length);
    expect(batch).toMatchObject({ status: 'uploading', file: { bytes: bytes.length, received_bytes: 0 } });
    expect((await part(batch.batch_id, 0, bytes.subarray(0, 50))).body.file.received_bytes).toBe(50);
    for (const wrong of [0, 49, 51, bytes.length]) {
      const refused = await part(batch.batch_id, wrong, bytes.subarray(50, 60));
      expect([refused.status, refused.body.error?.code ?? refused.body.status]).toEqual([
        wrong === bytes.length ? 413 : 409,
        wrong === bytes.length ? 'file_too_large' : 'wrong_offset',
      ]);
    }
    const last = await part(batch.batch_id, 50, bytes.subarray(50));
    expect(last.body.status).toBe('checking');
    await steps(api);
    expect((await get(api, batch.batch_id)).body.rows).toMatchObject({ total: 3, good: 3 });
    expect((await part(batch.batch_id, bytes.length, Buffer.from('more'))).body.error.code).toBe(
      'wrong_status',
    );
  });

  test('and when the connection breaks, what had come is kept', async () => {
    const bytes = Buffer.from(FILE);
    const { body: batch } = await begin(bytes.length);
    const socket = connect(api.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      `PATCH /v1/batches/${batch.batch_id}/file HTTP/1.1\r\nhost: x\r\ncontent-length: ${bytes.length}\r\n` +
        `authorization: Basic ${Buffer.from('acme-key:').toString('base64')}\r\ncontent-type: application/octet-stream\r\n` +
        `upload-offset: 0\r\n\r\n`,
    );
    socket.write(bytes.subarray(0, 70));
    setTimeout(() => socket.destroy(), 200);
    const received = await until('the bytes that came', async () => {
      const { file } = (await get(api, batch.batch_id)).body;
      return file.received_bytes > 0 ? file.received_bytes : undefined;
    });
    expect(received).toBe(70);
    expect((await part(batch.batch_id, 70, bytes.subarray(70))).status).toBe(200);
    await steps(api);
    expect((await get(api, batch.batch_id)).body.file.sha256).toBe(
      createHash('sha256').update(FILE).digest('hex'),
    );
  });

  test('and two parts at the same place at one moment are one', async () => {
    const bytes = Buffer.from(FILE);
    const { body: batch } = await begin(bytes.length);
    const both = await Promise.all([1, 2].map(() => part(batch.batch_id, 0, bytes)));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
    await steps(api);
    expect((await get(api, batch.batch_id)).body.rows.total).toBe(3);
  });
});

describe('the same file', () => {
  test('is refused by its content, and taken where that is meant', async () => {
    const first = (await upload(api, FILE)).body;
    const second = (await upload(api, FILE, '&file_name=other-name.csv')).body;
    expect(second).toMatchObject({
      status: 'uploading',
      problem: { code: 'same_file', batch_id: first.batch_id },
    });
    const allowed = await call(api, `/v1/batches/${second.batch_id}`, {
      method: 'PATCH',
      json: { same_file: 'allow' },
    });
    expect(allowed.body).toMatchObject({ status: 'checking', problem: null });
    expect((await upload(api, FILE, '&same_file=allow')).body.status).toBe('checked');
    // Other bytes are another file; a merchant's files are nobody else's.
    expect((await upload(api, `${FILE}\n`)).body.status).toBe('checked');
    const foreign = await call(api, '/v1/batches', {
      body: FILE,
      headers: { 'content-type': 'text/csv' },
      as: 'other',
    });
    expect(foreign.body.problem).toBeNull();
  });

  test('is taken again once the batch that had it was cancelled unsent', async () => {
    const { body: first } = await upload(api, FILE);
    await post(api, first.batch_id, 'cancel');
    expect((await upload(api, FILE)).body.status).toBe('checked');
  });

  test('uploaded twice at one moment is taken once', async () => {
    const both = await Promise.all([1, 2, 3].map(() => upload(api, FILE)));
    await steps(api);
    const seen = await Promise.all(both.map(({ body }) => get(api, body.batch_id)));
    expect(seen.map(({ body }) => body.problem?.code ?? body.status).sort()).toEqual([
      'checked',
      'same_file',
      'same_file',
    ]);
  });
});

describe('a file that cannot be read as it is', () => {
  test('says which columns are missing, is read with other names, and these are remembered', async () => {
    const file = csv(['o1,a,10.00,INR,x'], 'Bestellnummer,Vorgang,Betrag,Währung,Notiz');
    const { body: batch } = await upload(api, file);
    expect(batch).toMatchObject({ status: 'uploading', problem: { code: 'columns_unmatched' } });
    expect(batch.file.columns.map(({ header }: { header: string }) => header)).toEqual([
      'Bestellnummer',
      'Vorgang',
      'Betrag',
      'Währung',
      'Notiz',
    ]);
    const columns = {
      order_id: 'Bestellnummer',
      unique_request_id: 'Vorgang',
      amount: 'Betrag',
      currency: 'Währung',
    };
    const wrong = await call(api, `/v1/batches/${batch.batch_id}`, {
      method: 'PATCH',
      json: { columns: { order_id: 'Nichts' } },
    });
    expect(wrong.body.problem.code).toBe('columns_unmatched');
    await call(api, `/v1/batches/${batch.batch_id}`, {
      method: 'PATCH',
      json: { columns, save_columns: true },
    });
    await steps(api);
    expect((await get(api, batch.batch_id)).body).toMatchObject({
      status: 'checked',
      problem: null,
      rows: { good: 1 },
    });
    const later = await upload(
      api,
      csv(['o2,b,5.00,INR,y'], 'Notiz,Bestellnummer,Vorgang,Betrag,Währung').replace(
        'o2,b,5.00,INR,y',
        'y,o2,b,5.00,INR',
      ),
    );
    expect(later.body).toMatchObject({ status: 'checked', rows: { good: 1 } });
  });

  test.each([
    ['nothing', ''],
    ['a picture', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')],
    ['an old workbook', Buffer.from('d0cf11e0a1b11ae1', 'hex')],
    ['a page', '<!doctype html><html><body><table></table></body></html>'],
    ['a header alone', 'order_id,unique_request_id,amount,currency,note\n'],
  ])('is refused with a reason: %s', async (_, body) => {
    const answer = await upload(api, body);
    if (body === '') expect(answer.body.error.code).toBe('missing_file');
    else {
      expect(answer.body.status).toBe('uploading');
      expect(answer.body.problem.message.length).toBeGreaterThan(30);
    }
    expect(await api.db.query('select 1 from refunds')).toEqual([]);
  });

  test('amounts may be in minor units, by the upload or by the header', async () => {
    const { body: said } = await upload(api, csv(['o1,a,1050,INR,']), '&amounts=minor');
    expect(said.check.totals).toEqual({ INR: '10.50' });
    const { body: headed } = await upload(
      api,
      csv(['o1,b,1049,INR,'], 'order_id,unique_request_id,amount_minor,currency,note'),
    );
    expect(headed.check.totals).toEqual({ INR: '10.49' });
    expect((await rowsOf(api, headed.batch_id))[0].fields.amount).toBe('10.49');
  });

  test('card numbers are not kept: neither in rows, nor in the bytes', async () => {
    const card = '4111111111111111';
    const { body: batch } = await upload(
      api,
      csv(
        [`o1,${card},10.00,INR,fine,paid with ${card}`, `o2,b,10.00,INR,${card},`],
        'order_id,unique_request_id,amount,currency,note,how',
      ),
    );
    const rows = await rowsOf(api, batch.batch_id);
    expect(rows.map(({ verdict, problem }) => [verdict, problem?.code ?? null])).toEqual([
      ['good', null],
      ['bad', 'card_number'],
    ]);
    // An id may look like one.
    expect(rows[0].cells).toEqual(['o1', card, '10.00', 'INR', 'fine', 'paid with xxxxxxxxxxxx1111']);
    expect(rows[1].cells[4]).toBe('xxxxxxxxxxxx1111');
    expect((await call(api, `/v1/batches/${batch.batch_id}/file`)).body.error.code).toBe('file_not_kept');
    expect(await api.db.query('select 1 from batch_chunks')).toEqual([]);
  });

  test('nor are security codes, by the name of their column', async () => {
    const { body: batch } = await upload(
      api,
      csv(['o1,a,10.00,INR,1111,123'], 'order_id,unique_request_id,amount,currency,last4,CVV'),
    );
    const rows = await rowsOf(api, batch.batch_id);
    expect(rows[0].cells).toEqual(['o1', 'a', '10.00', 'INR', '1111', 'xxx']);
    expect((await call(api, `/v1/batches/${batch.batch_id}/file`)).body.error.code).toBe('file_not_kept');
  });

  test('a request that is no file is refused', async () => {
    const json = await call(api, '/v1/batches', { json: { rows: [] } });
    expect([json.status, json.body.error.code]).toEqual([415, 'unsupported_media_type']);
    const form = await call(api, '/v1/batches', {
      body: '--x\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\norder_id,unique',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
    });
    expect(form.status).toBe(400);
    const batches = (await call(api, '/v1/batches')).body.batches;
    expect(batches.every(({ status }: { status: string }) => status === 'uploading')).toBe(true);
  });
});

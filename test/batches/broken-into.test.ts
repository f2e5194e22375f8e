import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { doNextStep } from '../../src/batches/worker.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { addPerson, type Browser, PAGE, signedIn } from '../support/people.ts';
import { until } from '../support/running.ts';
import { correct, csv, get, HEADER, post, rowsOf, steps, upload } from './batch.ts';

let api: TestApi;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  api = await startApi({ clock });
  for (let n = 1; n <= 4; n++) await putOrder(api.db, { orderId: `o${n}`, amountMinor: 10_000 });
});
afterEach(() => api.close());

const as = ({ cookies }: Browser) => ({
  as: null,
  headers: { ...PAGE, cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
});
const person = async (role: 'viewer' | 'operations', email: string) => {
  await addPerson(api.db, { role, email });
  return signedIn(api, email);
};
const patch = (id: string, json: object) => call(api, `/v1/batches/${id}`, { method: 'PATCH', json });
const TYPE = { 'content-type': 'text/csv' };

describe('a file whose rows have gone out is not taken again', () => {
  test('though its batch was cancelled in the middle', async () => {
    const rows = Array.from({ length: 300 }, (_, n) => `p${n},a,1.00,INR,`);
    for (let n = 0; n < 300; n++) await putOrder(api.db, { orderId: `p${n}`, amountMinor: 1_000 });
    const { body: batch } = await upload(api, csv(rows));
    await call(api, `/v1/batches/${batch.batch_id}/confirm`, { json: { totals: { INR: '300.00' } } });
    await doNextStep(api.batches);
    expect((await post(api, batch.batch_id, 'cancel')).body.rows.made).toBe(250);
    const again = await upload(api, csv(rows));
    expect(again.body.problem).toMatchObject({ code: 'same_file', batch_id: batch.batch_id });
  });

  test('though its batch was cancelled in a later round', async () => {
    const file = csv(['o1,a,10.00,INR,', 'o9,b,1.00,INR,']);
    const { body: batch } = await upload(api, file);
    const id = batch.batch_id;
    await post(api, id, 'confirm', { totals: { INR: '10.00' } });
    await api.db.query(
      `update refunds set next_look_at = null, state = 'cancelled', event_seq = event_seq + 1`,
    );
    await api.db.query(`update orders set event_seq = event_seq + 1 where order_id = 'o1'`);
    clock.pass(10_000);
    await steps(api);
    const corrected = await correct(api, id, csv(['2,o2,b,1.00,INR,'], `row,${HEADER}`));
    expect(corrected.body).toMatchObject({ status: 'checked', round: 2 });
    expect((await post(api, id, 'cancel')).body.status).toBe('cancelled');
    expect((await upload(api, file)).body.problem).toMatchObject({ code: 'same_file', batch_id: id });
  });
});

describe('a second person', () => {
  test('can approve corrected rows by what is shown, and not by what was shown before them', async () => {
    await call(api, '/v1/settings', { method: 'PATCH', json: { batch_approval: true } });
    const maker = await person('operations', 'maker@shop.test');
    const checker = await person('operations', 'checker@shop.test');
    const { body: batch } = await upload(api, csv(['o1,a,10.00,INR,', 'o9,b,10.00,INR,']), '', as(maker));
    const id = batch.batch_id;
    const before = batch.file.sha256;
    expect((await correct(api, id, csv(['2,o2,b,5.00,INR,'], `row,${HEADER}`))).body.status).toBe('checked');
    const totals = { INR: '15.00' };
    await post(api, id, 'confirm', { totals }, as(maker));
    const old = await post(api, id, 'approve', { totals, file_sha256: before }, as(checker));
    expect([old.status, old.body.error?.code]).toEqual([409, 'other_file']);
    const { sha256 } = (await get(api, id)).body.file;
    const approved = await post(api, id, 'approve', { totals, file_sha256: sha256 }, as(checker));
    expect(approved.status).toBe(200);
    expect((await get(api, id)).body.rows.made).toBe(2);
  });
});

describe('corrected rows', () => {
  test('count once, however often they were tried', async () => {
    const { body: batch } = await upload(api, csv(['o1,a,10.00,INR,', 'o2,a,60.00,INR,', 'o3,a,30.00,INR,']));
    const id = batch.batch_id;
    await call(api, '/v1/refunds', { json: { order_id: 'o2', unique_request_id: 's', amount: '50.00' } });
    await post(api, id, 'confirm', { totals: { INR: '100.00' } });
    expect((await get(api, id)).body.rows).toMatchObject({
      total: 3,
      made: 2,
      refused: 1,
      left: 0,
      not_sent: 0,
    });
    // The refund of the third comes to nothing.
    await api.db.query(
      `update refunds set next_look_at = null, state = 'cancelled', event_seq = event_seq + 1 where batch_id is not null`,
    );
    await api.db.query(`update orders set event_seq = event_seq + 1 where order_id in ('o1', 'o3')`);
    clock.pass(10_000);
    await steps(api);
    const lines = ['2,o2,a,20.00,INR,', '3,o3,b,30.00,INR,'];
    const { body: corrected } = await correct(api, id, csv(lines, `row,${HEADER}`));
    expect(corrected.rows).toMatchObject({ total: 3, good: 3, bad: 0, made: 1, refused: 0, left: 0 });
    await post(api, id, 'confirm', { totals: { INR: '50.00' } });
    const { body: after } = await get(api, id);
    expect(after.rows).toMatchObject({ total: 3, made: 3, refused: 0, left: 0, not_sent: 0 });
    expect(after.refunds.by_status).toMatchObject({ PENDING: 2, FAILURE: 2 });
  });
});

describe('what somebody says of columns', () => {
  const OTHER = csv(['o1,a,10.00,INR,x'], 'Nummer,Vorgang,Betrag,Geld,Notiz');
  test.each([
    ['one header for two columns', { order_id: 'Nummer', txn_id: 'Nummer' }],
    ['no column of ours', { nonsense: 'Nummer' }],
    ['a prototype', JSON.parse('{"__proto__": "Nummer", "constructor": "Nummer", "toString": "Vorgang"}')],
    ['a header with a NUL', { order_id: 'Num\u0000mer' }],
    ['half a character', { order_id: 'Num\ud800mer' }],
    ['very many', Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [`c${n}`, `h${n}`]))],
  ])('breaks nothing for later files: %s', async (_, columns) => {
    const { body: batch } = await upload(api, OTHER);
    const answer = await patch(batch.batch_id, { columns, save_columns: true });
    expect([200, 400, 409]).toContain(answer.status);
    if (answer.status === 200) expect(answer.body.problem?.code).toBe('columns_unmatched');
    const right = await patch(batch.batch_id, {
      columns: { order_id: 'Nummer', unique_request_id: 'Vorgang', amount: 'Betrag', currency: 'Geld' },
    });
    expect([right.status, right.body.problem]).toEqual([200, null]);
    // Another file with this header, and no mapping of its own, is told what is missing, not that a mapping is wrong.
    const next = await upload(api, OTHER.replace('10.00', '11.00'));
    expect(next.body.problem?.code).toBe('columns_unmatched');
    expect(await api.db.query('select 1 from batch_column_names')).toEqual([]);
  });
});

describe('words that a stranger chooses', () => {
  test.each([
    ['NUL', 'a\u0000b'],
    ['line ends', 'a\r\nset-cookie: x=1\r\n'],
    ['quotes', 'a"; filename="b.exe'],
    ['half a character', 'a\ud83db'],
    ['other letters', 'возвраты €'],
    ['a path', '../../etc/passwd'],
  ])('are a name, and no more: %s', async (_, name) => {
    const query = `name=${encodeURIComponent(name.toWellFormed())}&file_name=${encodeURIComponent(name.toWellFormed())}`;
    const made = await call(api, `/v1/batches?${query}`, { body: csv(['o1,a,1.00,INR,']), headers: TYPE });
    expect([201, 400]).toContain(made.status);
    if (made.status === 400) return;
    await steps(api);
    const id = made.body.batch_id;
    for (const path of ['file', 'results.csv', 'failed.csv']) {
      const file = await call(api, `/v1/batches/${id}/${path}`);
      expect([path, file.status, file.headers.get('set-cookie')]).toEqual([path, 200, null]);
      expect(file.headers.get('content-disposition')).toMatch(
        /^attachment; filename="[^"\\/]*"(; filename\*=UTF-8''[\w%.!~-]*)?$/,
      );
    }
  });

  test('in a form are a name, and no more', async () => {
    const file = csv(['o1,a,1.00,INR,']);
    for (const name of ['a\u0000b.csv', 'x'.repeat(5_000), '', 'a\\".csv']) {
      const body = `--x\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\ncontent-type: text/csv\r\n\r\n${file}\r\n--x--\r\n`;
      const made = await call(api, '/v1/batches?same_file=allow', {
        body,
        headers: { 'content-type': 'multipart/form-data; boundary=x' },
      });
      expect([name.slice(0, 9), [201, 400].includes(made.status)]).toEqual([name.slice(0, 9), true]);
    }
  });

  test('a reason with a NUL or half a character is kept or refused', async () => {
    for (const reason of ['a\u0000b', 'a\ud800']) {
      const { body: batch } = await upload(api, csv(['o1,a,1.00,INR,']));
      const answer = await post(api, batch.batch_id, 'cancel', { reason });
      expect([200, 400]).toContain(answer.status);
      if (answer.status === 400) await post(api, batch.batch_id, 'cancel');
    }
  });

  test('search and cursors are texts, and no more', async () => {
    const { body: batch } = await upload(api, csv(['o1,a,1.00,INR,', 'o2,a,1.00,INR,']));
    const page = await call(api, `/v1/batches/${batch.batch_id}/rows?limit=1`);
    const cursors = [
      page.body.next_cursor,
      ...[
        'row 99999999999999 -',
        'row -1 -',
        'row 1 x',
        'newest 1 -',
        'row 1e3 -',
        `newest 9999999999999 ${batch.batch_id}`,
        'newest 1 x',
      ].map((text) => Buffer.from(text).toString('base64url')),
      'ÿ',
      'a'.repeat(400),
    ];
    for (const cursor of cursors) {
      for (const path of [`/v1/batches/${batch.batch_id}/rows`, '/v1/batches']) {
        const answer = await call(api, `${path}?cursor=${encodeURIComponent(cursor)}`);
        expect([path, cursor, [200, 400].includes(answer.status)]).toEqual([path, cursor, true]);
      }
    }
    for (const query of [
      'search=%00',
      'search=%25',
      "search=';drop table batches;--",
      'status=checked,,running',
      'status=toString',
      'status=__proto__',
      'limit=-1',
      'limit=1e9',
      'created_from=NaN',
      'created_from=275760-09-13T00:00:00Z',
    ]) {
      const answer = await call(api, `/v1/batches?${query}`);
      expect([query, [200, 400].includes(answer.status)]).toEqual([query, true]);
    }
    for (const query of ['verdict=%00', "verdict=good'", 'failed=1', 'verdict=']) {
      const answer = await call(api, `/v1/batches/${batch.batch_id}/rows?${query}`);
      expect([query, [200, 400].includes(answer.status)]).toEqual([query, true]);
    }
  });

  test('totals are amounts, and no more', async () => {
    const { body: batch } = await upload(api, csv(['o1,a,1.00,INR,']));
    const said = [
      { totals: { INR: '-1.00' } },
      { totals: { INR: 'NaN' } },
      { totals: { INR: 1 } },
      { totals: { INR: '1.000' } },
      { totals: { INR: '1e0' } },
      { totals: JSON.parse('{"__proto__": "1.00"}') },
      { totals: { INR: '1.00', USD: '0.00' } },
      { rows: 1 },
      { rows: -1 },
      {},
    ];
    for (const json of said) {
      const answer = await call(api, `/v1/batches/${batch.batch_id}/confirm`, { json });
      expect([JSON.stringify(json), [400, 409].includes(answer.status)]).toEqual([
        JSON.stringify(json),
        true,
      ]);
    }
    expect((await get(api, batch.batch_id)).body.status).toBe('checked');
  });
});

describe('an upload in parts', () => {
  const bytes = Buffer.from(csv(['o1,a,1.00,INR,']));
  const begin = (query = '') =>
    call(api, `/v1/batches?name=x&bytes=${bytes.length}${query}`, { method: 'POST' });
  const part = (id: string, offset: string | null, body: Buffer, headers = {}) =>
    call(api, `/v1/batches/${id}/file`, {
      method: 'PATCH',
      body: new Uint8Array(body),
      headers: {
        'content-type': 'application/octet-stream',
        ...(offset !== null && { 'upload-offset': offset }),
        ...headers,
      },
    });

  test('takes no offset but the right one, and no length but a length', async () => {
    const { body: batch } = await begin();
    for (const offset of [null, '', '-1', '+0', '0x0', '1e1', '0.0', 'NaN', '1', '9999999999999', '0, 0']) {
      const answer = await part(batch.batch_id, offset, bytes);
      expect([offset, [400, 409, 413].includes(answer.status)]).toEqual([offset, true]);
    }
    for (const said of ['0', '-1', 'NaN', '1e3', '1.5', '200000001', '']) {
      const answer = await call(api, `/v1/batches?name=x&bytes=${said}`, { method: 'POST' });
      expect([said, [400, 201].includes(answer.status) && (said === '1e3' || answer.status === 400)]).toEqual(
        [said, true],
      );
    }
    expect((await part(batch.batch_id, '0', bytes)).body.status).toBe('checking');
  });

  test('a part without bytes changes nothing, however it is sent', async () => {
    const { body: batch } = await begin();
    const empty = (offset: number) =>
      new Promise<number>((resolve, reject) => {
        const sent = request(
          `${api.url}/v1/batches/${batch.batch_id}/file`,
          {
            method: 'PATCH',
            headers: {
              authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`,
              'content-type': 'application/octet-stream',
              'transfer-encoding': 'chunked',
              'upload-offset': String(offset),
            },
          },
          (answer) => {
            answer.resume();
            resolve(answer.statusCode!);
          },
        );
        sent.on('error', reject);
        sent.end();
      });
    expect((await part(batch.batch_id, '0', Buffer.alloc(0))).status).toBe(400);
    for (const offset of [0, 5, bytes.length]) expect([200, 400, 409]).toContain(await empty(offset));
    expect((await get(api, batch.batch_id)).body).toMatchObject({
      status: 'uploading',
      file: { received_bytes: 0, sha256: null },
    });
    expect(await api.db.query('select 1 from batch_chunks')).toEqual([]);
    for (const [n, byte] of [...bytes].entries()) {
      expect((await part(batch.batch_id, String(n), Buffer.from([byte]))).status).toBe(200);
    }
    await steps(api);
    expect((await get(api, batch.batch_id)).body).toMatchObject({ status: 'checked', rows: { good: 1 } });
  });

  test('goes on where a file that came as one piece was cut off', async () => {
    const socket = connect(api.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      `POST /v1/batches?name=cut HTTP/1.1\r\nhost: x\r\ncontent-length: ${bytes.length}\r\n` +
        `authorization: Basic ${Buffer.from('acme-key:').toString('base64')}\r\ncontent-type: text/csv\r\n\r\n`,
    );
    socket.write(bytes.subarray(0, 20));
    setTimeout(() => socket.destroy(), 200);
    const batch = await until('what came before the end', async () => {
      const [one] = (await call(api, '/v1/batches')).body.batches;
      return one?.file.received_bytes === 20 ? one : undefined;
    });
    expect(batch).toMatchObject({ status: 'uploading', file: { bytes: bytes.length } });
    expect((await part(batch.batch_id, '20', bytes.subarray(20))).body.status).toBe('checking');
    await steps(api);
    expect((await get(api, batch.batch_id)).body).toMatchObject({ status: 'checked', rows: { good: 1 } });
  });

  test('the bytes that are read are those that were hashed, whoever adds more in that moment', async () => {
    // A file whose length nobody has said can grow until it is taken.
    const { body: batch } = await begin();
    await api.db.query('update batch_files set bytes = null where batch_id = $1', [batch.batch_id]);
    await part(batch.batch_id, '0', bytes);
    const { takeFile } = await import('../../src/batches/upload.ts');
    const { readBatch } = await import('../../src/batches/store.ts');
    const record = (await readBatch(api.db, { merchantId: 'acme', batchId: batch.batch_id }))!;
    const more = Buffer.from('o2,b,2.00,INR,\n');
    let added = false;
    const db = {
      ...api.batches.engine.db,
      transaction: async (...args: Parameters<typeof api.db.transaction>) => {
        if (!added) {
          added = true;
          await part(batch.batch_id, String(bytes.length), more);
        }
        return api.batches.engine.db.transaction(...args);
      },
    } as typeof api.db;
    const by = { kind: 'key', id: batch.batch_id, name: 'x' } as const;
    await takeFile({ ...api.batches, engine: { ...api.batches.engine, db } }, record, 1, by);
    await steps(api);
    const file = await call(api, `/v1/batches/${batch.batch_id}/file`);
    const { createHash } = await import('node:crypto');
    expect((await get(api, batch.batch_id)).body.file.sha256).toBe(
      createHash('sha256').update(file.body).digest('hex'),
    );
  });
});

describe('another merchant', () => {
  test('finds no address of a batch, and changes nothing of it', async () => {
    const { body: batch } = await upload(api, csv(['o1,a,1.00,INR,']));
    const { body: open } = await call(api, '/v1/batches?name=x&bytes=10', { method: 'POST' });
    const other = { as: 'other' };
    const before = await api.db.query('select * from batches order by batch_id');
    const put = { method: 'PUT', body: csv(['1,o1,a,1.00,INR,'], `row,${HEADER}`), headers: TYPE, ...other };
    const bytes = {
      method: 'PATCH',
      body: 'abc',
      headers: { 'content-type': 'application/octet-stream', 'upload-offset': '0' },
    };
    for (const id of [batch.batch_id, open.batch_id]) {
      const answers = [
        ...['', '/rows', '/events', '/file', '/results.csv', '/failed.csv'].map((path) =>
          call(api, `/v1/batches/${id}${path}`, other),
        ),
        ...['check', 'confirm', 'pause', 'resume', 'cancel', 'reject'].map((verb) =>
          call(api, `/v1/batches/${id}/${verb}`, {
            json: verb === 'confirm' ? { totals: { INR: '1.00' } } : {},
            ...other,
          }),
        ),
        call(api, `/v1/batches/${id}`, { method: 'PATCH', json: { same_file: 'allow' }, ...other }),
        call(api, `/v1/batches/${id}/rows`, put),
        call(api, `/v1/batches/${id}/file`, { ...bytes, ...other }),
      ];
      const statuses = (await Promise.all(answers)).map(({ status }) => status);
      expect(new Set(statuses)).toEqual(new Set([404]));
    }
    expect(await api.db.query('select * from batches order by batch_id')).toEqual(before);
  });

  test('cannot settle a refund by its id, nor refund an order by its payment', async () => {
    await putOrder(api.db, { merchantId: 'other', orderId: 'theirs', amountMinor: 10_000 });
    const made = await call(api, '/v1/refunds', {
      json: { order_id: 'theirs', unique_request_id: 'r', amount: '10.00' },
      as: 'other',
    });
    const id = made.body.refund_id;
    await api.db.query(`update refunds set state = 'manual_review', event_seq = event_seq + 1`);
    await api.db.query(`update orders set event_seq = event_seq + 1 where order_id = 'theirs'`);
    const settle = csv(
      [`${id},,,SUCCESS,,the bank has told us so`, `,theirs,r,FAILURE,,the bank has told us so`],
      'refund_id,order_id,unique_request_id,status,arn,evidence',
    );
    const { body: updates } = await upload(api, settle, '&kind=status_updates');
    expect(updates.rows).toMatchObject({ good: 0, bad: 2 });
    const { body: refunds } = await upload(
      api,
      csv(['theirs,x,1.00,INR,,', ',y,1.00,INR,,other-theirs-1'], `${HEADER},txn_id`),
    );
    expect(refunds.rows).toMatchObject({ good: 0, bad: 2 });
    for (const { batch_id } of [updates, refunds]) {
      const rows = await rowsOf(api, batch_id);
      expect(JSON.stringify(rows)).not.toContain('MANUAL');
      expect((await post(api, batch_id, 'confirm', { rows: 2, totals: { INR: '2.00' } })).status).toBe(409);
    }
    expect(await api.db.query('select state from refunds')).toEqual([{ state: 'manual_review' }]);
  });
});

describe('roles', () => {
  test('who may only read changes nothing', async () => {
    const { body: batch } = await upload(api, csv(['o1,a,1.00,INR,']));
    const id = batch.batch_id;
    const viewer = as(await person('viewer', 'viewer@shop.test'));
    const file = { body: csv(['o2,a,1.00,INR,']), headers: { ...viewer.headers, ...TYPE }, as: null };
    const answers = await Promise.all([
      call(api, '/v1/batches', file),
      call(api, `/v1/batches/${id}/rows`, { ...file, method: 'PUT' }),
      call(api, `/v1/batches/${id}/file`, { ...file, method: 'PATCH' }),
      call(api, `/v1/batches/${id}`, { method: 'PATCH', json: { same_file: 'allow' }, ...viewer }),
      ...['check', 'confirm', 'approve', 'pause', 'resume', 'cancel', 'reject'].map((verb) =>
        call(api, `/v1/batches/${id}/${verb}`, { json: {}, ...viewer }),
      ),
    ]);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([403]));
    expect((await call(api, `/v1/batches/${id}`, viewer)).status).toBe(200);
    expect((await call(api, '/v1/batches')).body.batches).toHaveLength(1);
  });
});

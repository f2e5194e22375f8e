import { once } from 'node:events';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readOrder } from '../../src/orders/store.ts';
import { call, startApi, type TestApi } from '../support/api.ts';
import { charge, expectChainsIntact } from './support.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(async () => {
  await expectChainsIntact(api.db);
  await api.close();
});

const PATH = '/v1/transactions';

describe('one, as JSON', () => {
  it('answers what became of it', async () => {
    const told = charge({ order_id: 'ONE-1', gateway_payment_id: 'one_1' });
    const first = await call(api, PATH, { json: told });
    expect([first.status, first.body]).toEqual([
      200,
      { outcome: 'recorded', order_id: 'ONE-1', txn_id: 'acme-ONE-1-1' },
    ]);
    const again = await call(api, PATH, { json: told });
    expect(again.body).toEqual({ outcome: 'unchanged', order_id: 'ONE-1', txn_id: 'acme-ONE-1-1' });
  });

  it('takes amounts as they are written, numbers too, and never through floating point', async () => {
    const text = (amount: string) =>
      JSON.stringify(charge({ order_id: 'ONE-2', gateway_payment_id: 'one_2', amount: '@' })).replace(
        '"@"',
        amount,
      );
    const post = (amount: string) =>
      call(api, PATH, { body: text(amount), headers: { 'content-type': 'application/json' } });
    expect((await post('0.1000000000000000000001')).body.error).toMatchObject({ field: 'amount' });
    expect((await post('1e2')).body.error).toMatchObject({ field: 'amount', value: '1e2' });
    expect((await post('1.10')).status).toBe(200);
    expect((await readOrder(api.db, 'acme', 'ONE-2'))!.order.amountMinor).toBe(110);
  });

  it('refuses what cannot be read with 400 and what contradicts with 409', async () => {
    const told = charge({ order_id: 'ONE-3', gateway_payment_id: 'one_3' });
    await call(api, PATH, { json: told });
    const other = await call(api, PATH, { json: { ...told, amount: '99.00' } });
    expect(other.status).toBe(409);
    expect(other.body).toEqual({
      error: {
        code: 'contradiction',
        message: 'The amount of order ONE-3 is known to be another.',
        field: 'amount',
        value: '99.00',
        accepted: '100.00',
      },
    });
    const unread = await call(api, PATH, { json: { ...told, currency: 'XYZ' } });
    expect([unread.status, unread.body.error.field, unread.body.error.value]).toEqual([
      400,
      'currency',
      'XYZ',
    ]);
    for (const body of ['', '{', '[]', 'null', `{"order_id":"A","order_id":"B"}`]) {
      const broken = await call(api, PATH, { body, headers: { 'content-type': 'application/json' } });
      expect([broken.status, typeof broken.body.error.code]).toEqual([400, 'string']);
    }
    const long = await call(api, PATH, { json: { ...told, metadata: { x: 'x'.repeat(70_000) } } });
    expect(long.status).toBe(413);
    const xml = await call(api, PATH, { body: '<a/>', headers: { 'content-type': 'application/xml' } });
    expect(xml.status).toBe(415);
    expect((await call(api, PATH, { json: told, as: null })).status).toBe(401);
  });

  it('keeps merchants apart (invariant 8)', async () => {
    const told = charge({ order_id: 'ONE-4', gateway_payment_id: 'one_4' });
    expect((await call(api, PATH, { json: told })).body.outcome).toBe('recorded');
    expect((await call(api, PATH, { json: told, as: 'other' })).body).toMatchObject({
      outcome: 'recorded',
      txn_id: 'other-ONE-4-1',
    });
    const mine = await call(api, '/v1/gateway-accounts');
    const theirs = mine.body.gateway_accounts?.[0]?.gateway_account_id ?? 'test-of-acme';
    const stolen = await call(api, PATH, {
      json: { ...told, order_id: 'ONE-5', gateway_account: theirs },
      as: 'other',
    });
    expect([stolen.status, stolen.body.error.field]).toEqual([400, 'gateway_account']);
  });
});

/** A request whose body is written and whose answer is read bit by bit. */
function openStream() {
  const request = http.request(`${api.url}${PATH}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-ndjson',
      authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`,
    },
  });
  const response = once(request, 'response').then(([message]) => message as http.IncomingMessage);
  return { request, response };
}

/** All lines at once, all answers. */
async function stream(lines: readonly (string | Buffer | object)[]) {
  const bytes = lines.map((line) =>
    Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)),
  );
  const body = Buffer.concat(bytes.flatMap((line) => [line, Buffer.from('\n')]));
  const answer = await fetch(`${api.url}${PATH}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-ndjson',
      authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`,
    },
    body,
  });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toContain('application/x-ndjson');
  const text = await answer.text();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

describe('many, as lines', () => {
  it('answers each line in order, and a bad one without stopping', async () => {
    const told = (n: number) => charge({ order_id: `MANY-${n}`, gateway_payment_id: `many_${n}` });
    const answers = await stream([
      told(1),
      '{"order_id": ',
      '',
      told(2),
      Buffer.from([0x7b, 0xff, 0x7d]),
      `{"a":"${'x'.repeat(70_000)}"}`,
      '{"order_id":"a\u0000"}',
      '{"udf1":"\\u0000"}',
      '[1]',
      '\r',
      { ...told(3), udf1: 'a\u0000b' },
      { ...told(1), amount: '7' },
      `${JSON.stringify(told(4))}\r`,
      told(1),
    ]);
    expect(answers.map(({ line, outcome, error }) => [line, outcome, error?.code])).toEqual([
      [1, 'recorded', undefined],
      [2, 'refused', 'unreadable_line'],
      [4, 'recorded', undefined],
      [5, 'refused', 'unreadable_line'],
      [6, 'refused', 'unreadable_line'],
      [7, 'refused', 'unreadable_line'],
      [8, 'refused', 'missing_field'],
      [9, 'refused', 'not_an_object'],
      [11, 'refused', 'invalid_value'],
      [12, 'refused', 'contradiction'],
      [13, 'recorded', undefined],
      [14, 'unchanged', undefined],
    ]);
    expect(answers[0]).toEqual({ line: 1, outcome: 'recorded', order_id: 'MANY-1', txn_id: 'acme-MANY-1-1' });
    expect(answers[9].error).toMatchObject({ field: 'amount', value: '7', accepted: '100.00' });
  });

  it('answers nothing for nothing', async () => {
    expect(await stream([])).toEqual([]);
    expect(await stream(['', '', ''])).toEqual([]);
  });

  it('answers while the rest is still on its way', async () => {
    const { request, response } = openStream();
    const line = (n: number) =>
      `${JSON.stringify(charge({ order_id: `SLOW-${n}`, gateway_payment_id: `slow_${n}` }))}\n`;
    request.write(line(1) + line(2).slice(0, 20));
    const answers = createInterface({ input: await response })[Symbol.asyncIterator]();
    expect(JSON.parse((await answers.next()).value!)).toMatchObject({ line: 1, outcome: 'recorded' });
    request.write(line(2).slice(20));
    expect(JSON.parse((await answers.next()).value!)).toMatchObject({ line: 2, outcome: 'recorded' });
    request.end(line(3).trimEnd());
    expect(JSON.parse((await answers.next()).value!)).toMatchObject({ line: 3, outcome: 'recorded' });
    expect((await answers.next()).done).toBe(true);
  });

  it('keeps what was answered when the client goes away', async () => {
    const { request, response } = openStream();
    request.on('error', () => {});
    const line = (n: number) =>
      `${JSON.stringify(charge({ order_id: `GONE-${n}`, gateway_payment_id: `gone_${n}` }))}\n`;
    request.write(line(1));
    const message = await response;
    message.on('error', () => {});
    await once(message, 'data');
    request.destroy();
    expect(await readOrder(api.db, 'acme', 'GONE-1')).not.toBeNull();
    expect(
      (await call(api, PATH, { json: charge({ order_id: 'GONE-1', gateway_payment_id: 'gone_1' }) })).body,
    ).toMatchObject({
      outcome: 'unchanged',
    });
  });

  it('stops reading when the client does not read, and goes on when it does', async () => {
    const { request, response } = openStream();
    const lines = 300_000;
    const line = 'not json, but long enough to fill what lies between client and server '.repeat(4);
    let written = 0;
    const writing = (async () => {
      for (; written < lines; written++) {
        if (!request.write(`${line}\n`)) await once(request, 'drain');
      }
      request.end();
    })();
    const message = await response;
    let before = -1;
    while (written !== before) {
      before = written;
      await sleep(1_500);
    }
    expect(written).toBeLessThan(lines);
    let answered = 0;
    for await (const answer of createInterface({ input: message })) {
      if (answer.includes('"unreadable_line"')) answered++;
    }
    await writing;
    expect(answered).toBe(lines);
  });

  it('holds no more for 200,000 lines than for a few', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const held = () => {
      collect();
      const { heapUsed, external, arrayBuffers } = process.memoryUsage();
      return heapUsed + external + arrayBuffers;
    };
    const lines = 200_000;
    const { request, response } = openStream();
    const writing = (async () => {
      for (let n = 0; n < lines; n++) {
        const told =
          n % 20 === 0
            ? JSON.stringify(charge({ order_id: `MEM-${n % 4_000}`, gateway_payment_id: `mem_${n % 4_000}` }))
            : `{"order_id":"MEM-${n}","amount":`;
        if (!request.write(`${told}\n`)) await once(request, 'drain');
      }
      request.end();
    })();
    const outcomes: Record<string, number> = {};
    let answered = 0;
    let early = 0;
    let late = 0;
    for await (const text of createInterface({ input: await response })) {
      const answer = JSON.parse(text);
      expect(answer.line).toBe(++answered);
      outcomes[answer.outcome] = (outcomes[answer.outcome] ?? 0) + 1;
      if (answered === lines / 10) early = held();
      if (answered === lines) late = held();
    }
    await writing;
    expect(outcomes).toEqual({ recorded: 200, unchanged: 9_800, refused: 190_000 });
    expect(late - early).toBeLessThan(16_000_000);
  });
});

describe('a server that has to stop', () => {
  it('says from which line on a stream was not recorded, and closes', async () => {
    const own = await startApi();
    const request = http.request(`${own.url}${PATH}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-ndjson',
        authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`,
      },
    });
    request.on('error', () => {});
    const response = once(request, 'response').then(([message]) => message as http.IncomingMessage);
    const line = (n: number) =>
      `${JSON.stringify(charge({ order_id: `STOP-${n}`, gateway_payment_id: `stop_${n}` }))}\n`;
    request.write(line(1));
    const answers = createInterface({ input: await response })[Symbol.asyncIterator]();
    expect(JSON.parse((await answers.next()).value!)).toMatchObject({ line: 1, outcome: 'recorded' });
    const closed = own.close();
    request.write(line(2));
    expect(JSON.parse((await answers.next()).value!)).toMatchObject({
      line: 2,
      outcome: 'stopped',
      error: { code: 'stopped', message: expect.stringContaining('Line 2 and all after it') },
    });
    request.end();
    await closed;
  });

  it('says so too when the database goes away', async () => {
    const own = await startApi();
    const told = JSON.stringify(charge());
    await own.db.query('alter table transactions rename to gone');
    const answer = await fetch(`${own.url}${PATH}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-ndjson',
        authorization: `Basic ${Buffer.from('acme-key:').toString('base64')}`,
      },
      body: `${told}\n${told}\n`,
    });
    const text = await answer.text();
    expect(JSON.parse(text)).toMatchObject({ line: 1, outcome: 'stopped' });
    expect(text).not.toContain('relation');
    await own.close();
  });
});

import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiKey } from '../../src/access/api-keys.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { putOrder } from '../support/engine.ts';
import { modelGateway } from './model-gateway.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startApi({ gateways: [modelGateway] });
  await createApiKey(api.db, systemClock, { merchantId: 'acme', name: 'the key of the recording', key: 'K' });
});
afterAll(() => api.close());

/** Sends bytes as they are and reads the one answer. */
function send(parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(api.port, '127.0.0.1');
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      received += text;
      // Answers are short: each arrives whole, and ends with its JSON.
      if (received.endsWith('}')) socket.end();
    });
    socket.on('close', () => resolve(received)).on('error', reject);
    for (const part of parts) socket.write(part);
  });
}

function read(received: string): { status: number; body: Record<string, unknown> } {
  const [head, ...rest] = received.split('\r\n\r\n');
  return { status: Number(head!.split(' ')[1]), body: JSON.parse(rest.join('\r\n\r\n')) };
}

/** The header lines that the SDK was recorded to send (contract section 9.1), in their order. */
const SDK_HEADERS = [
  'Content-Type: application/x-www-form-urlencoded',
  'User-Agent: NODEJS_SDK/9.9.9',
  'version: 2019-05-07',
  'x-merchantid: acme',
  'Authorization: Basic Sw==',
  'Host: localhost',
  'Connection: keep-alive',
];

const recorded = (line: string, chunk?: string) =>
  [
    line,
    ...SDK_HEADERS,
    ...(chunk === undefined
      ? ['', '']
      : ['Transfer-Encoding: chunked', '', chunk.length.toString(16), chunk, '0', '', '']),
  ].join('\r\n');

describe('the bytes that Juspay’s Node SDK was recorded to send (section 9.1)', () => {
  test('create, status, refund', async () => {
    const form =
      'order_id=ORD1&amount=100.5&currency=INR&customer_id=c%201&return_url=https%3A%2F%2Fshop.test%2Fr%3Fx%3D1' +
      '&metadata.JUSPAY%3Agateway_reference_id=g1&options.get_client_auth_token=true';
    expect(form).toHaveLength(0xb5);
    const created = read(await send([recorded('POST /orders HTTP/1.1', form)]));
    expect(created).toMatchObject({
      status: 200,
      body: {
        order_id: 'ORD1',
        status: 'NEW',
        amount: 100.5,
        customer_id: 'c 1',
        return_url: 'https://shop.test/r?x=1',
        metadata: { 'JUSPAY:gateway_reference_id': 'g1' },
      },
    });
    for (const query of ['order_id=ORD1', 'options.add_full_gateway_response=true&order_id=ORD1']) {
      const status = read(await send([recorded(`GET /orders/ORD1?${query} HTTP/1.1`)]));
      expect(status).toEqual(created);
    }

    await putOrder(api.db, { orderId: 'ORD2', amountMinor: 10_000 });
    // The recorded id holds a blank, which no id may; the rest of the bytes are as recorded.
    const blank = 'unique_request_id=ref%201&amount=1';
    expect(blank).toHaveLength(0x22);
    const refused = read(await send([recorded('POST /orders/ORD2/refunds HTTP/1.1', blank)]));
    expect(refused).toMatchObject({
      status: 400,
      body: { error_info: { fields: [{ field_name: 'unique_request_id' }] } },
    });
    const whole = recorded('POST /orders/ORD2/refunds HTTP/1.1', 'unique_request_id=ref-1&amount=1');
    expect(read(await send([whole]))).toMatchObject({ status: 200, body: { amount_refunded: 1 } });
  });

  test('in chunks and packets of one byte', async () => {
    await putOrder(api.db, { orderId: 'ORD3', amountMinor: 10_000 });
    const form = 'unique_request_id=r1&amount=2.5';
    const head = ['POST /orders/ORD3/refunds HTTP/1.1', ...SDK_HEADERS, 'Transfer-Encoding: chunked', '', ''];
    const chunks = [...form].map((byte) => `1\r\n${byte}\r\n`);
    const bytes = [...head.join('\r\n'), ...chunks.join(''), ...'0\r\n\r\n'];
    expect(read(await send(bytes))).toMatchObject({ status: 200, body: { amount_refunded: 2.5 } });
  });
});

describe('what no HTTP client sends by itself', () => {
  const headers = ['Host: localhost', 'x-merchantid: acme', 'Authorization: Basic Sw==', 'Connection: close'];
  const post = (path: string, body: string | Buffer, type: string, ...more: string[]) => [
    [
      `POST ${path} HTTP/1.1`,
      ...headers,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...more,
      '',
      '',
    ].join('\r\n'),
    body,
  ];
  const FORM = 'application/x-www-form-urlencoded';

  test.each([
    ['a NUL byte in the address', '/orders/a%00b/refunds', 'unique_request_id=r1&amount=1', FORM],
    ['a broken percent-encoding in the address', '/orders/a%zz/refunds', 'unique_request_id=r1', FORM],
    ['half a UTF-8 character in the address', '/orders/%C3/refunds', 'unique_request_id=r1', FORM],
    ['a broken percent-encoding in the query', '/orders/X1/refunds?a=%', 'unique_request_id=r1', FORM],
    ['a broken percent-encoding in the form', '/orders/X1/refunds', 'unique_request_id=r1&amount=%', FORM],
    ['a NUL byte in the form', '/orders/X1/refunds', 'unique_request_id=r1&amount=1&metaData=a%00b', FORM],
    ['a NUL byte in a name', '/orders/X1/refunds', 'unique_request_id=r1&amount=1&a%00b=c', FORM],
    ['bytes that are not UTF-8', '/orders/X1/refunds', Buffer.from([0x61, 0x3d, 0xff]), FORM],
    [
      'a NUL in JSON',
      '/orders/X1/refunds',
      '{"unique_request_id":"r1","amount":1,"metaData":"\\u0000"}',
      'application/json',
    ],
    [
      'half a surrogate pair',
      '/orders/X1/refunds',
      '{"unique_request_id":"r1","amount":1,"metadata":{"a":"\\ud800"}}',
      'application/json',
    ],
    ['broken JSON', '/orders/X1/refunds', '{"unique_request_id":"r1",', 'application/json'],
    ['JSON that is no object', '/orders/X1/refunds', '[1]', 'application/json'],
    ['a JSON number alone', '/orders/X1/refunds', '1', 'application/json'],
    [
      '__proto__',
      '/orders/X1/refunds',
      '{"unique_request_id":"r1","__proto__":{"amount":1}}',
      'application/json',
    ],
    [
      'very deep JSON',
      '/orders/X1/refunds',
      `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
      'application/json',
    ],
    ['multipart without a boundary', '/orders/X1/refunds', 'x', 'multipart/form-data'],
    [
      'multipart without any part',
      '/orders/X1/refunds',
      'unique_request_id=r1',
      'multipart/form-data; boundary=b',
    ],
    [
      'a thousand fields',
      '/orders/X1/refunds',
      Array.from({ length: 1_000 }, (_, n) => `f${n}=1`).join('&'),
      FORM,
    ],
    [
      'an amount of a million digits',
      '/orders/X1/refunds',
      `unique_request_id=r1&amount=${'9'.repeat(1_000_000)}`,
      FORM,
    ],
    [
      'a JSON amount of a million digits',
      '/orders/X1/refunds',
      `{"unique_request_id":"r1","amount":${'9'.repeat(1_000_000)}}`,
      'application/json',
    ],
  ])('%s is answered with 400 and a reason', async (_, path, body, type) => {
    const answer = read(await send(post(path, body, type)));
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ error_code: expect.any(String), error_message: expect.any(String) });
  });

  test('a compressed body is not guessed at', async () => {
    const answer = read(await send(post('/orders/X1/refunds', 'x', FORM, 'Content-Encoding: gzip')));
    expect([answer.status, answer.body['error_code']]).toEqual([415, 'INVALID_REQUEST']);
  });

  test.each([
    ['with its length', (body: string) => post('/orders/X1/refunds', body, FORM)],
    [
      'in chunks',
      (body: string) => [
        [
          'POST /orders/X1/refunds HTTP/1.1',
          ...headers,
          `Content-Type: ${FORM}`,
          'Transfer-Encoding: chunked',
          '',
          '',
        ].join('\r\n'),
        `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
      ],
    ],
    [
      'as multipart',
      (body: string) =>
        post(
          '/orders/X1/refunds',
          `--b\r\nContent-Disposition: form-data; name="amount"\r\n\r\n${body}\r\n--b--\r\n`,
          'multipart/form-data; boundary=b',
        ),
    ],
  ])('10 MB %s get a clear 413', async (_, bytes) => {
    const answer = read(await send(bytes('a'.repeat(10 * 1024 * 1024))));
    expect(answer.status).toBe(413);
    expect(answer.body['error_message']).toMatch(/1 MiB/);
  });

  const OURS = { error: { code: expect.any(String), message: expect.stringMatching(/\.$/) } };
  const CONTRACT = {
    status: 'Bad Request',
    error_code: 'INVALID_REQUEST',
    error_message: 'The headers are longer than 16 KiB.',
  };
  test.each([
    ['headers beyond 16 KiB', big('/orders/X1'), 431, expect.objectContaining(CONTRACT)],
    ['headers beyond 16 KiB to an address of ours', big('/v1/orders/X1'), 431, OURS],
    ['what is no HTTP', 'hello\r\n\r\n', 400, OURS],
  ])('%s is answered in the words of whom it was meant for', async (_, bytes, status, body) => {
    const answer = await send([bytes]);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer.toLowerCase()).toContain('x-content-type-options: nosniff');
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toEqual(body);
  });
});

function big(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nx-big: ${'a'.repeat(20_000)}\r\n\r\n`;
}

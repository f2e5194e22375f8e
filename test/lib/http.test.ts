import dns from 'node:dns';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import * as mockttp from 'mockttp';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createHttp, type Http, type HttpOptions, isPublicAddress, urlProblem } from '../../src/lib/http.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function client(options: Partial<HttpOptions> = {}): Http {
  const http = createHttp({
    allowPrivate: true,
    timeoutMs: 10_000,
    maxAnswerBytes: 1_000_000,
    userAgent: 'Refundry/test',
    ...options,
  });
  cleanups.push(http.close);
  return http;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A TCP server that does what it is told with each request's bytes; `requests` holds what arrived. */
async function rawServer(onRequest: (socket: Socket, count: number) => void) {
  const requests: string[] = [];
  const server = createServer((socket) => {
    cleanups.push(() => socket.destroy());
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      requests.push(bytes.toString());
      onRequest(socket, requests.length);
    });
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}/refunds?a=1`, requests };
}

const post = (url: string) =>
  ({ method: 'POST', url, headers: { 'content-type': 'text/plain' }, body: 'amount=1' }) as const;

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

describe('an answer', () => {
  test('comes back as it is, however strange its status, and is never followed elsewhere', async () => {
    const seen: string[] = [];
    const port = await listen(
      createHttpServer((request, response) => {
        seen.push(
          `${request.method} ${request.url} ${request.headers['user-agent']} ${request.headers['x-key']}`,
        );
        if (request.url === '/go') response.writeHead(307, { location: '/elsewhere' }).end();
        else response.writeHead(418, { 'Set-Cookie': ['a=1', 'b=2'], 'X-Big': 'Yes' }).end('₹ tea');
      }),
    );
    const http = client();
    const tea = await http.send({
      method: 'POST',
      url: `http://127.0.0.1:${port}/pot?x=%20`,
      headers: { 'X-Key': 'k' },
      body: 'b',
    });
    expect(tea).toMatchObject({
      kind: 'response',
      status: 418,
      body: '₹ tea',
      headers: { 'set-cookie': 'a=1, b=2', 'x-big': 'Yes' },
    });
    expect(tea.ms).toBeGreaterThanOrEqual(0);
    const moved = await http.send({
      method: 'GET',
      url: `http://127.0.0.1:${port}/go`,
      headers: {},
      body: null,
    });
    expect(moved).toMatchObject({ kind: 'response', status: 307, headers: { location: '/elsewhere' } });
    expect(seen).toEqual(['POST /pot?x=%20 Refundry/test k', 'GET /go Refundry/test undefined']);
  });

  test('may be preceded by informational ones', async () => {
    const { url } = await rawServer((socket) =>
      socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${ANSWER}`),
    );
    expect(await client().send(post(url))).toMatchObject({ kind: 'response', status: 200, body: 'ok' });
  });

  test('that is too long is no answer, or cut where that was asked for', async () => {
    const port = await listen(
      createHttpServer((_request, response) => void response.end('x'.repeat(5_000_000))),
    );
    const url = `http://127.0.0.1:${port}/`;
    expect(await client({ maxAnswerBytes: 1000 }).send(post(url))).toMatchObject({
      kind: 'no_answer',
      why: 'the answer broke off after status 200: it is longer than 1000 bytes',
    });
    expect(await client({ maxAnswerBytes: 1000, longAnswer: 'cut' }).send(post(url))).toMatchObject({
      kind: 'response',
      status: 200,
      body: 'x'.repeat(1000),
    });
  });

  test('of exactly the allowed length is whole', async () => {
    const port = await listen(createHttpServer((_request, response) => void response.end('x'.repeat(1000))));
    expect(await client({ maxAnswerBytes: 1000 }).send(post(`http://127.0.0.1:${port}/`))).toMatchObject({
      kind: 'response',
      body: 'x'.repeat(1000),
    });
  });
});

describe('not sent', () => {
  test('when nobody listens', async () => {
    const server = createServer();
    const port = await listen(server);
    server.close();
    expect(await client().send(post(`http://127.0.0.1:${port}/`))).toMatchObject({
      kind: 'not_sent',
      why: expect.stringContaining('ECONNREFUSED'),
    });
    expect(await client().send(post(`http://localhost:${port}/`))).toMatchObject({
      kind: 'not_sent',
      why: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('when the name cannot be resolved', async () => {
    expect(await client().send(post('http://no-such-host.invalid/'))).toMatchObject({
      kind: 'not_sent',
      why: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
    });
  });

  test('when the certificate is not trusted, or is somebody else’s', async () => {
    const ca = await mockttp.generateCACertificate();
    const server = mockttp.getLocal({ https: { ...ca, defaultDomain: 'pg.example' } });
    await server.start();
    cleanups.push(() => server.stop());
    const answered = await server.forAnyRequest().thenReply(200, 'hello');
    const local = server.url.replace('localhost', '127.0.0.1');

    expect(await client().send(post(server.url))).toMatchObject({
      kind: 'not_sent',
      why: expect.stringMatching(/certificate/),
    });
    const before = tls.getCACertificates('default');
    tls.setDefaultCACertificates([...before, ca.cert]);
    cleanups.push(() => tls.setDefaultCACertificates(before));
    expect(await client().send(post(server.url))).toMatchObject({
      kind: 'response',
      status: 200,
      body: 'hello',
    });
    expect(await client().send(post(local))).toMatchObject({
      kind: 'not_sent',
      why: expect.stringContaining("does not match certificate's altnames"),
    });
    expect(await answered.getSeenRequests()).toHaveLength(1);
  });

  test('when the peer does not speak TLS, or never finishes the handshake', async () => {
    const { url } = await rawServer((socket, count) =>
      count === 1 ? socket.end('HTTP/1.1 400 Bad\r\n\r\n') : undefined,
    );
    const secure = url.replace('http:', 'https:');
    expect(await client().send(post(secure))).toMatchObject({ kind: 'not_sent' });
    expect(await client({ connectTimeoutMs: 200 }).send(post(secure))).toMatchObject({
      kind: 'not_sent',
      why: expect.stringMatching(/timeout/i),
    });
  });

  test('when all connections stay busy until the deadline, and then not later either', async () => {
    const held: Socket[] = [];
    const { url, requests } = await rawServer((socket) => void held.push(socket));
    const http = client({ maxConnectionsPerOrigin: 1 });
    const first = http.send(post(url));
    await vi.waitFor(() => expect(held).toHaveLength(1));
    expect(await http.send({ ...post(url), timeoutMs: 50 })).toMatchObject({
      kind: 'not_sent',
      why: 'no connection within 50 ms',
    });
    held[0]!.write(ANSWER);
    expect(await first).toMatchObject({ kind: 'response' });
    expect(await http.send({ ...post(`${url}&third`), timeoutMs: 300 })).toMatchObject({ kind: 'no_answer' });
    expect(requests.map((request) => request.split('\r\n')[0])).toEqual([
      'POST /refunds?a=1 HTTP/1.1',
      'POST /refunds?a=1&third HTTP/1.1',
    ]);
  });

  test('when a header cannot be written, or the client is closed', async () => {
    const { url, requests } = await rawServer((socket) => socket.write(ANSWER));
    const http = client();
    expect(await http.send({ ...post(url), headers: { 'x-key': 'a\r\nx-evil: 1' } })).toMatchObject({
      kind: 'not_sent',
      why: expect.stringContaining('header'),
    });
    await http.close();
    expect(await http.send(post(url))).toMatchObject({ kind: 'not_sent' });
    expect(requests).toEqual([]);
  });
});

describe('no answer', () => {
  test('from a silent peer', async () => {
    const { url, requests } = await rawServer(() => {});
    expect(await client({ timeoutMs: 200 }).send(post(url))).toMatchObject({
      kind: 'no_answer',
      why: 'no complete answer within 200 ms',
    });
    expect(requests).toHaveLength(1);
  });

  test('from one that drips', async () => {
    const { url } = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n');
      const drip = setInterval(() => socket.write('x'), 20);
      cleanups.push(() => clearInterval(drip));
    });
    expect(await client({ timeoutMs: 300 }).send(post(url))).toMatchObject({
      kind: 'no_answer',
      why: 'the answer broke off after status 200: no complete answer within 300 ms',
    });
  });

  test('when the connection is reset before the answer, in its head or in its body', async () => {
    for (const part of ['', 'HTTP/1.1 200 O', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok']) {
      const { url, requests } = await rawServer((socket) => {
        if (part === '') socket.resetAndDestroy();
        else socket.write(part, () => setTimeout(() => socket.resetAndDestroy(), 50));
      });
      expect(await client().send(post(url))).toMatchObject({ kind: 'no_answer' });
      expect(requests).toHaveLength(1);
    }
  });

  test('when what comes is not HTTP', async () => {
    const { url } = await rawServer((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'));
    expect(await client().send(post(url))).toMatchObject({ kind: 'no_answer' });
  });

  test.each(['POST', 'GET'] as const)(
    'to a %s on a reused connection that is reset after the request arrived, and nothing is sent twice',
    async (method) => {
      const sockets = new Set<Socket>();
      const { url, requests } = await rawServer((socket, count) => {
        sockets.add(socket);
        if (count === 1) socket.write(ANSWER);
        else socket.resetAndDestroy();
      });
      const http = client({ maxConnectionsPerOrigin: 1 });
      const request = { method, url, headers: {}, body: method === 'POST' ? 'amount=1' : null };
      expect(await http.send(request)).toMatchObject({ kind: 'response' });
      expect(await http.send(request)).toMatchObject({ kind: 'no_answer' });
      expect(sockets.size).toBe(1);
      expect(requests).toHaveLength(2);
    },
  );
});

describe('the address policy', () => {
  const PRIVATE_SPELLINGS = [
    '127.0.0.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '017700000001',
    '127.1',
    '127.0.0.1.',
    '１２７.0.0.1',
    '0.0.0.0',
    '0',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::ffff:8.8.8.8]',
    '[::127.0.0.1]',
    '[::ffff:0:127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[64:ff9b:1::a00:1]',
    '[2002:7f00:1::]',
    '[2001:0:7f00:1::]',
    '[fc00::1]',
    '[fd00:ec2::254]',
    '[fe80::1]',
    '[fec0::1]',
    '[ff02::1]',
    '[100::1]',
    '[2001:db8::1]',
    '[4000::1]',
    'localhost',
    'LOCALHOST.',
    'anything.localhost',
  ];

  test.each(PRIVATE_SPELLINGS)('refuses %s', async (host) => {
    expect(await client({ allowPrivate: false }).send(post(`http://${host}:9/`))).toMatchObject({
      kind: 'not_sent',
      why: expect.stringContaining('not on the public internet'),
    });
  });

  test('lets public addresses through', () => {
    for (const address of [
      '8.8.8.8',
      '172.32.0.1',
      '100.128.0.1',
      '2606:4700::1111',
      '2001:4860:4860::8888',
    ]) {
      expect(isPublicAddress(address), address).toBe(true);
    }
    expect(urlProblem('https://api.example.com/x', false)).toBeNull();
    expect(urlProblem('http://127.0.0.1/x', true)).toBeNull();
  });

  test('refuses other schemes, credentials in the URL and what is no URL, whatever is allowed', async () => {
    const whys: Record<string, string> = {
      'ftp://example.com/': 'the URL starts with ftp:, not http: or https:',
      'file:///etc/passwd': 'the URL starts with file:, not http: or https:',
      'http://user:secret@127.0.0.1/': 'the URL carries a user name or password',
      'http://user@127.0.0.1/': 'the URL carries a user name or password',
      'not a url': 'the URL is not valid',
      'http://[fe80::1%25eth0]/': 'the URL is not valid',
      '': 'the URL is not valid',
    };
    for (const [url, why] of Object.entries(whys)) {
      expect(await client().send(post(url))).toMatchObject({ kind: 'not_sent', why });
    }
  });

  /** Names that answer differently each time they are asked, as a rebinding attacker's do. */
  function resolveTo(...answers: string[][]) {
    return vi.spyOn(dns, 'lookup').mockImplementation(((
      _name: string,
      _options: dns.LookupAllOptions,
      callback: (error: null, addresses: dns.LookupAddress[]) => void,
    ) => {
      const answer = (answers.length > 1 ? answers.shift() : answers[0])!;
      process.nextTick(
        callback,
        null,
        answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    }) as typeof dns.lookup);
  }

  test('holds for what a name resolves to when the connection is made', async () => {
    const { url, requests } = await rawServer((socket) => socket.write(ANSWER));
    const named = url.replace('127.0.0.1', 'hooks.shop.example');
    for (const address of ['127.0.0.1', '10.0.0.1', '::1', '::ffff:127.0.0.1', '169.254.169.254']) {
      resolveTo([address]);
      expect(await client({ allowPrivate: false }).send(post(named))).toMatchObject({
        kind: 'not_sent',
        why: 'the name hooks.shop.example leads to an address that is not on the public internet',
      });
    }
    resolveTo(['127.0.0.1']);
    expect(requests).toEqual([]);
    expect(await client().send(post(named))).toMatchObject({ kind: 'response', status: 200 });
  });

  test('drops the private ones of several addresses, and asks only once per connection', async () => {
    const lookup = resolveTo(['127.0.0.1', '192.0.2.1', '2001:db8::1'], ['127.0.0.1']);
    expect(await client({ allowPrivate: false }).send(post('http://hooks.shop.example/'))).toMatchObject({
      kind: 'not_sent',
    });
    expect(lookup).toHaveBeenCalledTimes(1);
  });
});

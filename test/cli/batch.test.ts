import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { PROGRAM, runProgram } from '../support/program.ts';
import {
  type Caller,
  caller,
  chargedAtSandbox,
  DEMO_KEY,
  newDataDir,
  type Running,
  startRunning,
  until,
} from '../support/running.ts';

let data: Awaited<ReturnType<typeof newDataDir>>;
let program: Running;
let client: Caller;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'refundry-batch-'));
  data = await newDataDir();
  program = await startRunning(data.path, { MANUAL_REVIEW_AFTER: '15s' });
  client = caller(program.url);
}, 240_000);
afterAll(async () => {
  await program.stop();
  await data.remove();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const refundry = (...args: string[]) =>
  runProgram(['batch', ...args], { REFUNDRY_URL: program.url, REFUNDRY_API_KEY: DEMO_KEY });

const HEADER = 'order_id,unique_request_id,amount,currency,note';

function fileOf(name: string, ...lines: string[]): string {
  const path = join(folder, name);
  writeFileSync(path, [HEADER, ...lines, ''].join('\n'));
  return path;
}

const idIn = (text: string) => /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(text)![0];

let last = 0;
/** Orders paid at the sandbox, whose refunds do what the word says. */
async function orders(count: number, behaviour = 'sbx_ok'): Promise<string[]> {
  const ids = Array.from({ length: count }, () => `cli-${++last}`);
  for (const id of ids) await chargedAtSandbox(client, id, '100.00', behaviour);
  return ids;
}

test('a file that is right goes from upload to its end in one command', async () => {
  const [a, b] = await orders(2);
  const file = fileOf('good.csv', `${a},r1,12.50,INR,`, `${b},r1,full,INR,thanks`);
  const done = await refundry('upload', file, '--name', 'All good', '--confirm', 'INR 112.50', '--wait');
  expect(done, done.stderr).toMatchObject({ status: 0 });
  expect(done.stdout).toMatch(/^All good {2}[0-9a-f-]{36}\nfinished: /);
  expect(done.stdout).toMatch(/^rows {5}2: 2 good$/m);
  expect(done.stdout).toMatch(/^refunds {2}2 SUCCESS: INR 112\.50$/m);
  // No terminal: lines, each of them whole.
  expect(done.stderr).toMatch(/^Upload: 1 kB of 1 kB \(100 %\)$/m);
  expect(done.stderr).not.toContain('\u001b');

  const again = await refundry('upload', file);
  expect(again).toMatchObject({ status: 1, stdout: '' });
  expect(again.stderr).toMatch(/uploaded before.*--same-file/);
  const known = await refundry('upload', file, '--same-file', '--wait');
  expect(known).toMatchObject({ status: 2 });
  expect(known.stdout).toMatch(/^ +2 × duplicate_request_id: /m);

  const listed = await refundry('list', '--status', 'finished');
  expect(listed.stdout).toMatch(new RegExp(`^${idIn(done.stdout)} {2}finished .* 2 rows .* All good$`, 'm'));
}, 120_000);

test('what waits for a person ends with 3, and says how to go on', async () => {
  const [a] = await orders(1);
  const file = fileOf('waits.csv', `${a},r1,10.00,INR,`);
  const checked = await refundry('upload', file, '--wait', '--json');
  expect(checked.status).toBe(3);
  const batch = JSON.parse(checked.stdout);
  expect(batch).toMatchObject({ status: 'checked', check: { totals: { INR: '10.00' } } });

  const wrong = await refundry('confirm', batch.batch_id, 'INR 1.00');
  expect(wrong.status).toBe(3);
  expect(wrong.stderr).toMatch(/not what the batch comes to.*10\.00/);
  expect(wrong.stdout).toContain(`refundry batch confirm ${batch.batch_id} "INR 10.00" --wait`);

  const right = await refundry('confirm', batch.batch_id, 'INR 10.00', '--wait');
  expect(right, right.stderr).toMatchObject({ status: 0 });
  const shown = await refundry('show', batch.batch_id, '--json');
  expect(JSON.parse(shown.stdout)).toMatchObject({ status: 'finished' });
  expect(shown.status).toBe(0);
}, 120_000);

test('rows that fail end with 2, and can be corrected into the same batch', async () => {
  const [good, other] = await orders(2);
  const [failing] = await orders(1, 'sbx_refuse');
  const file = fileOf(
    'mixed.csv',
    `${good},r1,1.00,INR,`,
    `nowhere,r1,2.00,INR,=1+1`,
    `${failing},r1,4.00,INR,`,
  );
  const done = await refundry('upload', file, '--confirm', 'INR 5.00', '--wait');
  expect(done, done.stderr).toMatchObject({ status: 2 });
  expect(done.stdout).toMatch(/1 FAILURE: INR 4\.00/);
  const id = idIn(done.stdout);
  expect(done.stdout).toContain(`refundry batch failed ${id} --to failed.csv`);

  const failed = join(folder, 'failed.csv');
  expect(await refundry('failed', id, '--to', failed)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  const rows: Record<string, string>[] = parse(readFileSync(failed), { columns: true });
  expect(rows.map((row) => [row['row'], row['order_id'], row['note']])).toEqual([
    ['2', 'nowhere', "'=1+1"],
    ['3', failing, ''],
  ]);
  writeFileSync(
    failed,
    ['row,order_id,unique_request_id,amount,currency,note', `2,${other},r1,2.00,INR,ok`, ''].join('\n'),
  );
  const corrected = await refundry('correct', id, failed, '--confirm', 'INR 2.00', '--wait');
  expect(corrected, corrected.stderr).toMatchObject({ status: 2 });
  const results: Record<string, string>[] = parse((await refundry('results', id)).stdout, { columns: true });
  expect(results.map((row) => [row['order_id'], row['result_status']])).toEqual([
    [good, 'SUCCESS'],
    [other, 'SUCCESS'],
    [failing, 'FAILURE'],
  ]);
}, 180_000);

test('columns under other names are named on the command line', async () => {
  const [a] = await orders(1);
  const path = join(folder, 'other.csv');
  writeFileSync(path, `Bestellnr;Schlüssel;Betrag;Währung\n${a};r1;250;INR\n`);
  const unknown = await refundry('upload', path);
  expect(unknown.status).toBe(1);
  expect(unknown.stdout).toContain('--columns');
  const columns = 'order_id=Bestellnr,unique_request_id=Schlüssel,amount=Betrag,currency=Währung';
  const known = await refundry(
    'upload',
    path,
    '--minor',
    '--columns',
    columns,
    '--confirm',
    'INR 2.50',
    '--wait',
  );
  expect(known, known.stderr + known.stdout).toMatchObject({ status: 0 });
}, 120_000);

test('rows that look like earlier refunds are sent or left as the command line says', async () => {
  const [a, b] = await orders(2);
  const first = fileOf('once.csv', `${a},r1,7.00,INR,`);
  expect(await refundry('upload', first, '--confirm', 'INR 7.00', '--wait')).toMatchObject({ status: 0 });
  const file = fileOf('twice.csv', `${a},r2,7.00,INR,`, `${b},r1,1.00,INR,`);
  const asked = await refundry('upload', file, '--confirm', 'INR 1.00', '--wait');
  expect(asked.status).toBe(3);
  expect(asked.stderr).toMatch(/1 rows look like refunds .* Accepted as look_alikes: send or leave\.$/m);
  const id = idIn(asked.stdout);
  expect(asked.stdout).toContain(`refundry batch confirm ${id} "INR 1.00" --look-alikes leave --wait`);
  const left = await refundry('confirm', id, 'INR 1.00', '--look-alikes', 'leave', '--wait');
  expect(left, left.stderr).toMatchObject({ status: 0 });
  const sent = await refundry(
    'upload',
    file,
    '--same-file',
    '--confirm',
    'INR 7.00',
    '--look-alikes',
    'send',
    '--wait',
  );
  expect(sent.stdout).toMatch(/^refunds {2}1 SUCCESS: INR 7\.00$/m);
  // Of the two, one had its refund in the batch before.
  expect(sent.status).toBe(2);
}, 120_000);

test('refunds in manual review end with 3, and are settled by a file of their outcomes', async () => {
  const [a] = await orders(1, 'sbx_stuck');
  const outcomes = (name: string) => {
    const path = join(folder, name);
    const evidence = 'The bank says so in its letter of today.';
    writeFileSync(path, `order_id,unique_request_id,status,arn,evidence\n${a},r1,SUCCESS,,${evidence}\n`);
    return path;
  };
  const made = fileOf('stuck.csv', `${a},r1,5.00,INR,`);
  const begun = await refundry('upload', made, '--confirm', 'INR 5.00');
  expect(begun, begun.stderr).toMatchObject({ status: 0 });
  const early = await refundry('upload', outcomes('early.csv'), '--kind', 'status_updates', '--wait');
  expect(early.status).toBe(2);
  expect(early.stdout).toMatch(/1 × (not_in_review|refund_not_found): /);

  const waits = await refundry('show', idIn(begun.stdout), '--wait');
  expect(waits, waits.stderr).toMatchObject({ status: 3 });
  expect(waits.stdout).toMatch(/^refunds {2}1 MANUAL_REVIEW: INR 5\.00$/m);
  const updates = ['upload', outcomes('outcomes.csv'), '--kind', 'status_updates', '--same-file'];
  const checked = await refundry(...updates, '--wait');
  expect(checked.stdout).toContain(`refundry batch confirm ${idIn(checked.stdout)} "1 row" --wait`);
  // A gateway that cannot be asked says nothing against a file's word.
  const [refund] = (await client.get(`/v1/refunds?order_id=${a}`)).body.refunds;
  const account = `/v1/gateway-accounts/${refund.gateway_account_id}`;
  expect((await client.patch(account, { enabled: false })).status).toBe(200);
  const settled = await refundry('confirm', idIn(checked.stdout), '1 row', '--wait');
  expect((await client.patch(account, { enabled: true })).status).toBe(200);
  expect(settled, settled.stderr).toMatchObject({ status: 0 });
  expect((await client.get(`/orders/${a}`)).body.refunds).toMatchObject([{ status: 'SUCCESS' }]);
  expect((await refundry('show', idIn(begun.stdout))).status).toBe(0);
}, 180_000);

test('a batch is paused, resumed and cancelled', async () => {
  const [a] = await orders(1);
  const waits = await refundry('upload', fileOf('cancelled.csv', `${a},r1,1.00,INR,`), '--wait');
  const id = idIn(waits.stdout);
  expect(await refundry('pause', id)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('the batch is checked'),
  });
  const cancelled = await refundry('cancel', id, '--reason', 'a test');
  expect(cancelled).toMatchObject({ status: 0, stdout: expect.stringContaining('cancelled: ') });
  expect((await refundry('show', id)).status).toBe(2);
  expect(await refundry('resume', id)).toMatchObject({ status: 1 });
}, 120_000);

// A connection that breaks ------------------------------------------------------------------------------

let front: Server | undefined;
const open = new Set<Socket>();
afterEach(() => {
  for (const socket of open) socket.destroy();
  front?.close();
});

/** A way to the program that is cut after as many bytes, one time after the other, and then holds. */
async function breakingWay(cutsAfter: number[]): Promise<{ url: string; cuts: () => number }> {
  let cuts = 0;
  front = createServer((socket) => {
    const inner = connect(Number(new URL(program.url).port), '127.0.0.1');
    for (const one of [socket, inner]) {
      open.add(one);
      one.on('close', () => open.delete(one));
      one.on('error', () => undefined);
    }
    let passed = 0;
    socket.on('data', (piece) => {
      passed += piece.length;
      if (cutsAfter[cuts] !== undefined && passed > cutsAfter[cuts]!) {
        cuts++;
        socket.destroy();
        inner.destroy();
      } else if (!inner.write(piece)) {
        socket.pause();
        inner.once('drain', () => socket.resume());
      }
    });
    inner.on('data', (piece) => socket.write(piece));
    socket.on('close', () => inner.destroy());
    inner.on('close', () => socket.destroy());
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  return { url: `http://127.0.0.1:${(front.address() as AddressInfo).port}`, cuts: () => cuts };
}

/** Rows of orders that are not there, of about so many bytes. */
function longFile(name: string, bytes: number): { path: string; rows: number } {
  const note = 'x'.repeat(900);
  const rows = Math.ceil(bytes / 950);
  const lines = Array.from({ length: rows }, (_, n) => `missing-${name}-${n},r1,1.00,INR,${note}`);
  return { path: fileOf(name, ...lines), rows };
}

test('an upload whose connection breaks goes on where it was', async () => {
  const { path, rows } = longFile('breaks.csv', 20_000_000);
  const way = await breakingWay([5_000_000, 300_000, 7_000_000]);
  const done = await runProgram(['batch', 'upload', path, '--wait', '--json'], {
    REFUNDRY_URL: way.url,
    REFUNDRY_API_KEY: DEMO_KEY,
  });
  expect(way.cuts()).toBe(3);
  expect(done, done.stderr).toMatchObject({ status: 2 });
  expect(JSON.parse(done.stdout)).toMatchObject({ status: 'checked', rows: { total: rows, bad: rows } });
}, 240_000);

test('an upload that is interrupted says how to go on, and goes on', async () => {
  const { path, rows } = longFile('interrupted.csv', 12_000_000);
  const way = await breakingWay([]);
  front!.on('connection', (socket) => setTimeout(() => socket.pause(), 150));
  const child = spawn(process.execPath, [PROGRAM, 'batch', 'upload', path], {
    env: { PATH: '/usr/bin:/bin', REFUNDRY_URL: way.url, REFUNDRY_API_KEY: DEMO_KEY },
  });
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  const ended = once(child, 'exit');
  const begun = await until('the upload to begin', async () => {
    const { batches } = (await client.get('/v1/batches?status=uploading&search=interrupted.csv')).body;
    return batches[0] && said.includes('Upload') ? batches[0] : undefined;
  });
  child.kill('SIGINT');
  expect((await ended)[0]).toBe(130);
  expect(said).toContain(`Go on: refundry batch upload ${path} --resume ${begun.batch_id}`);

  const other = fileOf('shorter.csv', 'x,r1,1.00,INR,');
  expect(await refundry('upload', other, '--resume', begun.batch_id)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('waits for another file'),
  });
  const done = await refundry('upload', path, '--resume', begun.batch_id, '--wait', '--json');
  expect(done, done.stderr).toMatchObject({ status: 2 });
  expect(JSON.parse(done.stdout)).toMatchObject({ batch_id: begun.batch_id, rows: { total: rows } });
}, 240_000);

// What cannot be ----------------------------------------------------------------------------------------

test('a wrong command line, key, address or file ends with 1 and a sentence', async () => {
  const file = fileOf('fine.csv', 'x,r1,1.00,INR,');
  const said = async (args: string[], environment: Record<string, string> = {}) => {
    const { status, stderr } = await runProgram(['batch', ...args], {
      REFUNDRY_URL: program.url,
      REFUNDRY_API_KEY: DEMO_KEY,
      ...environment,
    });
    expect(status, args.join(' ')).toBe(1);
    return stderr;
  };
  expect(await said(['upload'])).toContain("missing required argument 'file'");
  expect(await said(['upload', file, '--kind', 'payouts'])).toContain('Allowed choices are');
  expect(await said(['upload', file, '--confirm', '12 or so'])).toContain('is not a total');
  expect(await said(['upload', file, '--columns', 'amount'])).toContain('which column is which');
  expect(await said(['upload', join(folder, 'none.csv')])).toContain('ENOENT');
  expect(await said(['upload', folder])).toContain('is not a file');
  writeFileSync(join(folder, 'empty.csv'), '');
  expect(await said(['upload', join(folder, 'empty.csv')])).toContain('is empty');
  expect(await said(['show', 'nonsense'])).toContain('is not the id of a batch');
  expect(await said(['show', '01a20798-cf24-7399-b730-20d4769f4fe3'])).toContain(
    'There is no batch with this id',
  );
  expect(await said(['list'], { REFUNDRY_URL: 'http://127.0.0.1:9' })).toContain('There is no answer from');
  expect(await said(['list'], { REFUNDRY_API_KEY: 'wrong' })).toContain('REFUNDRY_API_KEY');
  expect(await said(['list'], { REFUNDRY_URL: 'not a url' })).toContain(
    'REFUNDRY_URL "not a url" is not accepted',
  );
  expect(await said(['upload', file], { REFUNDRY_URL: 'http://127.0.0.1:9' })).toContain(
    'There is no answer from',
  );
  expect(
    await said(['list'], { REFUNDRY_URL: '', REFUNDRY_API_KEY: '', DATA_DIR: join(folder, 'nowhere') }),
  ).toContain('REFUNDRY_API_KEY is not set');
}, 120_000);

test("the demo's key is found beside the local server, and the sample is a file to begin with", async () => {
  const { port } = new URL(program.url);
  const sample = await runProgram(['batch', 'sample', '--kind', 'status_updates'], {
    PORT: port,
    DEMO_API_KEY: DEMO_KEY,
  });
  expect(sample).toMatchObject({ status: 0, stderr: '' });
  expect(sample.stdout).toMatch(/^order_id,unique_request_id,status,arn,evidence\r\n/);
});

// The last, since no key switches the approval off again.
test('a batch that needs a second person ends with 3; the key is none', async () => {
  const [a] = await orders(1);
  expect((await client.patch('/v1/settings', { batch_approval: true })).status).toBe(200);
  const file = fileOf('approved.csv', `${a},r1,3.00,INR,`);
  const done = await refundry('upload', file, '--confirm', 'INR 3.00', '--wait');
  expect(done, done.stderr).toMatchObject({ status: 3 });
  expect(done.stdout).toContain('A colleague approves it in the dashboard.');
}, 120_000);

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokenInvariant, type Figures } from '../proof.ts';
import { mutateBytes, mutateText } from './mutate.ts';
import { Random } from './random.ts';
import { keep } from './wire.ts';
import type { World } from './world.ts';

const WORKBOOK = readFileSync(join(import.meta.dirname, '../../test/batches/file/data/openpyxl.xlsx'));
const PATIENCE_MS = 60_000;
const PAID = '100.00';
const ORDERS = 4;

/**
 * Files of refunds, changed at random places, uploaded and, where the check finds rows to send, confirmed. A file is read or
 * refused with a reason; each of its rows has one verdict; what becomes refunds is what the check has promised, and stands in
 * the file.
 */
export async function fuzzBatches(run: {
  readonly world: World;
  readonly count: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}): Promise<Figures> {
  const { world, seed } = run;
  const totals = { rows: 0, good: 0, bad: 0, unreadable: 0, refunds: 0 };
  let n = 0;
  for (; n < run.count && !run.signal.aborted; n++) {
    const random = new Random(seed, 'batches', n);
    const bytes = await changedFile(world, random, n);
    const problem = await problemOf(world, random, bytes, totals);
    if (problem === null) continue;
    const kept = keep(`fuzz-${seed}-batch-${n}`, bytes);
    throw new BrokenInvariant(
      `batch ${n}: ${problem}\nFile: ${kept}`,
      `npm run proof -- fuzz --requests ${n * 250} --seed ${seed}`,
    );
  }
  return {
    'changed batch files': n,
    'rows of them, good, bad': `${totals.rows}, ${totals.good}, ${totals.bad}`,
    'batch files refused whole': totals.unreadable,
    'refunds that they became': totals.refunds,
  };
}

async function changedFile(world: World, random: Random, n: number): Promise<Buffer> {
  if (random.below(5) === 0) return mutateBytes(random, WORKBOOK);
  const ids = Array.from({ length: ORDERS }, (_, order) => `B${n}-${random.word(8)}-${order}`);
  for (const id of ids) {
    await world.tell(world.merchants[0], 'POST', '/v1/transactions', {
      order_id: id,
      amount: PAID,
      currency: 'INR',
      status: 'CHARGED',
      gateway: 'SANDBOX',
      gateway_payment_id: `sbx_ok_${id}`,
    });
  }
  const separator = random.pick([',', ';', '\t']);
  const end = random.pick(['\n', '\r\n']);
  const rows = Array.from({ length: 1 + random.below(12) }, (_, row) => [
    random.pick(ids),
    `k${row}`,
    random.pick(['full', '1.00', '25.5', '60', `${random.below(90)}.${10 + random.below(90)}`]),
    'INR',
    random.pick(['', '"a note"', 'thanks']),
  ]);
  const header = ['order_id', 'unique_request_id', 'amount', 'currency', 'note'];
  const bom = random.below(4) === 0 ? '\uFEFF' : '';
  const text = bom + [header, ...rows].map((cells) => cells.join(separator) + end).join('');
  const changes = random.below(4);
  let changed = text;
  for (let change = 0; change < changes; change++) changed = mutateText(random, changed);
  const bytes = Buffer.from(changed);
  return random.below(4) === 0 ? mutateBytes(random, bytes) : bytes;
}

async function problemOf(
  world: World,
  random: Random,
  bytes: Buffer,
  totals: Record<string, number>,
): Promise<string | null> {
  const add = (name: string, more: number) => {
    totals[name] = totals[name]! + more;
  };
  if (bytes.length === 0) return null;
  const ask = async (
    method: string,
    path: string,
    body?: NonNullable<RequestInit['body']>,
    type?: string,
  ) => {
    const response = await fetch(world.url + path, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(`${world.merchants[0].key}:`).toString('base64')}`,
        ...(type !== undefined && { 'content-type': type }),
      },
      ...(body !== undefined && { body }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    // biome-ignore lint/suspicious/noExplicitAny: what is said is looked at
    return { status: response.status, body: (await response.json()) as any };
  };
  const made = await ask('POST', '/v1/batches?name=fuzz&same_file=allow', new Uint8Array(bytes), 'text/csv');
  if (made.status !== 201) return `the upload was answered with ${made.status} ${JSON.stringify(made.body)}`;
  const path = `/v1/batches/${made.body.batch_id}`;
  // biome-ignore lint/suspicious/noExplicitAny: what is said is looked at
  const until = async (done: (batch: any) => boolean) => {
    for (const giveUpAt = Date.now() + PATIENCE_MS; Date.now() < giveUpAt; await sleep(20)) {
      const { status, body } = await ask('GET', path);
      if (status !== 200) return null;
      if (done(body)) return body;
    }
    return null;
  };
  const checked = await until(({ status, problem }) => status === 'checked' || problem !== null);
  if (checked === null) return 'it is neither checked nor refused';
  if (checked.problem !== null) {
    add('unreadable', 1);
    return checked.problem.message.length > 20 ? null : 'it is refused without a reason';
  }
  const { rows } = checked;
  add('rows', rows.total);
  add('good', rows.good);
  add('bad', rows.bad);
  if (rows.good + rows.look_alike + rows.bad !== rows.total)
    return `its verdicts do not add up: ${JSON.stringify(rows)}`;
  const listed = (await ask('GET', `${path}/rows?limit=500`)).body.rows;
  if (listed.length !== Math.min(rows.total, 500))
    return `${rows.total} rows, of which ${listed.length} are listed`;
  if (
    listed.some(
      (row: { verdict: string; problem: unknown }) => (row.verdict === 'good') !== (row.problem === null),
    )
  ) {
    return 'a row has a verdict without its reason';
  }
  const lookAlikes = random.pick(['send', 'leave']);
  const promised = [
    checked.check.totals,
    ...(lookAlikes === 'send' ? [checked.check.look_alike_totals] : []),
  ];
  const minor = promised.reduce((sum, { INR = '0' }) => sum + Math.round(Number(INR) * 100), 0);
  const confirmation = { totals: { INR: (minor / 100).toFixed(2) }, look_alikes: lookAlikes };
  if (minor === 0) return null;
  const confirmed = await ask('POST', `${path}/confirm`, JSON.stringify(confirmation), 'application/json');
  if (confirmed.status !== 200)
    return `what the check has found is not taken: ${JSON.stringify(confirmed.body)}`;
  const tried = await until(({ status, rows: now }) => status !== 'checked' && now.left === 0);
  if (tried === null) return 'its rows are not tried';
  if (tried.rows.refused > 0)
    return `a row was refused though nothing has changed: ${JSON.stringify(tried.rows)}`;
  const refunds = await world.db.query<{ amount_minor: number; batch_row: number }>(
    'select amount_minor, batch_row from refunds where batch_id = $1',
    [made.body.batch_id],
  );
  add('refunds', refunds.length);
  const sum = refunds.reduce((all, refund) => all + refund.amount_minor, 0);
  if (sum !== minor) return `${minor} was confirmed, and ${sum} was refunded`;
  // biome-ignore lint/suspicious/noExplicitAny: what is said is looked at
  const rowOf = new Map<number, any>(listed.map((row: { row: number }) => [row.row, row]));
  const unfounded = refunds.find(({ amount_minor, batch_row }) => {
    const said = rowOf.get(batch_row)?.fields.amount ?? 'full';
    return said !== 'full' && Math.round(Number(said) * 100) !== amount_minor;
  });
  return unfounded ? `row ${unfounded.batch_row} became a refund of ${unfounded.amount_minor}` : null;
}

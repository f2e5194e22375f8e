import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { systemClock } from '../../src/lib/clock.ts';
import { OperatorError } from '../../src/lib/operator-error.ts';
import { importFile } from '../../src/orders/import-file.ts';
import { BrokenInvariant, type Figures } from '../proof.ts';
import type { Merchant } from './merchant.ts';
import { HOSTILE, mutateBytes, mutateText } from './mutate.ts';
import { Random } from './random.ts';
import { keep } from './wire.ts';
import type { World } from './world.ts';

/**
 * Files of payments, changed at random places. A file is read or refused in a sentence, never anything else; what
 * is said to be recorded is there, every amount that is recorded stands in the file, and every refused line is listed.
 * An amount whose comma is not in quotes never becomes another amount, in whatever order the columns stand.
 */
export async function fuzzFiles(run: {
  readonly world: World;
  readonly count: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}): Promise<Figures> {
  const { world, seed } = run;
  const folder = mkdtempSync(join(tmpdir(), 'refundry-fuzz-'));
  const totals = { recorded: 0, unchanged: 0, refused: 0, unreadable: 0 };
  let n = 0;
  try {
    for (; n < run.count && !run.signal.aborted; n++) {
      const random = new Random(seed, 'files', n);
      const bytes = changedFile(random, world.merchants[0], n);
      const path = join(folder, `fuzz-${n}.${bytes.kind}`);
      writeFileSync(path, bytes.bytes);
      const problem = await problemOf(world, path, bytes.split, totals);
      if (problem === null) continue;
      const kept = keep(`fuzz-${seed}-file-${n}.${bytes.kind}`, bytes.bytes);
      throw new BrokenInvariant(
        `file ${n}: ${problem}\nFile: ${kept}`,
        `npm run proof -- fuzz --requests ${n * 250} --seed ${seed}`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return {
    'changed import files': n,
    'lines of them recorded, known, refused': `${totals.recorded}, ${totals.unchanged}, ${totals.refused}`,
    'files refused whole': totals.unreadable,
  };
}

async function problemOf(
  world: World,
  path: string,
  split: string | null,
  totals: Record<string, number>,
): Promise<string | null> {
  const merchantId = world.merchants[0].id;
  const out = new Writable({ write: (_chunk, _encoding, done) => done() }) as unknown as NodeJS.WriteStream;
  let summary: Awaited<ReturnType<typeof importFile>>;
  try {
    summary = await importFile({ db: world.db, clock: systemClock, merchantId, path, out });
  } catch (error) {
    if (!(error instanceof OperatorError)) return `it threw ${(error as Error).stack}`;
    totals['unreadable'] = totals['unreadable']! + 1;
    return null;
  }
  for (const name of ['recorded', 'unchanged', 'refused'] as const)
    totals[name] = totals[name]! + summary[name];
  const listed = summary.errorsPath !== null && existsSync(summary.errorsPath);
  if (listed !== summary.refused > 0) return 'refused lines are not listed';
  const prefix = /F\d+-[0-9a-z]{6}-/.exec(readFileSync(path, 'latin1'))?.[0];
  if (prefix === undefined) return null;
  const rows = await world.db.query<{ order_id: string; amount_minor: number; exponent: number }>(
    'select order_id, amount_minor, exponent from orders where merchant_id = $1 and starts_with(order_id, $2)',
    [merchantId, prefix],
  );
  const text = readFileSync(path, 'utf8');
  for (const { order_id, amount_minor, exponent } of rows) {
    const spellings = spellingsOf(amount_minor, exponent);
    if (order_id === split) return `${order_id} got ${spellings[0]}, where the file says ${SPLIT_AMOUNT}`;
    if (!spellings.some((spelling) => text.includes(spelling)))
      return `${order_id} got an amount that the file does not hold`;
  }
  return null;
}

/** The ways to write an amount: 12.50, 12.5, and 12 where nothing follows. */
function spellingsOf(amountMinor: number, exponent: number): string[] {
  const digits = String(amountMinor).padStart(exponent + 1, '0');
  const whole = digits.slice(0, digits.length - exponent);
  const decimals = digits.slice(digits.length - exponent);
  return Array.from({ length: exponent + 1 }, (_, kept) => kept)
    .filter((kept) => /^0*$/.test(decimals.slice(kept)))
    .map((kept) => (kept === 0 ? whole : `${whole}.${decimals.slice(0, kept)}`));
}

const NAMES = [
  'order_id',
  'amount',
  'currency',
  'status',
  'gateway',
  'gateway_payment_id',
  'customer_email',
  'udf1',
  'metadata',
];

function changedFile(
  random: Random,
  merchant: Merchant,
  n: number,
): { kind: 'csv' | 'ndjson'; bytes: Buffer; split: string | null } {
  // A word of its own in the ids: one changed letter must not lead from one file's orders to another's.
  const word = random
    .below(36 ** 6)
    .toString(36)
    .padStart(6, '0');
  const rows = Array.from({ length: 1 + random.below(20) }, (_, line) => [
    `F${n}-${word}-${line}`,
    `${random.below(10_000)}.${10 + random.below(90)}`,
    random.pick(['INR', 'USD', 'JPY', 'KWD']),
    'CHARGED',
    'SANDBOX',
    `sbx_ok_${merchant.canary(random)}`,
    `${merchant.canary(random)}@shop.test`,
    'said "so", and more',
    '{"note":"x"}',
  ]);
  for (let left = random.below(6); left > 0; left--) {
    const row = random.pick(rows);
    const cell = random.below(row.length);
    row[cell] = random.chance(0.5) ? mutateText(random, row[cell]!) : String(random.pick(TEXTS));
  }
  const kind = random.pick(['csv', 'ndjson'] as const);
  if (kind === 'csv' && random.chance(0.3)) {
    const row = random.below(rows.length);
    return { kind, bytes: Buffer.from(splitCsvOf(random, rows, row)), split: rows[row]![0]! };
  }
  const bytes = Buffer.from(kind === 'csv' ? csvOf(random, rows) : jsonOf(random, rows));
  return { kind, bytes: random.chance(0.6) ? mutateBytes(random, bytes) : bytes, split: null };
}

const SPLIT_AMOUNT = '1,234.50';

/** The columns in any order, one amount that its comma splits, and empty cells left out at its end or not. */
function splitCsvOf(random: Random, rows: readonly (readonly string[])[], split: number): string {
  const places = [...NAMES.keys()];
  const order = NAMES.map(() => places.splice(random.below(places.length), 1)[0]!);
  const optional = ['customer_email', 'udf1', 'metadata'];
  const lines = rows.map((row, at) => {
    if (at !== split) return order.map((place) => quoted(row[place]!)).join(',');
    const cells = order.map((place) => {
      if (NAMES[place] === 'amount') return SPLIT_AMOUNT;
      return optional.includes(NAMES[place]!) ? '' : quoted(row[place]!);
    });
    return random.chance(0.5) ? cells.join(',') : cells.join(',').replace(/,+$/, '');
  });
  return `${[order.map((place) => NAMES[place]!).join(','), ...lines].join('\n')}\n`;
}

const TEXTS = HOSTILE.filter((value) => typeof value === 'string');

const quoted = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function csvOf(random: Random, rows: readonly (readonly string[])[]): string {
  const end = random.pick(['\n', '\r\n']);
  const names = random.chance(0.1) ? NAMES.map((name) => mutateText(random, name)) : NAMES;
  return [names, ...rows].map((row) => row.map(quoted).join(',')).join(end) + end;
}

function jsonOf(random: Random, rows: readonly (readonly string[])[]): string {
  return rows
    .map((row) => {
      const entries = row.map((value, index): [string, unknown] => [NAMES[index]!, value]);
      const record = Object.fromEntries(random.chance(0.1) ? entries.slice(random.below(9)) : entries);
      if (random.chance(0.1)) record['amount'] = Number(record['amount']);
      return `${JSON.stringify(record)}\n`;
    })
    .join('');
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Client } from './client.ts';

/** A refund as the merchant's own books have it. */
export interface Wanted {
  readonly orderId: string;
  readonly txnId: string;
  readonly key: string;
  /** Decimal text in major units. */
  readonly amount: string;
}

/** What a merchant learns from asking once. */
export type Told =
  | { readonly kind: 'accepted'; readonly refundId: string | null }
  /** There is a refund with this key already. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly why: string }
  /** No answer, or one that settles nothing. */
  | { readonly kind: 'unanswered' };

/** A way in which refunds are asked for. */
export interface Door {
  readonly name: string;
  readonly ask: (client: Client, wanted: Wanted) => Promise<Told>;
}

/** Every door there is; new ones join here, and every proof that makes load uses them. */
export const DOORS: readonly Door[] = [
  {
    name: 'POST /orders/{id}/refunds, form',
    ask: async (client, { orderId, key, amount }) =>
      inContract(await client.form(`/orders/${orderId}/refunds`, { unique_request_id: key, amount })),
  },
  {
    name: 'POST /orders/{id}/refunds, JSON',
    ask: async (client, { orderId, key, amount }) =>
      inContract(
        await client.post(`/orders/${orderId}/refunds`, { unique_request_id: key, amount: Number(amount) }),
      ),
  },
  {
    name: 'POST /refunds by transaction',
    ask: async (client, { txnId, key, amount }) =>
      inContract(await client.form('/refunds', { txn_id: txnId, unique_request_id: key, amount })),
  },
  {
    name: 'POST /v1/refunds',
    ask: async (client, { orderId, key, amount }) =>
      inOurs(await client.post('/v1/refunds', { order_id: orderId, unique_request_id: key, amount })),
  },
  {
    name: 'POST /v1/batches',
    ask: (client, wanted) => {
      let file = files.get(client);
      if (!file) {
        file = gathered((asked) => inFile(client, asked));
        files.set(client, file);
      }
      return file(wanted);
    },
  },
];

// Files -------------------------------------------------------------------------------------------------------

/** As in a shop that writes down its refunds and sends the list: what is wanted at about the same time is one file. */
const GATHER_MS = 400;
const POLL_MS = 100;
const FILE_PATIENCE_MS = 60_000;
const files = new WeakMap<Client, (wanted: Wanted) => Promise<Told>>();

function gathered(
  send: (asked: readonly Wanted[]) => Promise<readonly Told[]>,
): (wanted: Wanted) => Promise<Told> {
  let waiting: { readonly wanted: Wanted; readonly tell: (told: Told) => void }[] = [];
  return (wanted) =>
    new Promise((tell) => {
      waiting.push({ wanted, tell });
      if (waiting.length > 1) return;
      setTimeout(async () => {
        const asked = waiting;
        waiting = [];
        const told = await send(asked.map((one) => one.wanted));
        for (const [n, one] of asked.entries()) one.tell(told[n]!);
      }, GATHER_MS);
    });
}

/** Uploads, waits for the check, confirms what it found, and waits until each row is answered. */
async function inFile(client: Client, asked: readonly Wanted[]): Promise<readonly Told[]> {
  const unanswered = asked.map((): Told => ({ kind: 'unanswered' }));
  const lines = asked.map(({ orderId, key, amount }) => `${orderId},${key},${amount},INR,\n`);
  const csv = `order_id,unique_request_id,amount,currency,note\n${lines.join('')}`;
  const made = await client.file('/v1/batches?name=refunds&same_file=allow', csv);
  if (made.status !== 201) return unanswered;
  const path = `/v1/batches/${made.body.batch_id}`;
  const checked = await untilBatch(client, path, ({ status }) => status === 'checked');
  if (checked === null) return unanswered;
  if (checked.check.confirmable_rows + checked.rows.look_alike > 0) {
    const totals = sumOf(checked.check.totals, checked.check.look_alike_totals);
    const confirmed = await client.post(`${path}/confirm`, { totals, look_alikes: 'send' });
    // A confirmation whose answer was lost is no longer possible a second time, and not needed.
    if (confirmed.status !== 200 && confirmed.status !== 409) return unanswered;
    const tried = await untilBatch(
      client,
      path,
      ({ status, rows }) => status !== 'checked' && rows.left === 0,
    );
    if (tried === null) return unanswered;
  }
  const { status, body } = await client.get(`${path}/rows?limit=500`);
  if (status !== 200) return unanswered;
  // A key that stands in the file twice is one refund: what became of the first is what became of both.
  const firsts = asked.map(({ key }) => asked.findIndex((one) => one.key === key));
  return firsts.map((n) => inRow(body.rows[n]));
}

// biome-ignore lint/suspicious/noExplicitAny: answers are read as a merchant's program would read them
async function untilBatch(client: Client, path: string, done: (batch: any) => boolean): Promise<any> {
  for (const giveUpAt = Date.now() + FILE_PATIENCE_MS; Date.now() < giveUpAt; await sleep(POLL_MS)) {
    const { status, body } = await client.get(path);
    if (status === 200 && done(body)) return body;
  }
  return null;
}

function sumOf(...totals: readonly Readonly<Record<string, string>>[]): Record<string, string> {
  const minor = totals.reduce((sum, { INR = '0' }) => sum + Math.round(Number(INR) * 100), 0);
  return { INR: (minor / 100).toFixed(2) };
}

// biome-ignore lint/suspicious/noExplicitAny: answers are read as a merchant's program would read them
function inRow(row: any): Told {
  if (row.state === 'made') return { kind: 'accepted', refundId: row.refund.refund_id };
  const code = row.problem?.code;
  if (code === 'duplicate_request_id') return { kind: 'known' };
  return row.problem ? { kind: 'refused', why: JSON.stringify(row.problem) } : { kind: 'unanswered' };
}

// Answers -----------------------------------------------------------------------------------------------------

function inContract({ status, body }: Answer): Told {
  if (status === 200) return { kind: 'accepted', refundId: null };
  if (!isRefusal(status)) return { kind: 'unanswered' };
  return body.error_code === 'duplicate.call' && /unique_request_id/.test(body.error_message)
    ? { kind: 'known' }
    : { kind: 'refused', why: `${status} ${JSON.stringify(body)}` };
}

function inOurs({ status, body }: Answer): Told {
  if (status === 201) return { kind: 'accepted', refundId: body.refund_id };
  if (!isRefusal(status)) return { kind: 'unanswered' };
  return body.error.code === 'duplicate_request_id'
    ? { kind: 'known' }
    : { kind: 'refused', why: `${status} ${JSON.stringify(body)}` };
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500;
}

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createApiKey, revokeApiKey } from '../../src/access/api-keys.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { type Database, openDatabase } from '../../src/lib/db.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { recordRefunds } from '../../src/refunds/record.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { engineDeps, putOrder, refundRequest } from '../support/engine.ts';
import { addPerson, signedIn } from '../support/people.ts';

/** A change is told within a second or two; a busy machine gets more. */
const SOON = { timeout: 20_000, interval: 50 };

let api: TestApi;
let elsewhere: Database;
beforeAll(async () => {
  api = await startApi();
  // Another process's connection: the server sees what it writes only in the database.
  elsewhere = openDatabase({ connectionString: api.connectionString, maxConnections: 2 });
});
afterAll(async () => {
  await elsewhere.close();
  await api.close();
});

interface Told {
  readonly id: string | null;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect of it
  readonly data: any;
}

/** A client of the stream, on a real socket. */
class Listener {
  readonly told: Told[] = [];
  readonly #cut = new AbortController();
  status = 0;
  ended = false;
  #rest = '';

  static async open(
    who: string | Record<string, string> = 'acme-key',
    lastEventId?: string,
    of = api,
  ): Promise<Listener> {
    const listener = new Listener();
    const response = await fetch(`${of.url}/v1/stream`, {
      headers: {
        ...(typeof who === 'string' ? { authorization: `Basic ${btoa(`${who}:`)}` } : who),
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
      },
      signal: listener.#cut.signal,
    });
    listener.status = response.status;
    if (response.status === 200) {
      expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      void listener.#read(response.body!);
      await vi.waitFor(() => expect(listener.told.map(({ event }) => event)).toContain('ready'), SOON);
    } else await response.text();
    return listener;
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const bytes of body) this.#take(decoder.decode(bytes, { stream: true }));
    } catch {
      // Cut by the test.
    }
    this.ended = true;
  }

  #take(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map(
        block.split('\n').map((line) => [line.split(': ', 1)[0], line.replace(/^\w*: ?/, '')]),
      );
      if (!fields.has('event')) continue;
      this.told.push({
        id: fields.get('id') ?? null,
        event: fields.get('event')!,
        data: JSON.parse(fields.get('data')!),
      });
    }
  }

  changes(): Told['data'][] {
    return this.told.filter(({ event }) => event === 'change').map(({ data }) => data);
  }

  of(refundId: string): Told['data'][] {
    return this.changes().filter(({ refund_id }) => refund_id === refundId);
  }

  cut(): void {
    this.#cut.abort();
  }
}

let count = 0;
async function refundElsewhere(merchantId = 'acme'): Promise<{ orderId: string; refundId: string }> {
  const orderId = `S-${++count}`;
  await putOrder(elsewhere, { merchantId, orderId, amountMinor: 10_000 });
  const [made] = await recordRefunds(engineDeps(elsewhere), [
    refundRequest({ merchantId, orderId, uniqueRequestId: `r${count}`, amount: '1.00' }),
  ]);
  if (!made?.ok) throw new Error(JSON.stringify(made));
  return { orderId, refundId: made.refund.refundId };
}

const cancelElsewhere = (refundId: string) =>
  cancelRefund(engineDeps(elsewhere), 'acme', refundId, {
    reason: null,
    cause: { by: 'api', key: 'test', request_id: 'r' },
  });

describe('the stream', () => {
  test('tells what another process changed, with the words of the change, to that merchant alone', async () => {
    const [acme, other] = [await Listener.open(), await Listener.open('other-key')];
    const { orderId, refundId } = await refundElsewhere();
    await vi.waitFor(() => expect(acme.of(refundId)).not.toEqual([]), SOON);
    expect(acme.of(refundId)[0]).toMatchObject({
      order_id: orderId,
      refund_id: refundId,
      kind: 'refund.recorded',
      status: 'PENDING',
      state: 'queued',
      seq: 1,
    });
    await cancelElsewhere(refundId);
    await vi.waitFor(
      () => expect(acme.of(refundId).at(-1)).toMatchObject({ status: 'FAILURE', state: 'cancelled', seq: 2 }),
      SOON,
    );
    await vi.waitFor(() => expect(acme.told.map(({ event }) => event)).toContain('counts'), SOON);
    const theirs = await refundElsewhere('other');
    await vi.waitFor(() => expect(other.of(theirs.refundId)).not.toEqual([]), SOON);
    expect(other.changes().map(({ order_id }) => order_id)).toEqual([theirs.orderId]);
    expect(acme.of(theirs.refundId)).toEqual([]);
    acme.cut();
    other.cut();
  });

  test('goes on where it was cut, without loss', async () => {
    const first = await Listener.open();
    const before = await refundElsewhere();
    await vi.waitFor(() => expect(first.of(before.refundId)).not.toEqual([]), SOON);
    const lastId = first.told.findLast(({ id }) => id !== null)!.id!;
    first.cut();
    const missed = [await refundElsewhere(), await refundElsewhere(), await refundElsewhere()];
    await cancelElsewhere(missed[0]!.refundId);
    const second = await Listener.open('acme-key', lastId);
    for (const { refundId } of missed) {
      await vi.waitFor(() => expect(second.of(refundId)).not.toEqual([]), SOON);
    }
    expect(second.of(missed[0]!.refundId).at(-1)).toMatchObject({ state: 'cancelled' });
    const later = await refundElsewhere();
    await vi.waitFor(() => expect(second.of(later.refundId)).not.toEqual([]), SOON);
    second.cut();
  });

  test('tells a commit that came late', async () => {
    const listener = await Listener.open();
    const { refundId } = await refundElsewhere();
    await vi.waitFor(() => expect(listener.of(refundId)).not.toEqual([]), SOON);
    // Its statement began three seconds before what has been told already.
    const late = { ...engineDeps(elsewhere), clock: { now: () => new Date(Date.now() - 3_000) } };
    await putOrder(elsewhere, { orderId: 'LATE', amountMinor: 500 });
    const [made] = await recordRefunds(late, [
      refundRequest({ orderId: 'LATE', uniqueRequestId: 'l', amount: '1.00' }),
    ]);
    expect(made).toMatchObject({ ok: true });
    await vi.waitFor(
      () => expect(listener.changes().some(({ order_id }) => order_id === 'LATE')).toBe(true),
      SOON,
    );
    listener.cut();
  });

  test('says only that much changed, where too much did', async () => {
    const listener = await Listener.open();
    await putOrder(elsewhere, { orderId: 'BIG', amountMinor: 10_000 });
    const orders = Array.from({ length: 250 }, (_, n) => `BIG-${n}`);
    for (const orderId of orders) await putOrder(elsewhere, { orderId, amountMinor: 10_000 });
    await recordRefunds(
      engineDeps(elsewhere),
      orders.map((orderId) => refundRequest({ orderId, uniqueRequestId: 'b', amount: '1.00' })),
    );
    await vi.waitFor(
      () => expect(listener.changes().some(({ order_id }) => order_id === null)).toBe(true),
      SOON,
    );
    expect(listener.changes().filter(({ order_id }) => order_id?.startsWith('BIG-')).length).toBe(0);
    listener.cut();
  });

  test('asks for everything again after a long absence, and takes a nonsense id for none', async () => {
    const long = await Listener.open('acme-key', String(Date.now() - 3_600_000));
    await vi.waitFor(() => expect(long.changes()[0]).toMatchObject({ order_id: null }), SOON);
    long.cut();
    const odd = await Listener.open('acme-key', 'sixty-one; drop table');
    expect(odd.status).toBe(200);
    odd.cut();
  });

  test('is for callers only, and for ten at once of one caller', async () => {
    expect((await Listener.open('nobody')).status).toBe(401);
    const open: Listener[] = [];
    await vi.waitFor(async () => {
      const next = await Listener.open('other-key');
      if (next.status === 200) open.push(next);
      expect(next.status).toBe(429);
    }, SOON);
    expect(open.length).toBeLessThanOrEqual(10);
    open.pop()!.cut();
    await vi.waitFor(async () => {
      const next = await Listener.open('other-key');
      expect(next.status).toBe(200);
      open.push(next);
    }, SOON);
    for (const listener of open) listener.cut();
  });

  test('ends with the key of who listens', async () => {
    const { apiKeyId, key } = await createApiKey(api.db, systemClock, { merchantId: 'acme', name: 'short' });
    const [listener, standing] = [await Listener.open(key), await Listener.open()];
    await revokeApiKey(api.db, systemClock, 'acme', apiKeyId);
    await vi.waitFor(() => expect(listener.ended).toBe(true), { timeout: 40_000, interval: 100 });
    expect(listener.told.at(-1)!.event).toBe('bye');
    expect(standing.ended).toBe(false);
    // Whoever may still listen hears that we are here, even where nothing changes.
    await vi.waitFor(() => expect(standing.told.map(({ event }) => event)).toContain('here'), SOON);
    standing.cut();
  }, 60_000);

  test('ends with the session of who listens', async () => {
    await addPerson(api.db, { role: 'viewer' });
    const browser = await signedIn(api, 'viewer@acme.test');
    const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const listener = await Listener.open({ cookie });
    const { refundId } = await refundElsewhere();
    await vi.waitFor(() => expect(listener.of(refundId)).not.toEqual([]), SOON);
    await api.db.query('delete from sessions');
    await vi.waitFor(() => expect(listener.ended).toBe(true), { timeout: 40_000, interval: 100 });
    expect(listener.told.at(-1)!.event).toBe('bye');
    expect((await Listener.open({ cookie })).status).toBe(401);
  }, 60_000);

  test('reads nothing while nobody listens', async () => {
    const asked: string[] = [];
    const quiet = await startApi();
    const spied: Database = {
      ...quiet.db,
      query: (text, params) => {
        asked.push(text);
        return quiet.db.query(text, params);
      },
    };
    const server = await startApi({ db: spied });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(asked.filter((text) => text.includes('from events'))).toEqual([]);
    await server.close();
    await quiet.close();
  });

  test('ends when the server does, which waits for nobody', async () => {
    const closing = await startApi();
    const listener = await Listener.open('acme-key', undefined, closing);
    await closing.close();
    await vi.waitFor(() => expect(listener.ended).toBe(true), SOON);
    expect(listener.told.at(-1)!.event).toBe('bye');
  });
});

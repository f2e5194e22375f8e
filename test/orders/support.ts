import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { Cause } from '../../src/audit/events.ts';
import type { Database } from '../../src/lib/db.ts';
import type { TransactionOutcome } from '../../src/orders/import.ts';
import type { TransactionInput } from '../../src/orders/told.ts';

export const cause: Cause = { by: 'api', key: 'test', request_id: 'req-1' };

/** A charge of INR 100.00 at the test account, but for what is said otherwise. */
export function charge(said: Readonly<Record<string, unknown>> = {}): TransactionInput {
  return {
    order_id: 'ORD-1',
    amount: '100.00',
    currency: 'INR',
    status: 'CHARGED',
    gateway: 'MODEL',
    gateway_payment_id: 'pay_1',
    ...said,
  };
}

/** The outcomes in one word each, refusals by their field. */
export function words(outcomes: readonly TransactionOutcome[]): string[] {
  return outcomes.map((outcome) =>
    outcome.outcome === 'refused'
      ? `refused: ${outcome.refusal.field ?? outcome.refusal.code}`
      : outcome.outcome,
  );
}

/** Every order's events run from 1 without a gap, each hash follows from the one before, and the order has the last. */
export async function expectChainsIntact(db: Database): Promise<void> {
  const orders = await db.query<{
    merchant_id: string;
    order_id: string;
    event_seq: number;
    event_hash: Buffer;
  }>('select merchant_id, order_id, event_seq, event_hash from orders');
  const events = await db.query<{
    merchant_id: string;
    order_id: string;
    seq: number;
    body: string;
    hash: Buffer;
  }>('select merchant_id, order_id, seq, body::text as body, hash from events order by seq');
  const heads = new Map<string, { seq: number; hash: Buffer }>();
  for (const event of events) {
    const key = `${event.merchant_id} ${event.order_id}`;
    const before = heads.get(key) ?? { seq: 0, hash: Buffer.alloc(0) };
    const hash = createHash('sha256').update(before.hash).update(event.body).digest();
    expect(event.seq).toBe(before.seq + 1);
    expect(event.hash.equals(hash)).toBe(true);
    expect(JSON.parse(event.body)).toMatchObject({
      merchant_id: event.merchant_id,
      order_id: event.order_id,
      seq: event.seq,
    });
    heads.set(key, { seq: event.seq, hash });
  }
  for (const order of orders) {
    const head = heads.get(`${order.merchant_id} ${order.order_id}`)!;
    expect({ seq: order.event_seq, hash: order.event_hash.toString('hex') }).toEqual({
      seq: head.seq,
      hash: head.hash.toString('hex'),
    });
  }
  expect(orders.length).toBe(heads.size);
}

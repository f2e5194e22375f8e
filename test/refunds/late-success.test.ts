/** A failure that turns out to have been paid is recorded and raised to a person, whatever happened since. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { readRefundEvents } from '../../src/refunds/store.ts';
import { news, type Scene, scene, webhook } from './model.ts';

let s: Scene;
beforeEach(async () => {
  s = await scene();
});
afterEach(() => s.end());

const paidAfterAll = news('succeeded', { arn: '74332745000000000000001' });

test('while the amount is free, it is held again and reviewed', async () => {
  s.model.create = () => news('failed');
  const id = await s.refund('O1', { amount: '10.00', key: 'k1' });
  s.worker();
  await s.becomes(id, 'failed');
  s.model.look = () => paidAfterAll;
  await settleFromWebhook(s.deps, s.account, webhook(id, paidAfterAll.news));
  expect(await s.read(id)).toMatchObject({ state: 'manual_review', arn: '74332745000000000000001' });
});

test('once the amount has been refunded again, the customer may have it twice: a person is called all the same', async () => {
  s.model.create = () => news('failed');
  const first = await s.refund('O1', { amount: '10.00', key: 'k1' });
  s.worker();
  await s.becomes(first, 'failed');
  s.model.create = () => news('succeeded', { gatewayRefundId: 'rf_2' });
  const second = await s.refund('O1', { amount: '10.00', key: 'k2' });
  await s.becomes(second, 'succeeded');

  s.model.look = () => paidAfterAll;
  await settleFromWebhook(s.deps, s.account, webhook(first, paidAfterAll.news));
  const refund = await s.read(first);
  expect(refund).toMatchObject({ state: 'failed', arn: '74332745000000000000001', nextLookAt: null });
  expect(refund.attention).toContain('twice');
  expect((await readRefundEvents(s.deps.db, refund)).at(-1)).toMatchObject({
    kind: 'refund.contradicted',
    evidence: { said: 'succeeded' },
  });
  // The bank's reference is news to the merchant all the same (invariant 7).
  expect(
    await s.deps.db.query('select event_seq from notifications where refund_id = $1 and event_name = $2', [
      first,
      'REFUND_ARN_CAPTURED',
    ]),
  ).toEqual([{ event_seq: refund.eventSeq }]);
});

import { afterEach, beforeEach, expect, test } from 'vitest';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { HOUR, MINUTE, news, type Scene, scene, until, webhook } from './model.ts';

/** Calls to people about money beside a refund: what becomes of the refund itself does not take them back. */

const MISFIT = 'refund rf_9 is of 4.00 USD, not 4.00 INR';

let s: Scene;
beforeEach(async () => {
  s = await scene();
  s.worker();
});
afterEach(() => s.end());

const hear = (id: string, said: ReturnType<typeof news>) =>
  settleFromWebhook(s.deps, s.account, webhook(id, said.news));

async function submittedWithASecond(): Promise<string> {
  s.model.create = () => news('pending');
  const id = await s.refund('two-for-one');
  await s.becomes(id, 'submitted');
  await hear(id, news('succeeded', { gatewayRefundId: 'rf_2' }));
  expect((await s.read(id)).attention).toContain('a second refund, rf_2');
  return id;
}

test('a second refund is not forgotten when the first goes on', async () => {
  const id = await submittedWithASecond();
  s.model.look = () => news('pending', { gatewayReference: 'learnt' });
  s.clock.pass(11 * MINUTE);
  await until(async () => expect((await s.read(id)).gatewayReference).toBe('learnt'));
  expect((await s.read(id)).attention).toContain('a second refund, rf_2');
});

test('nor when the first is paid, taken to review, or waits for the customer', async () => {
  const id = await submittedWithASecond();
  await hear(id, news('pending', { rawStatus: 'requires_action', waitsFor: 'customer' }));
  const waits = (await s.read(id)).attention?.split('\n');
  expect(waits).toHaveLength(2);
  expect(waits![0]).toContain('waits for the customer');
  s.clock.pass(11 * 24 * HOUR);
  const review = (await s.becomes(id, 'manual_review', 1_000)).attention?.split('\n');
  expect(review).toEqual(['No outcome from the gateway within the limit.', waits![1]]);
  await hear(id, news('succeeded'));
  expect(await s.read(id)).toMatchObject({ state: 'succeeded', attention: waits![1] });
});

test('another refund than was asked for is not forgotten when the right one is paid as well', async () => {
  s.model.create = () => ({ kind: 'misfit', why: MISFIT, evidence: {} });
  const id = await s.refund('made-otherwise');
  await s.becomes(id, 'manual_review');
  await hear(id, news('succeeded'));
  expect(await s.read(id)).toMatchObject({
    state: 'succeeded',
    attention: `The gateway has made another refund than was asked for: ${MISFIT}.`,
  });
});

test('two reasons stand beside each other, and each is told once, however often they take turns', async () => {
  s.model.create = () => ({ kind: 'misfit', why: MISFIT, evidence: {} });
  s.model.look = () => ({ kind: 'misfit', why: MISFIT, evidence: {} });
  const id = await s.refund('taking-turns');
  await s.becomes(id, 'manual_review');
  const told = webhook(id, news('succeeded', { gatewayRefundId: 'rf_9' }).news);
  for (let day = 0; day < 3; day++) {
    await settleFromWebhook(s.deps, s.account, {
      ...told,
      events: told.events.map((event) => ({ ...event, misfit: () => MISFIT })),
    });
    const looks = s.model.looked.length;
    await until(() => {
      s.clock.pass(HOUR);
      expect(s.model.looked.length).toBeGreaterThan(looks);
    });
    await until(async () =>
      expect((await s.read(id)).nextLookAt!.getTime()).toBeGreaterThan(s.clock.now().getTime() + HOUR),
    );
  }
  expect((await s.read(id)).attention?.split('\n')).toHaveLength(2);
  const rows = await s.deps.db.query(
    `select 1 from notifications where refund_id = $1 and event_name = 'REFUND_MANUAL_REVIEW_NEEDED'`,
    [id],
  );
  expect(rows).toHaveLength(2);
});

import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRefundRounds } from '../../src/refunds/worker.ts';
import { ModelGateway, news } from '../refunds/model.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { ManualClock, putOrder } from '../support/engine.ts';
import { csv, get, post, steps, upload } from './batch.ts';

/** A file whose refunds the gateway refuses one after the other for the same reason, such as the key of another account. */
const ROWS = 80;
const MINUTE = 60_000;

let api: TestApi;
let clock: ManualClock;
let model: ModelGateway;
beforeEach(async () => {
  clock = new ManualClock();
  model = new ModelGateway({ maxConcurrent: 25 });
  api = await startApi({ clock, gateways: [model.gateway] });
  for (let n = 0; n < ROWS; n++) await putOrder(api.db, { orderId: `o${n}`, amountMinor: 10_000 });
});
afterEach(() => api.close());

/** Sends what is due, and then does the steps of the batch that are due a moment later. */
async function goOn(): Promise<void> {
  const rounds = createRefundRounds(api.batches.engine, () => undefined);
  while (await rounds.tick()) await rounds.drain();
  clock.pass(2_000);
  await steps(api);
}

test('the batch pauses and says why; who resumes it lets one more be tried, and all goes on once the cause is mended', async () => {
  model.create = () => ({
    kind: 'refused',
    errorCode: 'not_allowed',
    errorMessage: 'This account may not refund.',
    evidence: {},
  });
  const { batch_id: id } = (
    await upload(api, csv(Array.from({ length: ROWS }, (_, n) => `o${n},a,1.00,INR,`)))
  ).body;
  await post(api, id, 'confirm', { totals: { INR: `${ROWS}.00` } });
  await goOn();
  expect((await get(api, id)).body.status).toBe('paused');
  const askedBefore = model.asked.length;
  expect(askedBefore).toBeLessThan(ROWS);
  const [paused] = await api.db.query<{ facts: { reason: string }; by: unknown }>(
    `select facts, by from batch_events where batch_id = $1 and kind = 'paused'`,
    [id],
  );
  expect(paused).toMatchObject({ by: null });
  expect(paused!.facts.reason).toContain('This account may not refund.');

  await post(api, id, 'resume');
  expect((await get(api, id)).body.status).toBe('running');
  clock.pass(5 * MINUTE);
  await goOn();
  expect(model.asked.length).toBe(askedBefore + 1);
  expect((await get(api, id)).body.status).toBe('paused');

  model.create = () => news('succeeded');
  await post(api, id, 'resume');
  clock.pass(10 * MINUTE);
  await goOn();
  await goOn();
  expect((await get(api, id)).body).toMatchObject({ status: 'finished' });
  expect(model.asked.length).toBe(ROWS);
});

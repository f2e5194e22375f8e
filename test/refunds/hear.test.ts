/** Webhooks that come at awkward moments: news, and hints that anybody may have written. */
import { afterEach, expect, test } from 'vitest';
import type { CreateAnswer, LookAnswer, RefundFacts } from '../../src/gateways/gateway.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { absent, Held, HOUR, MINUTE, news, type Scene, scene, unanswered, until, webhook } from './model.ts';

let s: Scene;
afterEach(() => s.end());

const hint = (id: string) => settleFromWebhook(s.deps, s.account, webhook(id, null, 'unproven'));
const tell = (id: string, said: ReturnType<typeof news>) =>
  settleFromWebhook(s.deps, s.account, webhook(id, said.news));

/** A refund whose absence has been proved and that waits to be sent again, with no worker left. */
async function queuedAgain(): Promise<string> {
  // A gateway without keys: a second send would be a second payout.
  s = await scene({ capabilities: { keyLifeMs: null, resendDelaysMs: [10 * HOUR] } });
  s.model.create = () => unanswered;
  const id = await s.refund('O1');
  const worker = s.worker();
  await s.becomes(id, 'unknown');
  await s.becomes(id, 'queued', MINUTE);
  await worker.stop();
  expect(s.model.asked).toHaveLength(1);
  return id;
}

test('a hint of a success that was taken back makes us ask, and it is reversed', async () => {
  s = await scene();
  s.model.create = () => news('succeeded');
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'succeeded');
  s.model.look = () => news('failed');
  await hint(id);
  expect(await s.read(id)).toMatchObject({ state: 'reversed' });
});

test('a hint that could not be followed is not taken for heard: the gateway has to repeat it', async () => {
  s = await scene();
  s.model.create = () => news('succeeded');
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'succeeded');
  s.model.look = () => ({ kind: 'no_answer', answered: false, why: 'time-out', evidence: {} });
  await expect(hint(id)).rejects.toThrow('could not be asked');
  expect(await s.read(id)).toMatchObject({ state: 'succeeded' });
});

test('a hint of a refund that is to be sent again makes us ask, and not send', async () => {
  const id = await queuedAgain();
  s.model.look = () => news('pending');
  await hint(id);
  expect(await s.read(id)).toMatchObject({ state: 'submitted' });
  s.worker();
  s.model.look = () => news('succeeded');
  await s.becomes(id, 'succeeded', 10 * HOUR);
  expect(s.model.asked).toHaveLength(1);
});

test('a hint of a refund that was told to wait does not send it sooner', async () => {
  s = await scene();
  s.model.create = () => ({ kind: 'busy', retryAfterMs: 5 * MINUTE, evidence: {} });
  const id = await s.refund('O1');
  const worker = s.worker();
  await until(async () => expect(await s.read(id)).toMatchObject({ state: 'queued', sends: 1 }));
  await worker.stop();
  const { nextLookAt } = await s.read(id);
  await hint(id);
  expect(await s.read(id)).toMatchObject({ state: 'queued', nextLookAt });
});

test('the gateway holds what is to be sent again for want of balance: it is not sent', async () => {
  const id = await queuedAgain();
  await tell(id, news('waiting_for_funds'));
  expect(await s.read(id)).toMatchObject({ state: 'waiting_for_funds', gatewayRefundId: 'rf_1' });
  s.model.look = () => news('succeeded');
  s.worker();
  await s.becomes(id, 'succeeded', MINUTE);
  expect(s.model.asked).toHaveLength(1);
});

test('older news during a send does not end the hold of the worker that sends', async () => {
  s = await scene({ capabilities: { pollDelaysMs: [1_000] } });
  const at = (ms: number) => new Date(s.clock.now().getTime() + ms);
  s.model.create = () => news('waiting_for_funds', { gatewayRefundId: null, at: at(0) });
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'waiting_for_funds');
  const answer = new Held<CreateAnswer>();
  s.model.create = () => answer.wait();
  await s.becomes(id, 'sending', 10_000);
  await answer.begun;
  const { nextLookAt } = await s.read(id);
  const longAgo = at(-60 * MINUTE);
  await tell(id, news('pending', { gatewayRefundId: null, at: longAgo }));
  await tell(id, news('pending', { arn: '74332745000000000000001', at: longAgo }));
  expect(await s.read(id)).toMatchObject({ state: 'sending', nextLookAt, gatewayRefundId: 'rf_1' });
  answer.give(news('succeeded'));
  await s.becomes(id, 'succeeded');
});

test('what the gateway has held before may be made, whatever it says to a later send', async () => {
  s = await scene();
  s.model.create = () => news('waiting_for_funds', { gatewayRefundId: null });
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'waiting_for_funds');
  s.model.create = () => ({ kind: 'busy', retryAfterMs: 60 * MINUTE, evidence: {} });
  await s.becomes(id, 'queued', 10 * MINUTE);
  await until(async () => expect(await s.read(id)).toMatchObject({ state: 'queued', sends: 2 }));
  expect(
    await cancelRefund(s.deps, 'acme', id, { reason: null, cause: { by: 'api', key: 'k', request_id: 'r' } }),
  ).toMatchObject({ ok: false, refusal: 'wrong_state' });
  s.model.create = () => ({
    kind: 'refused',
    errorCode: null,
    errorMessage: 'already refunded',
    evidence: {},
  });
  const looked = new Held<LookAnswer>();
  s.model.look = () => looked.wait();
  await s.becomes(id, 'unknown', 20 * MINUTE);
  s.clock.pass(MINUTE);
  await looked.begun;
  looked.give(news('succeeded'));
  await s.becomes(id, 'succeeded');
});

test('news of a failure that meets a success which was just learnt makes us ask before it is believed', async () => {
  s = await scene();
  s.model.create = () => news('pending');
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'submitted');
  s.model.look = () => news('succeeded');
  let first = true;
  const deps = {
    ...s.deps,
    write: async (change: Parameters<typeof s.deps.write>[0]) => {
      if (first) {
        first = false;
        await tell(id, news('succeeded'));
      }
      return s.deps.write(change);
    },
  };
  await settleFromWebhook(deps, s.account, webhook(id, news('failed').news));
  expect(s.model.looked).toHaveLength(1);
  expect(await s.read(id)).toMatchObject({ state: 'succeeded' });
});

test('absence that was asked for does not undo what a webhook said meanwhile', async () => {
  s = await scene();
  const looking = new Held<LookAnswer>();
  s.model.look = () => looking.wait();
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'unknown');
  s.clock.pass(2 * MINUTE);
  await looking.begun;
  await tell(id, news('pending'));
  looking.give(absent);
  s.model.look = () => news('succeeded');
  await s.becomes(id, 'succeeded', MINUTE);
  expect(s.model.asked).toHaveLength(1);
});

test('a second refund at the gateway under our id is raised, and does not stand in for the first', async () => {
  s = await scene();
  s.model.create = () => news('pending');
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'submitted');
  await tell(id, news('failed', { gatewayRefundId: 'rf_2' }));
  expect(await s.read(id)).toMatchObject({ state: 'submitted', gatewayRefundId: 'rf_1' });
  await tell(id, news('succeeded'));
  await tell(id, news('succeeded', { gatewayRefundId: 'rf_2' }));
  const refund = await s.read(id);
  expect(refund).toMatchObject({ state: 'succeeded', gatewayRefundId: 'rf_1' });
  expect(refund.attention).toContain('rf_2');
});

test('a look-up that lags behind the webhook of a success taken back does not stand against it', async () => {
  s = await scene();
  const at = (minute: number) => new Date(s.clock.now().getTime() + minute * MINUTE);
  const paid = news('succeeded', { at: at(0) });
  s.model.create = () => paid;
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'succeeded');
  s.model.look = () => paid;
  await tell(id, news('reversed', { at: at(5) }));
  expect(await s.read(id)).toMatchObject({ state: 'reversed' });
});

test.each(['queued', 'submitted'] as const)(
  'news of another refund that carries the id of one that is %s says nothing of it, and a person is told once',
  async (state) => {
    s = await scene({ capabilities: { pollDelaysMs: [10 * HOUR] } });
    s.model.create = () => news('pending');
    const id = await s.refund('O1');
    if (state === 'submitted') {
      const worker = s.worker();
      await s.becomes(id, 'submitted');
      await worker.stop();
    }
    const signed = webhook(id, news('succeeded').news);
    const events = signed.events.map((event) => ({
      ...event,
      misfit: ({ amountMinor }: RefundFacts) => (amountMinor === 1_00 ? null : 'refund rf_9 is of 100 INR'),
    }));
    for (let n = 0; n < 3; n++) await settleFromWebhook(s.deps, s.account, { ...signed, events });
    await settleFromWebhook(s.deps, s.account, { kind: 'unproven', events });
    const refund = await s.read(id);
    expect(refund).toMatchObject({ state, attention: expect.stringContaining('rf_9 is of 100 INR') });
    const trail = await s.deps.db.query(
      `select 1 from events where body->>'refund_id' = $1 and body->>'kind' = 'refund.contradicted'`,
      [id],
    );
    expect(trail).toHaveLength(1);
  },
);

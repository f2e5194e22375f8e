import { afterEach, expect, test } from 'vitest';
import type { CreateAnswer } from '../../src/gateways/gateway.ts';
import { Held, news, type Scene, scene, unanswered, until } from './model.ts';

let s: Scene;
afterEach(() => s.end());

async function health() {
  const [row] = await s.deps.db.query<{ failures: number; open_until: Date | null; allowance: number }>(
    'select failures_in_a_row as failures, open_until, allowance from gateway_health where gateway_account_id = $1',
    [s.accountId],
  );
  return row!;
}

test('after five calls in a row without an answer the account rests; then one call tries, and its answer decides', async () => {
  s = await scene();
  for (let n = 0; n < 5; n++) await s.refund(`silent-${n}`);
  s.worker();
  await until(async () => expect((await health()).open_until).not.toBeNull());
  const asked = s.model.asked.length;
  const last = await s.refund('waits');
  // The clock stands: the account rests, however often the worker looks.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(s.model.asked.length).toBe(asked);

  const trial = new Held<CreateAnswer>();
  s.model.create = () => trial.wait();
  for (let n = 0; n < 3; n++) await s.refund(`also-waits-${n}`);
  s.clock.pass(1_000);
  await trial.begun;
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(s.model.asked.length).toBe(asked + 1);
  s.model.create = () => news('succeeded');
  trial.give(news('succeeded'));
  await s.becomes(last, 'succeeded');
  await until(async () => expect(await health()).toMatchObject({ failures: 0, open_until: null }));
});

test('calls under way when a rest begins do not make it longer; only a call that fails after it does', async () => {
  s = await scene();
  const answers: Held<CreateAnswer>[] = [];
  s.model.create = () => {
    const answer = new Held<CreateAnswer>();
    answers.push(answer);
    return answer.wait();
  };
  for (let n = 0; n < 20; n++) await s.refund(`at-once-${n}`);
  s.worker();
  await until(() => expect(answers).toHaveLength(20));
  const restMs = async () => ((await health()).open_until?.getTime() ?? 0) - s.clock.now().getTime();
  const ended = () =>
    s.deps.db.query<{ count: number }>('select count(*) from attempts where finished_at is not null');
  for (const answer of answers.slice(0, 15)) answer.give(unanswered);
  await until(async () => expect((await ended())[0]!.count).toBe(15));
  await until(async () => expect(await restMs()).toBe(1_000));
  s.clock.pass(1_000);
  for (const answer of answers.slice(15)) answer.give(unanswered);
  await until(async () => expect((await ended())[0]!.count).toBe(20));

  // The one call after the rest decides on the next.
  s.model.create = () => unanswered;
  await s.refund('after-the-rest');
  await until(async () => expect(await restMs()).toBe(2_000));
});

test('refused credentials make the account rest at once, and no refund fails for them', async () => {
  s = await scene();
  s.model.create = () => ({ kind: 'misconfigured', errorMessage: 'no such key', evidence: {} });
  const refundId = await s.refund('locked-out');
  s.worker();
  await until(async () => expect((await health()).open_until).not.toBeNull());
  expect(await s.read(refundId)).toMatchObject({
    state: 'queued',
    attention: expect.stringContaining('no such key'),
  });

  s.model.create = () => news('succeeded');
  expect(await s.becomes(refundId, 'succeeded', 60_000)).toMatchObject({ attention: null });
});

test('no more calls a second than the account allows, over all workers together', async () => {
  s = await scene();
  await s.deps.db.query('update gateway_accounts set max_per_second = 3 where gateway_account_id = $1', [
    s.accountId,
  ]);
  s.model.create = () => news('succeeded');
  for (let n = 0; n < 9; n++) await s.refund(`rate-${n}`);
  s.worker();
  await until(() => expect(s.model.asked.length).toBe(3));
  s.worker();
  await new Promise((resolve) => setTimeout(resolve, 800));
  expect(s.model.asked.length).toBe(3);
  s.clock.pass(1_000);
  await until(() => expect(s.model.asked.length).toBe(6));
  await new Promise((resolve) => setTimeout(resolve, 800));
  expect(s.model.asked.length).toBe(6);
  s.clock.pass(1_000);
  await until(() => expect(s.model.asked.length).toBe(9));
});

test('no more calls at once than the account allows, and a single refund goes before a batch', async () => {
  s = await scene({ maxConcurrent: 4 });
  const answers: Held<CreateAnswer>[] = [];
  s.model.create = () => {
    const answer = new Held<CreateAnswer>();
    answers.push(answer);
    return answer.wait();
  };
  const batchId = '01900000-0000-7000-8000-000000000001';
  for (let n = 0; n < 8; n++) await s.refund(`row-${n}`, { batchId });
  s.worker();
  // A batch leaves a quarter of the places free.
  await until(() => expect(answers).toHaveLength(3));
  const single = await s.refund('single');
  await until(() => expect(answers).toHaveLength(4));
  expect(s.model.asked.at(-1)!.refundId).toBe(single);
  await s.refund('one-too-many');
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(answers).toHaveLength(4);

  answers[0]!.give(news('succeeded'));
  await until(() => expect(answers).toHaveLength(5));
  expect(s.model.asked.at(-1)!.orderId).toBe('one-too-many');
  s.model.create = () => unanswered;
  for (const answer of answers) answer.give(news('succeeded'));
});

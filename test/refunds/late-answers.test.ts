/** Answers that come so late that the refund has been sent again meanwhile (invariant 3). */
import { afterEach, expect, test } from 'vitest';
import type { CreateAnswer } from '../../src/gateways/gateway.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { readAttempts } from '../../src/refunds/store.ts';
import { absent, Held, MINUTE, news, type Scene, scene, until, webhook } from './model.ts';

let s: Scene;
afterEach(() => s.end());

const late: [string, CreateAnswer][] = [
  ['nothing was sent', { kind: 'not_sent', why: 'no connection', evidence: {} }],
  ['come later', { kind: 'busy', retryAfterMs: 1, evidence: {} }],
  ['our key is wrong', { kind: 'misconfigured', errorMessage: 'bad key', evidence: {} }],
  ['no balance', { kind: 'no_funds', errorMessage: 'low', evidence: {} }],
  ['no answer', { kind: 'unknown', answered: false, why: 'time-out', evidence: {} }],
  ['no', { kind: 'refused', errorCode: null, errorMessage: 'no', evidence: {} }],
];

test.each(late)('"%s" to an earlier send says nothing of the one under way', async (_, answer) => {
  s = await scene();
  const first = new Held<CreateAnswer>();
  const second = new Held<CreateAnswer>();
  s.model.create = () => (s.model.asked.length === 1 ? first.wait() : second.wait());
  s.model.look = () => absent;
  const id = await s.refund('O1');
  s.worker();
  await first.begun;
  // The first worker hangs; another finds the hold over, proves absence and sends again.
  s.worker();
  await s.becomes(id, 'unknown', MINUTE);
  await s.becomes(id, 'sending', 10_000);
  await second.begun;

  first.give(answer);
  await until(async () => {
    const attempts = await readAttempts(s.deps.db, await s.read(id));
    expect(attempts[0]).toMatchObject({ outcome: answer.kind });
  });
  expect(await s.read(id)).toMatchObject({ state: 'sending', sends: 2 });

  second.give(news('succeeded'));
  await s.becomes(id, 'succeeded');
  expect(s.model.asked).toHaveLength(2);
});

test('an answer that a webhook made old news is still kept with its attempt', async () => {
  s = await scene();
  const answer = new Held<CreateAnswer>();
  s.model.create = () => answer.wait();
  const id = await s.refund('O1');
  s.worker();
  await answer.begun;

  await settleFromWebhook(s.deps, s.account, webhook(id, news('succeeded').news));
  expect(await s.read(id)).toMatchObject({ state: 'succeeded' });
  answer.give(news('succeeded'));
  await until(async () => {
    const [attempt] = await readAttempts(s.deps.db, await s.read(id));
    expect(attempt).toMatchObject({ outcome: 'succeeded', answer: { said: 'succeeded' } });
  });
});

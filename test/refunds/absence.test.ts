/** "No such refund" proves something only so many times, so far apart (invariant 3). */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LookAnswer } from '../../src/gateways/gateway.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { lookNow } from '../../src/refunds/look.ts';
import { absent, Held, MINUTE, type Scene, scene, until, webhook } from './model.ts';

let s: Scene;
let id: string;
beforeEach(async () => {
  s = await scene();
  id = await s.refund('O1');
});
afterEach(() => s.end());

const byPerson = { by: 'api', key: 'test', request_id: 'req-2' } as const;
const sync = () => lookNow(s.deps, 'acme', id, byPerson);

async function loseTheAnswer() {
  const worker = s.worker();
  await s.becomes(id, 'unknown');
  return worker;
}

test('people who ask again and again do not make a proof of it', async () => {
  await (await loseTheAnswer()).stop();
  for (let n = 0; n < 5; n++) await sync();
  expect(await s.read(id)).toMatchObject({ state: 'unknown', absences: 0 });
  s.clock.pass(MINUTE);
  for (let n = 0; n < 5; n++) await sync();
  expect(await s.read(id)).toMatchObject({ state: 'unknown', absences: 1 });
  s.clock.pass(MINUTE);
  await sync();
  expect(await s.read(id)).toMatchObject({ state: 'queued' });
});

test('nor do hints that anybody can send', async () => {
  const worker = await loseTheAnswer();
  for (let n = 1; n <= 4; n++) {
    await settleFromWebhook(s.deps, s.account, webhook(id, null, 'unproven'));
    worker.wake();
    await until(() => expect(s.model.looked).toHaveLength(n));
  }
  await worker.stop();
  expect(await s.read(id)).toMatchObject({ state: 'unknown', absences: 0 });
  expect(s.model.asked).toHaveLength(1);
});

test('nor two that were asked at one moment, however late the second is answered', async () => {
  await (await loseTheAnswer()).stop();
  s.clock.pass(MINUTE);
  const slow = new Held<LookAnswer>();
  s.model.look = () => (s.model.looked.length === 1 ? slow.wait() : absent);
  const first = sync();
  await slow.begun;
  await sync();
  expect(await s.read(id)).toMatchObject({ state: 'unknown', absences: 1 });
  s.clock.pass(2 * MINUTE);
  slow.give(absent);
  await first;
  expect(await s.read(id)).toMatchObject({ state: 'unknown', absences: 1 });
});

test('asking by hand does not put off what is planned', async () => {
  await (await loseTheAnswer()).stop();
  const planned = (await s.read(id)).nextLookAt;
  s.model.look = () => ({ kind: 'no_answer', answered: false, why: 'time-out', evidence: {} });
  s.clock.pass(MINUTE / 2);
  for (let n = 0; n < 3; n++) await sync();
  expect(await s.read(id)).toMatchObject({ nextLookAt: planned, looks: 0 });
});

/** Nothing starves: neither behind what is more urgent nor behind a clock that was wrong. */
import { afterEach, expect, test } from 'vitest';
import { MINUTE, news, type Scene, scene } from './model.ts';

let s: Scene;
afterEach(() => s.end());

test('what is to be followed up gets its turn while single refunds keep coming', async () => {
  s = await scene({ maxConcurrent: 1 });
  s.model.create = () => news('pending');
  const followed = await s.refund('FOLLOWED');
  const first = s.worker();
  await s.becomes(followed, 'submitted');
  await first.stop();
  s.clock.pass(20 * MINUTE);
  s.model.look = () => news('succeeded');
  // One place, and whenever it becomes free the next single refund is already due.
  let n = 0;
  let waiting = 0;
  s.model.create = async () => {
    waiting--;
    while (waiting < 2 && n < 60) {
      waiting++;
      await s.refund(`SINGLE-${n++}`);
    }
    return news('succeeded');
  };
  waiting = 1;
  await s.refund('SINGLE');
  s.worker();
  await s.becomes(followed, 'succeeded');
  expect(n).toBeLessThan(60);
});

test('a clock that ran ahead for a while does not stop an account until that time comes', async () => {
  s = await scene();
  const tomorrow = new Date(s.clock.now().getTime() + 24 * 60 * MINUTE);
  await s.deps.db.query('update gateway_health set allowance = 0, allowance_at = $1, open_until = $1', [
    tomorrow,
  ]);
  s.model.create = () => news('succeeded');
  const id = await s.refund('O1');
  s.worker();
  await s.becomes(id, 'succeeded', 1_000);
});

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createClockWatch } from '../../src/clock-watch.ts';
import { readSettings } from '../../src/config.ts';
import type { CreateAnswer } from '../../src/gateways/gateway.ts';
import { type Clock, plusMs } from '../../src/lib/clock.ts';
import { createLogger } from '../../src/lib/log.ts';
import { startRefundry } from '../../src/main.ts';
import { absent, Held, HOUR, MINUTE, news, type Scene, scene, until } from '../refunds/model.ts';
import { call, startApi } from '../support/api.ts';
import { freshDatabase } from '../support/database.ts';

const DAY = 24 * HOUR;
const succeeded = news('succeeded');

/** This machine's clock, set wrong by so much. */
class WrongClock implements Clock {
  byMs = 0;
  now(): Date {
    return plusMs(new Date(), this.byMs);
  }
}

describe('all clocks are moved, the database’s too', () => {
  let s: Scene;
  beforeEach(async () => {
    s = await scene();
  });
  afterEach(() => s.end());

  test('forward by six hours during a send: the hold ends, and the late answer still counts', async () => {
    const slow = new Held<CreateAnswer>();
    s.model.create = () => slow.wait();
    const id = await s.refund('O1');
    const worker = s.worker();
    await slow.begun;
    s.clock.pass(6 * HOUR);
    worker.wake();
    await s.becomes(id, 'unknown');
    slow.give(succeeded);
    await s.becomes(id, 'succeeded');
    await worker.stop();
    expect(s.model.asked).toHaveLength(1);
  });

  test('forward by eleven days: people are asked, and nothing is sent again under a key that may be forgotten', async () => {
    const id = await s.refund('O1');
    const worker = s.worker();
    await s.becomes(id, 'unknown');
    s.clock.pass(11 * DAY);
    worker.wake();
    await s.becomes(id, 'manual_review');
    s.clock.pass(-11 * DAY);
    s.model.look = () => absent;
    worker.wake();
    await worker.stop();
    expect(s.model.asked).toHaveLength(1);
    expect(await s.read(id)).toMatchObject({ state: 'manual_review' });
  });

  test('back by six hours: what is new is sent at once, what was planned keeps its time, nothing twice', async () => {
    s.model.create = () => ({ kind: 'busy', retryAfterMs: MINUTE, evidence: {} });
    const early = await s.refund('O1');
    const worker = s.worker();
    await until(() => expect(s.model.asked).toHaveLength(1));
    await until(async () => expect((await s.read(early)).state).toBe('queued'));
    s.clock.pass(-6 * HOUR);
    s.model.create = () => succeeded;
    const late = await s.refund('O2');
    worker.wake();
    await s.becomes(late, 'succeeded');
    expect((await s.read(early)).state).toBe('queued');
    s.clock.pass(6 * HOUR + 2 * MINUTE);
    worker.wake();
    await s.becomes(early, 'succeeded');
    await worker.stop();
    expect(s.model.asked.map(({ refundId }) => refundId)).toEqual([early, late, early]);
  });
});

describe('this machine’s clock is not the database’s', () => {
  test('a process is refused at the start', async () => {
    const fresh = await freshDatabase();
    const clock = new WrongClock();
    clock.byMs = -2 * HOUR;
    const settings = readSettings({
      DATABASE_URL: fresh.connectionString,
      MASTER_KEY: '7'.repeat(64),
      PORT: '0',
    });
    await expect(startRefundry(settings, { clock, log: createLogger('silent') })).rejects.toThrow(
      "clock and the database's are 7200 s apart",
    );
    await fresh.drop();
  });

  test('/health names it', async () => {
    const clock = new WrongClock();
    const api = await startApi({ clock });
    clock.byMs = 5 * MINUTE;
    const wrong = await call(api, '/health', { as: null });
    expect([wrong.status, wrong.body]).toEqual([
      503,
      { status: 'failing', database: 'reachable', clock: 'wrong' },
    ]);
    clock.byMs = 2_000;
    // Those who ask within a moment share one answer.
    await vi.waitFor(async () => expect((await call(api, '/health', { as: null })).status).toBe(200), 10_000);
    await api.close();
  });

  test('the worker rests until it is right again', async () => {
    const s = await scene();
    s.model.create = () => succeeded;
    const clock = new WrongClock();
    clock.byMs = -HOUR;
    const watch = createClockWatch(s.deps.db, clock, createLogger('silent'), 20);
    watch.loop.start();
    await until(() => expect(watch.isRight()).toBe(false));
    const worker = s.worker({ clockIsRight: watch.isRight });
    const id = await s.refund('O1');
    worker.wake();
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect((await s.read(id)).state).toBe('queued');
    clock.byMs = 0;
    await s.becomes(id, 'succeeded');
    await worker.stop();
    await watch.loop.stop();
    await s.end();
  });
});

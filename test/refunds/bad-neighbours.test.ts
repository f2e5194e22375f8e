/** One refund, account or connector that does not work never holds up the others, and nothing waits for ever. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CreateAnswer } from '../../src/gateways/gateway.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { resolveRefund } from '../../src/refunds/resolve.ts';
import { Held, HOUR, MINUTE, news, type Scene, scene, until } from './model.ts';

let s: Scene;
beforeEach(async () => {
  s = await scene();
  s.model.create = () => news('succeeded');
});
afterEach(() => s.end());

test('a refund that its connector stumbles over leaves the others of its slice alone', async () => {
  const prepare = s.model.prepare;
  s.model.prepare = (facts) => {
    if (facts.orderId === 'BAD') throw new Error('a bug of the connector');
    return prepare(facts);
  };
  const before = await s.refund('O1');
  const bad = await s.refund('BAD');
  const after = await s.refund('O2');
  s.worker();
  await s.becomes(before, 'succeeded');
  await s.becomes(after, 'succeeded');
  expect(await s.read(bad)).toMatchObject({ state: 'queued', sends: 0 });
});

test('an account that cannot be opened leaves the others alone', async () => {
  const both = [await s.refund('O1'), await s.refund('O2')];
  let refuse = true;
  s.worker({
    openAccess: async (accountId) => {
      if (refuse) {
        refuse = false;
        throw new Error('its credentials were sealed with another key');
      }
      return s.deps.openAccess(accountId);
    },
  });
  await until(async () => {
    const refunds = await Promise.all(both.map((id) => s.read(id)));
    expect(refunds.map(({ state }) => state).sort()).toEqual(['queued', 'succeeded']);
  });
  for (const id of both) await s.becomes(id, 'succeeded', MINUTE);
});

test('a send that its worker left is followed also after its account was switched off', async () => {
  const answer = new Held<CreateAnswer>();
  s.model.create = () => answer.wait();
  const id = await s.refund('O1');
  s.worker();
  await answer.begun;
  await s.deps.db.query('update gateway_accounts set enabled = false');
  // Nobody can ask the gateway, so that the limit is what ends it.
  await s.becomes(id, 'unknown', MINUTE);
  await s.becomes(id, 'manual_review', 24 * HOUR);
  answer.give(news('succeeded'));
  await s.becomes(id, 'succeeded');
});

test('without its connector a refund can still be aged, settled by a person and cancelled', async () => {
  const deps = { ...s.deps, gateways: registryOf([]) };
  const old = await s.refund('OLD');
  s.clock.pass(11 * 24 * HOUR);
  const young = await s.refund('YOUNG');
  s.worker(deps);
  await s.becomes(old, 'manual_review');
  const by = { by: 'api', key: 'test', request_id: 'req-2' } as const;
  expect(
    await resolveRefund(deps, 'acme', old, {
      outcome: 'failed',
      evidence: 'Not in the books.',
      arn: null,
      gatewayRefundId: null,
      cause: by,
    }),
  ).toMatchObject({ ok: true, refund: { state: 'failed' } });
  expect(await cancelRefund(deps, 'acme', young, { reason: null, cause: by })).toMatchObject({
    ok: true,
    refund: { state: 'cancelled' },
  });
});

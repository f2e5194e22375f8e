import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_MERCHANT } from '../../src/access/demo-key.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { loadDemo } from '../../src/demo.ts';
import { registryOf } from '../../src/gateways/registry.ts';
import { BEHAVIOURS } from '../../src/gateways/sandbox/behaviours.ts';
import { sandbox } from '../../src/gateways/sandbox/connector.ts';
import { createVault } from '../../src/lib/vault.ts';
import { listOrders } from '../../src/orders/list.ts';
import type { OrderWithTransactions } from '../../src/orders/store.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { ManualClock } from '../support/engine.ts';
import { expectChainsIntact } from './support.ts';

let fresh: FreshDatabase;
const clock = new ManualClock();
const load = () =>
  loadDemo({ db: fresh.db, clock, vault: createVault(Buffer.alloc(32, 3)), gateways: registryOf([sandbox]) });
const readAll = () => listOrders(fresh.db, { merchantId: DEMO_MERCHANT, sort: 'newest', limit: 1_000 });
let orders: OrderWithTransactions[];

beforeAll(async () => {
  fresh = await freshDatabase();
  await createMerchant(fresh.db, clock, { merchantId: DEMO_MERCHANT, name: 'Demo Store' });
  await load();
  orders = await readAll();
});
afterAll(async () => {
  await expectChainsIntact(fresh.db);
  await fresh.drop();
});

describe('the demo', () => {
  it('has some hundred orders of the last sixty days, in several currencies and at several accounts', () => {
    expect(orders.length).toBeGreaterThanOrEqual(100);
    expect(new Set(orders.map(({ order }) => order.currency))).toEqual(
      new Set(['INR', 'EUR', 'USD', 'JPY', 'KWD']),
    );
    const transactions = orders.flatMap((one) => one.transactions);
    expect(new Set(transactions.map((one) => one.gatewayAccountId)).size).toBe(4);
    const statuses = new Set(orders.map(({ order }) => order.status));
    for (const status of ['CHARGED', 'NEW', 'AUTHORIZATION_FAILED']) expect(statuses).toContain(status);
    const ages = orders.map(({ order }) => (clock.now().getTime() - order.createdAt.getTime()) / 86_400_000);
    expect(Math.min(...ages)).toBeGreaterThan(0);
    expect(Math.max(...ages)).toBeLessThan(60);
    expect(transactions.some((one) => one.surchargeMinor > 0)).toBe(true);
    expect(transactions.some((one) => one.offerMinor > 0)).toBe(true);
  });

  it('has a charged order for every behaviour of the sandbox', () => {
    const charged = orders
      .filter(({ order }) => order.status === 'CHARGED')
      .flatMap((one) => one.transactions);
    for (const { startsWith, rare } of BEHAVIOURS) {
      if (rare) continue;
      expect(
        charged.filter((one) => one.gatewayPaymentId.startsWith(startsWith)).length,
      ).toBeGreaterThanOrEqual(2);
    }
  });

  it('stays as it is at every later start', async () => {
    clock.pass(90 * 86_400_000);
    await load();
    expect(await readAll()).toEqual(orders);
  });

  it('is loaded once by several that start at once', async () => {
    const own = await freshDatabase();
    try {
      await createMerchant(own.db, clock, { merchantId: DEMO_MERCHANT, name: 'Demo Store' });
      const deps = {
        db: own.db,
        clock,
        vault: createVault(Buffer.alloc(32, 3)),
        gateways: registryOf([sandbox]),
      };
      await Promise.all([loadDemo(deps), loadDemo(deps), loadDemo(deps)]);
      const [count] = await own.db.query('select count(*)::int as n from orders');
      expect(count).toEqual({ n: orders.length });
      await expectChainsIntact(own.db);
    } finally {
      await own.drop();
    }
  });
});

import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Console, openConsole } from '../support/console.ts';
import { chargedAtSandbox } from '../support/running.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
});
afterAll(async () => {
  await desk.close();
});

const isLive = (page: Page) =>
  page.getByRole('status', { name: 'Changes appear here as they happen.' }).waitFor();
const isStream = (request: { url(): string }) => request.url().endsWith('/v1/stream');

test('a connection that falls silent is said to be lost, and what was missed is asked for again', async () => {
  await chargedAtSandbox(desk.api, 'SILENT-1', '100.00', 'pay');
  const page = await desk.signIn('support');
  await page.clock.install();
  await page.goto('/operations/orders/SILENT-1');
  await isLive(page);
  await page.route('**/v1/stream', (route) => route.abort());
  await page.clock.fastForward(41_000);
  await page.getByRole('status', { name: /The connection to the server is lost/ }).waitFor();

  const body = { order_id: 'SILENT-1', unique_request_id: 'silent', amount: '40.00' };
  expect((await desk.api.post('/v1/refunds', body)).status).toBe(201);
  await page.unroute('**/v1/stream');
  await page.clock.fastForward(6_000);
  await isLive(page);
  await page.clock.fastForward(2_000);
  await page.getByText('60.00').first().waitFor();
});

test('a page that nobody sees holds no connection, and follows again when it is seen', async () => {
  await chargedAtSandbox(desk.api, 'HIDDEN-1', '100.00', 'pay');
  const page = await desk.signIn('support', { path: '/operations/orders/HIDDEN-1' });
  await isLive(page);
  const hide = (hidden: boolean) =>
    page.evaluate(`
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${hidden} });
      document.dispatchEvent(new Event('visibilitychange'));
    `);
  const [ended] = await Promise.all([
    Promise.race([
      page.waitForEvent('requestfailed', isStream),
      page.waitForEvent('requestfinished', isStream),
    ]),
    hide(true),
  ]);
  expect(isStream(ended)).toBe(true);

  const body = { order_id: 'HIDDEN-1', unique_request_id: 'hidden', amount: '40.00' };
  expect((await desk.api.post('/v1/refunds', body)).status).toBe(201);
  await hide(false);
  await isLive(page);
  await page.getByText('60.00').first().waitFor();
});

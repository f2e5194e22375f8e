import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Console, checkAxe, openConsole, problemsOf } from '../support/console.ts';
import { chargedAtSandbox, until } from '../support/running.ts';

let desk: Console;
let page: Page;
beforeAll(async () => {
  desk = await openConsole();
  page = await desk.signIn('viewer');
});
afterAll(async () => {
  await desk.close();
});

async function refunded(orderId: string, amount: string, behaviour: string, state: string): Promise<void> {
  await chargedAtSandbox(desk.api, orderId, '1299.00', behaviour);
  const asked = { order_id: orderId, unique_request_id: `${orderId}-1`, amount };
  const { refund_id } = (await desk.api.post('/v1/refunds', asked)).body;
  await until(`${orderId} to be ${state}`, async () => {
    const { body } = await desk.api.get(`/v1/refunds/${refund_id}`);
    return body.state === state ? true : undefined;
  });
}

const figure = (name: string) =>
  page.getByRole('list', { name: 'Figures' }).getByRole('listitem').filter({ hasText: name });
const section = (title: string) =>
  page
    .locator('section')
    .filter({ has: page.getByRole('heading', { name: title }) })
    .first();

test('a new merchant sees what to do first, and is led there', async () => {
  const steps = page.getByRole('list', { name: 'First steps' });
  await steps.getByText('Connect a gateway').waitFor();
  // The demo has a gateway and orders, but neither a refund nor an endpoint.
  await until('what is done to be known', async () =>
    (await steps.getByText('done', { exact: true }).count()) === 2 ? true : undefined,
  );
  await checkAxe(page);
  await steps.getByRole('link', { name: 'Orders' }).click();
  await page.waitForURL(/\/operations\/orders/);
  await page.goto('/');
  await steps.waitFor();
});

test('after the first refund, without reload, figures stand in the place of the first steps', async () => {
  await page.getByRole('list', { name: 'First steps' }).waitFor();
  await refunded('HOME-1', '499.00', 'pay', 'succeeded');
  await figure('Refunded, 30 days').getByText('499.00').waitFor();
});

test('the figures count what was made, by currency, and lead to it', async () => {
  await refunded('HOME-2', '101.50', 'pay', 'succeeded');
  await refunded('HOME-3', '12.00', 'sbx_refuse', 'failed');
  await refunded('HOME-4', '33.00', 'sbx_stuck', 'submitted');
  const yen = { order_id: 'HOME-5', amount: '7000', currency: 'JPY', status: 'CHARGED', gateway: 'SANDBOX' };
  await desk.api.post('/v1/transactions', { ...yen, gateway_payment_id: 'home_5' });
  await desk.api.post('/v1/refunds', { order_id: 'HOME-5', unique_request_id: 'HOME-5-1', amount: '5000' });

  // 499.00 and 101.50 INR and 5,000 JPY are paid out; 33.00 INR are under way; one of four that are decided failed.
  await figure('Refunded, 30 days').getByText('600.50').waitFor();
  await figure('Refunded, 30 days').getByText('5,000').waitFor();
  await figure('Refunded, 30 days').getByRole('link', { name: /3$/ }).waitFor();
  await figure('In flight now').getByRole('link', { name: /1$/ }).waitFor();
  await figure('In flight now').getByText('33.00').waitFor();
  await figure('Overdue now').getByRole('link', { name: /0$/ }).waitFor();
  await figure('Success rate, 30 days').getByText('75 %').waitFor();

  await page.getByRole('button', { name: 'Currency' }).click();
  await page.getByRole('menuitem', { name: 'JPY' }).click();
  await figure('Refunded, 30 days').getByRole('link', { name: /1$/ }).waitFor();
  expect(await figure('Refunded, 30 days').getByText('600.50').count()).toBe(0);
  await figure('Refunded, 30 days').getByRole('link').click();
  await page.waitForURL(/\/operations\/refunds\?.*currency=JPY/);
  await page.getByRole('row', { name: /HOME-5/ }).waitFor();
  expect(await page.getByRole('table', { name: 'Refunds' }).getByRole('row').count()).toBe(2);
});

test('each chart has its numbers as a table and as a file, and leads to its rows', async () => {
  await page.goto('/?period=7');
  const failures = section('Failures by reason');
  await failures.getByText('refund_refused').waitFor();
  await failures.getByText('Table', { exact: true }).click();
  await failures.getByRole('row', { name: /refund_refused SANDBOX 1/ }).waitFor();

  const perDay = section('Refunds per day by status');
  await perDay.getByText('Table', { exact: true }).click();
  expect(await perDay.getByRole('row').count()).toBe(8);
  const today = perDay.getByRole('row').last();
  expect(await today.getByRole('cell').allTextContents()).toEqual(['3', '1', '0', '1']);
  const file = page.waitForEvent('download');
  await perDay.getByRole('button', { name: 'CSV of refunds per day by status' }).click();
  const lines = readFileSync(await (await file).path(), 'utf8')
    .trim()
    .split('\r\n');
  expect(lines[0]).toBe('"Day","Success","Pending","Manual review","Failure"');
  expect(lines.at(-1)).toMatch(/^"\d{4}-\d\d-\d\d","3","1","0","1"$/);
  expect(lines.length).toBe(8);

  await section('Pending by age and gateway').getByRole('link', { name: '1', exact: true }).click();
  await page.getByRole('row', { name: /HOME-4/ }).waitFor();
  expect(await page.getByRole('table', { name: 'Refunds' }).getByRole('row').count()).toBe(2);
  expect(problemsOf(page)).toEqual([]);
});

test('home is accessible in light and dark', async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.goto('/');
    await section('Time to outcome by gateway').getByText('half of them within', { exact: false }).waitFor();
    await page.locator('.recharts-surface').first().waitFor();
    await checkAxe(page);
  }
});

import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Console, checkAxe, openConsole, problemsOf } from '../support/console.ts';
import { caller, chargedAtSandbox, receiver, until } from '../support/running.ts';

let desk: Console;
let shop: Awaited<ReturnType<typeof receiver>>;
let shopAnswers = 200;
beforeAll(async () => {
  desk = await openConsole();
  shop = await receiver(() => shopAnswers);
});
afterAll(async () => {
  await desk.close();
  await shop.close();
});

const row = (page: Page, name: string | RegExp) => page.getByRole('row', { name });

test('a key is made, shown once, used, and revoked', async () => {
  const page = await desk.signIn('admin', { path: '/developers/keys' });
  await page.getByRole('button', { name: 'Create key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('What uses it').fill('Order service');
  await dialog.getByRole('button', { name: 'Create key' }).click();
  await dialog.getByText('it will not be shown again').waitFor();
  await dialog.getByRole('button', { name: 'Copy key' }).click();
  const key = await page.evaluate<string>('navigator.clipboard.readText()');
  expect(await dialog.locator('pre').innerText()).toBe(`curl -u '${key}:' \\\n  ${desk.url}/v1/me`);
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: 'I have kept it' }).click();
  await dialog.waitFor({ state: 'hidden' });

  expect((await caller(desk.url, key).get('/v1/settings')).status).toBe(200);
  await row(page, /Order service/)
    .getByText(key.slice(-4))
    .waitFor();
  await row(page, /Order service/)
    .getByText('admin@shop.test')
    .waitFor();
  expect(await page.content()).not.toContain(key);

  await page.getByRole('button', { name: 'Create key' }).click();
  await dialog.getByLabel('What uses it').fill('Order service');
  await dialog.getByRole('button', { name: 'Create key' }).click();
  await dialog.getByText('Accepted:', { exact: false }).waitFor();
  expect(await dialog.getByLabel('What uses it').getAttribute('aria-invalid')).toBe('true');
  await page.keyboard.press('Escape');

  await page.getByRole('button', { name: 'Revoke key Order service' }).click();
  await dialog.getByText('refused with 401', { exact: false }).waitFor();
  await checkAxe(page);
  await dialog.getByRole('button', { name: 'Revoke key Order service' }).click();
  await row(page, /Order service.*Revoked/).waitFor();
  await until('the key to be refused', async () =>
    (await caller(desk.url, key).get('/v1/settings')).status === 401 ? true : undefined,
  );
  expect(problemsOf(page)).toEqual([]);
});

test('an endpoint is added, tested, changed, given a new secret, switched off and removed', async () => {
  const page = await desk.signIn('admin', { path: '/developers/webhooks' });
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Add endpoint' }).first().click();
  await dialog.getByLabel('URL').fill('not an address');
  await dialog.getByRole('button', { name: 'Add the endpoint' }).click();
  await dialog.getByText('Accepted:', { exact: false }).waitFor();
  expect(await dialog.getByLabel('URL').getAttribute('aria-invalid')).toBe('true');
  await dialog.getByLabel('URL').fill(shop.url);
  await dialog.getByRole('checkbox', { name: 'REFUND_INITIATED' }).check();
  await dialog.getByRole('button', { name: 'Add a header' }).click();
  await dialog.getByLabel('Header name').fill('X-Route');
  await dialog.getByLabel('Header value').fill('refunds');
  await dialog.getByRole('button', { name: 'Add the endpoint' }).click();
  await dialog.getByRole('button', { name: 'Copy signing secret' }).click();
  const secret = await page.evaluate<string>('navigator.clipboard.readText()');
  expect(secret).toMatch(/^whsec_/);
  await dialog.getByRole('button', { name: 'I have kept it' }).click();

  const endpoint = page.getByRole('article', { name: shop.url });
  await endpoint.getByRole('button', { name: 'Send test' }).click();
  await endpoint.getByText('The test message was acknowledged', { exact: false }).waitFor();
  expect(shop.got.at(-1)?.headers['x-route']).toBe('refunds');
  shopAnswers = 503;
  await endpoint.getByRole('button', { name: 'Send test' }).click();
  await endpoint.getByText('The test message was not acknowledged.').waitFor();
  await endpoint.getByText('status 503').waitFor();
  shopAnswers = 200;

  const more = async (item: string) => {
    await endpoint.getByRole('button', { name: `More for ${shop.url}` }).click();
    await page.getByRole('menuitem', { name: item }).click();
  };
  await more('Edit …');
  await dialog.getByText('X-Route: ********').waitFor();
  await dialog.getByRole('checkbox', { name: 'REFUND_ARN_CAPTURED' }).check();
  await dialog.getByRole('button', { name: 'Save the endpoint' }).click();
  await endpoint.getByText('REFUND_ARN_CAPTURED', { exact: false }).waitFor();

  await more('Rotate the signing secret …');
  await dialog.getByRole('button', { name: 'Make a new secret' }).click();
  await dialog.getByRole('button', { name: 'Copy signing secret' }).click();
  const next = await page.evaluate<string>('navigator.clipboard.readText()');
  expect(next).not.toBe(secret);
  await dialog.getByRole('button', { name: 'I have kept it' }).click();
  await endpoint.getByText('Two secrets are valid', { exact: false }).waitFor();

  await more('Switch off …');
  await dialog.getByLabel('Reason').fill('The shop moves house');
  await dialog.getByRole('button', { name: 'Switch off' }).click();
  await endpoint.getByText('Reason: The shop moves house', { exact: false }).waitFor();
  await more('Switch on …');
  await dialog.getByRole('button', { name: 'Switch on' }).click();
  await endpoint.getByText('Off', { exact: true }).waitFor({ state: 'hidden' });

  await more('Remove …');
  await dialog.getByRole('button', { name: 'Remove the endpoint' }).click();
  await endpoint.waitFor({ state: 'detached' });
  expect(problemsOf(page)).toEqual([]);
});

test('what was not acknowledged is found in the log and sent again, alone and with its range', async () => {
  shopAnswers = 503;
  const made = await desk.api.post('/v1/webhook-endpoints', { url: shop.url, events: ['REFUND_INITIATED'] });
  expect(made.status).toBe(201);
  for (const orderId of ['TOLD-1', 'TOLD-2']) {
    await chargedAtSandbox(desk.api, orderId, '100.00', 'pay');
    const refund = { order_id: orderId, unique_request_id: `${orderId}-r1`, amount: '40.00' };
    expect((await desk.api.post('/v1/refunds', refund)).status).toBe(201);
  }

  const page = await desk.signIn('admin', { path: '/developers/webhooks' });
  await page.getByRole('button', { name: 'State' }).click();
  await page.getByRole('menuitem', { name: 'Waiting' }).click();
  await page.waitForURL(/status=pending/);
  await page.getByRole('textbox', { name: 'Order id' }).fill('TOLD-1');
  await page.waitForURL(/order_id=TOLD-1/);
  const found = row(page, /REFUND_INITIATED.*TOLD-1.*Waiting.*503/);
  await found.waitFor();
  await found.focus();
  await page.keyboard.press('Enter');
  const panel = page.getByRole('complementary', { name: 'Delivery' });
  await panel.getByText('It answered with a status other than 200.').first().waitFor();
  await panel.getByText('status 503').first().waitFor();
  await checkAxe(page);

  shopAnswers = 200;
  await panel.getByRole('button', { name: 'Resend' }).click();
  await panel.getByText('Delivered', { exact: true }).first().waitFor();
  await panel.getByText('2 tries').waitFor();
  expect(shop.got.at(-1)?.body.content.order.order_id).toBe('TOLD-1');
  await page.keyboard.press('Escape');
  await panel.waitFor({ state: 'detached' });

  await page.getByRole('button', { name: 'Clear filters' }).first().click();
  const endpoint = page.getByRole('article', { name: shop.url });
  await endpoint.getByRole('button', { name: 'More for' }).click();
  await page.getByRole('menuitem', { name: 'Resend a range …' }).click();
  await page.getByRole('button', { name: 'Resend what was not acknowledged' }).click();
  await endpoint.getByText('1 event is being sent again.').waitFor();
  await row(page, /REFUND_INITIATED.*TOLD-2.*Delivered/).waitFor();
  await endpoint
    .getByRole('img', { name: /^Last 24 hours: [2-9] tries delivered, [1-9] failed: / })
    .waitFor();
  expect(problemsOf(page)).toEqual([]);
});

test('the error that a caller got is found in the request log', async () => {
  await desk.api.post('/v1/refunds', { order_id: 'NO-SUCH-ORDER', unique_request_id: 'r', amount: '1.00' });
  const page = await desk.signIn('viewer', { path: '/developers/requests' });
  await page.getByRole('button', { name: 'Answer' }).click();
  await page.getByRole('menuitem', { name: 'Refused (4xx and 5xx)' }).click();
  await page.waitForURL(/status=refused/);
  await page.getByRole('button', { name: 'Order', exact: true }).click();
  await page.getByRole('textbox', { name: 'Order id' }).fill('NO-SUCH-ORDER');
  await page.keyboard.press('Enter');
  await page.waitForURL(/order_id=NO-SUCH-ORDER/);
  const found = row(page, /404.*POST \/v1\/refunds.*Demo.*NO-SUCH-ORDER/);
  await until('the log to be written', async () => {
    if ((await found.count()) > 0) return true;
    await page.reload();
    await page.getByText('Answer').first().waitFor();
    return undefined;
  });
  await found.click();
  const panel = page.getByRole('complementary', { name: 'Request' });
  await panel.getByText('order_not_found').waitFor();
  const link = panel.getByRole('link', { name: 'NO-SUCH-ORDER' });
  expect(await link.getAttribute('href')).toBe('/operations/orders/NO-SUCH-ORDER');
  await checkAxe(page);
  await panel.getByRole('button', { name: 'Only this error' }).click();
  await page.waitForURL(/code=order_not_found/);
  expect(problemsOf(page)).toEqual([]);
});

test('who may not manage sees, and changes nothing', async () => {
  await desk.api.post('/v1/webhook-endpoints', { url: `${shop.url}/viewed` });
  const page = await desk.signIn('operations', { path: '/developers/webhooks' });
  await page.getByRole('article', { name: `${shop.url}/viewed` }).waitFor();
  await page.getByText('Only the role Admin', { exact: false }).waitFor();
  expect(await page.getByRole('button', { name: 'Send test' }).count()).toBe(0);
  expect(await page.getByRole('button', { name: 'Add endpoint' }).count()).toBe(0);
  expect(await page.getByRole('link', { name: 'API keys' }).count()).toBe(0);
  await page.goto('/developers/keys');
  await page.getByText('may not manage API keys', { exact: false }).waitFor();
  expect(await page.getByRole('button', { name: 'Create key' }).isDisabled()).toBe(true);
});

test('the pages are clean for assistive technology, light and dark, wide and narrow', async () => {
  for (const look of [
    { colours: 'light', width: 1280 },
    { colours: 'dark', width: 390 },
  ] as const) {
    const page = await desk.signIn('admin', { ...look, path: '/developers/keys' });
    await row(page, /Demo/).waitFor();
    await checkAxe(page);
    await page.getByRole('button', { name: 'Create key' }).click();
    await page.getByRole('dialog').getByLabel('What uses it').waitFor();
    await checkAxe(page);
    await page.goto('/developers/webhooks');
    await page.getByRole('table', { name: 'Deliveries' }).waitFor();
    await page.getByRole('article').first().waitFor();
    await checkAxe(page);
    await page.getByRole('button', { name: 'Add endpoint' }).click();
    await page.getByRole('dialog').getByLabel('URL').waitFor();
    await checkAxe(page);
    await page.goto('/developers/requests');
    await page.getByRole('table', { name: 'Requests' }).waitFor();
    await checkAxe(page);
  }
});

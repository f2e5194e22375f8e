import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Console, checkAxe, openConsole, problemsOf } from '../support/console.ts';
import { chargedAtSandbox } from '../support/running.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
});
// Each page that is seen holds a stream, and one person may hold ten.
afterEach(async () => {
  await Promise.all(desk.browser.contexts().map((context) => context.close()));
});
afterAll(async () => {
  await desk.close();
});

let made = 0;
/** A charged order of 1,299.00 INR whose refunds succeed at once, unless another behaviour is asked for. */
async function paidOrder(behaviour = 'pay'): Promise<string> {
  made += 1;
  const orderId = `BROWSER-${made}`;
  await chargedAtSandbox(desk.api, orderId, '1299.00', behaviour);
  return orderId;
}

const orderPath = (orderId: string) => `/operations/orders/${orderId}`;
const refundsOf = async (orderId: string) =>
  (await desk.api.get(`/v1/refunds?order_id=${orderId}`)).body.refunds as {
    amount: string;
    status: string;
  }[];

async function openPopup(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Create refund' }).click();
  await page.getByRole('dialog').getByText('How much').waitFor();
}

async function fillPart(page: Page, amount: string, reason = 'Item returned'): Promise<void> {
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('radio', { name: 'Other amount' }).check();
  await dialog.getByLabel('Amount in INR').fill(amount);
  await dialog.getByLabel('Reason').fill(reason);
  await page.keyboard.press('Escape');
}

async function initiate(page: Page): Promise<void> {
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Initiate refund of/ })
    .click();
}

test('an order is found, refunded partly, then fully, and then no more', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support', { path: '/operations/orders' });
  await page.getByLabel('Order, payment, e-mail or phone').fill(orderId);
  await page.getByRole('row', { name: new RegExp(orderId) }).waitFor();
  await page.waitForURL(new RegExp(`q=${orderId}`));
  await page.getByRole('row', { name: new RegExp(orderId) }).click();
  const panel = page.getByRole('complementary', { name: `Order ${orderId}` });
  await panel.getByText('1,299.00').first().waitFor();

  await openPopup(page);
  await fillPart(page, '499.00');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('INR 499.00 of INR 1,299.00, leaves INR 800.00').waitFor();
  await dialog.getByText('cannot be undone', { exact: false }).first().waitFor();
  await initiate(page);
  await dialog.getByText('The refund is recorded.', { exact: false }).waitFor();
  await dialog.getByText('Success', { exact: false }).first().waitFor();
  await dialog.getByRole('button', { name: 'Done' }).click();
  await panel.getByText('800.00').first().waitFor();

  await openPopup(page);
  await dialog.getByText('Full: all that is left, INR 800.00').waitFor();
  await dialog.getByLabel('Reason').fill('Item returned');
  await page.keyboard.press('Escape');
  await initiate(page);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await panel.getByText('Everything is refunded.').waitFor();
  expect(await panel.getByRole('button', { name: 'Create refund' }).isDisabled()).toBe(true);
  expect((await refundsOf(orderId)).map(({ amount }) => amount).sort()).toEqual(['499.00', '800.00']);
  expect(problemsOf(page)).toEqual([]);
});

test('more than is left, too many decimals and what is no amount are refused beside the field', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support', { path: orderPath(orderId) });
  await openPopup(page);
  for (const amount of ['1299.01', '1.234', '1,00,0', '12,50', '0']) {
    await fillPart(page, amount);
    const field = page.getByRole('dialog').getByLabel('Amount in INR');
    await page.waitForFunction(
      (input) => input?.getAttribute('aria-invalid') === 'true',
      await field.elementHandle(),
    );
    expect(
      await page
        .getByRole('dialog')
        .getByRole('button', { name: /^Initiate/ })
        .isDisabled(),
    ).toBe(true);
  }
  expect(await refundsOf(orderId)).toEqual([]);
});

/** A charged order of an amount in a currency. */
async function orderIn(currency: string, amount: string): Promise<string> {
  made += 1;
  const orderId = `BROWSER-${made}`;
  const told = await desk.api.post('/v1/transactions', {
    order_id: orderId,
    amount,
    currency,
    gateway: 'SANDBOX',
    gateway_payment_id: `pay_${orderId}`,
    status: 'CHARGED',
  });
  expect(told.status, JSON.stringify(told.body)).toBe(200);
  return orderId;
}

test('an amount is typed as the page of a German shows it, and goes out as the button says', async () => {
  const orderId = await orderIn('EUR', '9999.00');
  const page = await desk.signIn('support', { path: orderPath(orderId), locale: 'de-DE' });
  await openPopup(page);
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Full: all that is left, EUR 9.999,00').waitFor();
  await dialog.getByRole('radio', { name: 'Other amount' }).check();
  await dialog.getByLabel('Reason').fill('Item returned');
  await page.keyboard.press('Escape');
  const field = dialog.getByLabel('Amount in EUR');
  await field.fill('1.234');
  await dialog
    .getByText('can be read in two ways: for EUR 1.234,00 write 1.234,00 or 1234.00, for EUR 1,23', {
      exact: false,
    })
    .waitFor();
  expect(await dialog.getByRole('button', { name: /^Initiate/ }).isDisabled()).toBe(true);

  await field.fill('1.234,50');
  await dialog.getByText('EUR 1.234,50 of EUR 9.999,00, leaves EUR 8.764,50').waitFor();
  await dialog.getByText(/^Refunds EUR.1\.234,50 to .* through .*; it should be there by/).waitFor();
  await dialog.getByRole('button', { name: 'Initiate refund of EUR 1.234,50' }).click();
  await dialog.getByText('The refund is recorded.', { exact: false }).waitFor();
  expect((await refundsOf(orderId)).map(({ amount }) => amount)).toEqual(['1234.50']);
});

test('a point before three digits of dinars is asked about, never guessed', async () => {
  const orderId = await orderIn('KWD', '2614.000');
  const page = await desk.signIn('support', { path: orderPath(orderId), locale: 'de-DE' });
  await openPopup(page);
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('radio', { name: 'Other amount' }).check();
  await dialog.getByLabel('Reason').fill('Item returned');
  await page.keyboard.press('Escape');
  const field = dialog.getByLabel('Amount in KWD');
  const button = dialog.getByRole('button', { name: /^Initiate refund/ });
  await field.fill('2.614');
  await dialog
    .getByText('for KWD 2.614,000 write 2.614,000 or 2614.000, for KWD 2,614 write 2,614.', { exact: false })
    .waitFor();
  expect(await button.isDisabled()).toBe(true);
  // Each way that the message names is taken for what it says.
  for (const [typed, meant] of [
    ['2.614,000', '2.614,000'],
    ['2614.000', '2.614,000'],
    ['2,614', '2,614'],
  ] as const) {
    await field.fill(typed);
    await dialog.getByRole('button', { name: `Initiate refund of KWD ${meant}`, exact: true }).waitFor();
  }
  await button.click();
  await dialog.getByText('The refund is recorded.', { exact: false }).waitFor();
  expect((await refundsOf(orderId)).map(({ amount }) => amount)).toEqual(['2.614']);
});

test('the filter of amounts takes what the list shows', async () => {
  const page = await desk.signIn('support', { path: '/operations/orders', locale: 'de-DE' });
  await page.getByRole('button', { name: 'Amount', exact: true }).click();
  await page.getByLabel('From').fill('9.999,00');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.getByText('Amounts compare only within a currency: say which.').waitFor();
  await page.getByLabel('Currency, such as INR').fill('eur');
  await page.getByLabel('To').fill('9.999');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.getByText('can be read in two ways', { exact: false }).waitFor();
  await page.getByLabel('To').fill('9.999,00');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.waitForURL(/amount_from=9999\.00.*amount_to=9999\.00|amount_to=9999\.00.*amount_from=9999\.00/);
  await page.getByRole('button', { name: 'Amount EUR 9.999,00 to 9.999,00' }).waitFor();
});

test('of two tabs the slower one is told what changed before anything is sent', async () => {
  const orderId = await paidOrder();
  const [first, second] = [
    await desk.signIn('support', { path: orderPath(orderId) }),
    await desk.signIn('operations', { path: orderPath(orderId) }),
  ];
  // The second tab hears nothing of what happens: neither the stream nor its own questions arrive.
  await second.route(/\/v1\/stream/, (route) => route.abort());
  await second.reload();
  await openPopup(second);
  await fillPart(second, '900.00');
  await second.getByText('leaves INR 399.00').waitFor();
  await second.route(/\/v1\/orders/, (route) => route.abort());
  await openPopup(first);
  await fillPart(first, '500.00');
  await initiate(first);
  await first.getByRole('button', { name: 'Done' }).waitFor();

  await initiate(second);
  await second.getByRole('dialog').getByText('not what you expected', { exact: false }).first().waitFor();
  expect((await refundsOf(orderId)).map(({ amount }) => amount)).toEqual(['500.00']);
});

test('the same amount again needs an explicit yes', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support', { path: orderPath(orderId) });
  for (const again of [false, true]) {
    await openPopup(page);
    await fillPart(page, '100.00');
    const dialog = page.getByRole('dialog');
    await dialog.getByText('INR 100.00 of', { exact: false }).waitFor();
    if (again) {
      await dialog.getByText('This looks like a refund that was already made').waitFor();
      const button = dialog.getByRole('button', { name: /^Initiate refund of/ });
      expect(await button.isDisabled()).toBe(true);
      await dialog.getByRole('button', { name: 'Refund the same amount once more' }).click();
    }
    await initiate(page);
    await dialog.getByRole('button', { name: 'Done' }).click();
  }
  expect(await refundsOf(orderId)).toHaveLength(2);
});

test('a double click makes one refund', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support', { path: orderPath(orderId) });
  await openPopup(page);
  await fillPart(page, '250.00');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('leaves INR 1,049.00').waitFor();
  await dialog.getByRole('button', { name: /^Initiate refund of/ }).dblclick();
  await dialog.getByText('The refund is recorded.', { exact: false }).waitFor();
  expect(await refundsOf(orderId)).toHaveLength(1);
});

test('a lost answer is said to be unknown, and the same request once more makes no second refund', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support', { path: orderPath(orderId) });
  let lost = 0;
  await page.route('**/v1/refunds', async (route) => {
    if (route.request().method() !== 'POST' || lost > 0) return route.continue();
    lost += 1;
    // The server has made it; its answer gets lost on the way.
    await route.fetch();
    await route.abort();
  });
  await openPopup(page);
  await fillPart(page, '250.00');
  await initiate(page);
  const dialog = page.getByRole('dialog');
  await dialog.getByText('The server did not answer').waitFor();
  expect(await refundsOf(orderId)).toHaveLength(1);
  expect(await dialog.getByRole('button', { name: /^Initiate refund/ }).isDisabled()).toBe(true);
  await dialog.getByRole('button', { name: 'Send the same request again' }).click();
  await dialog.getByText('The refund is recorded.', { exact: false }).waitFor();
  expect(await refundsOf(orderId)).toHaveLength(1);
});

test('nothing is sent for an amount whose effect the page could not learn', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support', { path: orderPath(orderId) });
  // What is asked again by itself would put it right before anybody presses the button.
  await page.route(/\/v1\/stream/, (route) => route.abort());
  await page.reload();
  let broken = true;
  await page.route('**/refund-preview', (route) =>
    broken && route.request().postDataJSON().amount === '40.00'
      ? route.fulfill({ status: 500, json: { error: { code: 'internal', message: 'It broke.' } } })
      : route.continue(),
  );
  await openPopup(page);
  await fillPart(page, '40.00');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('It broke.').waitFor();
  expect(await dialog.getByRole('button', { name: /^Initiate/ }).isDisabled()).toBe(true);
  expect(await dialog.getByText('leaves INR 0.00', { exact: false }).count()).toBe(0);

  broken = false;
  await dialog.getByRole('button', { name: 'Try again' }).click();
  await initiate(page);
  await dialog.getByText('The refund is recorded.', { exact: false }).waitFor();
  expect((await refundsOf(orderId)).map(({ amount }) => amount)).toEqual(['40.00']);
});

test('without a network a refund fails at once, and is not sent later on its own', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support', { path: orderPath(orderId) });
  await openPopup(page);
  await fillPart(page, '60.00');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('leaves INR 1,239.00', { exact: false }).waitFor();
  await page.context().setOffline(true);
  await initiate(page);
  await dialog.getByText('The server did not answer').first().waitFor();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await page.context().setOffline(false);
  await page.getByRole('status', { name: 'Changes appear here as they happen.' }).waitFor();
  expect(await refundsOf(orderId)).toEqual([]);
});

test('who may only look sees why there is no refunding', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('viewer', { path: orderPath(orderId) });
  await page.getByText('Your role may look, not refund.').waitFor();
  expect(await page.getByRole('button', { name: 'Create refund' }).isDisabled()).toBe(true);
});

test('by the keyboard alone: search, open, refund', async () => {
  const orderId = await paidOrder();
  const page = await desk.signIn('support');
  await page.keyboard.press('/');
  await page.getByRole('textbox', { name: 'Search everything' }).and(page.locator(':focus')).waitFor();
  await page.keyboard.insertText(orderId);
  await page.keyboard.press('Enter');
  await page.waitForURL(`**${orderPath(orderId)}`);
  await page.getByRole('button', { name: 'Create refund' }).waitFor();
  await page.keyboard.press('r');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('How much').waitFor();
  const reach = async (label: string) => {
    for (let tabs = 0; tabs < 40; tabs += 1) {
      if (await dialog.locator(':focus').and(dialog.getByLabel(label)).count()) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`Tab does not reach ${label}`);
  };
  await reach('Reason');
  await page.keyboard.type('Paid twice');
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: /^Initiate refund of INR 1,299.00/ }).waitFor();
  await page.keyboard.press('Enter');
  await dialog.getByText('The refund is recorded.', { exact: false }).waitFor();
  expect((await refundsOf(orderId)).map(({ amount }) => amount)).toEqual(['1299.00']);
});

test('filters live in the address, survive a reload, and Back works', async () => {
  const page = await desk.signIn('operations', { path: '/operations/orders?refunded=none&gateway=SANDBOX' });
  await page.getByRole('table', { name: 'Orders' }).waitFor();
  const before = await page.getByRole('row').count();
  await page.reload();
  await page.getByRole('table', { name: 'Orders' }).waitFor();
  expect(await page.getByRole('row').count()).toBe(before);
  await page.getByRole('button', { name: 'Next page' }).click();
  await page.waitForURL(/cursor=/);
  await page.goBack();
  await page.waitForURL((url) => !url.search.includes('cursor'));
  const exported = await page.getByRole('link', { name: 'Export CSV' }).getAttribute('href');
  expect(exported).toContain('refunded=none');
  const file = await page.evaluate(async (href) => (await fetch(href!)).text(), exported);
  expect(file.split('\n')[0]).toContain('order_id');
});

for (const colours of ['light', 'dark'] as const) {
  test(`the orders' pages meet WCAG AA (${colours})`, async () => {
    const orderId = await paidOrder();
    const page = await desk.signIn('support', { path: '/operations/orders', colours });
    await page.getByRole('table', { name: 'Orders' }).waitFor();
    await checkAxe(page);
    await page.goto(`/operations/orders?open=${orderId}`);
    await page.getByRole('complementary').getByText('1,299.00').first().waitFor();
    await checkAxe(page);
    await openPopup(page);
    await checkAxe(page);
    await page.goto(`${orderPath(orderId)}?tab=timeline`);
    await page.getByRole('tab', { name: 'Timeline', selected: true }).waitFor();
    await checkAxe(page);
    expect(problemsOf(page)).toEqual([]);
  });
}

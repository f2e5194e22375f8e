import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Role } from '../../src/access/roles.ts';
import { type Console, checkAxe, openConsole, problemsOf } from '../support/console.ts';
import { chargedAtSandbox, receiver, until } from '../support/running.ts';

let desk: Console;
const signedIn = new Map<Role, Page>();
beforeAll(async () => {
  desk = await openConsole();
});
afterAll(async () => {
  await desk.close();
});

/** The page of a person of this role, kept from test to test, at an address. */
async function pageOf(role: Role, path: string): Promise<Page> {
  const known = signedIn.get(role);
  const page = known ?? (await desk.signIn(role, { path }));
  signedIn.set(role, page);
  if (known) await page.goto(path);
  return page;
}

interface Refund {
  readonly refund_id: string;
  readonly order_id: string;
  readonly state: string;
  readonly status: string;
  readonly arn: string | null;
}

let made = 0;
/** A refund of 499.00 INR by API, whose payment makes the sandbox behave so, once it is in the state. */
async function refundIn(state: string, behaviour: string): Promise<Refund> {
  made += 1;
  const orderId = `DESK-${made}`;
  await chargedAtSandbox(desk.api, orderId, '1299.00', behaviour);
  const answer = await desk.api.post('/v1/refunds', {
    order_id: orderId,
    unique_request_id: `desk-${made}`,
    amount: '499.00',
    reason: 'Item returned',
  });
  expect(answer.status).toBe(201);
  return reaches(answer.body.refund_id, state);
}

async function reaches(refundId: string, state: string): Promise<Refund> {
  return until(`refund ${refundId} to be ${state}`, async () => {
    const { body } = await desk.api.get(`/v1/refunds/${refundId}`);
    return body.state === state ? (body as Refund) : undefined;
  });
}

/** A refund that the gateway leaves pending until the limit has passed. */
async function refundInReview(): Promise<Refund> {
  const refund = await refundIn('submitted', 'sbx_stuck');
  await desk.db.query(`update refunds set review_at = created_at where refund_id = $1`, [refund.refund_id]);
  return reaches(refund.refund_id, 'manual_review');
}

const pathOf = ({ refund_id }: Refund) => `/operations/refunds/${refund_id}`;
const EVIDENCE = 'The sandbox shows it as paid on its page of 3 March.';

async function settle(page: Page, button: string): Promise<void> {
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Evidence' }).fill(EVIDENCE);
  await dialog.getByRole('button', { name: button }).click();
}

test('refunds are counted by status, narrowed in the address, walked by keys and opened beside the list', async () => {
  const [paid, refused] = [await refundIn('succeeded', 'pay'), await refundIn('failed', 'sbx_refuse')];
  const page = await pageOf('operations', '/operations/refunds');
  const list = page.getByRole('table', { name: 'Refunds' });
  await list.getByRole('row', { name: new RegExp(paid.order_id) }).waitFor();

  const tabs = page.getByRole('navigation', { name: 'Refunds by status' });
  await tabs.getByRole('link', { name: /^Failure ?1$/ }).click();
  await page.waitForURL(/status=FAILURE/);
  expect(await tabs.locator('[aria-current]').allTextContents()).toEqual(['Failure1']);
  await list.getByRole('row', { name: new RegExp(paid.order_id) }).waitFor({ state: 'detached' });
  const row = list.getByRole('row', { name: new RegExp(refused.order_id) });
  await row.getByText('took', { exact: false }).waitFor();
  const file = await page.getByRole('link', { name: 'Export CSV' }).getAttribute('href');
  expect(file).toBe('/v1/refunds/export.csv?status=FAILURE&bom=true');
  await page.goBack();
  await list.getByRole('row', { name: new RegExp(paid.order_id) }).waitFor();

  await page.getByLabel('Order, refund, ARN or e-mail').fill('DESK-');
  await page.waitForURL(/q=DESK-/);
  // Nobody has counted what begins so, and no count of something else stands there.
  await tabs.getByRole('link', { name: 'Failure', exact: true }).waitFor();
  await list.getByRole('row').nth(1).focus();
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  const panel = page.getByRole('complementary');
  await panel.getByText('of order').waitFor();
  await page.waitForURL(/open=/);
  await page.keyboard.press('Escape');
  await panel.waitFor({ state: 'detached' });
  expect(await list.getByRole('row').last().and(page.locator(':focus')).count()).toBe(1);
  expect(problemsOf(page)).toEqual([]);
});

test('columns are chosen, and filters are kept as a view', async () => {
  await refundIn('succeeded', 'pay');
  const page = await pageOf('support', '/operations/refunds?status=SUCCESS');
  await page.getByRole('columnheader', { name: 'Gateway' }).waitFor();
  await page.getByRole('button', { name: 'Columns' }).click();
  await page.getByRole('checkbox', { name: 'Gateway' }).uncheck();
  await page.getByRole('checkbox', { name: 'ARN' }).check();
  await page.keyboard.press('Escape');
  await page.getByRole('columnheader', { name: 'ARN' }).waitFor();
  expect(await page.getByRole('columnheader', { name: 'Gateway' }).count()).toBe(0);

  await page.getByRole('button', { name: 'Save view' }).click();
  await page.getByRole('textbox', { name: 'Name of the view' }).fill('Paid with ARN');
  await page.getByRole('dialog').getByRole('button', { name: 'Save view' }).click();
  const views = page.getByRole('navigation', { name: 'Saved views' });
  await views.getByRole('button', { name: 'Paid with ARN', exact: true }).waitFor();
  await views.getByRole('button', { name: 'All' }).click();
  await page.getByRole('columnheader', { name: 'Gateway' }).waitFor();
  await views.getByRole('button', { name: 'Paid with ARN', exact: true }).click();
  await page.getByRole('columnheader', { name: 'ARN' }).waitFor();
  expect(new URL(page.url()).searchParams.get('status')).toBe('SUCCESS');
  await views.getByRole('button', { name: 'View Paid with ARN' }).click();
  await page.getByRole('menuitem', { name: 'Remove view', exact: false }).click();
  await views.getByRole('button', { name: 'Paid with ARN', exact: true }).waitFor({ state: 'detached' });
});

test('a refund tells what happened, what it means and what may still come, and asks the gateway', async () => {
  const refund = await refundIn('submitted', 'sbx_stuck');
  const page = await pageOf('support', pathOf(refund));
  const timeline = page.getByRole('list', { name: 'Timeline' });
  await timeline.getByText('Refund asked for').waitFor();
  await timeline.getByText('API key “Demo”', { exact: false }).waitFor();
  await timeline.getByText('The gateway accepted it').waitFor();
  await timeline.getByText('It goes to manual review if nothing is known by then').waitFor();
  await page.getByText('The money is on its way', { exact: false }).waitFor();
  await timeline.getByText('The gateway’s answer', { exact: true }).click();
  await timeline.getByText('"http_status": 20', { exact: false }).waitFor();

  await page.getByRole('button', { name: 'Ask the gateway now' }).click();
  await page.getByText('The gateway says “pending”. Nothing has changed.').waitFor();
  await page.getByRole('tab', { name: 'Attempts' }).click();
  await page.getByText('Try 1: accepted').waitFor();
  await page.getByRole('tab', { name: 'JSON' }).click();
  await page.getByText(`"refund_id": "${refund.refund_id}"`, { exact: false }).waitFor();

  // Without reload: the limit passes while the page is open.
  await desk.db.query(`update refunds set review_at = created_at where refund_id = $1`, [refund.refund_id]);
  await page.getByText('No outcome from the gateway within the limit.').first().waitFor();
  expect(problemsOf(page)).toEqual([]);
});

test('a refund that failed says why and leads to refunding the order again', async () => {
  const refund = await refundIn('failed', 'sbx_refuse');
  const page = await pageOf('support', pathOf(refund));
  await page.getByText('No money has moved; the amount is free to be refunded again.').waitFor();
  await page.getByRole('link', { name: 'Refund the order again' }).click();
  await page.waitForURL(new RegExp(`/operations/orders/${refund.order_id}`));
});

test('a refund that has not been sent is cancelled once; a page that did not hear of it is refused', async () => {
  const { body } = await desk.api.get('/v1/gateway-accounts');
  const gulf = body.gateway_accounts.find(({ name }: { name: string }) => name === 'Gulf');
  await desk.api.patch(`/v1/gateway-accounts/${gulf.gateway_account_id}`, { enabled: false });
  await desk.api.post('/v1/transactions', {
    order_id: 'GULF-1',
    amount: '12.500',
    currency: 'KWD',
    status: 'CHARGED',
    gateway: 'SANDBOX',
    gateway_account: 'Gulf',
    gateway_payment_id: 'gulf_1',
  });
  const asked = { order_id: 'GULF-1', unique_request_id: 'gulf-1', amount: 'full' };
  const refund = (await desk.api.post('/v1/refunds', asked)).body as Refund;
  const page = await pageOf('support', pathOf(refund));
  const deaf = await page.context().newPage();
  await deaf.goto(pathOf(refund));
  for (const each of [page, deaf]) {
    await each.getByRole('button', { name: 'Cancel refund …' }).click();
    await each.getByRole('dialog').getByText('KWD 12.500 can be refunded again', { exact: false }).waitFor();
  }
  await deaf.route(/\/v1\/(stream|refunds\/[^/]+$)/, (route) => route.abort());
  await page.getByRole('dialog').getByLabel('Reason').fill('Wrong order');
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel the refund' }).dblclick();
  await page.getByText('It was cancelled before it was sent. Wrong order.').waitFor();

  await deaf.getByRole('dialog').getByRole('button', { name: 'Cancel the refund' }).click();
  await deaf.getByRole('dialog').getByText('already at its end', { exact: false }).waitFor();
  await deaf.close();
  const { events } = (await desk.api.get(`/v1/refunds/${refund.refund_id}`)).body;
  expect(events.map(({ kind }: { kind: string }) => kind)).toEqual(['refund.recorded', 'refund.cancelled']);
  expect(events[1].cause).toMatchObject({ by: 'user', email: 'support@shop.test' });
});

test('a refund in review is settled as paid with ARN and evidence', async () => {
  const refund = await refundInReview();
  const page = await pageOf('operations', '/operations/review');
  const row = page.getByRole('row', { name: new RegExp(refund.order_id) });
  await row.getByText('No outcome from the gateway within the limit.').waitFor();
  await row.getByRole('button', { name: 'Ask the gateway now' }).click();
  await row.getByText('The gateway says “pending”. Nothing has changed.').waitFor();
  await row.getByRole('button', { name: 'It was paid …' }).click();
  const dialog = page.getByRole('dialog', { name: 'It was paid' });
  await dialog.getByText(refund.order_id).first().waitFor();
  expect(await dialog.getByRole('button', { name: 'Settle as paid' }).isDisabled()).toBe(true);
  await dialog.getByLabel('ARN').fill('no ARN');
  await settle(page, 'Settle as paid');
  await dialog.getByText('6 to 40 letters and digits', { exact: false }).waitFor();
  expect((await desk.api.get(`/v1/refunds/${refund.refund_id}`)).body.state).toBe('manual_review');
  await dialog.getByLabel('ARN').fill('74332745678901234567890');
  await dialog.getByRole('button', { name: 'Settle as paid' }).click();
  await page.getByText(`of order ${refund.order_id} is settled as Success.`, { exact: false }).waitFor();
  await row.waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Look at it' }).click();
  await page.getByText('A person settled it: it was paid').waitFor();
  await page.getByText(EVIDENCE).first().waitFor();
  const settled = (await desk.api.get(`/v1/refunds/${refund.refund_id}`)).body;
  expect(settled).toMatchObject({ state: 'succeeded', arn: '74332745678901234567890' });
  expect(problemsOf(page)).toEqual([]);
});

test('several are settled with one note, each answered on its own; what failed can be issued again', async () => {
  const refunds = [await refundInReview(), await refundInReview(), await refundInReview()];
  const page = await pageOf('operations', '/operations/review');
  // By keys alone: each row is chosen with Space.
  for (const { order_id } of refunds) {
    await page.getByRole('row', { name: new RegExp(`${order_id}(?!\\d)`) }).focus();
    await page.keyboard.press('Space');
  }
  await page.getByText('3 chosen').waitFor();
  await page.getByRole('button', { name: 'They failed …' }).click();
  // Somebody else is faster with one of them.
  const faster = { outcome: 'succeeded', evidence: 'The bank confirms the credit in its letter.' };
  await desk.api.post(`/v1/refunds/${refunds[1]!.refund_id}/resolve`, faster);
  await settle(page, 'Settle 3 as failed');
  const chosen = page.getByRole('list', { name: 'Chosen refunds' });
  await page.getByText('2 of 3 are settled.', { exact: false }).waitFor();
  const line = (refund: Refund) => chosen.getByRole('listitem').filter({ hasText: refund.order_id });
  expect(await line(refunds[0]!).textContent()).toContain('Settled');
  expect(await line(refunds[1]!).textContent()).toContain('Nothing was changed');
  expect(await line(refunds[2]!).textContent()).toContain('Settled');
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  const states = await Promise.all(
    refunds.map(async ({ refund_id }) => (await desk.api.get(`/v1/refunds/${refund_id}`)).body.state),
  );
  expect(states).toEqual(['failed', 'succeeded', 'failed']);
  await page.getByRole('link', { name: 'Issue it again' }).first().click();
  await page.getByRole('button', { name: 'Create refund' }).waitFor();
});

test('a webhook is sent again', async () => {
  const heard = await receiver();
  const endpoint = await desk.api.post('/v1/webhook-endpoints', { url: heard.url });
  try {
    const refund = await refundIn('succeeded', 'pay');
    const page = await pageOf('admin', `${pathOf(refund)}?tab=webhooks`);
    await page.getByText('Delivered').waitFor();
    await page.getByText('ORDER_REFUNDED').waitFor();
    const before = heard.got.length;
    await page.getByRole('button', { name: 'Send ORDER_REFUNDED again' }).click();
    await until('the webhook to come again', async () => (heard.got.length > before ? true : undefined));
    await page.getByText('2 tries').waitFor();

    const support = await pageOf('support', `${pathOf(refund)}?tab=webhooks`);
    await support.getByText('Your role may not send webhooks again.').waitFor();
    expect(await support.getByRole('button', { name: /^Send ORDER_REFUNDED/ }).isDisabled()).toBe(true);
  } finally {
    await desk.api.patch(`/v1/webhook-endpoints/${endpoint.body.endpoint_id}`, { enabled: false });
    await heard.close();
  }
});

test('each role does what it may, and is told what it may not', async () => {
  const refund = await refundInReview();
  const enabled = {
    viewer: [],
    support: ['Ask the gateway now'],
    operations: ['Ask the gateway now', 'It was paid …', 'It failed …'],
  };
  for (const role of ['viewer', 'support', 'operations'] as const) {
    const page = await pageOf(role, pathOf(refund));
    await page.getByRole('button', { name: 'It failed …' }).waitFor();
    const buttons = ['Ask the gateway now', 'It was paid …', 'It failed …'];
    const open = await Promise.all(
      buttons.map(async (name) => ((await page.getByRole('button', { name }).isEnabled()) ? [name] : [])),
    );
    expect(open.flat()).toEqual(enabled[role]);
    const said = await page.getByText(/^Your role may not/).count();
    expect(said).toBe(role === 'operations' ? 0 : 1);
    const answer = await page.evaluate(async (path) => {
      const response = await fetch(`/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-refundry': 'dashboard' },
        body: JSON.stringify({ outcome: 'succeeded', evidence: 'short' }),
      });
      return response.status;
    }, `/refunds/${refund.refund_id}/resolve`);
    expect(answer).toBe(role === 'operations' ? 400 : 403);
    await page.goto('/operations/refunds');
    await page.getByRole('table', { name: 'Refunds' }).waitFor();
    expect(await page.getByRole('link', { name: 'Export CSV' }).count()).toBe(role === 'operations' ? 1 : 0);
  }
});

test('the pages of refunds are accessible in light and dark', async () => {
  const refund = await refundInReview();
  const page = await pageOf('operations', '/operations/refunds');
  const row = page.getByRole('row', { name: new RegExp(refund.order_id) });
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.goto('/operations/refunds');
    await row.waitFor();
    await checkAxe(page);
    await row.getByRole('cell').first().click();
    await page.getByRole('list', { name: 'Timeline' }).waitFor();
    await checkAxe(page);
    await page.goto(pathOf(refund));
    await page.getByRole('list', { name: 'Timeline' }).waitFor();
    await checkAxe(page);
    await page.goto('/operations/review');
    await row.waitFor();
    await checkAxe(page);
    await row.getByRole('button', { name: 'It was paid …' }).click();
    await page.getByRole('dialog').waitFor();
    await checkAxe(page);
  }
});

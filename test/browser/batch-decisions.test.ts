import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Role } from '../../src/access/roles.ts';
import { type Console, checkAxe, emailOf, openConsole, problemsOf } from '../support/console.ts';
import { chargedAtSandbox, DEMO_KEY, until } from '../support/running.ts';
import { checkBothSchemes, csv, step, upload } from './batches.ts';

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

/** A batch that waits for its confirmation, uploaded by a program; its id. */
async function checkedByKey(text: string): Promise<string> {
  const answer = await fetch(`${desk.url}/v1/batches?name=By%20key`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${DEMO_KEY}:`).toString('base64')}`,
      'content-type': 'text/csv',
    },
    body: text,
  });
  const { batch_id } = (await answer.json()) as { batch_id: string };
  await until('the batch to be checked', async () =>
    (await desk.api.get(`/v1/batches/${batch_id}`)).body.status === 'checked' ? true : undefined,
  );
  return batch_id;
}

test('a batch is paused, resumed, and its rest cancelled', async () => {
  // Refunds whose gateway says nothing hold the few that may be under way; the others stay unsent.
  const rows: string[] = [];
  for (let order = 0; order < 12; order += 1) {
    await chargedAtSandbox(desk.api, `STOP-${order}`, '1000.00', 'sbx_lost');
    for (let row = 0; row < 25; row += 1) rows.push(`STOP-${order},stop-${order}-${row},${row + 1}.00,INR,`);
  }
  const page = await pageOf('operations', '/batch/refunds');
  await upload(page, 'stop.csv', csv(rows));
  await page.getByRole('button', { name: 'Go on to confirm' }).click();
  await page.getByRole('textbox', { name: 'Type the total in INR' }).fill('3900.00');
  await page.getByRole('button', { name: 'Confirm and send 300 refunds' }).click();
  await step(page, 'Run').getByText('of 300 rows sent', { exact: false }).waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('Paused: nothing more goes out.', { exact: false }).waitFor();
  await checkBothSchemes(page);
  await page.goto('/batch/refunds');
  await page.getByRole('row', { name: /stop.*Paused/ }).click();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByText('You may leave this page', { exact: false }).waitFor();
  await page.getByRole('button', { name: 'Cancel the rest' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText(/About \d+ refunds have not gone out and never will/).waitFor();
  await checkAxe(page);
  await dialog.getByLabel('Reason').fill('Wrong month');
  await dialog.getByRole('button', { name: 'Cancel the rest' }).click();
  await page.getByText('Cancelled', { exact: true }).first().waitFor();
  await page.getByText('Cancelled: Wrong month').waitFor();
  await step(page, 'Results').waitFor();
  expect(await page.getByRole('button', { name: /^(Pause|Resume|Cancel)/ }).count()).toBe(0);
  expect(problemsOf(page)).toEqual([]);
});

test('where the policy wants a second person, the first one cannot approve and another can', async () => {
  const admin = await pageOf('admin', '/settings/policy');
  await admin.getByText('Batches', { exact: true }).waitFor();
  expect(await admin.getByRole('navigation', { name: 'Main' }).getByText('Approvals').count()).toBe(0);
  await admin.getByRole('switch', { name: 'A second person approves each batch' }).click();
  await admin.getByRole('switch', { checked: true }).waitFor();
  const hours = admin.getByLabel('Hours to approve in');
  await hours.fill('999');
  await admin.getByRole('button', { name: 'Save' }).click();
  await admin.getByText(/from 1 to 168/).waitFor();
  await hours.fill('12');
  await admin.getByRole('button', { name: 'Save' }).click();
  await admin.getByRole('button', { name: 'Save' }).waitFor({ state: 'detached' });
  await checkBothSchemes(admin);
  await admin.getByRole('link', { name: 'Approvals' }).click();
  await admin.getByText('Each batch comes here once it is confirmed.').waitFor();

  for (const id of ['TWO-1', 'TWO-2']) await chargedAtSandbox(desk.api, id, '500.00', 'sbx_ok');
  const operator = await pageOf('operations', '/batch/refunds');
  await upload(operator, 'two.csv', csv(['TWO-1,two-1,100.00,INR,', 'TWO-2,two-2,50.00,INR,']));
  await operator.getByRole('button', { name: 'Go on to confirm' }).click();
  await operator.getByText('has to approve it within 12 hours', { exact: false }).waitFor();
  const confirm = async () => {
    await operator.getByRole('textbox', { name: 'Type the total in INR' }).fill('150.00');
    await operator.getByRole('button', { name: 'Confirm and ask for approval' }).click();
    await operator.getByText('You uploaded and confirmed it, so somebody else has to approve it.').waitFor();
  };
  await confirm();
  const approve = (page: Page) => page.getByRole('button', { name: /^Approve 2 refunds of INR\s150\.00/ });
  expect(await approve(operator).isDisabled()).toBe(true);
  await checkBothSchemes(operator);

  await admin.goto('/approvals');
  const waiting = admin.getByRole('article', { name: 'two' });
  await waiting.getByText(emailOf('operations')).first().waitFor();
  await admin.getByRole('link', { name: 'Approvals 1' }).waitFor();
  await checkBothSchemes(admin);
  await waiting.getByRole('button', { name: 'Send back' }).click();
  const dialog = admin.getByRole('dialog');
  await dialog.getByLabel('Reason').fill('The second amount is too high');
  await dialog.getByRole('button', { name: 'Send it back' }).click();
  await admin.getByText('two was sent back. Nothing of it is sent.').waitFor();
  await admin.getByText('Nothing waits for approval.').waitFor();
  await operator.getByText('Sent back: The second amount is too high').waitFor();
  await operator.getByRole('button', { name: 'Go on to confirm' }).click();
  await confirm();

  await admin.goto('/approvals');
  await approve(admin).click();
  await admin.getByText('two is approved and starts.').waitFor();
  await step(operator, 'Results').getByText('2 of 2 rows became refunds').waitFor();
  await operator
    .getByRole('listitem')
    .filter({ hasText: /Approved: 2 rows, INR\s150\.00/ })
    .getByText(emailOf('admin'))
    .waitFor();
  await desk.db.query(
    `update merchants set settings = settings - 'batch_approval' where merchant_id = 'demo'`,
  );
  expect(problemsOf(admin)).toEqual([]);
});

test('a wait before the start is shown, and until then the batch can be cancelled as a whole', async () => {
  expect((await desk.api.patch('/v1/settings', { batch_wait_minutes: 70 })).status).toBe(200);
  await chargedAtSandbox(desk.api, 'WAIT-1', '500.00', 'sbx_ok');
  const batchId = await checkedByKey(csv(['WAIT-1,wait-1,100.00,INR,']));
  const page = await pageOf('operations', `/batch/${batchId}?step=confirm`);
  await page.getByText('Nothing is sent for 70 minutes', { exact: false }).waitFor();
  await page.getByRole('textbox', { name: 'Type the total in INR' }).fill('100.00');
  await page.getByRole('button', { name: 'Confirm: start in 70 minutes' }).click();
  await page.getByText(/Starts by itself in 1 h (10|9) min/).waitFor();
  await checkBothSchemes(page);
  await page.getByRole('button', { name: 'Cancel the batch' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText(/Nothing has been sent, and nothing will be: INR\s100\.00/).waitFor();
  await dialog.getByRole('button', { name: 'Keep it' }).click();
  await page.getByRole('button', { name: 'Cancel the batch' }).click();
  await dialog.getByRole('button', { name: 'Cancel the batch' }).click();
  await step(page, 'Results').getByText('0 of 1 row became refunds').waitFor();
  expect((await desk.api.get('/v1/orders/WAIT-1')).body.refunded_amount).toBe('0.00');
  expect((await desk.api.patch('/v1/settings', { batch_wait_minutes: 0 })).status).toBe(200);
});

test('who may only look sees everything and can do nothing, with the reason beside it', async () => {
  await chargedAtSandbox(desk.api, 'LOOK-1', '500.00', 'sbx_ok');
  const batchId = await checkedByKey(csv(['LOOK-1,look-1,100.00,INR,', 'LOOK-9,look-9,1.00,INR,']));
  for (const role of ['viewer', 'support'] as const) {
    const page = await pageOf(role, '/batch/refunds');
    await page.getByText('running them takes the role Operations', { exact: false }).waitFor();
    expect(await page.getByRole('link', { name: 'Create batch refund' }).count()).toBe(0);
    await page.goto('/batch/new');
    await page.getByText('Uploading one takes the role Operations.', { exact: false }).waitFor();
    await page.goto(`/batch/${batchId}`);
    await page
      .getByText('Uploading, confirming and stopping a batch take the role Operations', { exact: false })
      .waitFor();
    await page.getByRole('row', { name: /LOOK-9.*no such order/ }).waitFor();
    for (const name of [/^Go on/, /^Cancel/, /^Check again/, /^Upload corrected/])
      expect(await page.getByRole('button', { name }).count()).toBe(0);
    await page.goto(`/batch/${batchId}?step=confirm`);
    await page.getByText('It waits for somebody of operations to confirm it.').waitFor();
    await page.goto('/settings/policy');
    await page.getByText('Only the role Admin may change it.', { exact: false }).waitFor();
    expect(await page.getByRole('switch').isDisabled()).toBe(true);
    expect(problemsOf(page)).toEqual([]);
  }
  const viewer = signedIn.get('viewer')!;
  await checkBothSchemes(viewer);
  await viewer.setViewportSize({ width: 390, height: 844 });
  await viewer.goto(`/batch/${batchId}`);
  await viewer.getByText('LOOK-9').first().waitFor();
  await checkBothSchemes(viewer);
});

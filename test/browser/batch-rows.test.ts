import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Console, openConsole, problemsOf } from '../support/console.ts';
import { chargedAtSandbox, until } from '../support/running.ts';
import { checkBothSchemes, csv, csvFile, figure, step, upload } from './batches.ts';

let desk: Console;
let page: Page;
beforeAll(async () => {
  desk = await openConsole();
  page = await desk.signIn('operations');
});
afterAll(async () => {
  await desk.close();
});

const link = (name: string | RegExp) => page.getByRole('link', { name, exact: true });

test('failed rows are downloaded, corrected and uploaded, before the run and after it', async () => {
  await chargedAtSandbox(desk.api, 'MEND-1', '100.00', 'sbx_ok');
  await chargedAtSandbox(desk.api, 'MEND-2', '100.00', 'sbx_ok');
  await upload(page, 'mend.csv', csv(['MEND-1,mend-1,,INR,', 'MEND-2,mend-2,500.00,INR,']));
  await page.getByText('No row can be sent as it is', { exact: false }).waitFor();
  expect(await page.getByRole('button', { name: /^Go on/ }).isDisabled()).toBe(true);
  const failed = await saved('Download failed rows');
  await correct(csv(['nothing'], 'that,is,read'));
  await page.getByText('The corrected file was not taken', { exact: false }).waitFor();
  // As somebody does who fills in one cell of the file and leaves the rest of it.
  expect(failed).toContain('"mend-1",""');
  await correct(failed.replace('"mend-1",""', '"mend-1","40.00"'));
  await figure(page, 'Good').getByText('1 row').waitFor();
  await page.getByRole('button', { name: 'Go on without the 1 bad row' }).click();
  await page.getByRole('textbox', { name: 'Type the total in INR' }).fill('40.00');
  await page.getByRole('button', { name: 'Confirm and send 1 refund' }).click();
  await step(page, 'Results').getByText('1 of 2 rows became refunds').waitFor();

  await until('the batch to be finished', async () =>
    (await page.getByText('Finished', { exact: true }).isVisible()) ? true : undefined,
  );
  await correct(csv(['2,MEND-2,mend-2b,50.00,INR'], 'row,order_id,unique_request_id,amount,currency'));
  await figure(page, 'Good').getByText('2 rows').waitFor();
  await page.getByRole('button', { name: 'Go on to confirm' }).click();
  await page.getByText(/1 refund of INR\s50\.00 in all goes out/).waitFor();
  await page.getByRole('textbox', { name: 'Type the total in INR' }).fill('50.00');
  await page.getByRole('button', { name: 'Confirm and send 1 refund' }).click();
  await step(page, 'Results').getByText('2 of 2 rows became refunds').waitFor();
  const results = await saved('Results of all rows');
  expect(results.match(/MEND-/g)).toHaveLength(2);
  expect(problemsOf(page)).toEqual([]);
});

async function correct(text: string): Promise<void> {
  await page.getByLabel('Corrected file').setInputFiles(csvFile('corrected.csv', text));
}

/** What a link of this name gives to keep. */
async function saved(name: string): Promise<string> {
  const [download] = await Promise.all([page.waitForEvent('download'), link(name).click()]);
  return readFile(await download.path(), 'utf8');
}

test('a batch is made by the keyboard alone', async () => {
  await chargedAtSandbox(desk.api, 'KEYS-1', '100.00', 'sbx_ok');
  await page.goto('/batch/refunds');
  await page.getByRole('link', { name: 'Create batch refund' }).first().focus();
  await page.keyboard.press('Enter');
  const choose = page.getByRole('button', { name: 'Choose a file' });
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), choose.press('Enter')]);
  await chooser.setFiles(csvFile('keys.csv', csv(['KEYS-1,keys-1,25.00,INR,'])));
  await page.getByLabel('Name', { exact: true }).focus();
  await page.keyboard.press('Enter');
  const goOn = page.getByRole('button', { name: 'Go on to confirm' });
  await goOn.focus();
  await page.keyboard.press('Enter');
  // The button is gone; the next Tab leads into the step that came in its place.
  await step(page, 'Confirm').waitFor();
  await until('the step to have the focus', async () =>
    (await step(page, 'Confirm').evaluate((region) => region.contains(region.ownerDocument.activeElement)))
      ? true
      : undefined,
  );
  await page.keyboard.press('Tab');
  await page.keyboard.type('25.00');
  await page.keyboard.press('Enter');
  await step(page, 'Results').getByText('1 of 1 row became refunds').waitFor();
});

test('status updates settle refunds in manual review', async () => {
  const reviewed: string[] = [];
  for (const id of ['UPD-1', 'UPD-2']) {
    await chargedAtSandbox(desk.api, id, '100.00', 'sbx_stuck');
    const answer = await desk.api.post('/v1/refunds', {
      order_id: id,
      unique_request_id: `${id}-r`,
      amount: '40.00',
    });
    reviewed.push(answer.body.refund_id);
  }
  await until('the refunds to be with the gateway', async () => {
    const found = await Promise.all(reviewed.map((id) => desk.api.get(`/v1/refunds/${id}`)));
    return found.every(({ body }) => body.state === 'submitted') ? true : undefined;
  });
  await desk.db.query('update refunds set review_at = created_at where refund_id = any($1::uuid[])', [
    reviewed,
  ]);
  await until('the refunds to be in review', async () => {
    const found = await Promise.all(reviewed.map((id) => desk.api.get(`/v1/refunds/${id}`)));
    return found.every(({ body }) => body.state === 'manual_review') ? true : undefined;
  });
  // A gateway that cannot be asked says nothing against a file's word.
  const { gateway_account_id } = (await desk.api.get(`/v1/refunds/${reviewed[0]}`)).body;
  await desk.api.patch(`/v1/gateway-accounts/${gateway_account_id}`, { enabled: false });
  onTestFinished(() =>
    desk.api.patch(`/v1/gateway-accounts/${gateway_account_id}`, { enabled: true }).then(() => undefined),
  );

  await page.goto('/batch/status-updates');
  await page.getByText('Settle many manual reviews at once').waitFor();
  await upload(
    page,
    'outcomes.csv',
    csv(
      [
        `${reviewed[0]},SUCCESS,74332745678901234567890,The bank confirmed the credit by letter`,
        `${reviewed[1]},FAILURE,,The bank says that the account is closed`,
        `${reviewed[1]},MAYBE,,The bank says that the account is closed`,
      ],
      'refund_id,status,arn,evidence',
    ),
    'status_updates',
  );
  await figure(page, 'Good').getByText('2 rows').waitFor();
  await page.getByRole('button', { name: 'Go on without the 1 bad row' }).click();
  await page.getByText('2 refunds in manual review are settled as the file says', { exact: false }).waitFor();
  await page.getByRole('textbox', { name: 'Type the number of rows' }).fill('2');
  await page.getByRole('button', { name: 'Confirm and settle 2 status updates' }).click();
  await step(page, 'Results').getByText('2 of 3 rows were settled').waitFor();
  await page.getByRole('row', { name: /SUCCESS.*Success/ }).waitFor();
  await page.getByRole('row', { name: /FAILURE.*Failure/ }).waitFor();
  await checkBothSchemes(page);
  const states = await Promise.all(reviewed.map((id) => desk.api.get(`/v1/refunds/${id}`)));
  expect(states.map(({ body }) => body.state)).toEqual(['succeeded', 'failed']);
  expect(problemsOf(page)).toEqual([]);
});

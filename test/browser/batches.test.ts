import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
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

test('a file goes its whole way: checked, confirmed by its total, sent and followed to its results', async () => {
  for (const id of ['WAY-1', 'WAY-2']) await chargedAtSandbox(desk.api, id, '1000.00', 'sbx_ok');
  await chargedAtSandbox(desk.api, 'WAY-3', '1000.00', 'sbx_refuse');
  await page.goto('/batch/refunds');
  await page.getByText('Refund many orders at once').waitFor();
  await checkBothSchemes(page);
  await page.getByRole('link', { name: 'Create batch refund' }).first().click();
  await page.getByText('Choose a file first.').waitFor();
  await checkBothSchemes(page);
  await page
    .locator('input[type=file]')
    .setInputFiles(
      csvFile(
        'way.csv',
        csv([
          'WAY-1,way-1,100.50,INR,Returned',
          'WAY-1,way-1b,100.50,INR,',
          'WAY-2,way-2,full,INR,',
          'WAY-3,way-3,10.00,INR,',
          'WAY-2,way-4,"1,234.50",INR,',
          'WAY-9,way-9,10.00,INR,',
        ]),
      ),
    );
  expect(await page.getByLabel('Name', { exact: true }).inputValue()).toBe('way');
  await page.getByLabel('Name', { exact: true }).fill('The way of November');
  await page.getByRole('button', { name: 'Upload and check' }).click();

  await figure(page, 'Good').getByText('3 rows').waitFor();
  await figure(page, 'Good').getByText('1,110.50').waitFor();
  await figure(page, 'Look-alikes').getByText('1 row', { exact: true }).waitFor();
  await figure(page, 'Bad').getByText('2 rows').waitFor();
  const bad = page.getByRole('table', { name: 'Bad rows' });
  await bad.getByRole('row', { name: /^6 WAY-2.*amount 1,234\.50.*grouped/ }).waitFor();
  await bad.getByRole('row', { name: /^7 WAY-9.*order_id WAY-9.*no such order/ }).waitFor();
  await page
    .getByRole('listitem')
    .filter({ hasText: /^1.*grouped_digits$/ })
    .waitFor();
  await page.getByRole('button', { name: /^Look-alike/ }).click();
  await page.waitForURL(/rows=look-alikes/);
  await page.getByRole('row', { name: /WAY-1.*Line 2 of the file/ }).waitFor();
  await checkBothSchemes(page);

  await page.getByRole('button', { name: 'Go on without the 2 bad rows' }).click();
  await page.waitForURL(/step=confirm/);
  await step(page, 'Confirm').getByText('Say first what becomes of the look-alikes.').waitFor();
  const confirm = step(page, 'Confirm').getByRole('button', { name: /^Confirm/ });
  expect(await confirm.isDisabled()).toBe(true);
  await page.getByRole('radio', { name: /^Leave them: INR\s100\.50/ }).check();
  await page
    .getByText(/3 refunds of INR\s1,110\.50 in all go out through SANDBOX\. 3 other rows stay/)
    .waitFor();
  const total = page.getByRole('textbox', { name: 'Type the total in INR' });
  await total.fill('1110.4');
  expect(await confirm.isDisabled()).toBe(true);
  await total.fill('1111.50');
  await page.getByText('INR 1,111.50 is not INR 1,110.50.').waitFor();
  expect(await confirm.isDisabled()).toBe(true);
  await checkBothSchemes(page);
  await total.fill('1110.50');
  await page.getByText('That is the total.').waitFor();
  await confirm.dblclick();

  await step(page, 'Results').getByText('3 of 6 rows became refunds').waitFor();
  const outcomes = page.getByRole('list', { name: 'Rows by outcome' });
  await outcomes.getByRole('link', { name: '2 Success' }).waitFor();
  await outcomes.getByText('3not sent').waitFor();
  await page.getByText('Finished', { exact: true }).waitFor();
  await page.getByRole('row', { name: /^5 WAY-3.*Failure/ }).waitFor();
  await page.getByRole('row', { name: /^6 WAY-2.*not sent.*bad/ }).waitFor();
  await checkBothSchemes(page);
  await page.getByRole('button', { name: /^Failed/ }).click();
  await page.getByRole('row', { name: /^2 WAY-1/ }).waitFor({ state: 'detached' });
  await page.getByRole('row', { name: /^5 WAY-3/ }).waitFor();
  const trail = page.getByRole('list', { name: 'Trail' });
  await trail
    .getByRole('listitem')
    .filter({ hasText: 'Confirmed' })
    .getByText('operations@shop.test')
    .waitFor();
  expect(await trail.getByText('Confirmed').count()).toBe(1);
  await page.getByRole('navigation', { name: 'Steps' }).getByRole('link', { name: /^Run/ }).click();
  await page.getByText('Every row has been answered.').waitFor();
  await checkBothSchemes(page);

  await outcomes.getByRole('link', { name: '2 Success' }).click();
  await page.getByRole('button', { name: 'Batch The way of November' }).waitFor();
  await page.getByRole('row', { name: /WAY-2/ }).waitFor();
  expect(await page.getByRole('row', { name: /WAY-/ }).count()).toBe(2);
  await page.getByRole('row', { name: /WAY-2/ }).click();
  await page.getByRole('tab', { name: 'Facts' }).click();
  await link('The way of November').click();
  await step(page, 'Results').waitFor();
  await page.getByText('Finished', { exact: true }).waitFor();

  await page.goto('/batch/refunds?status=finished');
  await page.getByRole('row', { name: /The way of November.*Finished.*1 failure.*3 of 3/ }).click();
  await page.waitForURL(/\/batch\/[0-9a-f-]{36}$/);
  await page.goto('/');
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
  await page.keyboard.press('/');
  await page.getByRole('textbox', { name: 'Search everything' }).fill('the way of');
  await page.getByRole('button', { name: /The way of November/ }).waitFor();
  await page.keyboard.press('Enter');
  await step(page, 'Results').waitFor();
  expect(problemsOf(page)).toEqual([]);
});

test('columns under other names are mapped once, and known from then on', async () => {
  for (const id of ['MAP-1', 'MAP-2']) await chargedAtSandbox(desk.api, id, '100.00', 'sbx_ok');
  const header = 'Bestellnummer;Vorgang;Betrag;Kunde;currency';
  await upload(page, 'erstattungen.csv', csv(['MAP-1;map-1;10.00;Frau Schmidt;INR'], header));
  await page.getByText('The columns of this file have other names than expected').waitFor();
  await page.getByRole('row', { name: /Kunde Frau Schmidt/ }).waitFor();
  const says = async (column: string, is: string) => {
    await page.getByRole('combobox', { name: `${column} is` }).click();
    await page.getByRole('option', { name: new RegExp(`^${is} ·`) }).click();
  };
  expect(await page.getByRole('combobox', { name: 'currency is' }).inputValue()).toMatch(/^currency/);
  await says('Bestellnummer', 'order_id');
  await says('Betrag', 'amount');
  await checkBothSchemes(page);
  await page.getByRole('button', { name: 'Read the file with these columns' }).click();
  await page.getByText('The file has no column unique_request_id', { exact: false }).waitFor();
  await says('Vorgang', 'unique_request_id');
  await page.getByRole('checkbox', { name: 'Remember this for later files' }).check();
  await page.getByRole('button', { name: 'Read the file with these columns' }).click();
  await figure(page, 'Good').getByText('1 row').waitFor();
  await upload(page, 'erstattungen-2.csv', csv(['MAP-2;map-2;10.00;Herr Meier;INR'], header));
  await figure(page, 'Good').getByText('1 row').waitFor();
  expect(problemsOf(page)).toEqual([]);
});

test('the same file is refused with the earlier batch beside it, unless it is meant', async () => {
  await chargedAtSandbox(desk.api, 'SAME-1', '100.00', 'sbx_ok');
  const text = csv(['SAME-1,same-1,10.00,INR,']);
  await upload(page, 'first.csv', text);
  await figure(page, 'Good').getByText('1 row').waitFor();
  const first = page.url();
  await upload(page, 'second.csv', text);
  await page.getByText('This very file was uploaded before', { exact: false }).waitFor();
  await checkBothSchemes(page);
  const second = page.url();
  await link('Look at the earlier batch').click();
  await page.waitForURL(first);
  await page.goto(second);
  await page.getByRole('button', { name: 'Take it all the same' }).click();
  await figure(page, 'Good').getByText('1 row').waitFor();
});

test('an upload that is cut off goes on by itself, by a button, and after a reload with the same file', async () => {
  // Longer than one part; its orders are unknown, which is soon checked.
  const note = 'n'.repeat(1_900);
  const text = csv(Array.from({ length: 4_800 }, (_, n) => `CUT-${n},cut-${n},1.00,INR,${note}`));
  const folder = await mkdtemp(join(tmpdir(), 'refundry-upload-'));
  const [file, renamed, longer] = ['cut.csv', 'other.csv', 'longer/cut.csv'].map((name) =>
    join(folder, name),
  );
  await mkdir(join(folder, 'longer'));
  for (const path of [file!, renamed!]) await writeFile(path, text);
  await writeFile(longer!, `${text}x`);
  let lost = 0;
  let stands = false;
  await page.route('**/v1/batches/*/file', async (route) => {
    if (!stands && route.request().headers()['upload-offset'] !== '0') {
      lost += 1;
      return route.abort('connectionreset');
    }
    return route.continue();
  });
  await page.goto('/batch/new?kind=refunds');
  await page.locator('input[type=file]').setInputFiles(file!);
  await page.getByRole('button', { name: 'Upload and check' }).click();
  await page.getByText('The connection was lost').waitFor();
  await page.getByText('8.0 MB of 9.3 MB', { exact: false }).waitFor();
  const goOn = page.getByRole('button', { name: 'Go on', exact: true });
  await until('the page to give up trying by itself', async () => {
    // As when the network comes back and goes again: it does not wait for its next try.
    await page.evaluate(() => (globalThis as unknown as EventTarget).dispatchEvent(new Event('online')));
    return (await goOn.isVisible()) ? true : undefined;
  });
  expect(lost).toBeGreaterThan(3);
  await checkBothSchemes(page);

  await page.reload();
  await page.getByRole('button', { name: 'Choose cut.csv again' }).waitFor();
  const bar = page.getByRole('progressbar', { name: 'Upload' });
  expect(Number(await bar.getAttribute('aria-valuenow'))).toBeGreaterThan(80);
  await checkBothSchemes(page);
  const input = page.locator('input[type=file]');
  await input.setInputFiles(renamed!);
  await page
    .getByText('This is other.csv; the upload that was cut off was of cut.csv.', { exact: false })
    .waitFor();
  await input.setInputFiles(longer!);
  await page.getByText('To send another file, start a new batch', { exact: false }).waitFor();
  const sent = lost;
  await input.setInputFiles(file!);
  await page.getByText('The connection was lost').waitFor();
  expect(lost).toBeGreaterThan(sent);
  stands = true;
  await page.getByText('No row can be sent as it is', { exact: false }).waitFor();
  await page.getByText('4,800 rows', { exact: true }).first().waitFor();
  await page.unroute('**/v1/batches/*/file');
  await rm(folder, { recursive: true });
});

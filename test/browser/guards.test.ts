import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Console, checkAxe, emailOf, openConsole, problemsOf } from '../support/console.ts';
import { caller } from '../support/running.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
}, 120_000);
afterAll(() => desk.close());

const APPROVAL = 'A second person approves each batch';
const approval = (page: Page) => page.getByRole('switch', { name: APPROVAL });

test('the approval of batches goes off when a second admin agrees, and stays on when somebody says so', async () => {
  await desk.db.query('update users set email = $1 where email = $2', [
    'second@shop.test',
    'viewer@shop.test',
  ]);
  await desk.db.query(
    `update members set role = 'admin' where user_id = (select id from users where email = 'second@shop.test')`,
  );
  const admin = await desk.signIn('admin', { path: '/settings/policy' });
  await approval(admin).click();
  await admin.getByRole('switch', { name: APPROVAL, checked: true }).waitFor();
  await approval(admin).click();
  await admin.getByText(`Still on. ${emailOf('admin')} asked to switch this off.`).waitFor();
  await admin.getByText('Another admin has to confirm it', { exact: false }).waitFor();
  expect(await approval(admin).isChecked()).toBe(true);
  expect(await admin.getByRole('button', { name: `Switch it off: ${APPROVAL}` }).count()).toBe(0);
  await checkAxe(admin);

  const operations = await desk.signIn('operations', { path: '/settings/policy' });
  await operations.getByRole('button', { name: `Keep it on: ${APPROVAL}` }).click();
  await operations.getByText('Still on.', { exact: false }).waitFor({ state: 'detached' });

  await admin.reload();
  await approval(admin).click();
  await admin.getByText('Still on.', { exact: false }).waitFor();
  const second = await desk.signIn('viewer', { path: '/settings/policy', email: 'second@shop.test' });
  await second.getByRole('button', { name: `Switch it off: ${APPROVAL}` }).click();
  await second.getByText('Still on.', { exact: false }).waitFor({ state: 'detached' });
  expect(await approval(second).isChecked()).toBe(false);
  for (const page of [admin, operations, second]) expect(problemsOf(page)).toEqual([]);
}, 120_000);

test('a key is made for what it has to do, sleeps after a restore and is woken', async () => {
  const page = await desk.signIn('admin', { path: '/developers/keys' });
  const dialog = page.getByRole('dialog');
  const make = async (name: string, choose: () => Promise<void>) => {
    await page.getByRole('button', { name: 'Create key' }).click();
    await dialog.getByLabel('What uses it').fill(name);
    await choose();
    await dialog.getByRole('button', { name: 'Create key' }).click();
    await dialog.getByRole('button', { name: 'Copy key' }).click();
    const key = await page.evaluate<string>('navigator.clipboard.readText()');
    await dialog.getByRole('button', { name: 'I have kept it' }).click();
    await dialog.waitFor({ state: 'hidden' });
    return caller(desk.url, key);
  };
  const shop = await make('Shop', async () => undefined);
  const hooks = await make('Infrastructure', async () => {
    await dialog.getByLabel('Only what is chosen here').check();
    await dialog.getByLabel('manage webhooks').check();
    await dialog.getByLabel('It works').selectOption('90 days');
    await checkAxe(page);
  });
  const row = (name: string | RegExp) => page.getByRole('row', { name });
  await row(/Shop.*Works.*Do what a shop’s server needs/).waitFor();
  await row(/Infrastructure.*Works.*until.*Manage webhooks/).waitFor();
  await row(/Demo.*Everything that a key can be given/).waitFor();
  expect((await shop.get('/v1/refunds')).status).toBe(200);
  expect((await shop.patch('/v1/settings', {})).status).toBe(403);
  expect((await hooks.get('/v1/refunds')).status).toBe(403);
  await checkAxe(page);

  await desk.db.query(`update api_keys set asleep_since = now() where name in ('Shop', 'Infrastructure')`);
  await page.reload();
  await page.getByText('2 keys sleep since the books were restored from a backup.').waitFor();
  await row(/Shop.*Sleeps/).waitFor();
  await checkAxe(page);
  await page.getByRole('button', { name: 'Wake key Shop' }).click();
  await dialog.getByRole('button', { name: 'Wake key Shop' }).click();
  await row(/Shop.*Works/).waitFor();
  await page.getByText('One key sleeps', { exact: false }).waitFor();
  expect(problemsOf(page)).toEqual([]);
}, 120_000);

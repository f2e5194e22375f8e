import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Console, emailOf, openConsole } from '../support/console.ts';
import { PASSWORD } from '../support/people.ts';
import { chargedAtSandbox } from '../support/running.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
});
afterAll(async () => {
  await desk.close();
});

test('all tabs of a browser are of the person who is signed in', async () => {
  const page = await desk.signIn('admin');
  const other = await page.context().newPage();
  await other.goto('/settings/team');
  await other.getByRole('button', { name: 'Account of Asha Admin' }).waitFor();

  await page.getByRole('button', { name: 'Account of Asha Admin' }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await other.waitForURL(/sign-in/);
  await page.getByLabel('E-mail').fill(emailOf('viewer'));
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Account of Vera Viewer' }).waitFor();
  await other.goto('/operations/orders');
  await other.getByRole('button', { name: 'Account of Vera Viewer' }).waitFor();
});

test('after a session has ended, going back shows nothing of what was there', async () => {
  await chargedAtSandbox(desk.api, 'GONE-1', '321.00', 'pay');
  const page = await desk.signIn('support', { path: '/operations/orders/GONE-1' });
  await page.getByText('321.00').first().waitFor();
  await page.getByRole('link', { name: 'Refunds', exact: true }).click();
  await page.waitForURL(/operations\/refunds/);
  await desk.db.query('delete from sessions');
  // Whatever is asked first is refused: by this click, or by what the page asks on its own.
  const signIn = page.waitForURL(/sign-in/);
  await Promise.race([page.getByRole('link', { name: 'Orders', exact: true }).click(), signIn]);
  await signIn;
  // Who is there is asked first, and nothing is answered any more.
  await page.route('**/v1/**', () => {});
  await Promise.all([page.waitForRequest('**/v1/me'), page.goBack()]);
  expect(await page.getByRole('button', { name: 'Account of Sam Support' }).count()).toBe(0);
});

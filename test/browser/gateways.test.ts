import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Console, checkAxe, openConsole, problemsOf } from '../support/console.ts';
import { chargedAtSandbox, until } from '../support/running.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
});
afterAll(async () => {
  await desk.close();
});

const accounts = async () =>
  (await desk.api.get('/v1/gateway-accounts')).body.gateway_accounts as {
    gateway: string;
    name: string;
    enabled: boolean;
    webhook_url: string;
    max_per_second: number;
    credentials: Record<string, string>;
  }[];

/** A field's label, with or without the star of what is required. */
const labelled = (label: string) => new RegExp(`^${label}( \\*)?$`);

test('an account is added by the form of its connector, tried, corrected and tried again', async () => {
  const page = await desk.signIn('admin', { path: '/settings/gateways' });
  await page.getByRole('button', { name: 'Add account' }).first().click();
  const panel = page.getByRole('complementary', { name: 'Add account' });
  await panel.getByRole('button', { name: /^Sandbox/ }).click();
  await page.waitForURL(/add=SANDBOX/);
  const described = (await desk.api.get('/v1/gateways')).body.gateways as {
    gateway: string;
    credential_fields: { label: string }[];
  }[];
  const fields = described.find(({ gateway }) => gateway === 'SANDBOX')!.credential_fields;
  for (const { label } of fields) await panel.getByLabel(labelled(label)).waitFor();

  await panel.getByLabel(labelled('Secret key')).fill('short');
  await panel.getByLabel('Name', { exact: true }).fill('second');
  await panel.getByRole('button', { name: 'Add the account' }).click();
  await panel.getByText('does not look like one', { exact: false }).waitFor();
  expect(await panel.getByLabel(labelled('Secret key')).getAttribute('aria-invalid')).toBe('true');
  await page.waitForFunction(
    (input) =>
      input === (globalThis as unknown as { document: { activeElement: unknown } }).document.activeElement,
    await panel.getByLabel(labelled('Secret key')).elementHandle(),
  );
  await panel.getByLabel(labelled('Secret key')).fill('wrong_sk_0123456789abWXYZ');
  await panel.getByRole('button', { name: 'Add the account' }).click();

  // Added: the panel goes on to what has to be done next.
  const edit = page.getByRole('complementary', { name: 'Edit account' });
  await edit.getByRole('button', { name: 'Copy webhook address' }).click();
  const made = (await accounts()).find(({ name }) => name === 'second')!;
  expect(await page.evaluate<string>('navigator.clipboard.readText()')).toBe(made.webhook_url);
  await edit.getByRole('button', { name: 'Test connection' }).click();
  await edit.getByText('The gateway does not accept these credentials.').waitFor();

  expect(await edit.getByLabel(labelled('Secret key')).inputValue()).toBe('');
  await edit.getByLabel(labelled('Secret key')).fill('sbx_sk_0123456789abcdEFGH');
  await edit.getByLabel('Calls in one second').fill('7');
  await edit.getByRole('button', { name: 'Save the account' }).click();
  await edit.getByText('Saved.', { exact: false }).waitFor();
  await edit.getByRole('button', { name: 'Test connection' }).click();
  await edit.getByText('The connection works.').waitFor();
  await edit.getByText('Asked:', { exact: false }).waitFor();
  await edit.getByText('What came back').click();
  expect(await page.content()).not.toContain('sbx_sk_0123456789abcdEFGH');

  const save = async () => {
    await edit.getByRole('button', { name: 'Save the account' }).click();
    await edit.getByText('Saved.', { exact: false }).waitFor();
  };
  await edit.getByLabel('Previous secret key', { exact: true }).fill('sbx_sk_before_this_one_ZYXW');
  await save();
  await edit.getByText('Now ****ZYXW; empty keeps it.', { exact: false }).waitFor();
  await edit.getByRole('checkbox', { name: 'Remove previous secret key' }).check();
  await save();
  await edit.getByText('****ZYXW', { exact: false }).waitFor({ state: 'hidden' });
  expect((await accounts()).find(({ name }) => name === 'second')?.credentials).toEqual({
    secret_key: '****EFGH',
  });

  await page.keyboard.press('Escape');
  const card = page.getByRole('article', { name: 'Sandbox second' });
  await card.getByText('****EFGH').waitFor();
  await card.getByText('of 7 calls a second', { exact: false }).waitFor();
  expect((await accounts()).find(({ name }) => name === 'second')?.max_per_second).toBe(7);
  expect(problemsOf(page)).toEqual([]);
});

test('an account whose gateway is not there says so', async () => {
  const made = await desk.api.post('/v1/gateway-accounts', {
    gateway: 'SANDBOX',
    name: 'nowhere',
    base_url: 'http://127.0.0.1:9',
    credentials: { secret_key: 'sbx_sk_nobody_answers' },
  });
  expect(made.status).toBe(201);
  const page = await desk.signIn('admin', { path: '/settings/gateways' });
  const card = page.getByRole('article', { name: 'Sandbox nowhere' });
  await card.getByRole('button', { name: 'Test connection' }).click();
  await card.getByText('No usable answer came back.').waitFor();
  await checkAxe(page);
});

test('what an account is asked to refund while it is off waits, and goes out when it is on again', async () => {
  await chargedAtSandbox(desk.api, 'WAITS-1', '100.00', 'pay');
  const page = await desk.signIn('admin', { path: '/settings/gateways' });
  const card = page.getByRole('article', { name: 'Sandbox default' });
  await card.getByRole('button', { name: 'Switch off …' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('nothing is sent to Sandbox through this account', { exact: false }).waitFor();
  await dialog.getByRole('button', { name: 'Switch off' }).click();
  await card.getByText('Off', { exact: true }).waitFor();
  expect((await accounts()).find(({ name }) => name === 'default')?.enabled).toBe(false);

  const refund = { order_id: 'WAITS-1', unique_request_id: 'WAITS-1-r1', amount: '40.00' };
  const { refund_id } = (await desk.api.post('/v1/refunds', refund)).body;
  await card.getByRole('link', { name: '1', exact: true }).waitFor();
  await card.getByRole('button', { name: 'Switch on …' }).click();
  await dialog.getByText('What waits (1 refund) goes out', { exact: false }).waitFor();
  expect((await desk.api.get(`/v1/refunds/${refund_id}`)).body.state).toBe('queued');
  await dialog.getByRole('button', { name: 'Switch on' }).click();
  await card.getByText('No failures').waitFor();
  await until('the refund to be made', async () =>
    (await desk.api.get(`/v1/refunds/${refund_id}`)).body.status === 'SUCCESS' ? true : undefined,
  );
});

test('settings say what follows from them and are kept', async () => {
  const page = await desk.signIn('admin', { path: '/settings/merchant' });
  await page.getByText('Demo Store').first().waitFor();
  const full = page.getByRole('switch', {
    name: 'A request without an amount refunds everything that is left',
  });
  expect(await full.isChecked()).toBe(true);
  await page.getByText('A refund request without an amount is refused', { exact: false }).waitFor();
  await full.press('Space');
  await page.waitForFunction(
    (input) => (input as unknown as { checked: boolean }).checked === false,
    await full.elementHandle(),
  );
  expect((await desk.api.get('/v1/settings')).body.settings.full_refund_when_amount_absent).toBe(false);
  await page.reload();
  await full.waitFor();
  expect(await full.isChecked()).toBe(false);
  await page.getByText('You have no second factor yourself', { exact: false }).waitFor();
  await checkAxe(page);
  expect(problemsOf(page)).toEqual([]);
});

test('who may not manage sees accounts and settings, and changes nothing', async () => {
  const page = await desk.signIn('operations', { path: '/settings/gateways' });
  const card = page.getByRole('article', { name: 'Sandbox default' });
  await card.getByText('calls a second', { exact: false }).waitFor();
  await card.getByRole('button', { name: 'Copy webhook address' }).waitFor();
  expect(await page.getByRole('button', { name: 'Test connection' }).count()).toBe(0);
  expect(await page.getByRole('button', { name: 'Add account' }).count()).toBe(0);
  await page.getByText('Only the role Admin', { exact: false }).waitFor();
  await page.goto('/settings/gateways?add=SANDBOX');
  await card.waitFor();
  expect(await page.getByRole('complementary', { name: 'Add account' }).count()).toBe(0);
  await page.goto('/settings/merchant');
  await page.getByText('Only the role Admin', { exact: false }).waitFor();
  for (const setting of await page.getByRole('switch').all()) expect(await setting.isDisabled()).toBe(true);
});

test('the pages are clean for assistive technology, light and dark, wide and narrow', async () => {
  for (const look of [
    { colours: 'light', width: 1280 },
    { colours: 'dark', width: 390 },
  ] as const) {
    const page = await desk.signIn('admin', { ...look, path: '/settings/gateways' });
    await page.getByRole('article', { name: 'Sandbox default' }).waitFor();
    await checkAxe(page);
    await page.goto('/settings/gateways?add=SANDBOX');
    await page.getByRole('button', { name: 'Add the account' }).waitFor();
    await checkAxe(page);
    await page.goto('/settings/gateways?add=choose');
    await page.getByText('At which gateway?').waitFor();
    await checkAxe(page);
    await page.goto('/settings/merchant');
    await page.getByRole('switch').first().waitFor();
    await checkAxe(page);
  }
});

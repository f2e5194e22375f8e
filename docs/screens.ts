/**
 * Takes the README's pictures of the dashboard from the running product: `npm run screens`. A Refundry with the demo is
 * started in a temporary folder, refunds of its orders are made through the API, and a browser looks at the pages.
 */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { openBrowser } from '../test/support/browser.ts';

const ROOT = join(import.meta.dirname, '..');
const KEY = 'demo_000000000000000000000000';

const folder = mkdtempSync(join(tmpdir(), 'refundry-screens-'));
chmodSync(folder, 0o755);
const env = {
  PATH: process.env['PATH'] ?? '',
  PORT: '0',
  DATA_DIR: join(folder, 'data'),
  DEMO_API_KEY: KEY,
  LOG_LEVEL: 'warn',
};
const REFUNDRY = join(ROOT, 'bin/refundry.js');
const program = spawn(process.execPath, [REFUNDRY, 'serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
const url = await startedAt();
const password = execFileSync(process.execPath, [REFUNDRY, 'demo-password'], {
  env,
  encoding: 'utf8',
}).trim();
const browser = await openBrowser();
try {
  const refunds = await makeRefunds();
  const light = await signIn('light');
  await light.goto(`/operations/orders?open=${refunds.shown.order_id}`);
  await light.getByRole('button', { name: 'Create refund' }).click();
  const dialog = light.getByRole('dialog');
  await dialog.getByRole('radio', { name: 'Other amount' }).check();
  await dialog.getByLabel('Amount in').fill('1250.00');
  await dialog.getByLabel('Reason').fill('Item returned');
  await light.keyboard.press('Escape');
  await dialog.getByText('leaves').waitFor();
  await take(light, 'refund-an-order');

  await checkBatch(light);
  await take(light, 'check-a-batch');

  const dark = await signIn('dark');
  await dark.goto(`/operations/refunds/${refunds.reversed.refund_id}`);
  await dark.getByText('took the money back').first().waitFor();
  await take(dark, 'follow-a-refund');

  await light.goto('/?period=1');
  await light.getByText('Failures by reason').waitFor();
  await light.waitForTimeout(1_000);
  await take(light, 'home');
} finally {
  await browser.close();
  program.kill('SIGINT');
  await new Promise((resolve) => program.once('exit', resolve));
  rmSync(folder, { recursive: true, force: true });
}

async function startedAt(): Promise<string> {
  let shown = '';
  for await (const chunk of program.stdout) {
    shown += chunk;
    const found = /(http:\/\/[\d.]+:\d+)/.exec(shown);
    if (found && shown.includes('Stop ')) return found[1]!;
  }
  throw new Error(`it did not start: ${shown}`);
}

interface Made {
  readonly order_id: string;
  readonly refund_id: string;
  readonly state: string;
}

/** Some of what a day brings: refunds of many kinds, one of them taken back, and an order with something left. */
async function makeRefunds(): Promise<{ shown: Made; reversed: Made }> {
  const reasons = ['Item returned', 'Item not available', 'Damaged or wrong item', 'Price adjustment'];
  const charge = async (orderId: string, amount: string, behaviour: string) =>
    ask('POST', '/v1/transactions', {
      order_id: orderId,
      amount,
      currency: 'INR',
      status: 'CHARGED',
      gateway: 'SANDBOX',
      gateway_payment_id: `${behaviour}_${orderId}`,
      payment_method_type: 'CARD',
      payment_method: 'VISA',
      charged_at: new Date(Date.now() - 3_600_000).toISOString(),
    });
  const refund = async (orderId: string, amount: string, index: number) =>
    (await ask('POST', '/v1/refunds', {
      order_id: orderId,
      unique_request_id: `screen-${orderId}-${index}`,
      amount,
      reason: reasons[index % reasons.length],
    })) as Made;

  const { orders } = (await ask('GET', '/v1/orders?limit=60&refunded=none&status=CHARGED')) as {
    orders: { order_id: string; refundable_amount: string }[];
  };
  for (const [index, order] of orders.entries()) {
    if (index % 3 !== 1)
      await refund(order.order_id, index % 4 === 0 ? 'full' : smallPart(order.refundable_amount), index);
  }
  await charge('A-20417', '4899.00', 'pay');
  const shown = await refund('A-20417', '1499.00', 1);
  await charge('A-20402', '2399.00', 'sbx_reverse');
  const reversed = await refund('A-20402', '899.00', 2);
  for (const behaviour of ['sbx_fail', 'sbx_stuck', 'sbx_refuse']) {
    await charge(`A-${behaviour}`, '999.00', behaviour);
    await refund(`A-${behaviour}`, '999.00', 3);
  }
  for (let tries = 0; tries < 100; tries += 1) {
    const now = (await ask('GET', `/v1/refunds/${reversed.refund_id}`)) as Made;
    if (now.state === 'reversed') return { shown, reversed: now };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error('the refund was not taken back');
}

/** A file as it comes from a shop: most of its rows are good. */
async function checkBatch(page: Page): Promise<void> {
  const { orders } = (await ask('GET', '/v1/orders?limit=300&refunded=none&status=CHARGED')) as {
    orders: { order_id: string; currency: string; refundable_amount: string }[];
  };
  const usual = orders.filter(({ currency }) => currency === 'INR' || currency === 'USD');
  const rows = usual.map(
    ({ order_id, currency, refundable_amount }, n) =>
      `${order_id},nov-${n},${n % 5 === 0 ? 'full' : smallPart(refundable_amount)},${currency},Festival returns`,
  );
  const [first, second, third] = usual;
  rows.splice(4, 0, `${first!.order_id},nov-a,"1,234.50",${first!.currency},`);
  rows.splice(9, 0, `A-99999,nov-b,499.00,INR,`);
  rows.splice(15, 0, `${second!.order_id},nov-c,,${second!.currency},`);
  rows.push(`${third!.order_id},nov-d,${smallPart(third!.refundable_amount)},${third!.currency},`);
  const text = `order_id,unique_request_id,amount,currency,note\n${rows.join('\n')}\n`;
  await page.goto('/batch/new?kind=refunds');
  await page
    .locator('input[type=file]')
    .setInputFiles({ name: 'festival-returns.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
  await page.getByRole('button', { name: 'Upload and check' }).click();
  await page.getByRole('table', { name: 'Bad rows' }).waitFor();
}

function smallPart(amount: string): string {
  const [whole = '0', decimals] = amount.split('.');
  const part = String(Math.max(1, Math.floor(Number(whole) / 3)));
  return decimals === undefined ? part : `${part}.${'0'.repeat(decimals.length)}`;
}

async function ask(method: string, path: string, body?: object): Promise<unknown> {
  const answer = await fetch(url + path, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(`${KEY}:`).toString('base64')}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function signIn(colours: 'light' | 'dark'): Promise<Page> {
  const context = await browser.newContext({
    baseURL: url,
    viewport: { width: 1280, height: 760 },
    deviceScaleFactor: 2,
    colorScheme: colours,
    reducedMotion: 'reduce',
    timezoneId: 'Asia/Kolkata',
  });
  const page = await context.newPage();
  await page.goto('/sign-in');
  await page.getByLabel('E-mail').fill('operations@demo.test');
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
  return page;
}

async function take(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(ROOT, 'docs/screens', `${name}.png`) });
}

import type { Page } from 'playwright-core';
import { checkAxe } from '../support/console.ts';

const HEADER = 'order_id,unique_request_id,amount,currency,note';

/** A file of refunds out of its rows. */
export function csv(rows: readonly string[], header = HEADER): string {
  return `${[header, ...rows].join('\n')}\n`;
}

export function csvFile(name: string, text: string) {
  return { name, mimeType: 'text/csv', buffer: Buffer.from(text) };
}

/** Chooses a file for a new batch, and uploads it. */
export async function upload(page: Page, name: string, text: string, kind = 'refunds'): Promise<void> {
  await page.goto(`/batch/new?kind=${kind}`);
  await page.locator('input[type=file]').setInputFiles(csvFile(name, text));
  await page.getByRole('button', { name: 'Upload and check' }).click();
}

/** One of the three figures of the check, by its name. */
export function figure(page: Page, name: string) {
  return page.locator('dl div', { has: page.getByText(name, { exact: true }) });
}

/** What the page shows of a step. */
export function step(page: Page, name: string) {
  return page.getByRole('region', { name });
}

/** On the page as it stands, in both colour schemes. */
export async function checkBothSchemes(page: Page): Promise<void> {
  await checkAxe(page);
  await page.emulateMedia({ colorScheme: 'dark' });
  await checkAxe(page);
  await page.emulateMedia({ colorScheme: 'light' });
}

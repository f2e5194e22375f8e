import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Console, openConsole, problemsOf } from '../support/console.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
});
afterAll(async () => {
  await desk.close();
});

/** Every page of the rail, and the signed-in person's own. */
const PAGES = [
  '/',
  '/operations/orders',
  '/operations/refunds',
  '/operations/review',
  '/batch/refunds',
  '/batch/status-updates',
  '/batch/new',
  '/approvals',
  '/settings/policy',
  '/developers/keys',
  '/developers/webhooks',
  '/developers/requests',
  '/settings/gateways',
  '/settings/team',
  '/settings/merchant',
  '/account',
];

test('the page allows no script but its own files and no style without its nonce, which no two answers share', async () => {
  const policies = await Promise.all(
    ['/', '/operations/orders/A%2F1', '/sign-in'].map(async (path) => {
      const answer = await fetch(desk.url + path);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      const html = await answer.text();
      expect(html).not.toMatch(/<script(?![^>]*src=)|<style|\son\w+=|style="/);
      return answer.headers.get('content-security-policy')!;
    }),
  );
  for (const policy of policies) {
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self' 'nonce-[A-Za-z0-9+/]{24}'/,
    );
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(policy).toContain("frame-ancestors 'none'");
  }
  expect(new Set(policies).size).toBe(policies.length);
});

test('its files are small on the way and kept for a year; what is not there is no page', async () => {
  const html = await (await fetch(desk.url)).text();
  const script = /src="(\/assets\/[^"]+\.js)"/.exec(html)![1]!;
  const answer = await fetch(desk.url + script, { headers: { 'accept-encoding': 'br' } });
  expect(answer.headers.get('cache-control')).toContain('immutable');
  expect(answer.headers.get('content-encoding')).toBe('br');
  expect((await fetch(`${desk.url}/assets/gone.js`)).status).toBe(404);
  expect((await fetch(`${desk.url}/assets/../../package.json`)).status).toBe(404);
  expect((await fetch(`${desk.url}/assets/%2e%2e/index.html`)).status).toBe(404);
});

test("the contract's own addresses stay the contract's", async () => {
  const answer = await fetch(`${desk.url}/orders/A-1`, { headers: { accept: 'text/html' } });
  expect(answer.headers.get('content-type')).toContain('application/json');
  expect(answer.status).toBe(401);
});

test('no page asks anybody else, breaks its policy or throws', async () => {
  const page = await desk.signIn('admin');
  const foreign: string[] = [];
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== desk.url && protocol !== 'data:' && protocol !== 'blob:') foreign.push(request.url());
  });
  for (const path of PAGES) {
    await page.goto(path);
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  expect(foreign).toEqual([]);
  expect(problemsOf(page)).toEqual([]);
});

test('a lost connection is said, and the page is live again by itself', async () => {
  const page = await desk.signIn('viewer');
  await page.getByText('Live', { exact: true }).waitFor();
  await page.context().setOffline(true);
  await page.goto('about:blank').catch(() => undefined);
  await page.context().setOffline(false);
  await page.goto('/');
  await page.route('**/v1/stream', (route) => route.abort());
  await page.reload();
  await page.getByText('Not live', { exact: true }).waitFor();
  await page.unroute('**/v1/stream');
  await page.getByText('Live', { exact: true }).waitFor();
});

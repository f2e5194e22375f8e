import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { expect } from 'vitest';
import type { Role } from '../../src/access/roles.ts';
import { readSettings } from '../../src/config.ts';
import type { Database } from '../../src/lib/db.ts';
import { createLogger } from '../../src/lib/log.ts';
import { startRefundry } from '../../src/main.ts';
import { openBrowser } from './browser.ts';
import { freshDatabase } from './database.ts';
import { addPerson, PASSWORD } from './people.ts';
import { caller, DEMO_KEY } from './running.ts';

/** A whole Refundry with the demo merchant, its orders and its sandbox gateway, and a browser in front of it. */
export interface Console {
  readonly url: string;
  readonly db: Database;
  /** The API with the demo merchant's key, for what a test needs to be there before it begins. */
  readonly api: ReturnType<typeof caller>;
  readonly browser: Browser;
  /** A page of a browser of its own, signed in as a person of the demo merchant with this role. */
  signIn(role: Role, options?: PageOptions): Promise<Page>;
  /** A page of a browser of its own in which nobody has signed in. */
  open(path: string, options?: PageOptions): Promise<Page>;
  close(): Promise<void>;
}

export interface PageOptions {
  readonly width?: number;
  readonly height?: number;
  readonly colours?: 'light' | 'dark';
  readonly locale?: string;
  /** Where to go after signing in. */
  readonly path?: string;
  /** Who signs in, where it is not the person of the role. */
  readonly email?: string;
}

const ROLES: readonly Role[] = ['viewer', 'support', 'operations', 'admin'];

/** Starts everything; `environment` adds to the settings. Call `close()` at the end. */
export async function openConsole(environment: Record<string, string> = {}): Promise<Console> {
  const fresh = await freshDatabase();
  const folder = mkdtempSync(join(tmpdir(), 'refundry-console-'));
  const settings = readSettings({
    DATABASE_URL: fresh.connectionString,
    MASTER_KEY: randomBytes(32).toString('base64'),
    DATA_DIR: folder,
    PORT: '0',
    DEMO: 'on',
    DEMO_API_KEY: DEMO_KEY,
    ALLOW_PRIVATE_WEBHOOKS: 'on',
    ALLOW_OTHER_GATEWAY_HOSTS: 'on',
    ...environment,
  });
  const program = await startRefundry(settings, { log: createLogger('silent') });
  for (const role of ROLES) {
    await addPerson(fresh.db, { merchantId: 'demo', role, email: emailOf(role), name: nameOf(role) });
  }
  const browser = await openBrowser();
  const url = program.url!;

  async function open(path: string, options: PageOptions = {}): Promise<Page> {
    const context = await browser.newContext({
      viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
      colorScheme: options.colours ?? 'light',
      reducedMotion: 'reduce',
      locale: options.locale ?? 'en-IN',
      timezoneId: 'Asia/Kolkata',
      baseURL: url,
    });
    context.setDefaultTimeout(20_000);
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await context.newPage();
    keepProblems(context);
    await page.goto(path);
    return page;
  }

  return {
    url,
    db: fresh.db,
    api: caller(url),
    browser,
    open,
    async signIn(role, options = {}) {
      const page = await open('/sign-in', options);
      const answer = await page.evaluate(
        async (body) => {
          const headers = { 'content-type': 'application/json', 'x-refundry': 'dashboard' };
          const response = await fetch('/auth/sign-in', { method: 'POST', headers, body });
          return response.text();
        },
        JSON.stringify({ email: options.email ?? emailOf(role), password: PASSWORD }),
      );
      expect(JSON.parse(answer)).toEqual({ status: 'signed_in' });
      await page.goto(options.path ?? '/');
      await page.getByRole('navigation', { name: 'Main' }).waitFor({ state: 'attached' });
      return page;
    },
    async close() {
      await browser.close();
      await program.stop();
      await fresh.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function emailOf(role: Role): string {
  return `${role}@shop.test`;
}

function nameOf(role: Role): string {
  return {
    viewer: 'Vera Viewer',
    support: 'Sam Support',
    operations: 'Olga Operations',
    admin: 'Asha Admin',
  }[role];
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface AxeFinding {
  readonly id: string;
  readonly help: string;
  readonly nodes: readonly {
    readonly target: readonly string[];
    readonly html: string;
    readonly failureSummary?: string;
  }[];
}

/** Fails on everything that axe-core finds against WCAG 2.2 A and AA on the page as it stands. */
export async function checkAxe(page: Page): Promise<void> {
  await page.evaluate(`${axe}; 0`);
  const found = await page.evaluate(async () => {
    const run = (globalThis as unknown as { axe: { run(o: object): Promise<{ violations: AxeFinding[] }> } })
      .axe;
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
    return (await run.run({ runOnly: { type: 'tag', values: tags } })).violations;
  });
  const words = found.flatMap(({ id, help, nodes }) =>
    nodes.map(
      (node) =>
        `${id}: ${help}\n  ${node.target.join(' ')}\n  ${node.html.slice(0, 200)}\n  ${node.failureSummary}`,
    ),
  );
  expect(words).toEqual([]);
}

const problems = new WeakMap<BrowserContext, string[]>();

/** What the page's own scripts threw, or the page's policy refused; a test may ask at its end. */
export function problemsOf(page: Page): readonly string[] {
  return problems.get(page.context()) ?? [];
}

function keepProblems(context: BrowserContext): void {
  const found: string[] = [];
  problems.set(context, found);
  context.on('weberror', (error) => found.push(String(error.error())));
  context.on('console', (message) => {
    if (message.type() === 'error' && /Content Security Policy|Uncaught/.test(message.text()))
      found.push(message.text());
  });
}

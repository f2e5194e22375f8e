import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Role } from '../../src/access/roles.ts';
import { type Console, checkAxe, emailOf, openConsole, problemsOf } from '../support/console.ts';
import { addPerson, PASSWORD } from '../support/people.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
  // The demo's own people stand aside.
  await desk.db.query(`update members set disabled_at = now() where user_id in
    (select id from users where email like '%@demo.test')`);
});
afterAll(async () => {
  await desk.close();
});

const TEAM = '/settings/team';

let made = 0;
/** Somebody whom no other test knows. */
async function newPerson(role: Role = 'support'): Promise<{ email: string; name: string }> {
  made += 1;
  const person = { email: `member-${made}@shop.test`, name: `Member ${made}` };
  await addPerson(desk.db, { merchantId: 'demo', role, ...person });
  return person;
}

async function giveSignIn(page: Page, email: string, password = PASSWORD): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function signedIn(email: string, path = '/'): Promise<Page> {
  const page = await desk.open(path);
  await giveSignIn(page, email);
  await page.getByRole('button', { name: /^Account of/ }).waitFor();
  return page;
}

const rowOf = (page: Page, email: string) =>
  page
    .getByRole('table', { name: 'People' })
    .getByRole('row')
    .filter({ has: page.getByRole('cell', { name: email, exact: true }) });

async function choose(page: Page, email: string, action: string): Promise<void> {
  await rowOf(page, email)
    .getByRole('button', { name: /^Actions for/ })
    .click();
  await page.getByRole('menuitem', { name: action }).click();
}

async function confirm(page: Page, act: string): Promise<void> {
  await page.getByRole('dialog').getByRole('button', { name: act, exact: true }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
}

/** The link that is on the page this one time, as a path. */
async function keepLink(page: Page): Promise<string> {
  const dialog = page.getByRole('dialog', { name: /^Link for/ });
  const link = new URL(await dialog.getByText(/^https?:/).innerText());
  expect(link.origin).toBe(desk.url);
  await dialog.getByRole('button', { name: 'I have kept it' }).click();
  return link.href.slice(link.origin.length);
}

async function invite(page: Page, person: { email: string; name: string; role: string }): Promise<void> {
  await page.getByRole('button', { name: 'Invite a person' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('E-mail').fill(person.email);
  await dialog.getByLabel('Name').fill(person.name);
  await dialog.getByRole('radio', { name: person.role }).check();
  await dialog.getByRole('button', { name: 'Make the invitation' }).click();
}

const railOf = async (page: Page) => {
  const links = page.getByRole('navigation', { name: 'Main' }).getByRole('link');
  await links.first().waitFor();
  return (await links.allInnerTexts()).map((text) => text.split('\n')[0]);
};

const FOR_EVERYONE = [
  'Home',
  'Orders',
  'Refunds',
  'Manual review',
  'Batch refunds',
  'Status updates',
  'Webhooks',
  'Requests',
  'Gateways',
  'Policy',
  'Merchant',
];

test('an invited person joins and sees only what the role may', async () => {
  const admin = await desk.signIn('admin', { path: TEAM });
  const email = 'noor@shop.test';
  await invite(admin, { email, name: 'Noor', role: 'Support' });
  const link = await keepLink(admin);
  await rowOf(admin, email).getByText('Invited').waitFor();

  const page = await desk.open(link);
  await page.getByRole('heading', { name: 'Join Demo Store' }).waitFor();
  await page.getByText('You are invited as Support.').waitFor();
  await page.getByLabel('Your name').fill('Noor Haddad');
  await page.getByLabel('Password', { exact: true }).fill('aaaaaaaaaaaaaa');
  await page.getByRole('button', { name: 'Join and sign in' }).click();
  await page
    .getByText(/5 of them different\.$/)
    .last()
    .waitFor();
  await page.getByLabel('Password', { exact: true }).fill('a long enough secret');
  await page.getByRole('button', { name: 'Join and sign in' }).click();
  await page.getByRole('button', { name: 'Account of Noor Haddad' }).waitFor();
  expect(page.url()).toBe(`${desk.url}/`);
  expect(await railOf(page)).toEqual(FOR_EVERYONE);
  await page.goto(TEAM);
  await page.getByText('Only an admin may see and change who is in the team.').waitFor();
  await page.goto(link);
  await page.getByText('This link was used').waitFor();
  expect(problemsOf(page)).toEqual([]);

  await admin.reload();
  await rowOf(admin, email).getByText('May sign in').waitFor();
  await admin.getByRole('table', { name: 'Changes' }).getByText('Joined as Support.').waitFor();
  await page.context().close();
  await admin.context().close();
});

test('an invitation that was withdrawn or replaced says so', async () => {
  const admin = await desk.signIn('admin', { path: TEAM });
  await invite(admin, { email: 'kim@shop.test', name: 'Kim', role: 'Viewer' });
  const first = await keepLink(admin);
  await choose(admin, 'kim@shop.test', 'Make a new link');
  await admin.getByRole('dialog').getByRole('button', { name: 'Make a new link' }).click();
  const second = await keepLink(admin);
  const page = await desk.open(first);
  await page.getByText('Ask an admin of your team for a new one.').waitFor();
  await choose(admin, 'kim@shop.test', 'Withdraw the invitation');
  await confirm(admin, 'Withdraw the invitation');
  await expect.poll(() => rowOf(admin, 'kim@shop.test').count()).toBe(0);
  await page.goto('/');
  await page.goto(second);
  await page.getByText('Ask an admin of your team for a new one.').waitFor();
  await page.context().close();
  await admin.context().close();
});

test('inviting somebody who is in the team is refused beside the e-mail', async () => {
  const admin = await desk.signIn('admin', { path: TEAM });
  await invite(admin, { email: emailOf('viewer'), name: 'Vera', role: 'Viewer' });
  const field = admin.getByRole('dialog').getByLabel('E-mail');
  await admin.getByText('Someone with this e-mail is in your team already.').waitFor();
  expect(await field.getAttribute('aria-invalid')).toBe('true');
  await field.fill('');
  await admin.getByRole('dialog').getByRole('button', { name: 'Make the invitation' }).click();
  await admin.getByText('an e-mail address').waitFor();
  await admin.context().close();
});

test('the rail leads each role where it may go', async () => {
  for (const role of ['viewer', 'support', 'operations'] as const) {
    const page = await desk.signIn(role);
    expect([role, await railOf(page)]).toEqual([role, FOR_EVERYONE]);
    await page.context().close();
  }
  const page = await desk.signIn('admin');
  expect((await railOf(page)).filter((place) => !FOR_EVERYONE.includes(place!))).toEqual([
    'API keys',
    'Team',
  ]);
  await page.context().close();
});

test('another role holds from the next page on; access switched off holds at once', async () => {
  const { email, name } = await newPerson('admin');
  const admin = await desk.signIn('admin', { path: TEAM });
  const page = await signedIn(email, TEAM);
  await page.getByRole('table', { name: 'People' }).waitFor();

  await choose(admin, email, 'Change the role');
  await admin.getByRole('dialog').getByRole('radio', { name: 'Viewer' }).check();
  await confirm(admin, `Make ${name} Viewer`);
  await rowOf(admin, email).getByText('Viewer').waitFor();
  await page.reload();
  await page.getByText('Only an admin may see').waitFor();

  await choose(admin, email, 'Switch access off');
  await confirm(admin, 'Switch access off');
  await rowOf(admin, email).getByText('Switched off').waitFor();
  // The keyboard goes on where it was.
  await expect.poll(() => admin.locator(':focus').getAttribute('aria-label')).toBe(`Actions for ${name}`);
  await page.getByRole('link', { name: 'Orders' }).click();
  // The page may be on its way to the form already, for another question that was refused.
  await page.waitForURL(/sign-in\?back=%2Foperations%2Forders/);
  await giveSignIn(page, email);
  await page.getByText('Your access was switched off.').waitFor();

  await choose(admin, email, 'Switch access on');
  await confirm(admin, 'Switch access on');
  await rowOf(admin, email).getByText('May sign in').waitFor();
  await giveSignIn(page, email);
  await page.getByRole('heading', { name: 'Orders', level: 1 }).waitFor();

  await choose(admin, email, 'Sign out everywhere');
  await confirm(admin, 'Sign out everywhere');
  await page.reload();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();

  await choose(admin, email, 'Remove from the team');
  await confirm(admin, 'Remove from the team');
  await expect.poll(() => rowOf(admin, email).count()).toBe(0);
  await giveSignIn(page, email);
  await page.getByText('nobody has this e-mail').waitFor();

  await admin.reload();
  const log = admin.getByRole('table', { name: 'Changes' });
  for (const line of [
    `Changed the role of ${email} from Admin to Viewer.`,
    `Switched the access of ${email} off.`,
    `Switched the access of ${email} on.`,
    `Signed ${email} out of one browser.`,
    `Removed ${email} from the team.`,
  ]) {
    await log
      .getByRole('row')
      .filter({ hasText: line })
      .filter({ hasText: emailOf('admin') })
      .waitFor();
  }
  await page.context().close();
  await admin.context().close();
});

test('a reset ends the password now, and its link sets another', async () => {
  const { email, name } = await newPerson();
  const admin = await desk.signIn('admin', { path: TEAM });
  const page = await signedIn(email);
  await choose(admin, email, 'Reset sign-in');
  await admin.getByRole('dialog').getByRole('button', { name: 'Reset and make a link' }).click();
  const link = await keepLink(admin);
  await rowOf(admin, email).getByText('Needs a new password').waitFor();
  await page.reload();
  await giveSignIn(page, email);
  await page.getByText('do not belong together').waitFor();
  await admin.reload();
  await admin
    .getByRole('table', { name: 'Changes' })
    .getByRole('row')
    .filter({ hasText: `Failed to sign in as ${email}` })
    .filter({ hasText: 'someone at 127.0.0.1' })
    .waitFor();

  await page.goto(link);
  await page.getByRole('heading', { name: 'Choose a new password' }).waitFor();
  await page.getByLabel('New password', { exact: true }).fill('Refundry-2026!');
  await page.getByRole('button', { name: 'Set the password and sign in' }).click();
  await page.getByText('would soon try this one').waitFor();
  await page.getByLabel('New password', { exact: true }).fill('quite another secret');
  await page.getByRole('button', { name: 'Set the password and sign in' }).click();
  await page.getByRole('button', { name: `Account of ${name}` }).waitFor();
  await page.context().close();
  await admin.context().close();
});

test('the only admin can be neither demoted nor locked out, and the page says why', async () => {
  const admin = await desk.signIn('admin', { path: TEAM });
  await rowOf(admin, emailOf('admin'))
    .getByRole('button', { name: /^Actions for/ })
    .click();
  await admin.getByText('is the only admin. Before this can change').waitFor();
  for (const action of ['Change the role', 'Switch access off', 'Remove from the team', 'Reset sign-in']) {
    expect(await admin.getByRole('menuitem', { name: action }).isDisabled()).toBe(true);
  }
  await admin.context().close();
});

describe.each(['light', 'dark'] as const)('axe finds nothing in %s', (colours) => {
  test('on the page of the team, in its dialogs, and for who is invited', async () => {
    const admin = await desk.signIn('admin', { path: TEAM, colours });
    await admin.getByRole('table', { name: 'Changes' }).waitFor();
    await invite(admin, { email: `axe-${colours}@shop.test`, name: 'Axe', role: 'Viewer' });
    await admin.getByRole('dialog', { name: /^Link for/ }).waitFor();
    await checkAxe(admin);
    const link = await keepLink(admin);
    await rowOf(admin, `axe-${colours}@shop.test`).waitFor();
    await checkAxe(admin);
    await rowOf(admin, emailOf('admin'))
      .getByRole('button', { name: /^Actions for/ })
      .click();
    await admin.getByText('is the only admin').waitFor();
    await checkAxe(admin);
    await admin.keyboard.press('Escape');
    await choose(admin, emailOf('viewer'), 'Change the role');
    await admin.getByRole('radio', { name: 'Admin' }).waitFor();
    await checkAxe(admin);

    const page = await desk.open(link, { colours });
    await page.getByRole('heading', { name: 'Join Demo Store' }).waitFor();
    await checkAxe(page);
    await page.context().close();
    await admin.context().close();
  });
});

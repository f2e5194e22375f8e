import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { wayBack } from '../../src/dashboard/pages/sign-in/way-back.ts';
import { type Console, checkAxe, emailOf, openConsole, problemsOf } from '../support/console.ts';
import { addPerson, PASSWORD } from '../support/people.ts';
import { nextTotp, totp, totpOf } from '../support/totp.ts';

let desk: Console;
beforeAll(async () => {
  desk = await openConsole();
});
afterAll(async () => {
  await desk.close();
});

let made = 0;
/** Somebody whom no other test knows. */
async function newPerson(role: 'viewer' | 'support' = 'support'): Promise<string> {
  made += 1;
  const email = `person-${made}@shop.test`;
  await addPerson(desk.db, { merchantId: 'demo', role, email, name: `Person ${made}` });
  return email;
}

async function giveSignIn(page: Page, email: string, password = PASSWORD): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const signedInAs = (page: Page, name: string) =>
  page.getByRole('button', { name: `Account of ${name}` }).waitFor();

async function signedIn(email: string, path = '/'): Promise<Page> {
  const page = await desk.open(path);
  await giveSignIn(page, email);
  await page.getByRole('button', { name: /^Account of/ }).waitFor();
  return page;
}

/** Sets a second factor up as the page leads to it, and gives what the app and the paper then hold. */
async function setUpSecondFactor(page: Page): Promise<{ secret: string; codes: string[] }> {
  await page.getByRole('button', { name: 'Set up a second factor' }).click();
  await page.getByLabel('Your password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('img', { name: 'Code to scan' }).waitFor();
  const secret = await page.getByText(/^[A-Z2-7]{20,}$/).innerText();
  await page.getByLabel('Six digits').fill(totp(secret));
  await page.getByRole('button', { name: 'Switch it on' }).click();
  return { secret, codes: await backupCodes(page) };
}

async function backupCodes(page: Page): Promise<string[]> {
  const codes = page.getByRole('list', { name: 'Backup codes' }).getByRole('listitem');
  await codes.first().waitFor();
  return codes.allInnerTexts();
}

async function signOut(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^Account of/ }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
}

test('the codes that the tests make are those of RFC 6238', () => {
  // Its appendix B gives eight digits; an app shows the last six.
  const secret = Buffer.from('12345678901234567890');
  expect([59, 1111111109, 20000000000].map((second) => totpOf(secret, Math.floor(second / 30)))).toEqual([
    '287082',
    '081804',
    '353130',
  ]);
});

describe('with e-mail and password', () => {
  test('the keyboard alone goes in', async () => {
    const page = await desk.open('/operations/orders');
    await page.waitForURL(/sign-in/);
    await page.getByLabel('E-mail').waitFor();
    await page.keyboard.type(emailOf('viewer'));
    await page.keyboard.press('Tab');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await signedInAs(page, 'Vera Viewer');
    expect(new URL(page.url()).pathname).toBe('/operations/orders');
    expect(problemsOf(page)).toEqual([]);
    await page.context().close();
  });

  test('the password can be looked at with the keyboard', async () => {
    const page = await desk.open('/sign-in');
    await page.getByLabel('Password', { exact: true }).fill('what I typed');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    expect(await page.getByLabel('Password', { exact: true }).getAttribute('type')).toBe('text');
    expect(await page.getByRole('button', { name: 'Show password' }).getAttribute('aria-pressed')).toBe(
      'true',
    );
    await page.context().close();
  });

  test('a wrong password and an unknown e-mail look the same', async () => {
    const page = await desk.open('/sign-in');
    const words: string[] = [];
    for (const email of [emailOf('admin'), 'nobody@shop.test']) {
      await giveSignIn(page, email, 'not the password');
      words.push((await page.getByRole('alert').innerText()).split('Request')[0]!);
      expect(await page.getByLabel('E-mail').inputValue()).toBe(email);
      await page.reload();
    }
    expect(words[0]).toBe(words[1]);
    expect(words[0]).toContain('E-mail and password do not belong together, or nobody has this e-mail.');
    await page.context().close();
  });

  test('too many tries say when to try again', async () => {
    const email = await newPerson();
    const page = await desk.open('/sign-in');
    await page.evaluate(
      async (body) => {
        const headers = { 'content-type': 'application/json', 'x-refundry': 'dashboard' };
        for (let tries = 0; tries < 10; tries += 1)
          await fetch('/auth/sign-in', { method: 'POST', headers, body });
      },
      JSON.stringify({ email, password: 'a guess' }),
    );
    await giveSignIn(page, email);
    expect(await page.getByRole('alert').innerText()).toMatch(/Too many tries\. Try again in 1[0-5] minutes/);
    await page.context().close();
  });
});

describe('the way back', () => {
  test('an expired session leads back to where one was', async () => {
    const email = await newPerson();
    const page = await signedIn(email, '/operations/refunds?status=PENDING');
    await page.getByRole('heading', { name: 'Refunds', level: 1 }).waitFor();
    await desk.db.query('delete from sessions');
    await page.getByRole('link', { name: 'Orders' }).click();
    await page.getByText('Then you go on to where you were.').waitFor();
    await giveSignIn(page, email);
    await page.getByRole('heading', { name: 'Orders', level: 1 }).waitFor();

    await page.goto('/operations/refunds?status=PENDING');
    await page.getByRole('heading', { name: 'Refunds', level: 1 }).waitFor();
    await desk.db.query('delete from sessions');
    await page.reload();
    await giveSignIn(page, email);
    await page.getByRole('heading', { name: 'Refunds', level: 1 }).waitFor();
    expect(page.url()).toBe(`${desk.url}/operations/refunds?status=PENDING`);
    await page.context().close();
  });

  test('never leads to another site', async () => {
    const page = await desk.open('/sign-in?back=//evil.test/orders');
    await giveSignIn(page, emailOf('viewer'));
    await signedInAs(page, 'Vera Viewer');
    expect(page.url()).toBe(`${desk.url}/`);
    await page.context().close();

    const ours = 'https://refunds.shop.test';
    for (const back of [
      'https://evil.test/',
      '//evil.test',
      '/\\evil.test',
      '/\t/evil.test',
      '/.//evil.test',
      'javascript:alert(1)',
      'data:text/html,x',
      'orders',
      '',
      'https://refunds.shop.test.evil.test/',
      '/sign-in?back=/sign-in',
      '/join#token',
    ]) {
      expect([back, wayBack(back, ours)]).toEqual([back, '/']);
    }
    expect(wayBack('/operations/orders?q=a%2Fb#x', ours)).toBe('/operations/orders?q=a%2Fb#x');
  });

  test('leads nowhere after signing out', async () => {
    const page = await signedIn(await newPerson(), '/account');
    await signOut(page);
    expect(await page.context().cookies()).not.toContainEqual(
      expect.objectContaining({ name: expect.stringContaining('session_token') }),
    );
    await page.goBack();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.context().close();
  });
});

describe('with a second factor', () => {
  test('it is set up, asked for, and answered by the app or a backup code, by keyboard alone', async () => {
    const email = await newPerson();
    const page = await signedIn(email, '/account');
    const { secret, codes } = await setUpSecondFactor(page);
    expect(new Set(codes).size).toBe(10);
    await page.getByRole('button', { name: 'I have kept them' }).click();
    await page.getByText('On. After your password').waitFor();
    await signOut(page);

    await page.getByLabel('E-mail').focus();
    await page.keyboard.type(email);
    await page.keyboard.press('Tab');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByLabel('Code from the app').waitFor();
    await page.keyboard.type('000000');
    await page.keyboard.press('Enter');
    await page.getByText('The code is wrong').waitFor();
    await page.keyboard.type(nextTotp(secret));
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /^Account of/ }).waitFor();
    await signOut(page);

    for (const [code, works] of [
      [codes[3]!, true],
      [codes[3]!, false],
    ] as const) {
      await giveSignIn(page, email);
      await page.getByRole('button', { name: 'Use a backup code instead' }).click();
      await page.getByLabel('Backup code').fill(code);
      await page.keyboard.press('Enter');
      if (!works) await page.getByText('The code is wrong').waitFor();
      else await signOut(page);
    }
    await page.getByRole('button', { name: 'Start again' }).click();
    await page.getByLabel('Password', { exact: true }).waitFor();
    expect(problemsOf(page)).toEqual([]);
    await page.context().close();
  });

  test('five wrong codes lead back to the password, and say why', async () => {
    const email = await newPerson();
    const page = await signedIn(email, '/account');
    await setUpSecondFactor(page);
    await page.getByRole('button', { name: 'I have kept them' }).click();
    await signOut(page);
    await giveSignIn(page, email);
    for (let tries = 0; tries < 5; tries += 1) {
      await page.getByLabel('Code from the app').fill(`00000${tries}`);
      await page.keyboard.press('Enter');
      await page.getByText('The code is wrong').waitFor();
      await page.getByLabel('Code from the app').fill('');
    }
    await page.getByLabel('Code from the app').fill('000009');
    await page.keyboard.press('Enter');
    await page.getByText('Begin again with the password').waitFor();
    await page.getByLabel('Password', { exact: true }).waitFor();
    await page.context().close();
  });

  test('new backup codes end the old ones, and the password switches it off', async () => {
    const page = await signedIn(await newPerson(), '/account');
    const { codes } = await setUpSecondFactor(page);
    await page.getByRole('button', { name: 'I have kept them' }).click();
    await page.getByRole('button', { name: 'Make new backup codes' }).click();
    await page.getByLabel('Your password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Make new backup codes' }).click();
    const renewed = await backupCodes(page);
    expect(renewed.filter((code) => codes.includes(code))).toEqual([]);
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download the codes' }).click(),
    ]);
    expect(file.suggestedFilename()).toBe('refundry-backup-codes.txt');
    await page.getByRole('button', { name: 'I have kept them' }).click();

    await page.getByRole('button', { name: 'Switch it off' }).click();
    await page.getByLabel('Your password', { exact: true }).fill('not mine');
    await page.getByRole('button', { name: 'Switch the second factor off' }).click();
    await page.getByText('This is not your password.').waitFor();
    await page.getByLabel('Your password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Switch the second factor off' }).click();
    await page.getByRole('button', { name: 'Set up a second factor' }).waitFor();
    await page.context().close();
  });

  test('whoever lacks one where the merchant asks for it is led to it, and nowhere else', async () => {
    const page = await signedIn(await newPerson(), '/operations/orders');
    await desk.api.patch('/v1/settings', { require_second_factor: true });
    try {
      await page.goto('/operations/orders');
      await page.getByText('Set up a second factor to go on').waitFor();
      expect(new URL(page.url()).pathname).toBe('/account');
      expect(await page.getByRole('link', { name: 'Orders' }).count()).toBe(0);
      await setUpSecondFactor(page);
      await page.getByRole('button', { name: 'I have kept them' }).click();
      await page.getByText('so it stays on').waitFor();
      expect(await page.getByRole('button', { name: 'Switch it off' }).isDisabled()).toBe(true);
      await page.getByRole('link', { name: 'Orders' }).click();
      await page.getByRole('heading', { name: 'Orders', level: 1 }).waitFor();
    } finally {
      await desk.db.query(
        `update merchants set settings = settings - 'require_second_factor' where merchant_id = 'demo'`,
      );
    }
    await page.context().close();
  });
});

describe('the account', () => {
  test('lists where one is signed in, and ends it there', async () => {
    const email = await newPerson();
    const [here, there] = [await signedIn(email, '/account'), await signedIn(email, '/account')];
    await here.reload();
    const list = here.getByRole('list', { name: 'Where you are signed in' }).getByRole('listitem');
    await expect.poll(() => list.count()).toBe(2);
    await list
      .filter({ hasText: 'This one' })
      .getByText(/^Chrome on Linux$/)
      .waitFor();
    await list.filter({ hasText: 'This one' }).getByText('with the password alone since').waitFor();
    await list
      .filter({ hasNotText: 'This one' })
      .getByRole('button', { name: /^Sign out/ })
      .click();
    await expect.poll(() => list.count()).toBe(1);
    await there.reload();
    await there.getByRole('heading', { name: 'Sign in' }).waitFor();

    await giveSignIn(there, email);
    await there.getByRole('button', { name: 'Sign out everywhere else' }).click();
    await here.reload();
    await here.getByRole('heading', { name: 'Sign in' }).waitFor();
    await here.context().close();
    await there.context().close();
  });

  test('changes the password, which signs out everywhere else', async () => {
    const email = await newPerson();
    const [here, there] = [await signedIn(email, '/account'), await signedIn(email)];
    await here.getByLabel('Current password', { exact: true }).fill('not mine');
    await here.getByLabel('New password', { exact: true }).fill('a much longer secret');
    await here.getByRole('button', { name: 'Change the password' }).click();
    await here.getByText('This is not your password.').waitFor();
    await here.getByLabel('Current password', { exact: true }).fill(PASSWORD);
    await here.getByRole('button', { name: 'Change the password' }).click();
    await here.getByText('Changed. You are signed out everywhere but here.').waitFor();
    await there.reload();
    await giveSignIn(there, email, PASSWORD);
    await there.getByRole('alert').waitFor();
    await giveSignIn(there, email, 'a much longer secret');
    await there.getByRole('button', { name: /^Account of/ }).waitFor();
    await here.context().close();
    await there.context().close();
  });

  test('changes the name that others see', async () => {
    const page = await signedIn(await newPerson(), '/account');
    await page.getByLabel('Your name').fill('Zoë Quist');
    await page.getByRole('button', { name: 'Save the name' }).click();
    await signedInAs(page, 'Zoë Quist');
    await page.context().close();
  });
});

describe.each(['light', 'dark'] as const)('axe finds nothing in %s', (colours) => {
  test('at the entrance', async () => {
    const page = await desk.open('/sign-in', { colours });
    await giveSignIn(page, emailOf('admin'), 'not the password');
    await page.getByRole('alert').waitFor();
    await checkAxe(page);
    await page.goto('/join#not-a-link');
    await page.getByText('This link does not work').waitFor();
    await checkAxe(page);
    expect(problemsOf(page)).toEqual([]);
    await page.context().close();
  });

  test('in the account', async () => {
    const email = await newPerson();
    const page = await desk.open('/account', { colours });
    await giveSignIn(page, email);
    await page.getByText('This one').waitFor();
    await checkAxe(page);
    await setUpSecondFactor(page);
    await checkAxe(page);
    await page.getByRole('button', { name: 'I have kept them' }).click();
    await signOut(page);
    await giveSignIn(page, email);
    await page.getByLabel('Code from the app').fill('000000');
    await page.keyboard.press('Enter');
    await page.getByText('The code is wrong').waitFor();
    await checkAxe(page);
    await page.context().close();
  });
});

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import chromium, { inflate, setupLambdaEnvironment } from '@sparticuz/chromium';
import { type Browser, chromium as driver } from 'playwright-core';

const INSTALLED = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The security that the package takes away by default stays on: the page's own is what is tested. */
const WEAKENING = /single-process|disable-web-security|allow-running-insecure|disable-site-isolation/;

/**
 * A real Chromium without a window: the one of the npm package, which brings its libraries and fonts, or on other
 * systems an installed one. Throws where there is none, so that no test is skipped for want of it.
 */
export async function openBrowser(): Promise<Browser> {
  if (process.platform === 'linux' && process.arch === 'x64') {
    const libraries = join(tmpdir(), 'al2023');
    if (!existsSync(libraries)) {
      await inflate(join(import.meta.dirname, '../../node_modules/@sparticuz/chromium/bin/al2023.tar.br'));
    }
    setupLambdaEnvironment(join(libraries, 'lib'));
    return driver.launch({
      executablePath: await chromium.executablePath(),
      args: chromium.args.filter((arg) => !WEAKENING.test(arg)),
    });
  }
  const installed = INSTALLED.find(existsSync);
  return driver.launch(installed ? { executablePath: installed } : { channel: 'chrome' });
}

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { openBrowser } from './browser.ts';

/** Builds the page that the browser tests look at, and unpacks the browser before several workers want it. */
export default async function setup(): Promise<void> {
  const build = join(import.meta.dirname, '../../bin/build-dashboard.js');
  execFileSync(process.execPath, [build, '--if-stale'], { stdio: 'inherit' });
  await (await openBrowser()).close();
}

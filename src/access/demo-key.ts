import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { type Queryable, sqlState } from '../lib/db.ts';
import { newSecret } from '../lib/ids.ts';
import { OperatorError } from '../lib/operator-error.ts';
import { createApiKey, findCaller, wakeByKey } from './api-keys.ts';
import { createMerchant } from './merchants.ts';
import { KEY_PERMISSIONS } from './roles.ts';

export const DEMO_MERCHANT = 'demo';

export interface DemoKeySettings {
  readonly dataDir: string;
  readonly demoApiKey: string | null;
}

/**
 * Makes the demo merchant and its API key where they are not there yet, and returns the key in clear: the one from
 * the settings, else the one in DATA_DIR/demo.key, which is made (mode 0600) when there is none.
 */
export async function ensureDemoKey(db: Queryable, clock: Clock, settings: DemoKeySettings): Promise<string> {
  const key = readDemoKey(settings) ?? makeDemoKey(settings);
  await createMerchant(db, clock, { merchantId: DEMO_MERCHANT, name: 'Demo Store' });
  // Whoever starts the program has the key, so no one needs to say that it still is theirs.
  await wakeByKey(db, DEMO_MERCHANT, key);
  if (await isDemoKey(db, clock, key)) return key;
  try {
    // The examples of the pages are tried with it, so it may do all that a key can be given.
    const demo = { merchantId: DEMO_MERCHANT, name: 'Demo', permissions: KEY_PERMISSIONS };
    await createApiKey(db, clock, { ...demo, key });
  } catch (error) {
    const uniqueViolation = '23505';
    if (sqlState(error) !== uniqueViolation) throw error;
    if (!(await isDemoKey(db, clock, key))) {
      throw new OperatorError(
        settings.demoApiKey
          ? 'DEMO_API_KEY was revoked or belongs to another merchant. Give another one.'
          : `The demo key in ${demoKeyFile(settings)} was revoked. Remove that file to get a new one.`,
      );
    }
  }
  return key;
}

/** The demo key as the settings or the data folder have it; null before the first start. */
export function readDemoKey(settings: DemoKeySettings): string | null {
  if (settings.demoApiKey) return settings.demoApiKey;
  const file = demoKeyFile(settings);
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
}

function makeDemoKey(settings: DemoKeySettings): string {
  const key = newSecret('demo_', 12);
  mkdirSync(settings.dataDir, { recursive: true });
  writeFileSync(demoKeyFile(settings), `${key}\n`, { mode: 0o600 });
  return key;
}

function demoKeyFile(settings: DemoKeySettings): string {
  return join(settings.dataDir, 'demo.key');
}

async function isDemoKey(db: Queryable, clock: Clock, key: string): Promise<boolean> {
  return (await findCaller(db, clock, key))?.merchantId === DEMO_MERCHANT;
}

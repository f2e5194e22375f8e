import { randomBytes, timingSafeEqual } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { readKey, type Settings } from './config.ts';
import type { Clock } from './lib/clock.ts';
import type { Queryable } from './lib/db.ts';
import { OperatorError } from './lib/operator-error.ts';
import { createVault, type Vault } from './lib/vault.ts';

/**
 * The vault under the master key: the one from the settings, else the one in DATA_DIR/master.key, which is made
 * when there is none yet. Refuses, with an OperatorError, a key that this database's secrets were not sealed
 * with: found late, that would be webhooks and refunds that cannot be sent.
 */
export async function openVault(settings: Settings, db: Queryable, clock: Clock): Promise<Vault> {
  const file = join(settings.dataDir, 'master.key');
  const proof = await readProof(db);
  if (!settings.masterKey && proof && !existsSync(file)) {
    throw new OperatorError(
      `${file} is missing, and the secrets in this database cannot be opened without it. ` +
        'Put it back, or give the key in MASTER_KEY.',
    );
  }
  const vault = createVault(settings.masterKey ?? readKeyFile(file) ?? makeKeyFile(file));
  const mac = vault.mac('master key proof', Buffer.from('refundry'));
  const known = proof ?? (await insertProof(db, clock, mac));
  if (!timingSafeEqual(known, mac)) {
    throw new OperatorError(
      `${settings.masterKey ? 'MASTER_KEY' : file} is not the key that this database's secrets were sealed with. ` +
        'Give that one.',
    );
  }
  return vault;
}

async function readProof(db: Queryable): Promise<Buffer | null> {
  const [row] = await db.query<{ mac: Buffer }>('select mac from master_key_proof');
  return row?.mac ?? null;
}

/** The proof that counts, which is another process's when that one came first. */
async function insertProof(db: Queryable, clock: Clock, mac: Buffer): Promise<Buffer> {
  await db.query('insert into master_key_proof (mac, created_at) values ($1, $2) on conflict do nothing', [
    mac,
    clock.now(),
  ]);
  return (await readProof(db))!;
}

function readKeyFile(file: string): Buffer | null {
  if (!existsSync(file)) return null;
  const key = readKey(readFileSync(file, 'utf8').trim());
  if (!key)
    throw new OperatorError(`${file} does not hold 32 bytes as 64 hex digits. Put the right one back.`);
  return key;
}

/** Whole on the disk before anything is sealed with it, and never over one that is there. */
function makeKeyFile(file: string): Buffer {
  const key = randomBytes(32);
  const staging = `${file}.new-${process.pid}`;
  const descriptor = openSync(staging, 'wx', 0o600);
  try {
    writeSync(descriptor, `${key.toString('hex')}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  try {
    linkSync(staging, file);
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return readKeyFile(file)!;
  } finally {
    rmSync(staging, { force: true });
  }
}

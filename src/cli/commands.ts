import { resolve } from 'node:path';
import { CommanderError } from 'commander';
import pretty from 'pino-pretty';
import { type ApiKey, createApiKey, listApiKeys, revokeApiKey, wakeApiKey } from '../access/api-keys.ts';
import { DEMO_MERCHANT, readDemoKey } from '../access/demo-key.ts';
import { readDemoPassword } from '../access/demo-people.ts';
import { createMerchant, listMerchants, readMerchant } from '../access/merchants.ts';
import { KEY_PERMISSIONS, type KeyPermission, type Role } from '../access/roles.ts';
import {
  type AskedBy,
  changeMember,
  findTeamMember,
  invite,
  resetSignIn,
  type TeamDeps,
  type TeamResult,
} from '../access/team.ts';
import { listTeam, type Member } from '../access/users.ts';
import { parseWitness, printAudit } from '../audit/print.ts';
import type { Witness } from '../audit/verify.ts';
import { markInPlace, restoreBackup, writeBackup } from '../backup.ts';
import { beginEdition, doubtSentence } from '../books.ts';
import { judgeBooksNow } from '../books-watch.ts';
import { describeSettings, readSettings, type Settings } from '../config.ts';
import { type OpenedDatabase, openConfiguredDatabase } from '../database.ts';
import { examine } from '../doctor.ts';
import { BEHAVIOURS } from '../gateways/sandbox/behaviours.ts';
import { startSandbox } from '../gateways/sandbox/server.ts';
import { systemClock } from '../lib/clock.ts';
import { type Database, sqlState } from '../lib/db.ts';
import { createLogger } from '../lib/log.ts';
import { migrate, pendingMigrations } from '../lib/migrate.ts';
import { OperatorError } from '../lib/operator-error.ts';
import { listenOn } from '../lib/port.ts';
import { type Refundry, reachGateways, startRefundry } from '../main.ts';
import { openVault } from '../master-key.ts';
import { readExampleOrder } from '../orders/example.ts';
import { importFile } from '../orders/import-file.ts';
import { rebuildFigures } from '../refunds/figures.ts';
import { markedPage, printCheck, restoredPage } from '../restore-report.ts';
import { startPage } from '../start-page.ts';
import { NOT_DONE, SOME_REFUSED, WRONG_COMMAND_LINE } from './exit-status.ts';

export async function serve(): Promise<void> {
  const inTerminal = process.stdout.isTTY === true;
  const settings = readSettings(undefined, { inTerminal });
  const log = createLogger(settings.logLevel, process.stderr.isTTY ? readableLog() : undefined);
  const { first, second } = watchSignals();
  const trouble = Promise.withResolvers<string>();
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'an error nobody caught');
    trouble.resolve('Refundry met an error that nobody caught, and stops.');
  });

  // Whoever insists before everything runs is not kept waiting; a database left running is taken over next time.
  let running = false;
  second.then(() => running || process.exit(NOT_DONE));
  const refundry = await startRefundry(settings, { log, onLost: trouble.resolve });
  running = true;
  process.stdout.write(startPage(refundry, await exampleOrder(refundry), inTerminal));
  log.info({ url: refundry.url, role: settings.role, migrated: refundry.migrated }, 'started');

  const why = await Promise.race([first, trouble.promise.then((sentence) => new OperatorError(sentence))]);
  if (!(why instanceof OperatorError))
    process.stderr.write('Stopping: what is in flight is finished first.\n');
  const hurried = await Promise.race([refundry.stop().then(() => false), second.then(() => true)]);
  if (hurried) {
    await refundry.abandon();
    process.stderr.write('Stopped at once: what was in flight goes on at the next start.\n');
    process.exit(NOT_DONE);
  }
  if (why instanceof OperatorError) throw why;
}

async function exampleOrder({ db, demoKey }: Refundry) {
  return demoKey ? readExampleOrder(db, DEMO_MERCHANT, BEHAVIOURS[0]!.startsWith) : null;
}

export async function serveSandbox(): Promise<void> {
  const settings = readSettings(undefined, { needsMasterKey: false });
  const { first } = watchSignals();
  const opened = await openConfiguredDatabase(settings, { whenOwned: 'visit' });
  try {
    const sandbox = await listenOn(settings, () =>
      startSandbox({
        databaseUrl: opened.connectionString,
        host: settings.host,
        port: settings.port,
        open: settings.sandbox !== 'keyed',
        log: createLogger(settings.logLevel),
      }),
    );
    process.stdout.write(`The sandbox gateway answers on ${sandbox.url}. Stop it with Ctrl-C.\n`);
    await first;
    await sandbox.stop();
  } finally {
    await opened.close();
  }
}

export async function importPayments(path: string, options: { merchant: string }): Promise<void> {
  await withDatabase(async (db) => {
    await requireMerchant(db, options.merchant);
    const merchantId = options.merchant;
    const { refused } = await importFile({ db, clock: systemClock, merchantId, path, out: process.stderr });
    if (refused > 0) process.exitCode = SOME_REFUSED;
  });
}

export async function migrateOnly(): Promise<void> {
  const settings = readSettings(undefined, { needsMasterKey: false });
  const opened = await openConfiguredDatabase(settings, { whenOwned: 'visit' });
  try {
    const applied = await migrate(opened.db);
    for (const name of applied) process.stdout.write(`applied ${name}\n`);
    process.stdout.write(`The database at ${opened.place} is up to date.\n`);
  } finally {
    await opened.close();
  }
}

export async function figuresAnew(): Promise<void> {
  const settings = readSettings(undefined, { needsMasterKey: false });
  const opened = await openConfiguredDatabase(settings, { whenOwned: 'visit', whenAbsent: 'refuse' });
  try {
    await migrate(opened.db);
    await rebuildFigures(opened.db);
    process.stdout.write('All refunds were added up anew.\n');
  } finally {
    await opened.close();
  }
}

export async function backup(path: string): Promise<void> {
  const settings = readSettings(undefined, { needsMasterKey: false });
  const opened = await openConfiguredDatabase(settings, { whenOwned: 'visit', whenAbsent: 'refuse' });
  try {
    const { backedUpAt, tables } = await writeBackup(opened.db, systemClock, resolve(path));
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    process.stdout.write(
      `Wrote ${path}: ${rows} rows of ${tables.length} tables, as of ${backedUpAt.toISOString()}.\n` +
        'The master key is not in it: keep that apart.\n',
    );
  } finally {
    await opened.close();
  }
}

export async function restore(
  path: string | undefined,
  options: { check?: boolean; asOf?: string },
): Promise<void> {
  if ([path !== undefined, options.check, options.asOf !== undefined].filter(Boolean).length !== 1) {
    process.stderr.write('error: give one of: a file to restore from, --as-of, --check\n');
    throw new CommanderError(WRONG_COMMAND_LINE, 'refundry.restore', 'not one of file, --as-of and --check');
  }
  const settings = readSettings(undefined);
  const opened = await openConfiguredDatabase(settings, {
    whenOwned: 'visit',
    whenAbsent: path === undefined ? 'refuse' : 'make',
  });
  const reach = reachGateways(settings);
  const { manualReviewAfterMs } = settings;
  const deps = { clock: systemClock, random: Math.random, gateways: reach.gateways, manualReviewAfterMs };
  try {
    if (path !== undefined) {
      const report = await restoreBackup(opened.db, settings, deps, resolve(path));
      process.stdout.write(restoredPage(report));
      process.exitCode = await printAudit(opened.db, report.vault, {}, process.stdout);
      return;
    }
    await requireUpToDate(opened);
    if (options.asOf !== undefined) {
      const asOf = readPastTime(options.asOf);
      const marked = await markInPlace(opened.db, deps, asOf);
      process.stdout.write(markedPage(marked, asOf));
      return;
    }
    const vault = await openVault(settings, opened.db, systemClock);
    const found = await printCheck(opened.db, vault, reach, process.stdout);
    if (found > 0) process.exitCode = SOME_REFUSED;
  } finally {
    await reach.close();
    await opened.close();
  }
}

/** A person's word that books on another server or timeline lack no commit. Running processes go on within a second. */
export async function confirmBooks(options: { reason: string }): Promise<void> {
  const reason = options.reason.trim();
  if (reason === '')
    throw new OperatorError('--reason is empty. Say in some words why these books lack nothing.');
  await withDatabase(async (db, settings) => {
    const { doubt } = await judgeBooksNow(db, systemClock, settings);
    if (!doubt) throw new OperatorError('Nothing speaks against these books: there is nothing to confirm.');
    if (doubt.kind === 'went_back') throw new OperatorError(doubtSentence(doubt));
    await beginEdition(db, systemClock, `confirmed: ${reason}`);
    process.stdout.write('These books are trusted again. Sending goes on within a second.\n');
  });
}

function readTime(text: string): Date {
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text);
  return new Date(isTime ? text : Number.NaN);
}

function readFutureTime(text: string): Date {
  const at = readTime(text);
  if (Number.isNaN(at.getTime()) || at <= systemClock.now()) {
    throw new OperatorError(
      `--expires "${text}" is not a time in the future. Give one such as 2027-03-01T00:00:00Z.`,
    );
  }
  return at;
}

function readPastTime(text: string): Date {
  const at = readTime(text);
  if (Number.isNaN(at.getTime()) || at > systemClock.now()) {
    throw new OperatorError(
      `--as-of "${text}" is not a time in the past. Give one such as 2026-03-01T04:00:00Z.`,
    );
  }
  return at;
}

export async function doctor(): Promise<void> {
  const findings = await examine(readSettings(undefined));
  const signs = { good: '✓', warning: '!', bad: '✗' };
  for (const { what, verdict, says } of findings) {
    process.stdout.write(`${signs[verdict]} ${what.padEnd(12)}${says}\n`);
  }
  if (findings.some((finding) => finding.verdict === 'bad')) process.exitCode = NOT_DONE;
}

export function listSettings(): void {
  for (const { name, otherwise, accepts, about, value } of describeSettings()) {
    process.stdout.write(
      `${name} = ${value ?? `(not set: ${otherwise})`}\n    ${about}\n    Accepts ${accepts}.\n`,
    );
  }
}

export function printDemoKey(): void {
  const key = readDemoKey(readSettings(undefined, { needsMasterKey: false }));
  if (!key) throw new OperatorError('There is no demo key yet: the first start of the demo makes it.');
  process.stdout.write(`${key}\n`);
}

export async function printDemoPassword(): Promise<void> {
  await withDatabase(
    async (db, settings) => {
      const password = await readDemoPassword(db, await openVault(settings, db, systemClock));
      if (password === null) {
        throw new OperatorError(
          'The demo is not here, or its admin has another password by now: "refundry user reset" makes a link for a new one.',
        );
      }
      process.stdout.write(`${password}\n`);
    },
    { needsMasterKey: true },
  );
}

export async function makeMerchant(id: string, options: { name: string }): Promise<void> {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(id)) {
    throw new OperatorError(`"${id}" cannot be a merchant's id. Give 1 to 64 letters, digits, _ or -.`);
  }
  await withDatabase(async (db) => {
    const made = await createMerchant(db, systemClock, { merchantId: id, name: options.name || id });
    if (!made) throw new OperatorError(`There is a merchant ${id} already. Choose another id.`);
    process.stdout.write(`Made merchant ${id}. Its first key: refundry api-key create --merchant ${id}\n`);
  });
}

export async function printMerchants(): Promise<void> {
  await withDatabase(async (db) => {
    for (const { merchantId, name, createdAt } of await listMerchants(db)) {
      process.stdout.write(`${merchantId}  ${name}  made ${createdAt.toISOString()}\n`);
    }
  });
}

export async function makeKey(options: {
  merchant: string;
  name: string;
  may?: string;
  expires?: string;
}): Promise<void> {
  const permissions = options.may === undefined ? undefined : readPermissions(options.may);
  const expiresAt = options.expires === undefined ? null : readFutureTime(options.expires);
  await withDatabase(async (db) => {
    await requireMerchant(db, options.merchant);
    const { merchant: merchantId, name } = options;
    const { key } = await createApiKey(db, systemClock, { merchantId, name, permissions, expiresAt });
    process.stdout.write(`${key}\n`);
  });
}

function readPermissions(text: string): readonly KeyPermission[] {
  return text.split(',').map((part) => {
    const found = KEY_PERMISSIONS.find((word) => word === part.trim());
    if (!found) {
      throw new OperatorError(
        `--may: a key cannot be given "${part.trim()}". Give some of: ${KEY_PERMISSIONS.join(', ')}.`,
      );
    }
    return found;
  });
}

export async function listKeys(options: { merchant: string }): Promise<void> {
  await withDatabase(async (db) => {
    await requireMerchant(db, options.merchant);
    for (const key of await listApiKeys(db, options.merchant)) {
      process.stdout.write(
        `${key.apiKeyId}  …${key.lastFour}  ${key.name}  made ${key.createdAt.toISOString()}  ` +
          `may ${key.permissions.join(',')}  ${stateOf(key, systemClock.now())}\n`,
      );
    }
  });
}

function stateOf({ revokedAt, expiresAt, asleepSince }: ApiKey, now: Date): string {
  if (revokedAt) return `revoked ${revokedAt.toISOString()}`;
  if (expiresAt && expiresAt <= now) return `expired ${expiresAt.toISOString()}`;
  if (asleepSince) return `sleeps since the restore of ${asleepSince.toISOString()}`;
  return expiresAt ? `works until ${expiresAt.toISOString()}` : 'works';
}

export async function wakeKeys(
  keyId: string | undefined,
  options: { merchant: string; all?: boolean },
): Promise<void> {
  if ((keyId === undefined) !== (options.all === true)) {
    process.stderr.write('error: give one of: a key-id, --all\n');
    throw new CommanderError(WRONG_COMMAND_LINE, 'refundry.api-key.wake', 'not one of key-id and --all');
  }
  await withDatabase(async (db) => {
    await requireMerchant(db, options.merchant);
    const asleep = (await listApiKeys(db, options.merchant)).filter(
      (key) => key.asleepSince !== null && key.revokedAt === null && (keyId ?? key.apiKeyId) === key.apiKeyId,
    );
    if (keyId !== undefined && asleep.length === 0) {
      throw new OperatorError(`Merchant ${options.merchant} has no sleeping key with the id ${keyId}.`);
    }
    for (const { apiKeyId, name } of asleep) {
      await wakeApiKey(db, options.merchant, apiKeyId);
      process.stdout.write(`Woke key ${apiKeyId} (${name}).\n`);
    }
  });
}

export async function endKey(keyId: string, options: { merchant: string }): Promise<void> {
  await withDatabase(async (db) => {
    const ended = await revokeApiKey(db, systemClock, options.merchant, keyId).catch((error: unknown) => {
      const invalidText = '22P02';
      if (sqlState(error) === invalidText) return false;
      throw error;
    });
    if (!ended) throw new OperatorError(`Merchant ${options.merchant} has no key with the id ${keyId}.`);
    process.stdout.write(`Ended key ${keyId}.\n`);
  });
}

export async function inviteUser(
  address: string,
  options: { merchant: string; role: Role; name?: string },
): Promise<void> {
  const email = address.trim().toLowerCase();
  if (!/^[^\s@]{1,64}@[^\s@]{1,190}$/.test(email)) {
    throw new OperatorError(`"${address}" is not an e-mail address.`);
  }
  await withTeam(options.merchant, async (deps, asked, settings) => {
    const name = (options.name ?? email.split('@')[0]!).trim().slice(0, 100);
    const { token } = orExplain(await invite(deps, asked, { email, name, role: options.role }), email);
    printLink(settings, 'join', token);
  });
}

export async function listUsers(options: { merchant: string }): Promise<void> {
  await withTeam(options.merchant, async ({ db }) => {
    for (const one of await listTeam(db, options.merchant)) {
      const state = one.disabledAt ? 'switched off' : one.hasPassword ? 'may sign in' : 'needs a link';
      const factor = one.secondFactor ? 'second factor' : 'password only';
      process.stdout.write(`${one.email}  ${one.role}  ${one.name}  ${factor}  ${state}\n`);
    }
  });
}

export async function changeUser(
  email: string,
  merchant: string,
  changes: { role?: Role; disabled?: boolean },
): Promise<void> {
  await withTeam(merchant, async (deps, asked) => {
    const { userId } = await requireUser(deps.db, merchant, email);
    const { role, disabledAt } = orExplain(await changeMember(deps, asked, userId, changes), email);
    process.stdout.write(`${email} is ${role}${disabledAt ? ', switched off' : ''}.\n`);
  });
}

export async function resetUser(
  email: string,
  options: { merchant: string; secondFactor?: boolean },
): Promise<void> {
  await withTeam(options.merchant, async (deps, asked, settings) => {
    const { userId } = await requireUser(deps.db, options.merchant, email);
    const secondFactorToo = options.secondFactor === true;
    const { token } = orExplain(await resetSignIn(deps, asked, userId, { secondFactorToo }), email);
    printLink(settings, 'reset', token);
  });
}

async function withTeam(
  merchantId: string,
  work: (deps: TeamDeps, asked: AskedBy, settings: Settings) => Promise<void>,
): Promise<void> {
  await withDatabase(async (db, settings) => {
    await requireMerchant(db, merchantId);
    const by = { userId: null, name: 'the command line' };
    await work({ db, clock: systemClock }, { merchantId, by, requestId: null }, settings);
  });
}

async function requireUser(db: Database, merchantId: string, email: string): Promise<Member> {
  const found = await findTeamMember(db, merchantId, email);
  if (!found) throw new OperatorError(`Nobody of merchant ${merchantId} has the e-mail ${email}.`);
  return found;
}

function orExplain<Value>(result: TeamResult<Value>, email: string): Value {
  if (result.ok) return result.value;
  throw new OperatorError(
    {
      not_found: `Nobody has the e-mail ${email}.`,
      already_member: `${email} is in the team already. "refundry user reset" makes a link for a new password.`,
      last_admin: `${email} is the last admin who can sign in. Make another one first.`,
    }[result.refusal],
  );
}

function printLink(settings: Settings, page: 'join' | 'reset', token: string): void {
  process.stdout.write(`${settings.publicUrl}/${page}#${token}\n`);
  process.stderr.write(
    'This link works once, for 72 hours: whoever has it comes in. It is not shown again.\n' +
      (settings.publicUrlIsSet ? '' : 'PUBLIC_URL is not set, so it leads to this machine alone.\n'),
  );
}

export async function verifyTrail(options: { merchant?: string; witness?: string[] }): Promise<void> {
  const witnesses = (options.witness ?? []).map(readWitness);
  await withDatabase(
    async (db, settings) => {
      const vault = await openVault(settings, db, systemClock);
      const progress = process.stderr.isTTY ? (line: string) => process.stderr.write(`${line}\n`) : undefined;
      process.exitCode = await printAudit(
        db,
        vault,
        { merchantId: options.merchant, witnesses, ...(progress && { progress }) },
        process.stdout,
      );
    },
    { needsMasterKey: true },
  );
}

// What commands share ----------------------------------------------------------------------------------

function readWitness(text: string): Witness {
  const witness = parseWitness(text);
  if (!witness)
    throw new OperatorError(`"${text}" is not a witness. Give merchant:number:hash, as verify prints it.`);
  return witness;
}

/** For short commands: beside a running Refundry on the same data, or on their own. */
async function withDatabase(
  work: (db: Database, settings: Settings) => Promise<void>,
  options: { needsMasterKey: boolean } = { needsMasterKey: false },
): Promise<void> {
  const settings = readSettings(undefined, options);
  const opened = await openConfiguredDatabase(settings, { whenOwned: 'visit', whenAbsent: 'refuse' });
  try {
    await requireUpToDate(opened);
    await work(opened.db, settings);
  } finally {
    await opened.close();
  }
}

async function requireUpToDate({ db, place }: OpenedDatabase): Promise<void> {
  if ((await pendingMigrations(db)).length === 0) return;
  throw new OperatorError(`The database at ${place} is not up to date. Run "refundry migrate" first.`);
}

async function requireMerchant(db: Database, merchantId: string): Promise<void> {
  if (!(await readMerchant(db, merchantId))) {
    throw new OperatorError(
      `There is no merchant ${merchantId}. "refundry merchant create ${merchantId}" makes it.`,
    );
  }
}

function readableLog(): NodeJS.WritableStream {
  return pretty({ destination: 2, colorize: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname' });
}

/** npm passes on a Ctrl-C that the terminal has already delivered: signals this close together are one. */
const SAME_SIGNAL_MS = 1_000;

function watchSignals(): { first: Promise<NodeJS.Signals>; second: Promise<NodeJS.Signals> } {
  const first = Promise.withResolvers<NodeJS.Signals>();
  const second = Promise.withResolvers<NodeJS.Signals>();
  let firstAt: number | null = null;
  const hear = (signal: NodeJS.Signals) => {
    firstAt ??= performance.now();
    first.resolve(signal);
    if (performance.now() - firstAt > SAME_SIGNAL_MS) second.resolve(signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, hear);
  return { first: first.promise, second: second.promise };
}

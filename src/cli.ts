import { resolve } from 'node:path';
import { Argument, Command, CommanderError, Option } from 'commander';
import pretty from 'pino-pretty';
import { createApiKey, listApiKeys, revokeApiKey } from './access/api-keys.ts';
import { DEMO_MERCHANT, readDemoKey } from './access/demo-key.ts';
import { createMerchant, listMerchants, readMerchant } from './access/merchants.ts';
import { ROLES, type Role } from './access/roles.ts';
import {
  type AskedBy,
  changeMember,
  findTeamMember,
  invite,
  resetSignIn,
  type TeamDeps,
  type TeamResult,
} from './access/team.ts';
import { endAllWaysIn, listTeam, type Member } from './access/users.ts';
import { AUDIT_TAMPERED, parseWitness, printAudit } from './audit/print.ts';
import type { Witness } from './audit/verify.ts';
import { restoreBackup, writeBackup } from './backup.ts';
import { describeSettings, readSettings, type Settings } from './config.ts';
import { type OpenedDatabase, openConfiguredDatabase } from './database.ts';
import { examine } from './doctor.ts';
import { BEHAVIOURS } from './gateways/sandbox/behaviours.ts';
import { startSandbox } from './gateways/sandbox/server.ts';
import { systemClock } from './lib/clock.ts';
import { type Database, sqlState } from './lib/db.ts';
import { createLogger } from './lib/log.ts';
import { migrate, pendingMigrations } from './lib/migrate.ts';
import { OperatorError } from './lib/operator-error.ts';
import { listenOn } from './lib/port.ts';
import { programVersion } from './lib/version.ts';
import { type Refundry, reachGateways, startRefundry } from './main.ts';
import { openVault } from './master-key.ts';
import { readExampleOrder } from './orders/example.ts';
import { importFile } from './orders/import-file.ts';
import { rebuildFigures } from './refunds/figures.ts';
import { markRestored } from './refunds/restored.ts';
import { markedPage, printCheck, restoredPage } from './restore-report.ts';
import { startPage } from './start-page.ts';

const DONE = 0;
const NOT_DONE = 1;
const WRONG_COMMAND_LINE = 2;
const SOME_REFUSED = 3;

/** Runs one command line and sets the exit status; returns when the command has ended. */
export async function run(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough (`| head`) is no error of ours.
  process.stdout.on('error', () => process.exit(DONE));
  try {
    const program = commandLine();
    await program.parseAsync(argv as string[]);
  } catch (error) {
    process.exitCode = statusOf(error);
  }
  // Nothing should keep the process alive now; if something does, it is not waited for.
  setTimeout(() => process.exit(), 3_000).unref();
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : WRONG_COMMAND_LINE;
  if (error instanceof OperatorError) process.stderr.write(`${error.message}\n`);
  else process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
  return NOT_DONE;
}

/** All commands, their options and their help. */
export function commandLine(): Command {
  const program = new Command('refundry')
    .description('A refund desk that you run yourself.')
    .version(programVersion(), '--version', 'print the version')
    .configureHelp({ showGlobalOptions: false })
    .addHelpText(
      'after',
      `
Settings come from the environment: "refundry settings" lists them.
Exit status: 0 done; 1 not done, and a sentence says what to put right; 2 the command line is wrong.`,
    )
    .exitOverride();

  program
    .command('serve')
    .description('Start the server and its worker (ROLE chooses), and stop cleanly on Ctrl-C or SIGTERM.')
    .addHelpText(
      'after',
      example('PORT=9000 refundry serve', 'Exit status: 0 stopped when asked; 1 could not start or go on.'),
    )
    .action(serve);
  program
    .command('sandbox')
    .description('Run the sandbox gateway alone, as a process of its own on PORT, until Ctrl-C.')
    .addHelpText(
      'after',
      example('PORT=8090 refundry sandbox', 'Exit status: 0 stopped when asked; 1 could not start.'),
    )
    .action(serveSandbox);
  program
    .command('import')
    .description('Record the payments in a .csv, .ndjson or .jsonl file. Running it again changes nothing.')
    .argument('<file>', 'a line for each payment, with the fields of POST /v1/transactions')
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example(
        'refundry import payments.csv --merchant acme',
        `Exit status: 0 all recorded; ${SOME_REFUSED} some lines refused, listed in <file>.errors.csv; 1 could not read it.`,
      ),
    )
    .action(importPayments);
  program
    .command('migrate')
    .description(
      "Bring the database to this version's schema, as every start does, and say what was applied.",
    )
    .addHelpText(
      'after',
      example('DATABASE_URL=postgres://… refundry migrate', 'Exit status: 0 up to date; 1 refused.'),
    )
    .action(migrateOnly);
  program
    .command('doctor')
    .description(
      'Check Node.js, disk, port, PostgreSQL, clock, migrations, master key and admins, one line each.',
    )
    .addHelpText(
      'after',
      example('refundry doctor', 'Exit status: 0 all good, warnings included; 1 something is bad.'),
    )
    .action(doctor);
  program
    .command('backup')
    .description(
      'Write everything in the database, as of one moment, to a new file; the server goes on meanwhile.',
    )
    .argument('<file>', 'where to, such as refundry-2026-03-01.gz')
    .addHelpText(
      'after',
      example('refundry backup /backups/refundry.gz', 'Exit status: 0 written whole; 1 not written.'),
    )
    .action(backup);
  program
    .command('restore')
    .description('Fill an empty database from a backup; or, with --check, find what was refunded since it.')
    .argument('[file]', 'as "backup" wrote it')
    .option(
      '--as-of <time>',
      'the database was restored to this time by other means: mark what may have been sent',
    )
    .option('--check', 'ask the gateways for refunds that are not in the restored books; changes nothing')
    .addHelpText(
      'after',
      example(
        'DATABASE_URL=postgres://…/new_and_empty refundry restore /backups/refundry.gz',
        `Exit status: 0 restored, or nothing found; ${SOME_REFUSED} the trail or the gateways' books differ; 1 nothing was restored.`,
      ),
    )
    .action(restore);
  program
    .command('settings')
    .description(
      'List the settings: what each is for, what it accepts, what it is now. Secrets are not shown.',
    )
    .addHelpText('after', example('LOG_LEVEL=debug refundry settings', 'Exit status: 0.'))
    .action(listSettings);
  program
    .command('demo-key')
    .description("Print the demo merchant's API key, for scripts.")
    .addHelpText(
      'after',
      example('curl -u "$(refundry demo-key):" …', 'Exit status: 0; 1 there is none yet.'),
    )
    .action(printDemoKey);
  addMerchantCommands(program);
  addKeyCommands(program);
  addUserCommands(program);
  addAuditCommands(program);
  addFigureCommands(program);
  return program;
}

function addMerchantCommands(program: Command): void {
  const merchants = program.command('merchant').description('Merchants: the tenants of this Refundry.');
  merchants
    .command('create')
    .description('Make a merchant. Its id is what API calls name in x-merchantid.')
    .argument('<id>', '1 to 64 letters, digits, _ or -')
    .option('--name <name>', 'what people call it', '')
    .addHelpText(
      'after',
      example('refundry merchant create acme --name "Acme Ltd"', 'Exit status: 0 made; 1 taken or refused.'),
    )
    .action(makeMerchant);
  merchants
    .command('list')
    .description('List the merchants, oldest first.')
    .addHelpText('after', example('refundry merchant list', 'Exit status: 0.'))
    .action(printMerchants);
}

function addKeyCommands(program: Command): void {
  const keys = program.command('api-key').description('API keys: what a merchant’s systems sign in with.');
  keys
    .command('create')
    .description('Make a key and print it. It is shown this once: only its hash is kept.')
    .addOption(merchantOption())
    .option('--name <name>', 'where it is used', 'command line')
    .addHelpText(
      'after',
      example(
        'refundry api-key create --merchant acme --name shop',
        'Exit status: 0 made; 1 no such merchant.',
      ),
    )
    .action(makeKey);
  keys
    .command('list')
    .description('List a merchant’s keys, newest first, by their last four characters.')
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example('refundry api-key list --merchant acme', 'Exit status: 0; 1 no such merchant.'),
    )
    .action(listKeys);
  keys
    .command('revoke')
    .description('End a key. Servers notice within five seconds.')
    .argument('<key-id>', 'as "api-key list" shows it')
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example('refundry api-key revoke 0199… --merchant acme', 'Exit status: 0 ended; 1 no such key.'),
    )
    .action(endKey);
}

function addUserCommands(program: Command): void {
  const users = program.command('user').description('People: who may sign in to a merchant’s dashboard.');
  const role = () => new Option('--role <role>', 'what they may do').choices(ROLES).default('admin');
  const whom = 'their e-mail, as "user list" shows it';
  users
    .command('add')
    .description('Print a link by which a person joins the team. It works once, for 72 hours.')
    .argument('<e-mail>', 'what they sign in with')
    .addOption(merchantOption())
    .addOption(role())
    .option('--name <name>', 'what people call them; they may change it')
    .addHelpText(
      'after',
      example(
        'refundry user add asha@example.com --merchant acme',
        'Exit status: 0 made; 1 no such merchant, or in the team already.',
      ),
    )
    .action(inviteUser);
  users
    .command('list')
    .description('List the people of a merchant’s team.')
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example('refundry user list --merchant acme', 'Exit status: 0; 1 no such merchant.'),
    )
    .action(listUsers);
  users
    .command('role')
    .description('Change what a person may do. It holds from their next request.')
    .argument('<e-mail>', whom)
    .addArgument(new Argument('<role>', 'what they may do').choices(ROLES))
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example(
        'refundry user role asha@example.com operations --merchant acme',
        'Exit status: 0 changed; 1 nobody of this e-mail, or the last admin.',
      ),
    )
    .action((email: string, to: Role, options: { merchant: string }) =>
      changeUser(email, options.merchant, { role: to }),
    );
  users
    .command('disable')
    .description('Switch a person off: they are signed out everywhere and cannot come back.')
    .argument('<e-mail>', whom)
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example(
        'refundry user disable asha@example.com --merchant acme',
        'Exit status: 0 switched off; 1 nobody of this e-mail, or the last admin.',
      ),
    )
    .action((email: string, options: { merchant: string }) =>
      changeUser(email, options.merchant, { disabled: true }),
    );
  users
    .command('enable')
    .description('Switch a person on again.')
    .argument('<e-mail>', whom)
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example(
        'refundry user enable asha@example.com --merchant acme',
        'Exit status: 0 switched on; 1 nobody of this e-mail.',
      ),
    )
    .action((email: string, options: { merchant: string }) =>
      changeUser(email, options.merchant, { disabled: false }),
    );
  users
    .command('reset')
    .description('End a person’s password and sessions now, and print a link by which they choose a new one.')
    .argument('<e-mail>', whom)
    .addOption(merchantOption())
    .option('--second-factor', 'end their second factor too')
    .addHelpText(
      'after',
      example(
        'refundry user reset asha@example.com --merchant acme --second-factor',
        'Exit status: 0 done; 1 nobody of this e-mail.',
      ),
    )
    .action(resetUser);
}

function addAuditCommands(program: Command): void {
  program
    .command('audit')
    .description('The trail of everything that happened.')
    .command('verify')
    .description('Check that nothing was changed, added or removed behind the back of Refundry.')
    .option('--merchant <id>', 'only this merchant')
    .option(
      '--witness <merchant:number:hash...>',
      'a checkpoint noted down earlier, which must still be there unchanged',
    )
    .addHelpText(
      'after',
      example(
        'refundry audit verify --witness acme:17:9f86…',
        `Exit status: 0 nothing was changed; ${AUDIT_TAMPERED} something was; 1 could not check.`,
      ),
    )
    .action(verifyTrail);
}

function addFigureCommands(program: Command): void {
  program
    .command('figures')
    .description('What refunds add up to.')
    .command('rebuild')
    .description(
      'Add all refunds up anew, in place of what was kept as they changed. Refunds wait meanwhile.',
    )
    .addHelpText('after', example('refundry figures rebuild', 'Exit status: 0 done; 1 nothing was changed.'))
    .action(figuresAnew);
}

function merchantOption(): Option {
  return new Option('--merchant <id>', 'whose it is').makeOptionMandatory();
}

function example(line: string, statuses: string): string {
  return `\nExample: ${line}\n${statuses}`;
}

// Commands ---------------------------------------------------------------------------------------------

async function serve(): Promise<void> {
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

async function serveSandbox(): Promise<void> {
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

async function importPayments(path: string, options: { merchant: string }): Promise<void> {
  await withDatabase(async (db) => {
    await requireMerchant(db, options.merchant);
    const merchantId = options.merchant;
    const { refused } = await importFile({ db, clock: systemClock, merchantId, path, out: process.stderr });
    if (refused > 0) process.exitCode = SOME_REFUSED;
  });
}

async function migrateOnly(): Promise<void> {
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

async function figuresAnew(): Promise<void> {
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

async function backup(path: string): Promise<void> {
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

async function restore(path: string | undefined, options: { check?: boolean; asOf?: string }): Promise<void> {
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
      const marked = await opened.db.transaction(async (tx) => {
        await endAllWaysIn(tx, systemClock.now());
        return markRestored(tx, deps, asOf);
      });
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

function readPastTime(text: string): Date {
  const at = new Date(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) ? text : Number.NaN,
  );
  if (Number.isNaN(at.getTime()) || at > systemClock.now()) {
    throw new OperatorError(
      `--as-of "${text}" is not a time in the past. Give one such as 2026-03-01T04:00:00Z.`,
    );
  }
  return at;
}

async function doctor(): Promise<void> {
  const findings = await examine(readSettings(undefined));
  const signs = { good: '✓', warning: '!', bad: '✗' };
  for (const { what, verdict, says } of findings) {
    process.stdout.write(`${signs[verdict]} ${what.padEnd(12)}${says}\n`);
  }
  if (findings.some((finding) => finding.verdict === 'bad')) process.exitCode = NOT_DONE;
}

function listSettings(): void {
  for (const { name, otherwise, accepts, about, value } of describeSettings()) {
    process.stdout.write(
      `${name} = ${value ?? `(not set: ${otherwise})`}\n    ${about}\n    Accepts ${accepts}.\n`,
    );
  }
}

function printDemoKey(): void {
  const key = readDemoKey(readSettings(undefined, { needsMasterKey: false }));
  if (!key) throw new OperatorError('There is no demo key yet: the first start of the demo makes it.');
  process.stdout.write(`${key}\n`);
}

async function makeMerchant(id: string, options: { name: string }): Promise<void> {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(id)) {
    throw new OperatorError(`"${id}" cannot be a merchant's id. Give 1 to 64 letters, digits, _ or -.`);
  }
  await withDatabase(async (db) => {
    const made = await createMerchant(db, systemClock, { merchantId: id, name: options.name || id });
    if (!made) throw new OperatorError(`There is a merchant ${id} already. Choose another id.`);
    process.stdout.write(`Made merchant ${id}. Its first key: refundry api-key create --merchant ${id}\n`);
  });
}

async function printMerchants(): Promise<void> {
  await withDatabase(async (db) => {
    for (const { merchantId, name, createdAt } of await listMerchants(db)) {
      process.stdout.write(`${merchantId}  ${name}  made ${createdAt.toISOString()}\n`);
    }
  });
}

async function makeKey(options: { merchant: string; name: string }): Promise<void> {
  await withDatabase(async (db) => {
    await requireMerchant(db, options.merchant);
    const { key } = await createApiKey(db, systemClock, { merchantId: options.merchant, name: options.name });
    process.stdout.write(`${key}\n`);
  });
}

async function listKeys(options: { merchant: string }): Promise<void> {
  await withDatabase(async (db) => {
    await requireMerchant(db, options.merchant);
    for (const key of await listApiKeys(db, options.merchant)) {
      const state = key.revokedAt ? `revoked ${key.revokedAt.toISOString()}` : 'works';
      process.stdout.write(
        `${key.apiKeyId}  …${key.lastFour}  ${key.name}  made ${key.createdAt.toISOString()}  ${state}\n`,
      );
    }
  });
}

async function endKey(keyId: string, options: { merchant: string }): Promise<void> {
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

async function inviteUser(
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

async function listUsers(options: { merchant: string }): Promise<void> {
  await withTeam(options.merchant, async ({ db }) => {
    for (const one of await listTeam(db, options.merchant)) {
      const state = one.disabledAt ? 'switched off' : one.hasPassword ? 'may sign in' : 'needs a link';
      const factor = one.secondFactor ? 'second factor' : 'password only';
      process.stdout.write(`${one.email}  ${one.role}  ${one.name}  ${factor}  ${state}\n`);
    }
  });
}

async function changeUser(
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

async function resetUser(
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

async function verifyTrail(options: { merchant?: string; witness?: string[] }): Promise<void> {
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

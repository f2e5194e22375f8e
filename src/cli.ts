import { Argument, Command, CommanderError, Option } from 'commander';
import { ROLES, type Role } from './access/roles.ts';
import { addBatchCommands } from './cli/batch/tree.ts';
import { DONE, NOT_DONE, SOME_REFUSED, WRONG_COMMAND_LINE } from './cli/exit-status.ts';
import { OperatorError } from './lib/operator-error.ts';
import { programVersion } from './lib/version.ts';

/** Runs one command line and sets the exit status; returns when the command has ended. */
export async function run(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough (`| head`) is no error of ours.
  process.stdout.on('error', () => process.exit(DONE));
  try {
    const program = commandLine();
    await program.parseAsync(argv as string[]);
  } catch (error) {
    // Whoever started us says what to do about it.
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') throw error;
    process.exitCode = statusOf(error);
  }
  // Nothing should keep the process alive now; if something does, it is not waited for.
  setTimeout(() => process.exit(), 3_000).unref();
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode;
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
    .exitOverride(({ exitCode, code, message }) => {
      throw new CommanderError(exitCode === 0 ? DONE : WRONG_COMMAND_LINE, code, message);
    });

  program
    .command('serve')
    .description('Start the server and its worker (ROLE chooses), and stop cleanly on Ctrl-C or SIGTERM.')
    .addHelpText(
      'after',
      example('PORT=9000 refundry serve', 'Exit status: 0 stopped when asked; 1 could not start or go on.'),
    )
    .action(lazy('serve'));
  program
    .command('sandbox')
    .description('Run the sandbox gateway alone, as a process of its own on PORT, until Ctrl-C.')
    .addHelpText(
      'after',
      example('PORT=8090 refundry sandbox', 'Exit status: 0 stopped when asked; 1 could not start.'),
    )
    .action(lazy('serveSandbox'));
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
    .action(lazy('importPayments'));
  program
    .command('migrate')
    .description(
      "Bring the database to this version's schema, as every start does, and say what was applied.",
    )
    .addHelpText(
      'after',
      example('DATABASE_URL=postgres://… refundry migrate', 'Exit status: 0 up to date; 1 refused.'),
    )
    .action(lazy('migrateOnly'));
  program
    .command('doctor')
    .description(
      'Check Node.js, disk, port, PostgreSQL, clock, migrations, master key and admins, one line each.',
    )
    .addHelpText(
      'after',
      example('refundry doctor', 'Exit status: 0 all good, warnings included; 1 something is bad.'),
    )
    .action(lazy('doctor'));
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
    .action(lazy('backup'));
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
    .action(lazy('restore'));
  program
    .command('confirm-books')
    .description(
      'Say that books on another PostgreSQL server or timeline lack no commit, so that sending goes on after a planned move.',
    )
    .requiredOption('--reason <text>', 'why that is so; kept with the books')
    .addHelpText(
      'after',
      example(
        'refundry confirm-books --reason "switched over to db2, which was synchronous"',
        'Exit status: 0 trusted again; 1 nothing to confirm, or the books did go back: then "restore --as-of" is the way.',
      ),
    )
    .action(lazy('confirmBooks'));
  program
    .command('settings')
    .description(
      'List the settings: what each is for, what it accepts, what it is now. Secrets are not shown.',
    )
    .addHelpText('after', example('LOG_LEVEL=debug refundry settings', 'Exit status: 0.'))
    .action(lazy('listSettings'));
  program
    .command('demo-key')
    .description("Print the demo merchant's API key, for scripts.")
    .addHelpText(
      'after',
      example('curl -u "$(refundry demo-key):" …', 'Exit status: 0; 1 there is none yet.'),
    )
    .action(lazy('printDemoKey'));
  program
    .command('demo-password')
    .description("Print the password of the demo's people, which the start page shows in a terminal only.")
    .addHelpText(
      'after',
      example('refundry demo-password', 'Exit status: 0; 1 there is none, or it was changed.'),
    )
    .action(lazy('printDemoPassword'));
  addMerchantCommands(program);
  addKeyCommands(program);
  addUserCommands(program);
  addAuditCommands(program);
  addFigureCommands(program);
  addBatchCommands(program);
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
    .action(lazy('makeMerchant'));
  merchants
    .command('list')
    .description('List the merchants, oldest first.')
    .addHelpText('after', example('refundry merchant list', 'Exit status: 0.'))
    .action(lazy('printMerchants'));
}

function addKeyCommands(program: Command): void {
  const keys = program.command('api-key').description('API keys: what a merchant’s systems sign in with.');
  keys
    .command('create')
    .description('Make a key and print it. It is shown this once: only its hash is kept.')
    .addOption(merchantOption())
    .option('--name <name>', 'where it is used', 'command line')
    .option(
      '--may <permissions>',
      "what it may do, such as refunds.read,webhooks.manage; a shop's server's needs when absent",
    )
    .option('--expires <time>', 'from when on it is refused, such as 2027-03-01T00:00:00Z; never when absent')
    .addHelpText(
      'after',
      example(
        'refundry api-key create --merchant acme --name shop',
        'Exit status: 0 made; 1 no such merchant or permission, or a time in the past.',
      ),
    )
    .action(lazy('makeKey'));
  keys
    .command('list')
    .description('List a merchant’s keys, newest first, by their last four characters.')
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example('refundry api-key list --merchant acme', 'Exit status: 0; 1 no such merchant.'),
    )
    .action(lazy('listKeys'));
  keys
    .command('wake')
    .description('Say that keys which a restore brought back are still wanted. Until then they are refused.')
    .argument('[key-id]', 'as "api-key list" shows it')
    .addOption(merchantOption())
    .option('--all', 'every key of the merchant that sleeps')
    .addHelpText(
      'after',
      example(
        'refundry api-key wake 0199… --merchant acme',
        'Exit status: 0 awake; 1 no such key sleeps. Revoke those that nobody knows.',
      ),
    )
    .action(lazy('wakeKeys'));
  keys
    .command('revoke')
    .description('End a key. Servers notice within five seconds.')
    .argument('<key-id>', 'as "api-key list" shows it')
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example('refundry api-key revoke 0199… --merchant acme', 'Exit status: 0 ended; 1 no such key.'),
    )
    .action(lazy('endKey'));
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
    .action(lazy('inviteUser'));
  users
    .command('list')
    .description('List the people of a merchant’s team.')
    .addOption(merchantOption())
    .addHelpText(
      'after',
      example('refundry user list --merchant acme', 'Exit status: 0; 1 no such merchant.'),
    )
    .action(lazy('listUsers'));
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
      commands().then(({ changeUser }) => changeUser(email, options.merchant, { role: to })),
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
      commands().then(({ changeUser }) => changeUser(email, options.merchant, { disabled: true })),
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
      commands().then(({ changeUser }) => changeUser(email, options.merchant, { disabled: false })),
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
    .action(lazy('resetUser'));
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
        `Exit status: 0 nothing was changed; ${SOME_REFUSED} something was; 1 could not check.`,
      ),
    )
    .action(lazy('verifyTrail'));
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
    .action(lazy('figuresAnew'));
}

function merchantOption(): Option {
  return new Option('--merchant <id>', 'whose it is').makeOptionMandatory();
}

function example(line: string, statuses: string): string {
  return `\nExample: ${line}\n${statuses}`;
}

// Commands are loaded when they run: help, and commands that only speak HTTP, need none of the server.
const commands = () => import('./cli/commands.ts');

type Commands = Awaited<ReturnType<typeof commands>>;
type CommandName = {
  [Name in keyof Commands]: Commands[Name] extends (...args: never[]) => unknown ? Name : never;
}[keyof Commands];

function lazy<Name extends CommandName>(name: Name) {
  return async (...args: Parameters<Commands[Name]>): Promise<void> => {
    const run = (await commands())[name] as (...args: Parameters<Commands[Name]>) => Promise<void> | void;
    await run(...args);
  };
}

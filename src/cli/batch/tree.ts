import { type Command, CommanderError, Option } from 'commander';
import { BATCH_STATUSES_HELP, NOT_DONE } from './status.ts';

// Loaded when a command runs, as all commands are.
const commands = () => import('./commands.ts');

/** `refundry batch …`: what speaks HTTP to a running Refundry. */
export function addBatchCommands(program: Command): void {
  const batch = program
    .command('batch')
    .description(
      'Batches of refunds, at the Refundry that REFUNDRY_URL names, with the key REFUNDRY_API_KEY.',
    )
    .exitOverride(({ exitCode, code, message }) => {
      throw new CommanderError(exitCode === 0 ? 0 : NOT_DONE, code, message);
    });
  const id = '<batch-id>';
  const whose = 'as "batch list" shows it';
  const kind = () =>
    new Option('--kind <kind>', 'what its rows ask for')
      .choices(['refunds', 'status_updates'])
      .default('refunds');
  const lookAlikes = () =>
    new Option('--look-alikes <what>', 'rows that look like refunds made before').choices(['send', 'leave']);
  const following = (command: Command) =>
    command
      .option('--wait', 'follow it to its end, or to where it needs a person')
      .option('--json', 'print the batch as the API has it');
  const confirming = (command: Command) =>
    command
      .option('--confirm <total>', 'send it when its check comes to exactly this, such as "INR 12450.00"')
      .addOption(lookAlikes());

  following(
    confirming(
      batch
        .command('upload')
        .description(
          'Upload a file (CSV or XLSX), which is checked row by row. Nothing is sent before it is confirmed.',
        )
        .argument('<file>', 'with a line of column names; "batch sample" shows one')
        .option('--name <name>', 'what people call it; the name of the file otherwise')
        .addOption(kind())
        .option('--minor', 'its amounts are in minor units, such as 49900 paise')
        .option('--columns <pairs>', 'columns under other names, such as order_id=Bestellnr,amount=Betrag')
        .option('--sheet <name>', 'which sheet of a workbook is meant, where several have the columns')
        .option('--same-file', 'take it although the very same file was uploaded before')
        .option('--resume <batch-id>', 'go on with an upload that was broken off'),
    ),
  )
    .addHelpText('after', example('refundry batch upload march.csv --confirm "INR 12450.00" --wait'))
    .action(async (file, options) => (await commands()).upload(file, options));
  following(
    confirming(
      batch
        .command('correct')
        .description('Upload corrected rows, as "batch failed" gave them, into the batch they came from.')
        .argument(id, whose)
        .argument('<file>', 'with the column "row", which says which row each of them is'),
    ),
  )
    .addHelpText('after', example('refundry batch correct 0199… failed.csv --wait'))
    .action(async (which, file, options) => (await commands()).correct(which, file, options));
  following(
    batch
      .command('confirm')
      .description('Confirm what a checked batch will send, by its total.')
      .argument(id, whose)
      .argument(
        '<total>',
        'such as "INR 12450.00", or "INR 12450.00, EUR 20.00"; of status updates "12 rows"',
      )
      .addOption(lookAlikes()),
  )
    .addHelpText('after', example('refundry batch confirm 0199… "INR 12450.00" --wait'))
    .action(async (which, total, options) => (await commands()).confirm(which, total, options));
  following(
    batch
      .command('show')
      .description('Show where a batch is, and what its rows have come to.')
      .argument(id, whose),
  )
    .addHelpText('after', example('refundry batch show 0199… --wait'))
    .action(async (which, options) => (await commands()).show(which, options));
  batch
    .command('list')
    .description('List the batches, newest first.')
    .option('--status <statuses>', 'only these, with commas')
    .option('--limit <n>', 'at most so many', '20')
    .option('--json', 'print them as the API has them')
    .addHelpText('after', example('refundry batch list --status checked,paused', LISTED))
    .action(async (options) => (await commands()).list(options));
  batch
    .command('pause')
    .description('Send nothing more of a batch until it is resumed.')
    .argument(id, whose)
    .option('--json', 'print the batch as the API has it')
    .addHelpText('after', example('refundry batch pause 0199…', LISTED))
    .action(async (which, options) => (await commands()).decide('pause', which, options));
  following(batch.command('resume').description('Go on with a paused batch.').argument(id, whose))
    .addHelpText('after', example('refundry batch resume 0199… --wait'))
    .action(async (which, options) => (await commands()).decide('resume', which, options));
  batch
    .command('cancel')
    .description('Send nothing more of a batch, ever. What was sent is followed to its outcome.')
    .argument(id, whose)
    .option('--reason <reason>', 'for whoever reads it later')
    .option('--json', 'print the batch as the API has it')
    .addHelpText('after', example('refundry batch cancel 0199… --reason "Wrong file"', LISTED))
    .action(async (which, options) => (await commands()).decide('cancel', which, options));
  for (const [what, says] of [
    ['results', 'Write every row with what became of it, in the columns of the file and ours.'],
    ['failed', 'Write the rows that failed, to be corrected and uploaded with "batch correct".'],
  ] as const) {
    batch
      .command(what)
      .description(says)
      .argument(id, whose)
      .option('--to <file>', 'where to; otherwise to standard output')
      .addHelpText('after', example(`refundry batch ${what} 0199… --to ${what}.csv`, LISTED))
      .action(async (which, options) => (await commands()).download(what, which, options));
  }
  batch
    .command('sample')
    .description('Write a file to begin with: the columns, and rows that show what can stand in them.')
    .addOption(kind())
    .option('--to <file>', 'where to; otherwise to standard output')
    .addHelpText('after', example('refundry batch sample --to refunds.csv', LISTED))
    .action(async (options) => (await commands()).sample(options));
}

const LISTED = 'Exit status: 0 done; 1 not done.';

function example(line: string, statuses = BATCH_STATUSES_HELP): string {
  return `\nExample: ${line}\n${statuses}`;
}

/** What the commands for batches end with, for scripts. */
export const ALL_WELL = 0;
/** The command line is wrong, there was no answer, or the server refused. */
export const NOT_DONE = 1;
/** Some rows are bad, or their refunds have failed. */
export const SOME_FAILED = 2;
/** It waits for a person: to confirm, to approve, to resume it, or to settle a refund. */
export const WAITS_FOR_PEOPLE = 3;
/** Ctrl-C, as shells have it. */
export const INTERRUPTED = 130;

export const BATCH_STATUSES_HELP =
  'Exit status: 0 every row succeeded, or nothing has failed so far; 1 not done; 2 some rows are bad or failed; 3 it waits for a person.';

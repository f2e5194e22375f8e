/** The words of batches, for the server, the page and the documentation. */

/** What the rows of a file ask for: refunds, or the outcome of refunds in manual review (contract section 8). */
export const BATCH_KINDS = ['refunds', 'status_updates'] as const;
export type BatchKind = (typeof BATCH_KINDS)[number];

/** Where a batch is, each with what that means for the money. */
export const BATCH_STATUSES = {
  uploading: 'The file is not here as a whole yet, or cannot be read as it is. Nothing is sent.',
  checking: 'Each row is being checked against the orders. Nothing is sent.',
  checked: 'Every row has its verdict. Nothing is sent before the totals are confirmed.',
  awaiting_approval: 'A second person has to approve it. Nothing is sent.',
  waiting: 'It starts by itself when its wait is over, and can be cancelled until then. Nothing is sent yet.',
  running: 'Its rows are on their way, or their outcomes are awaited.',
  paused: 'Nothing more goes out. What was sent before is followed to its outcome.',
  finished: 'Every row has been answered.',
  cancelled: 'Nothing more goes out. What was sent before is followed to its outcome.',
} as const;
export type BatchStatus = keyof typeof BATCH_STATUSES;
export const BATCH_STATUS_NAMES = Object.keys(BATCH_STATUSES) as readonly BatchStatus[];

/** What the check says of a row. */
export const VERDICTS = {
  good: 'It can be sent.',
  look_alike: 'It can be sent, but looks like a refund that was made before or stands in the file twice.',
  bad: 'It cannot be sent as it is.',
} as const;
export type Verdict = keyof typeof VERDICTS;

/**
 * How far a row has come. `left`: nothing has been done; `made`: there is a refund of it, or its status was updated;
 * `refused`: it was tried, and the facts had changed since the check; `not_sent`: it stays undone, being bad, left out
 * by who confirmed, or of a batch that was cancelled before its turn.
 */
export const ROW_STATES = ['left', 'made', 'refused', 'not_sent'] as const;
export type RowState = (typeof ROW_STATES)[number];

export const BATCH_LIMITS = { bytes: 200_000_000, rows: 1_000_000 } as const;

import { type IdleAccount, readIdleAccounts } from '../gateways/health.ts';
import type { EngineDeps } from './engine.ts';
import { WAITS_FOR_CUSTOMER } from './outcome.ts';
import { isFollowed, type Refund } from './refund.ts';

/** Why nothing is done about a refund just now, though something is due: a word for programs, a sentence for people. */
export interface Wait {
  readonly code:
    | 'books_in_doubt'
    | 'account_held'
    | 'batch_stopped'
    | 'account_off'
    | 'account_rests'
    | 'gateway_missing'
    | 'customer';
  readonly says: string;
  /** When it goes on by itself; null where somebody has to do something first. */
  readonly until: Date | null;
}

export type WaitOf = (refund: Refund) => Wait | null;

type Waiting = Pick<Refund, 'state' | 'gateway' | 'gatewayAccountId' | 'batchId' | 'attention'>;

/** What holds these refunds up at this moment. One question for all of them, and none where all have ended. */
export async function readWaits(
  deps: Pick<EngineDeps, 'db' | 'clock' | 'gateways' | 'stoppedBatches' | 'booksInDoubt'>,
  refunds: readonly Waiting[],
): Promise<WaitOf> {
  const waiting = refunds.filter(isAboutToGoOn);
  if (waiting.length === 0) return () => null;
  const accountIds = [...new Set(waiting.map(({ gatewayAccountId }) => gatewayAccountId))];
  const idle = new Map(
    (await readIdleAccounts(deps.db, deps.clock, accountIds)).map((account) => [
      account.gatewayAccountId,
      account,
    ]),
  );
  const stopped = waiting.some(({ state, batchId }) => state === 'queued' && batchId !== null)
    ? ((await deps.stoppedBatches?.()) ?? [])
    : [];
  const booksInDoubt = (await deps.booksInDoubt?.()) ?? false;
  return (refund) =>
    isAboutToGoOn(refund)
      ? waitOf(refund, {
          booksInDoubt,
          stopped: refund.batchId !== null && stopped.includes(refund.batchId),
          connected: deps.gateways.get(refund.gateway) !== undefined,
          account: idle.get(refund.gatewayAccountId) ?? null,
        })
      : null;
}

/** A worker sends it or asks about it next, if nothing stands in the way. In review, people are what it waits for. */
function isAboutToGoOn(refund: Waiting): boolean {
  return refund.state === 'queued' || (isFollowed(refund) && refund.state !== 'manual_review');
}

interface InTheWay {
  readonly booksInDoubt: boolean;
  readonly stopped: boolean;
  readonly connected: boolean;
  readonly account: IdleAccount | null;
}

function waitOf(refund: Waiting, { booksInDoubt, stopped, connected, account }: InTheWay): Wait | null {
  const unsent = refund.state === 'queued';
  if (booksInDoubt) {
    return {
      code: 'books_in_doubt',
      says: 'These books may have gone back in time, so nothing is sent or asked until whoever runs this installation has said what they are.',
      until: null,
    };
  }
  if (unsent && account?.held) {
    return {
      code: 'account_held',
      says: 'The gateway knows a refund of ours that these books do not, so nothing is sent through this account until somebody has looked under Settings › Gateways.',
      until: null,
    };
  }
  if (unsent && stopped) {
    return {
      code: 'batch_stopped',
      says: 'Its batch is paused or being cancelled: nothing more of it goes out until somebody resumes it.',
      until: null,
    };
  }
  const goesOn = unsent ? 'the refund is sent' : 'the gateway is asked about it again';
  if (!connected) {
    return {
      code: 'gateway_missing',
      says: `This installation does not connect to ${refund.gateway} any more: ${unsent ? 'it is not sent' : 'nobody is asked'}. Whoever runs it has to connect it again; then ${goesOn} by itself.`,
      until: null,
    };
  }
  if (account === null || (account.enabled && account.openUntil === null)) {
    return refund.attention?.split('\n').includes(WAITS_FOR_CUSTOMER)
      ? { code: 'customer', says: WAITS_FOR_CUSTOMER, until: null }
      : null;
  }
  const name = `The gateway account “${account.name}”`;
  if (!account.enabled) {
    return {
      code: 'account_off',
      says: `${name} is switched off: ${unsent ? 'nothing is sent through it' : 'it is not asked what became of the refund'}. Once it is switched on under Settings › Gateways, ${goesOn} by itself.`,
      until: null,
    };
  }
  return {
    code: 'account_rests',
    says: `${name} rests, as its last calls went wrong${account.lastError === null ? '' : ` (${account.lastError.replace(/[.\s]+$/, '')})`}. Afterwards ${goesOn} by itself; if it goes on so, look at Settings › Gateways.`,
    until: account.openUntil,
  };
}

import type { RefundEvent } from '../../api/contract/refunds.ts';
import { type RefundState, STATES } from '../../api/contract/states.ts';

/** What happened, in the words of the trail's kinds. */
const KINDS: Readonly<Record<string, string>> = {
  'order.created': 'Order made',
  'order.updated': 'Order changed',
  'transaction.recorded': 'Payment recorded',
  'refund.recorded': 'Refund asked for',
  'refund.sending': 'Sent to the gateway',
  'refund.submitted': 'The gateway accepted it',
  'refund.succeeded': 'The gateway says that it is paid out',
  'refund.failed': 'The gateway says that it failed',
  'refund.refused': 'The gateway refused it',
  'refund.refused_in_doubt': 'The gateway refused it, but an earlier send may have been taken',
  'refund.waiting_for_funds': 'The gateway has no balance for it',
  'refund.told_to_wait': 'The gateway asks to be called later',
  'refund.account_refused': 'The gateway refuses our account',
  'refund.no_payment': 'The gateway knows no such payment in this account; not made',
  'refund.misfit': 'The gateway made another refund than was asked for',
  'refund.not_sent': 'Nothing reached the gateway',
  'refund.unknown': 'The gateway did not answer',
  'refund.answered_late': 'An answer came late and changes nothing',
  'refund.not_found': 'The gateway does not find it, so far',
  'refund.proved_absent': 'Proved that the gateway never made it; to be sent again under the same key',
  'refund.asking_again': 'There may be balance again; to be sent again under the same key',
  'refund.contradicted': 'The gateway contradicts what is known here',
  'refund.learnt': 'More became known',
  'refund.reversed': 'The gateway took the money back',
  'refund.manual_review': 'A person is needed',
  'refund.restored': 'Restored from a backup',
  'refund.cancelled': 'Cancelled',
  'refund.confirmed': 'A person confirmed it as it is',
  'refund.proposed': 'A person says otherwise than the gateway; a second person has to confirm it',
  'refund.proposal_withdrawn': 'The proposal was withdrawn',
  'refund.resolved_as_succeeded': 'A person settled it: it was paid',
  'refund.resolved_as_failed': 'A person settled it: it failed',
};

export function eventTitle(event: RefundEvent): string {
  // Only what two people said stands against the gateway's word.
  if (event.kind.startsWith('refund.resolved_as_') && event.evidence?.['gateway_said'])
    return `Two people settled it, against the gateway’s word: it ${event.kind.endsWith('succeeded') ? 'was paid' : 'failed'}`;
  const title = KINDS[event.kind] ?? event.kind.replace('.', ': ').replaceAll('_', ' ');
  const attempt = event.kind === 'refund.sending' ? event.evidence?.['attempt'] : null;
  if (typeof attempt === 'number' && attempt > 1) return `${title}, try ${attempt} under the same key`;
  if (event.kind === 'transaction.recorded' && event.to) return `${title}: ${event.to}`;
  return title;
}

/** Who or what made the change, in words. */
export function causeText(cause: RefundEvent['cause']): string {
  const said = (name: string) => (typeof cause[name] === 'string' ? cause[name] : null);
  switch (cause['by']) {
    case 'user':
      return said('email') ?? 'a person';
    case 'api':
      return `API key “${said('key')}”`;
    case 'file': {
      const line = Number(cause['line']);
      return line > 0 ? `file ${said('name')}, line ${line}` : `file ${said('name')}`;
    }
    case 'gateway_answer':
      return 'the gateway’s answer';
    case 'gateway_webhook':
      return said('event_id') ? `the gateway’s webhook ${said('event_id')}` : 'the gateway’s webhook';
    case 'look': {
      // Why in general is the state before, which stands above it.
      const why = said('why')?.startsWith('due while') ? null : said('why');
      return why === null ? 'the program asked the gateway' : `the program asked the gateway: ${why}`;
    }
    case 'clock':
      return `time passed: ${said('why')}`;
    case 'worker':
      return `the program: ${said('why')}`;
    case 'restore':
      return `a restore of the backup of ${said('backed_up_at')}`;
    default:
      return String(cause['by'] ?? 'unknown');
  }
}

/** A state's name in words: "waiting for funds". */
export function stateWord(state: string): string {
  return state.replaceAll('_', ' ');
}

export function isRefundState(word: string | null): word is RefundState {
  return word !== null && Object.hasOwn(STATES, word);
}

/** What of the evidence a person wrote, to be read without unfolding anything. */
export function statementIn(event: RefundEvent): string | null {
  const { statement, reason, why, evidence } = event.evidence ?? {};
  const words = [statement, reason, why, evidence].find((each) => typeof each === 'string');
  return (words as string | undefined) ?? null;
}

/** What the fold below an event holds. */
export function evidenceName(event: RefundEvent): string {
  if (event.kind === 'refund.recorded') return 'What was asked';
  if (event.kind === 'refund.sending') return 'What was sent';
  if (event.evidence && ('http_status' in event.evidence || 'body' in event.evidence))
    return 'The gateway’s answer';
  if (event.cause['by'] === 'gateway_webhook') return 'The gateway’s webhook';
  return 'What was said';
}

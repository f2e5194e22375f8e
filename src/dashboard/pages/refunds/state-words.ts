import type { Refund, RefundLooked } from '../../../api/contract/refunds.ts';
import type { RefundState } from '../../../api/contract/states.ts';

/** A state for people: what happened, what it means for the money, what to do. */
interface Words {
  readonly happened: string;
  readonly money: string;
  readonly todo: string;
}

const WORDS: Readonly<Record<RefundState, Words>> = {
  awaiting_approval: {
    happened: 'A second person has to approve it before it is sent.',
    money: 'No money has moved.',
    todo: 'Ask somebody who may approve refunds, or cancel it.',
  },
  queued: {
    happened: 'It is recorded and waits to be sent to the gateway.',
    money: 'No money has moved.',
    todo: 'Nothing: it is sent by itself, as soon as the gateway’s account takes it.',
  },
  sending: {
    happened: 'It is on its way to the gateway.',
    money: 'The gateway may make it at any moment.',
    todo: 'Nothing: the gateway’s answer decides.',
  },
  unknown: {
    happened: 'The gateway did not answer.',
    money: 'The refund may or may not have been made. It is not sent again until that is known.',
    todo: 'Nothing yet: the gateway is asked again by itself. You can ask it now.',
  },
  waiting_for_funds: {
    happened: 'The gateway has no balance for it.',
    money: 'The customer has no money yet.',
    todo: 'Refill the balance at the gateway. The refund then goes out by itself, under the same key.',
  },
  submitted: {
    happened: 'The gateway has accepted it and is working on it.',
    money: 'The money is on its way; the customer may not have it yet.',
    todo: 'Nothing before the due date: the gateway is asked again by itself.',
  },
  manual_review: {
    happened: 'Its outcome is uncertain, and the gateway cannot be relied on to tell it.',
    money:
      'Nobody knows yet whether the customer has the money. The amount stays held, so that it cannot go out twice.',
    todo: 'Ask the gateway now. If that does not settle it, look it up in the gateway’s own dashboard and say here what you found.',
  },
  succeeded: {
    happened: 'The gateway has paid it out.',
    money: 'The money is with the customer’s bank or wallet, which may take days to show it.',
    todo: 'Nothing. A customer who misses it can ask the bank for the ARN.',
  },
  failed: {
    happened: 'The gateway has not paid it out.',
    money: 'No money has moved; the amount is free to be refunded again.',
    todo: 'If the customer is still owed it, refund the order again.',
  },
  cancelled: {
    happened: 'It was cancelled before it was sent.',
    money: 'No money has moved; the amount is free to be refunded again.',
    todo: 'Nothing, unless the customer is still owed it.',
  },
  reversed: {
    happened: 'The gateway paid it out and took it back.',
    money: 'The customer does not have the money; the amount is free to be refunded again.',
    todo: 'Find out at the gateway why (a closed account, wrong details), then refund again or in another way.',
  },
};

/** What to tell of a refund as it is now. */
export function wordsOf(refund: Refund): Words {
  const words = WORDS[refund.state];
  if (refund.state === 'succeeded' && !refund.arn) {
    return { ...words, todo: 'Nothing. The ARN appears here when the gateway tells it.' };
  }
  if (refund.state === 'manual_review') return { ...words, happened: refund.attention ?? words.happened };
  if (refund.overdue && refund.sent_to_gateway) {
    return {
      ...words,
      todo: 'The customer should have had it by now: ask the gateway now, or look it up there. It goes to manual review by itself when nothing is known in time.',
    };
  }
  return words;
}

/** What a look at the gateway came to, in words. */
export function answerWords(before: Refund, after: RefundLooked): string {
  switch (after.gateway_answer) {
    case 'news': {
      const said = after.gateway_status
        ? `The gateway says “${after.gateway_status}”.`
        : 'The gateway answered.';
      return after.state === before.state
        ? `${said} Nothing has changed.`
        : `${said} The refund has moved on.`;
    }
    case 'absent':
      return after.state === before.state
        ? 'The gateway answered that it does not find this refund. That alone does not prove that it was never made.'
        : 'The gateway does not find this refund, which proves that it was never made. The refund has moved on.';
    case 'busy':
      return 'The gateway is busy and asks to be called later. Nothing was learnt.';
    case 'misconfigured':
      return 'The gateway refuses our account, so nothing was learnt. Look at Settings › Gateways.';
    case 'no_answer':
      return 'The gateway did not answer. Nothing was learnt; it is asked again by itself.';
  }
}

/** Whether the gateway may know of it, so that asking makes sense. */
export function mayAsk(refund: Refund): boolean {
  return refund.sent_to_gateway || refund.state === 'sending';
}

export function mayCancel(refund: Refund): boolean {
  return (refund.state === 'queued' || refund.state === 'awaiting_approval') && !refund.sent_to_gateway;
}

/** How a person's word may settle it: in review as either; once final, and a person was called, only as it is. */
export function settlements(refund: Refund): readonly ('succeeded' | 'failed')[] {
  if (refund.state === 'manual_review') return ['succeeded', 'failed'];
  if (refund.attention === null) return [];
  if (refund.status === 'SUCCESS') return ['succeeded'];
  return refund.status === 'FAILURE' ? ['failed'] : [];
}

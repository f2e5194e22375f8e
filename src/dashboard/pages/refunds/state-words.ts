import type { Refund, RefundLooked } from '../../../api/contract/refunds.ts';
import type { RefundState } from '../../../api/contract/states.ts';
import { withAmountsAsShown } from '../../parts/amounts.ts';

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
    happened: 'It was cancelled before the gateway made it.',
    money: 'No money has moved; the amount is free to be refunded again.',
    todo: 'Nothing, unless the customer is still owed it.',
  },
  reversed: {
    happened: 'The gateway paid it out and took it back.',
    money: 'The customer does not have the money; the amount is free to be refunded again.',
    todo: 'Find out at the gateway why (a closed account, wrong details), then refund again or in another way.',
  },
};

/** What stands in the way of a refund that would go on by itself. */
const WAITS: Readonly<Record<string, { readonly word: string; readonly todo: string }>> = {
  books_in_doubt: {
    word: 'books in doubt',
    todo: 'Ask whoever runs this installation to say what the books are.',
  },
  account_held: {
    word: 'account held',
    todo: 'Have an admin look at the account under Settings › Gateways.',
  },
  batch_stopped: { word: 'batch paused', todo: 'Have the batch resumed.' },
  account_off: { word: 'account off', todo: 'Have the account switched on under Settings › Gateways.' },
  account_rests: {
    word: 'account rests',
    todo: 'Nothing yet: it goes on by itself. If that lasts, look at the account under Settings › Gateways.',
  },
  gateway_missing: {
    word: 'gateway not connected',
    todo: 'Ask whoever runs this installation to connect the gateway again.',
  },
  customer: {
    word: 'waits for the customer',
    todo: 'Ask the customer to look for the gateway’s message and to answer it.',
  },
};

/** What holds a refund up, in two or three words, for lists; null where nothing does. */
export function waitWord({ waits_for: wait }: Refund): string | null {
  return wait && (WAITS[wait.code]?.word ?? 'held up');
}

const BECAUSE: Readonly<Record<NonNullable<Refund['refused_because']>, Pick<Words, 'money' | 'todo'>>> = {
  refunded_elsewhere: {
    money:
      'The gateway has not made this refund. The customer may have the money by another one; the amount stays held here, so that it does not go out twice.',
    todo: 'Look up the payment in the gateway’s own dashboard: who refunded it, when, how much. This refund itself has failed: say so with what you found. Give the money back again only if the customer does not have it.',
  },
  disputed: {
    money:
      'The gateway has not made this refund. The customer’s bank may take the money back from you; the amount stays held here, so that it does not go out twice.',
    todo: 'Look up the dispute in the gateway’s own dashboard. This refund itself has failed: say so with what you found. Give the money back again only if the dispute ends without the customer having it.',
  },
};

/** What to tell of a refund as it is now. */
export function wordsOf(refund: Refund): Words {
  const words = WORDS[refund.state];
  const { waits_for: wait, status } = refund;
  if (refund.state === 'manual_review') {
    const because = refund.refused_because && BECAUSE[refund.refused_because];
    return { ...words, happened: attentionText(refund) ?? words.happened, ...because };
  }
  if (refund.attention !== null && (status === 'SUCCESS' || status === 'FAILURE')) {
    return {
      happened: words.happened,
      money:
        'Whether that holds is in doubt: see above. Give the money back in no other way before somebody has looked.',
      todo: 'Compare with the gateway’s own dashboard, and take up with the gateway what does not fit. Then confirm the refund here as it is.',
    };
  }
  if (refund.settled_by_hand) {
    return {
      happened: `People settled it as ${status === 'SUCCESS' ? 'paid' : 'failed'}, with evidence.`,
      money: `${words.money} That is their word: the gateway is asked for some weeks whether it agrees.`,
      todo: words.todo,
    };
  }
  if (refund.state === 'succeeded' && !refund.arn) {
    return { ...words, todo: 'Nothing. The ARN appears here when the gateway tells it.' };
  }
  if (wait?.code === 'customer') {
    return {
      happened: 'The gateway has accepted it and waits for the customer.',
      money:
        'The customer does not have the money, and does not get it before they have answered the gateway.',
      todo: WAITS['customer']!.todo,
    };
  }
  if (wait) {
    const cancel =
      mayCancel(refund) && wait.code !== 'account_rests' ? ' Or cancel it: nothing has been paid.' : '';
    return {
      ...words,
      happened: `${words.happened} ${wait.says}`,
      todo: `${WAITS[wait.code]?.todo ?? words.todo}${cancel}`,
    };
  }
  if (refund.attention !== null) {
    const cancel = mayCancel(refund) ? ' Or cancel it: nothing has been paid.' : '';
    return {
      ...words,
      todo: `See above what is wrong: once that is put right it goes on by itself.${cancel}`,
    };
  }
  if (refund.overdue && refund.sent_to_gateway) {
    return {
      ...words,
      todo: 'The customer should have had it by now: ask the gateway now, or look it up there. It goes to manual review by itself when nothing is known in time.',
    };
  }
  return words;
}

/** Why a person is needed, with its amounts as the page shows them. */
export function attentionText({ attention }: Pick<Refund, 'attention'>): string | null {
  return attention && withAmountsAsShown(attention);
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
    case 'misfit':
      return 'The gateway has made another refund than was asked for. Look at what happened.';
    case 'busy':
      return 'The gateway is busy and asks to be called later. Nothing was learnt.';
    case 'misconfigured':
      return 'The gateway refuses our account, so nothing was learnt. Look at Settings › Gateways.';
    case 'no_answer':
      if (after.waits_for?.code === 'account_off' || after.waits_for?.code === 'gateway_missing')
        return `The gateway was not asked. ${after.waits_for.says}`;
      return 'The gateway did not answer. Nothing was learnt; it is asked again by itself.';
  }
}

/** Whether the gateway may know of it, so that asking makes sense. */
export function mayAsk(refund: Refund): boolean {
  return refund.sent_to_gateway || refund.state === 'sending';
}

/** Whether the order may be offered to be refunded again: not while it is in doubt whether the customer has the money. */
export function mayIssueAgain({ status, attention }: Refund): boolean {
  return status === 'FAILURE' && attention === null;
}

export function mayCancel(refund: Refund): boolean {
  return (refund.state === 'queued' || refund.state === 'awaiting_approval') && !refund.sent_to_gateway;
}

/** How a person's word may settle it: in review as either; once final, and a person was called, only as it is. */
export function settlements(refund: Refund): readonly ('succeeded' | 'failed')[] {
  // First somebody says yes or no to what stands there.
  if (refund.proposal !== null) return [];
  if (refund.state === 'manual_review') return ['succeeded', 'failed'];
  if (refund.attention === null) return [];
  if (refund.status === 'SUCCESS') return ['succeeded'];
  return refund.status === 'FAILURE' ? ['failed'] : [];
}

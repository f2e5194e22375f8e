import { holdsCardNumber } from './card-number.ts';
import { withUnseenShown } from './unseen.ts';

const MOST = 60;

/** A text of somebody's file as a message may repeat it: short, in one line, and never a card number. */
export function shown(text: string): string {
  if (holdsCardNumber(text)) return '(not repeated here: it looks like a card number)';
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ').toWellFormed();
  return withUnseenShown(line.length <= MOST ? line : `${line.slice(0, MOST).toWellFormed()}…`);
}

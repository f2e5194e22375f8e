import { moneyText, shareOf } from './amounts.ts';
import classes from './refunded-bar.module.css';

interface Props {
  readonly paid: string;
  /** What has gone back and what is on its way. */
  readonly refunded: string;
  readonly inFlight: string;
  readonly currency: string;
  readonly tall?: boolean;
}

/** How much of what was paid has gone back, and how much is on its way (hatched). */
export function RefundedBar({ paid, refunded, inFlight, currency, tall = false }: Props) {
  const words = `${moneyText(refunded, currency)} of ${moneyText(paid, currency)} refunded, ${moneyText(inFlight, currency)} of it in flight`;
  return (
    <span className={classes.bar} data-tall={tall || undefined} role="img" aria-label={words} title={words}>
      <span
        className={classes.done}
        style={{ width: `${(shareOf(refunded, paid) - shareOf(inFlight, paid)) * 100}%` }}
      />
      <span className={classes.flying} style={{ width: `${shareOf(inFlight, paid) * 100}%` }} />
    </span>
  );
}

import { groupDigits } from './amounts.ts';
import classes from './money.module.css';

/** An amount as the API tells it, in the person's spelling: decimal text in major units with all its decimals. */
export function Money({ amount, currency }: { readonly amount: string; readonly currency: string }) {
  return (
    <span className={classes.money}>
      <span className={classes.currency}>{currency}</span> {groupDigits(amount)}
    </span>
  );
}

import classes from './money.module.css';

/**
 * An amount as the API tells it: decimal text in major units with all digits of its currency. Formatting goes from
 * text to text, so nothing is ever read back as a number (invariant 10).
 */
export function Money({ amount, currency }: { readonly amount: string; readonly currency: string }) {
  return (
    <span className={classes.money}>
      <span className={classes.currency}>{currency}</span> {groupDigits(amount)}
    </span>
  );
}

/** "1299.00" as "1,299.00" (or as the person's locale groups it). */
export function groupDigits(amount: string): string {
  const digits = amount.split('.')[1]?.length ?? 0;
  const format = new Intl.NumberFormat(undefined, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return format.format(amount as Intl.StringNumericLiteral);
}

/** "INR 1,299.00", for sentences. */
export function moneyText(amount: string, currency: string): string {
  return `${currency}\u00a0${groupDigits(amount)}`;
}

export function isZero(amount: string): boolean {
  return /^[0.]+$/.test(amount);
}

/** How much of the whole a part is, from 0 to 1: for drawing only, as it goes through floating point. */
export function shareOf(part: string, whole: string): number {
  return isZero(whole) ? 0 : Math.max(0, Math.min(1, Number(part) / Number(whole)));
}

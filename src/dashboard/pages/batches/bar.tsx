import type { ReactNode } from 'react';
import classes from './batches.module.css';

interface Props {
  /** What it tells the progress of, for screen readers. */
  readonly name: string;
  readonly done: number;
  /** Null while nobody knows. */
  readonly of: number | null;
  /** In words, beside it. */
  readonly children?: ReactNode;
  readonly still?: boolean;
}

/** How far something has come. */
export function Bar({ name, done, of, children, still = false }: Props) {
  const share = of === null || of === 0 ? null : Math.min(1, done / of);
  const percent = share === null ? null : Math.floor(share * 100);
  return (
    <div className={classes.progress}>
      <div
        className={classes.bar}
        role="progressbar"
        aria-label={name}
        aria-valuemin={0}
        aria-valuemax={100}
        {...(percent === null ? {} : { 'aria-valuenow': percent })}
        data-unknown={share === null || undefined}
        data-still={still || undefined}
      >
        <span className={classes.filled} style={{ width: `${(share ?? 1) * 100}%` }} />
      </div>
      {children && <div className={classes.progressWords}>{children}</div>}
    </div>
  );
}

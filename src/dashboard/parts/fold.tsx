import type { ReactNode } from 'react';
import classes from './fold.module.css';

/** What is there for those who want to know more. */
export function Fold({ summary, children }: { readonly summary: string; readonly children: ReactNode }) {
  return (
    <details className={classes.fold}>
      <summary>{summary}</summary>
      {children}
    </details>
  );
}

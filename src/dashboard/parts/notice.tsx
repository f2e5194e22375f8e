import type { ReactNode } from 'react';
import classes from './notice.module.css';

interface Props {
  readonly tone: 'amber' | 'red' | 'plain';
  readonly title: string;
  readonly children?: ReactNode;
}

/** Something to know before going on, with its way out. */
export function Notice({ tone, title, children }: Props) {
  return (
    <div className={`${classes.notice} ${classes[tone]}`}>
      <div className={classes.title}>{title}</div>
      {children}
    </div>
  );
}

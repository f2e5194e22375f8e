import { Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import { Outlet } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import classes from './entrance.module.css';

/** What stands around the pages of those who are not signed in. */
export function Entrance() {
  return (
    <div className={classes.frame}>
      <main className={classes.column}>
        <div className={classes.mark}>Refundry</div>
        <Outlet />
      </main>
    </div>
  );
}

/** One step at the entrance: what it is, what it is for, and its form. */
export function Step({
  title,
  about,
  children,
}: {
  readonly title: string;
  readonly about?: ReactNode;
  readonly children: ReactNode;
}) {
  useDocumentTitle(`${title} · Refundry`);
  return (
    <>
      <Title order={1}>{title}</Title>
      <div className={classes.about}>{about}</div>
      {children}
    </>
  );
}

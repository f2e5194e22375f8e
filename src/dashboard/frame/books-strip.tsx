import { useQuery } from '@tanstack/react-query';
import { areBooksInDoubt } from '../api/health.ts';
import classes from './shell.module.css';

const LOOK_EVERY_MS = 30_000;

/** Said above every page while nothing is sent because the books may have gone back in time. */
export function BooksStrip() {
  const inDoubt = useQuery({
    queryKey: ['books in doubt'],
    queryFn: ({ signal }) => areBooksInDoubt(signal),
    refetchInterval: LOOK_EVERY_MS,
  });
  if (inDoubt.data !== true) return null;
  return (
    <div className={classes.alarm} role="alert">
      <b>Nothing is sent.</b> These books may have gone back in time, and lack refunds that were made. What is
      asked for is kept, and waits. The operator's log and <span className="mono">refundry doctor</span> say
      why, and how to go on.
    </div>
  );
}

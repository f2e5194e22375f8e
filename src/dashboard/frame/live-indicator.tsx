import { Tooltip } from '@mantine/core';
import type { LiveState } from '../api/live.ts';
import classes from './live-indicator.module.css';

const WORDS: Readonly<Record<LiveState, { readonly short: string; readonly long: string }>> = {
  connecting: { short: 'Connecting', long: 'The page is connecting to the server.' },
  live: { short: 'Live', long: 'Changes appear here as they happen.' },
  lost: {
    short: 'Not live',
    long: 'The connection to the server is lost; what you see may be old. The page keeps trying to reconnect.',
  },
};

/** Whether what is on screen follows the truth. */
export function LiveIndicator({ state }: { readonly state: LiveState }) {
  const { short, long } = WORDS[state];
  return (
    <Tooltip label={long} multiline w={240}>
      <span className={classes.live} data-state={state} role="status" aria-label={long}>
        <span className={classes.dot} aria-hidden />
        <span className={classes.word}>{short}</span>
      </span>
    </Tooltip>
  );
}

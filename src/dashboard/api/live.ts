import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';

export type LiveState = 'connecting' | 'live' | 'lost';

const CHANGED_KEYS = ['orders', 'order', 'refunds', 'refund', 'counts', 'figures', 'deliveries'];
const AT_MOST_EVERY_MS = 1_000;
/** The server says every 15 seconds that it is there. */
const SILENT_MS = 40_000;
const AGAIN_AFTER_MS = 5_000;

/**
 * Follows the server's stream of changes: what they touch is asked for again, at most once a second. Says whether
 * the connection stands, also where it fell silent without an end; after a cut everything on screen is asked for
 * again, because news may have been missed. A page that nobody sees lets its stream go: browsers keep few
 * connections to one server for all their tabs together, and questions would wait behind streams.
 */
export function useLive(): LiveState {
  const client = useQueryClient();
  const [state, setState] = useState<LiveState>('connecting');

  useEffect(() => {
    let stream: EventSource | null = null;
    let missed = false;
    let due: Timer | undefined;
    let again: Timer | undefined;
    let silent: Timer | undefined;

    const refresh = () => {
      due ??= setTimeout(() => {
        due = undefined;
        for (const key of CHANGED_KEYS) void client.invalidateQueries({ queryKey: [key] });
      }, AT_MOST_EVERY_MS);
    };
    const close = () => {
      stream?.close();
      clearTimeout(again);
      clearTimeout(silent);
    };
    const lose = () => {
      missed = true;
      setState('lost');
    };
    const heard = () => {
      clearTimeout(silent);
      silent = setTimeout(() => {
        lose();
        open();
      }, SILENT_MS);
    };
    const open = () => {
      close();
      const opened = new EventSource('/v1/stream');
      stream = opened;
      heard();
      opened.onopen = () => {
        heard();
        setState('live');
        if (missed) refresh();
        missed = false;
      };
      opened.addEventListener('here', heard);
      opened.addEventListener('change', () => {
        heard();
        refresh();
      });
      opened.onerror = () => {
        lose();
        // A refusal (signed out, too many streams) ends the browser's own retries; ours go on.
        if (opened.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_AFTER_MS);
      };
    };
    const follow = () => {
      if (!document.hidden) return open();
      close();
      missed = true;
      setState('connecting');
    };

    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      close();
      clearTimeout(due);
    };
  }, [client]);

  return state;
}

type Timer = ReturnType<typeof setTimeout>;

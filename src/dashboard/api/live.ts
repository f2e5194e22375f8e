import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';

export type LiveState = 'connecting' | 'live' | 'lost';

const CHANGED_KEYS = ['orders', 'order', 'refunds', 'refund', 'counts', 'figures', 'deliveries'];
const AT_MOST_EVERY_MS = 1_000;

/**
 * Follows the server's stream of changes: what they touch is asked for again, at most once a second. Says whether
 * the connection stands; after a cut everything on screen is asked for again, because news may have been missed.
 */
export function useLive(): LiveState {
  const client = useQueryClient();
  const [state, setState] = useState<LiveState>('connecting');

  useEffect(() => {
    let due: ReturnType<typeof setTimeout> | null = null;
    const refresh = () => {
      due ??= setTimeout(() => {
        due = null;
        for (const key of CHANGED_KEYS) void client.invalidateQueries({ queryKey: [key] });
      }, AT_MOST_EVERY_MS);
    };
    let stream: EventSource | null = null;
    let again: ReturnType<typeof setTimeout> | null = null;
    let wasLost = false;
    const open = () => {
      stream = new EventSource('/v1/stream');
      stream.onopen = () => {
        setState('live');
        if (wasLost) refresh();
        wasLost = false;
      };
      stream.addEventListener('change', refresh);
      stream.onerror = () => {
        wasLost = true;
        setState('lost');
        // A refusal (signed out, too many streams) ends the browser's own retries; ours go on.
        if (stream?.readyState === EventSource.CLOSED) again = setTimeout(open, 5_000);
      };
    };
    open();
    return () => {
      stream?.close();
      if (due) clearTimeout(due);
      if (again) clearTimeout(again);
    };
  }, [client]);

  return state;
}

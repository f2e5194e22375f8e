import type { Logger } from './log.ts';

/** Work that goes on in the background until it is stopped. */
export interface Loop {
  start(): void;
  /** There may be work now: do not wait for the next tick. */
  wake(): void;
  /** Takes no new work and waits for what is in flight. */
  stop(): Promise<void>;
}

export interface LoopOptions {
  readonly name: string;
  readonly log: Logger;
  /** How long to rest after a tick that found nothing. */
  readonly idleMs: number;
  /** How long to gather what wakes it before the next round, so that many small wakes become one round. */
  readonly gatherMs?: number;
  /** One round of work; true when there may be more at once. An error is logged and rested on. */
  readonly tick: () => Promise<boolean>;
  /** Waits for what ticks have set going. */
  readonly drain?: () => Promise<void>;
}

const LONGEST_REST_MS = 5_000;

export function createLoop(options: LoopOptions): Loop {
  let running: Promise<void> | null = null;
  let stopping = false;
  let woken = false;
  let endRest: (() => void) | null = null;

  async function run(): Promise<void> {
    let failures = 0;
    while (!stopping) {
      woken = false;
      let more = false;
      try {
        more = await options.tick();
        failures = 0;
      } catch (error) {
        failures++;
        options.log.error({ err: error, loop: options.name }, 'a round of work failed');
      }
      if (stopping) continue;
      if (more || (woken && failures === 0)) {
        if (options.gatherMs) await new Promise((resolve) => setTimeout(resolve, options.gatherMs));
        continue;
      }
      await rest(
        Math.min(options.idleMs * 2 ** Math.min(failures, 10), Math.max(LONGEST_REST_MS, options.idleMs)),
      );
    }
    await options.drain?.();
  }

  function rest(ms: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    }).then(() => {
      endRest = null;
    });
  }

  function wake(): void {
    woken = true;
    endRest?.();
  }

  return {
    start() {
      running ??= run();
    },
    wake,
    async stop() {
      stopping = true;
      wake();
      await running;
    },
  };
}

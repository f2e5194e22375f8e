import type { EngineDeps } from '../refunds/engine.ts';

/** What the verbs on batches may reach: the engine, and the worker that does their steps. */
export interface BatchDeps {
  readonly engine: EngineDeps;
  /** Tells this process's worker that a batch may have a step to do. */
  readonly wake: () => void;
}

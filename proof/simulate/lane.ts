/** A thread in which worlds live one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { Broken } from './auditor.ts';
import { openGround } from './ground.ts';
import { liveWorld, type WorldFigures, type WorldSpec } from './world.ts';

/** What becomes of a world that a lane was given. */
export type LaneAnswer =
  | { readonly kind: 'lived'; readonly figures: WorldFigures }
  | { readonly kind: 'broken'; readonly what: string }
  | { readonly kind: 'failed'; readonly error: unknown };

const ground = await openGround((workerData as { readonly connectionString: string }).connectionString);
const port = parentPort!;

port.on('message', async (message: WorldSpec) => {
  port.postMessage(
    await liveWorld(ground, message).then(
      (figures): LaneAnswer => ({ kind: 'lived', figures }),
      (error: unknown): LaneAnswer =>
        error instanceof Broken ? { kind: 'broken', what: error.message } : { kind: 'failed', error },
    ),
  );
});

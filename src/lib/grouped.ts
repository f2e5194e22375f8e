import { troubleOf } from './database-trouble.ts';

/**
 * Writes that come together are written together: whatever has arrived while one slice was being written becomes
 * the next one, and a lone one waits for nobody. A slice that fails is written again item by item, so that one that
 * cannot be written never takes its neighbours along; `write` must therefore bear being repeated. Where it is the
 * database that fails, all fail with it: each by itself would wait as long again.
 */
export function grouped<Item, Outcome>(
  sliceSize: number,
  write: (items: Item[]) => Promise<readonly Outcome[]>,
): (item: Item) => Promise<Outcome> {
  const waiting: { item: Item; resolve: (outcome: Outcome) => void; reject: (error: unknown) => void }[] = [];
  let writing = false;

  async function drain(): Promise<void> {
    writing = true;
    while (waiting.length > 0) {
      const slice = waiting.splice(0, sliceSize);
      try {
        const outcomes = await write(slice.map(({ item }) => item));
        slice.forEach(({ resolve }, n) => {
          resolve(outcomes[n]!);
        });
      } catch (error) {
        if (slice.length === 1 || troubleOf(error) !== null) for (const { reject } of slice) reject(error);
        else {
          for (const { item, resolve, reject } of slice) {
            await write([item]).then((outcomes) => resolve(outcomes[0]!), reject);
          }
        }
      }
    }
    writing = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!writing) void drain();
    });
}

/** How much may be taken at once, and how fast it comes back. */
export interface Allowance {
  readonly atOnce: number;
  readonly perSecond: number;
}

/** What each of many callers may take of something: a bucket of tokens for each name, full when it is new. */
export interface TokenBuckets {
  /** Takes a token of the name's bucket. 0 where there was one; else nothing is taken, and in so many ms there is one. */
  take(name: string): number;
  /** What `take` would answer; nothing is taken. */
  waitMs(name: string): number;
}

/** A bucket that was not used for longest is forgotten, and would be full again, when there are more names than this. */
const MOST_BUCKETS = 10_000;

/** Buckets of this process alone; `nowMs` is a clock that only goes forward. */
export function createTokenBuckets(
  { atOnce, perSecond }: Allowance,
  options: { readonly nowMs?: () => number; readonly mostBuckets?: number } = {},
): TokenBuckets {
  const { nowMs = () => performance.now(), mostBuckets = MOST_BUCKETS } = options;
  const buckets = new Map<string, { readonly tokens: number; readonly atMs: number }>();

  function tokensOf(name: string, atMs: number): number {
    const bucket = buckets.get(name);
    return bucket ? Math.min(atOnce, bucket.tokens + ((atMs - bucket.atMs) / 1_000) * perSecond) : atOnce;
  }

  function write(name: string, tokens: number, atMs: number): void {
    // Anew, so that the map stays in the order of use.
    buckets.delete(name);
    buckets.set(name, { tokens, atMs });
    if (buckets.size > mostBuckets) buckets.delete(buckets.keys().next().value!);
  }

  function waitFor(tokens: number): number {
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1_000);
  }

  return {
    take(name) {
      const atMs = nowMs();
      const tokens = tokensOf(name, atMs);
      write(name, tokens >= 1 ? tokens - 1 : tokens, atMs);
      return waitFor(tokens);
    },
    waitMs: (name) => waitFor(tokensOf(name, nowMs())),
  };
}

/** A measurement at a moment, in minutes since the beginning. */
export interface Sample {
  readonly minute: number;
  readonly value: number;
}

/**
 * By how much the values grow from the first to the last minute, as the middle of the slopes between all pairs
 * says (Theil and Sen): single peaks do not move it.
 */
export function growthOf(samples: readonly Sample[]): number {
  const slopes: number[] = [];
  samples.forEach((a, n) => {
    for (const b of samples.slice(n + 1)) {
      if (b.minute > a.minute) slopes.push((b.value - a.value) / (b.minute - a.minute));
    }
  });
  if (slopes.length === 0) return 0;
  return medianOf(slopes) * (samples.at(-1)!.minute - samples[0]!.minute);
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** The smallest value that at least this share of the values does not exceed (nearest rank); NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** The middle value, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** A median and what one in twenty is above, in the unit of the samples. */
export type Spread = { median: number; p95: number; samples: number };

/** What a table shows of samples. */
export const spread = (values: readonly number[]): Spread => ({
  median: round(median(values)),
  p95: round(percentile(values, 0.95)),
  samples: values.length,
});

/** Two digits behind the point: more is noise. */
export const round = (value: number): number => Math.round(value * 100) / 100;

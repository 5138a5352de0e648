/**
 * Returns the value at or below which the share `q` of the values lies, by the nearest-rank method.
 * @throws {RangeError} when there are no values
 */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const found = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]
  if (found === undefined) throw new RangeError('no values, no quantile')
  return found
}

/** Returns the middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  return (
    (quantile(values, 0.5) -
      quantile(
        values.map((value) => -value),
        0.5,
      )) /
    2
  )
}

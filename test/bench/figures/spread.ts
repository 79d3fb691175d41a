/**
 * The value that this share (0 to 1) of all values does not exceed, by nearest rank: always one that was really
 * measured. Throws: RangeError where there is none.
 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  const value = sorted[rank - 1]
  if (value === undefined) throw new RangeError('nothing was measured')
  return value
}

/** The middle one; of an even number the mean of both in the middle. Throws: RangeError where there is none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.ceil(sorted.length / 2) - 1]
  if (upper === undefined || lower === undefined) throw new RangeError('nothing was measured')
  return (lower + upper) / 2
}

/** Durations in one line of text: how many, and p50, p99 and the largest in milliseconds. */
export function figures(durationsMs: readonly number[]): string {
  const sorted = durationsMs.toSorted((a, b) => a - b)
  const at = (share: number): string => {
    // Nearest rank: a value that was really measured.
    const rank = Math.max(1, Math.ceil(share * sorted.length))
    return `${Math.round(sorted[rank - 1] ?? Number.NaN)}ms`
  }
  return `p50=${at(0.5)} p99=${at(0.99)} max=${at(1)}`
}

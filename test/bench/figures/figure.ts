/** One measured number, beside what it is compared with and the goal it was set. */
export interface Figure {
  readonly name: string
  /** Of `ours` and `theirs`, such as `ms`; empty for plain counts. */
  readonly unit: string
  readonly ours: number
  /** Of the other side, by medians of the same run; left out where there is none. */
  readonly theirs?: number
  readonly goal?: Goal
}

/** A bound on our own number, or on the ratio of ours to theirs. */
export interface Goal {
  readonly of: 'ours' | 'ratio'
  readonly is: 'at least' | 'at most' | 'under'
  readonly bound: number
}

/** Ours as a multiple of theirs; undefined where there is nothing to compare with. */
export function ratioOf({ ours, theirs }: Figure): number | undefined {
  return theirs === undefined || theirs === 0 ? undefined : ours / theirs
}

/** Whether the figure reaches its goal; undefined where it has none, or lacks what the goal is about. */
export function isMet(figure: Figure): boolean | undefined {
  const { goal } = figure
  if (goal === undefined) return undefined
  const value = goal.of === 'ours' ? figure.ours : ratioOf(figure)
  if (value === undefined || Number.isNaN(value)) return undefined
  switch (goal.is) {
    case 'at least':
      return value >= goal.bound
    case 'at most':
      return value <= goal.bound
    case 'under':
      return value < goal.bound
  }
}

/** `at most 2x`, `under 300 ms`. */
export function describeGoal({ goal, unit }: Figure): string {
  if (goal === undefined) return ''
  const measure = goal.of === 'ratio' ? 'x' : unit === '' ? '' : ` ${unit}`
  return `${goal.is} ${goal.bound}${measure}`
}

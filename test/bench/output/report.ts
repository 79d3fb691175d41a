import { describeGoal, isMet, ratioOf } from '../figures/figure.ts'
import type { Machine } from './machine.ts'
import type { Line } from './table.ts'

/** The same as the table, for programs: numbers unrounded, goals judged. */
export function reportOf(machine: Machine, isQuick: boolean, lines: readonly Line[]): object {
  return {
    bench: 'latchkey',
    takenAt: new Date().toISOString(),
    isQuick,
    machine,
    rows: lines.map(({ row: { name, title, compares }, outcome }) => ({
      name,
      title,
      compares,
      ...(outcome.kind === 'measured' ? { ...outcome, figures: figuresOf(outcome) } : outcome),
    })),
  }
}

function figuresOf({ figures }: Extract<Line['outcome'], { readonly kind: 'measured' }>): object[] {
  return figures.map((figure) => ({
    name: figure.name,
    unit: figure.unit,
    ours: figure.ours,
    theirs: figure.theirs,
    ratio: ratioOf(figure),
    ...(figure.goal && { goal: describeGoal(figure), isMet: isMet(figure) }),
  }))
}

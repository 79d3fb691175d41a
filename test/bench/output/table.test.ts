import test from 'ava'

import type { Figure } from '../figures/figure.ts'
import type { Outcome } from '../row.ts'
import { reportOf } from './report.ts'
import { formatTable, type Line } from './table.ts'

const P50: Figure = {
  name: 'p50',
  unit: 'ms',
  ours: 4.5678,
  theirs: 2.5,
  goal: { of: 'ratio', is: 'at most', bound: 2 },
}
const MACHINE = {
  processor: 'a processor',
  cores: 2,
  memoryGiB: 24,
  kernel: '6.18',
  node: 'v24',
  load: 0,
}

function line(name: string, outcome: Outcome): Line {
  return { row: { name, title: `Title of ${name}`, compares: 'Ours against theirs.' }, outcome }
}

function measured(...figures: readonly Figure[]): Outcome {
  return { kind: 'measured', figures, tookMs: 1 }
}

test('a figure stands beside what it is compared with, its goal and the verdict', (t) => {
  const [head, row] = formatTable([line('publish', measured(P50))]).split('\n')
  t.is(head, 'row      figure  ours     theirs   ratio  goal')
  t.is(row, 'publish  p50     4.57 ms  2.50 ms  1.83x  at most 2x  met')
})

test('a goal that is missed is said aloud', (t) => {
  t.regex(
    formatTable([line('publish', measured({ ...P50, ours: 6 }))]),
    /2\.40x +at most 2x +NOT MET$/m,
  )
})

test('a row of several figures names itself once', (t) => {
  const table = formatTable([line('publish', measured(P50, { ...P50, name: 'p99' }))])
  t.regex(table, /^publish +p50 /m)
  t.regex(table, /^ +p99 /m)
})

test('a figure with nothing beside it shows dashes', (t) => {
  const alone: Figure = { name: 'requests', unit: '', ours: 0 }
  t.regex(formatTable([line('republish', measured(alone))]), /^republish +requests +0 +- +-$/m)
})

test('a skipped row and a failed one say so by name, and why, in one line', (t) => {
  const table = formatTable([
    line('start', { kind: 'skipped', why: 'needs root' }),
    line('memory', { kind: 'failed', why: 'no answer\nand a trace' }),
  ])
  const [, start, memory] = table.split('\n')
  t.is(start, 'start   skipped: needs root')
  t.is(memory, 'memory  failed: no answer')
})

test('below the table every row says what it compares', (t) => {
  t.regex(
    formatTable([line('start', { kind: 'skipped', why: 'needs root' })]),
    /^start: Title of start\. Ours against theirs\.$/m,
  )
})

test('the report has the numbers unrounded, the ratio and the verdict', (t) => {
  const lines = [line('publish', measured(P50)), line('start', { kind: 'skipped', why: 'no root' })]
  const { machine, rows } = reportOf(MACHINE, false, lines) as {
    readonly machine: object
    readonly rows: readonly Record<string, unknown>[]
  }
  t.deepEqual(machine, MACHINE)
  t.like(rows[0], { name: 'publish', kind: 'measured' })
  t.deepEqual(rows[0]?.['figures'], [
    {
      name: 'p50',
      unit: 'ms',
      ours: 4.5678,
      theirs: 2.5,
      ratio: 4.5678 / 2.5,
      goal: 'at most 2x',
      isMet: true,
    },
  ])
  t.like(rows[1], { name: 'start', kind: 'skipped', why: 'no root' })
})

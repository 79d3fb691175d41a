import { writeFileSync } from 'node:fs'

import { measureCluster } from './worlds/cluster-world.ts'
import { findSupplies, whySkipped } from './missing.ts'
import { isChosen, parseOptions, USAGE, type BenchOptions } from './options.ts'
import { describeMachine, formatMachine } from './output/machine.ts'
import { reportOf } from './output/report.ts'
import { formatTable } from './output/table.ts'
import type { Outcome } from './row.ts'
import { CLUSTER_ROWS, ROWS, SEALED_ROWS } from './rows.ts'
import { measureSealed } from './worlds/sealed-process.ts'

/*
 * `npm run bench -- --json FILE`: how fast Latchkey is, as ratios to what stands beside it in the same run. Exit 1
 * where a row could not be measured, 2 where the bench is asked for what it does not know. A goal that is missed
 * changes nothing about that: what a shared machine shows is not to break anybody's build.
 */
const EXIT_FAILED = 1
const EXIT_USAGE = 2

process.exitCode = await run(
  parseOptions(
    process.argv.slice(2),
    ROWS.map(({ name }) => name),
  ),
)

async function run(options: BenchOptions | string): Promise<number> {
  if (typeof options === 'string') {
    process.stderr.write(`bench: ${options}\n\n${USAGE}`)
    return EXIT_USAGE
  }
  const rows = ROWS.filter(({ name }) => isChosen(name, options))
  if (options.isList) {
    for (const { name, title, compares } of rows) print(`${name}: ${title}. ${compares}`)
    return 0
  }
  const machine = describeMachine()
  print(formatMachine(machine))
  const outcomes = await measure(new Set(rows.map(({ name }) => name)), options)
  const lines = rows.map((row) => {
    const unheard: Outcome = { kind: 'failed', why: 'the bench ended before it was measured' }
    return { row, outcome: outcomes.get(row.name) ?? unheard }
  })
  print(`\n${formatTable(lines)}`)
  if (options.json !== undefined) {
    const report = reportOf(machine, options.isQuick, lines)
    writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
  }
  return lines.some(({ outcome }) => outcome.kind === 'failed') ? EXIT_FAILED : 0
}

async function measure(
  chosen: ReadonlySet<string>,
  { isQuick }: BenchOptions,
): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = new Map<string, Outcome>()
  const rows = ROWS.filter(({ name }) => chosen.has(name))
  const { missing, binaries } = await findSupplies(new Set(rows.flatMap(({ needs }) => needs)), say)
  for (const { name, needs } of rows) {
    const why = whySkipped(needs, missing)
    if (why !== undefined) outcomes.set(name, { kind: 'skipped', why })
  }
  const isDue = ({ name }: { readonly name: string }): boolean =>
    chosen.has(name) && !outcomes.has(name)
  const done = ({ row, outcome }: { readonly row: string; readonly outcome: Outcome }): void => {
    outcomes.set(row, outcome)
  }
  const sealed = SEALED_ROWS.filter(isDue).map(({ name }) => name)
  if (sealed.length > 0) await measureSealed({ rows: sealed, isQuick, binaries }, done)
  const onCluster = CLUSTER_ROWS.filter(isDue)
  if (onCluster.length > 0) await measureCluster(onCluster, { isQuick, say }, done)
  return outcomes
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

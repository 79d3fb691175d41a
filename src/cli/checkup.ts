import type { Finding } from '../wire/finding.ts'
import { coloured, oneLine, type Screen, type Tone } from './table.ts'

/** All that `latchkey doctor` has found. */
export interface Checkup {
  /** Of the program that asks. */
  readonly version: string
  /** undefined where it does not answer. */
  readonly daemonVersion: string | undefined
  /** Found from where the command runs. */
  readonly node: readonly Finding[]
  /** Found by the daemon; empty where it does not answer. */
  readonly daemon: readonly Finding[]
}

type Grade = 'ok' | 'warning' | 'failed' | 'skipped'

const GRADES: Readonly<Record<Finding['grade'], Grade>> = {
  GRADE_OK: 'ok',
  GRADE_WARNING: 'warning',
  GRADE_FAILED: 'failed',
  GRADE_SKIPPED: 'skipped',
}

const TONES: Readonly<Record<Grade, Tone | undefined>> = {
  ok: 'good',
  warning: 'warning',
  failed: 'bad',
  skipped: undefined,
}

const WIDTH = 'warning'.length + 2

/** A line per check, with what to do below those that need it, and how many there are of each grade. */
export function checkupText({ node, daemon }: Checkup, screen?: Screen): string {
  const findings = [...node, ...daemon]
  const lines = findings.flatMap(({ check, grade, detail, fix }) => {
    const word = gradeOf(grade).padEnd(WIDTH)
    const shown = screen?.isColoured === true ? coloured(word, TONES[gradeOf(grade)]) : word
    const head = `${shown}${oneLine(check)}: ${oneLine(detail)}`
    return fix === '' ? [head] : [head, `${' '.repeat(WIDTH)}fix: ${oneLine(fix)}`]
  })
  const counts = (['failed', 'warning', 'skipped', 'ok'] as const).flatMap((grade) => {
    const count = findings.filter((finding) => gradeOf(finding.grade) === grade).length
    return count === 0 ? [] : [`${count} ${grade}`]
  })
  return `${[...lines, '', counts.join(', ')].join('\n')}\n`
}

/** The same for programs; `fix` is null where nothing is to be done. */
export function checkupJson({ version, daemonVersion, node, daemon }: Checkup): string {
  const checks = [...node.map(asJson('node')), ...daemon.map(asJson('daemon'))]
  return `${JSON.stringify({ version, daemonVersion: daemonVersion ?? null, checks }, null, 2)}\n`
}

function asJson(foundBy: 'node' | 'daemon') {
  return ({ check, grade, detail, fix }: Finding): object => ({
    check,
    foundBy,
    grade: gradeOf(grade),
    detail,
    fix: fix === '' ? null : fix,
  })
}

/** A grade of a newer daemon comes as a number. */
function gradeOf(grade: Finding['grade']): Grade {
  return (GRADES as Readonly<Record<string, Grade | undefined>>)[grade] ?? 'skipped'
}

/** How many tests of a run passed, failed and were skipped. */
export interface TestCount {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/**
 * Counts what AVA's reporter printed, one line per test. Its own summary will not do: it names no
 * passed tests once one has failed. A terminal called `linux` gets other ticks and crosses.
 */
export function countTests(output: string): TestCount {
  const lines = output.split('\n').map((line) => line.trimStart())
  const count = (pattern: RegExp): number => lines.filter((line) => pattern.test(line)).length
  return {
    passed: count(/^[✔√] /),
    failed: count(/^[✘×] /),
    skipped: count(/^- \[skip\] /),
  }
}

/**
 * The line that a run ends with. A run that failed as a whole has at least one failure, however
 * little of it was printed.
 */
export function summarize(count: TestCount, succeeded: boolean): string {
  const failed = succeeded ? count.failed : Math.max(count.failed, 1)
  return `${count.passed} passed, ${failed} failed`
}

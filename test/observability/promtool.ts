import { spawnSync } from 'node:child_process'

/** Reports whether Prometheus' own checker is on this machine (Debian: apt-get install prometheus). */
export const hasPromtool = spawnSync('promtool', ['--version']).status === 0

/** What `promtool check metrics` has to say about a page; nothing where all is well. */
export function checkMetrics(page: string): string {
  const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], {
    input: page,
    encoding: 'utf8',
  })
  const output = `${stdout}${stderr}`
  return status === 0 ? output : `${output}exit code ${String(status)}`
}

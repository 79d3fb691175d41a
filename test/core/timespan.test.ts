import test from 'ava'
import { timespan } from '../../src/core/timespan.ts'

for (const [ms, text] of [
  [-5, '0s'],
  [999, '0s'],
  [119_999, '119s'],
  [120_000, '2m'],
  [200_000, '3m20s'],
  [600_000, '10m'],
  [3 * 3_600_000 - 1, '179m'],
  [3 * 3_600_000, '3h'],
  [7.5 * 3_600_000, '7h30m'],
  [47 * 3_600_000, '47h'],
  [50 * 3_600_000, '2d2h'],
  [9.9 * 86_400_000, '9d'],
] as const) {
  test(`${ms} ms are told as ${text}`, (t) => {
    t.is(timespan(ms), text)
  })
}

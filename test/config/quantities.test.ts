import test from 'ava'
import fc from 'fast-check'
import { parseBytes } from '../../src/config/bytes.ts'
import { parseDurationMs } from '../../src/core/duration.ts'

for (const [text, ms] of [
  ['0s', 0],
  ['500ms', 500],
  ['60s', 60_000],
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['1h1m1s1ms', 3_661_001],
] as const) {
  test(`the duration ${text} is ${ms} ms`, (t) => {
    t.is(parseDurationMs(text), ms)
  })
}

for (const text of ['', '60', '-1s', '1.5s', '5 m', '1s1m', '5min', '1d', 's', ' 5m', '5m\n']) {
  test(`${JSON.stringify(text)} is no duration`, (t) => {
    t.is(parseDurationMs(text), undefined)
  })
}

for (const [text, bytes] of [
  ['0B', 0],
  ['512B', 512],
  ['4KiB', 4096],
  ['4Ki', 4096],
  ['4MiB', 4_194_304],
  ['2Gi', 2_147_483_648],
] as const) {
  test(`the size ${text} is ${bytes} bytes`, (t) => {
    t.is(parseBytes(text), bytes)
  })
}

for (const text of ['', '4', '4M', '4MB', '4mib', '4 MiB', '-4MiB', '1.5MiB', 'MiB', '4MiBB']) {
  test(`${JSON.stringify(text)} is no size`, (t) => {
    t.is(parseBytes(text), undefined)
  })
}

test('whatever is taken as a duration or a size is a whole number', (t) => {
  const pieces = fc.constantFrom(
    '0',
    '1',
    '999999999',
    'h',
    'm',
    's',
    'ms',
    'Ki',
    'KiB',
    'G',
    'B',
    '.',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
      const text = parts.join('')
      for (const amount of [parseDurationMs(text), parseBytes(text)]) {
        if (amount !== undefined && (!Number.isSafeInteger(amount) || amount < 0)) return false
      }
      return true
    }),
  )
  t.pass()
})

import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { readItemList } from '../../../src/daemon/sources/item-list.ts'

const KIB = 1024

function bomb(levels: number): string {
  const lines = Array.from({ length: levels }, (_, level) => {
    const below = `*a${level - 1},`.repeat(9)
    return `- &a${level} [${level === 0 ? 'x' : below}]`
  })
  return lines.join('\n')
}

for (const [what, yaml, message] of [
  ['a bomb of aliases', bomb(9), /^items: must not use anchors \("&name"\) \(line 1, column 7\)$/],
  ['an alias', '- secret: a\n- *x', /^items: .*alias.* \(line 2, column 3\)$/],
  ['an alias as a value', '- { secret: *x }', /^items: .*alias.*\(line 1, column 13\)$/],
  ['an alias as a word', '- { *x : a }', /^items: has something else than a word before a colon/],
  ['an anchor that nobody uses', '- &x { secret: a }', /^items: must not use anchors/],
  ['an anchor on a value', '- { secret: &x a }', /^items: must not use anchors/],
  ['an anchor on a word', '- { &x secret: a }', /^items: must not use anchors/],
  ['an anchor on the list', '&x [ { secret: a } ]', /^items: must not use anchors/],
  ['a list of itself', '&x [ *x ]', /^items: must not use anchors/],
  ['a tag of its own', '- !run { secret: a }', /^items: must not use tags/],
  ['a tag that YAML knows', '- { secret: !!str 1 }', /^items: must not use tags/],
  ['a tag on a word', '- { !!str secret: a }', /^items: must not use tags/],
  ['binary data', '- { secret: !!binary aGk= }', /^items: must not use tags/],
  ['a map as a word', '- { ? { a: b } : c }', /^items: has something else than a word/],
  [
    'a second document',
    '- { secret: a }\n---\n- { secret: b }',
    /^items: holds a second YAML document.* \(line 2,/,
  ],
  ['broken syntax', '- { secret: a\n- b', /^items: is not valid YAML: .+ \(line \d, column \d+\)$/],
  ['a directive that nobody knows', '%RUN x\n---\n- { secret: a }', /^items: is not valid YAML: /],
  ['a tab as indentation', '- secret: a\n\tkey: b', /^items: is not valid YAML: /],
  ['a broken escape', '- { secret: "\\q" }', /^items: is not valid YAML: /],
  ['deep nesting within the limit', '['.repeat(9_000), /^items: is nested too deeply/],
] as const) {
  test(`${what} is refused with its place`, (t) => {
    const error = t.throws(() => readItemList(yaml, 'items'), { instanceOf: LatchkeyError })
    t.is(error.reason, 'InvalidRequest')
    t.regex(error.message, message)
    t.false(error.message.includes('\n'))
  })
}

for (const [what, yaml, message] of [
  ['bytes, at most 64 KiB', `- "${'ü'.repeat(32 * KIB)}"`, /longer than 65536 bytes/],
  ['nesting', '['.repeat(60 * KIB), /more than 16384 words and signs/],
  [
    'words in one map',
    `- { ${Array.from({ length: 9_000 }, (_, n) => n).join(',')} }`,
    /more than 16384/,
  ],
  ['broken signs', '}'.repeat(60 * KIB), /more than 16384 words and signs/],
  ['escapes in one text', `- "${'\\q'.repeat(20_000)}"`, /more than 16384 words and signs/],
  ['directives', '%a\n'.repeat(20_000), /more than 16384 words and signs/],
] as const) {
  test(`there is a limit to ${what}, checked before YAML is parsed`, (t) => {
    t.throws(() => readItemList(yaml, 'items'), { instanceOf: LatchkeyError, message })
  })
}

test('256 items with every word set are within the limits, in either style', (t) => {
  const words = (index: number): readonly string[] => [
    'from: kubernetes',
    `secret: a-rather-long-name-of-a-secret-${index}`,
    'key: password',
    `path: folder/file-${index}`,
    'mode: "0400"',
    'optional: true',
  ]
  const numbers = Array.from({ length: 256 }, (_, index) => index)
  const flow = numbers.map((index) => `- { ${words(index).join(', ')} }\n`).join('')
  const block = numbers.map((index) => `- ${words(index).join('\n  ')}\n`).join('')
  for (const yaml of [flow, block]) {
    const list = readItemList(yaml, 'items')
    t.is(list.length, 256)
    t.true(list.every((item) => item.size === 6))
  }
})

test('a directive for YAML 1.1 does not bring back its surprises', (t) => {
  const [item] = readItemList('%YAML 1.1\n---\n- { optional: yes, mode: 0400 }', 'items')
  t.is(item?.get('optional'), 'yes')
  t.is(item?.get('mode'), 400)
})

test('what a tenant writes is never printed', (t) => {
  let warnings = 0
  const count = (): void => {
    warnings += 1
  }
  process.on('warning', count)
  t.teardown(() => process.off('warning', count))
  t.throws(() => readItemList('- { ? [canary] : a, ? {b: c} : d }', 'items'))
  t.throws(() => readItemList('%TAG ! canary\n---\n- !x a', 'items'))
  t.is(warnings, 0)
})

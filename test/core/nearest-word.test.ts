import test from 'ava'
import fc from 'fast-check'
import { nearestWord } from '../../src/core/nearest-word.ts'

const WORDS = ['from', 'secret', 'key', 'path', 'mode', 'optional']

for (const [meant, ...misspelt] of [
  ['secret', 'sceret', 'secrte', 'secrets', 'ecret', 'sekret', 'SECRET', 'Secret'],
  ['optional', 'optinal', 'optoinal', 'optionall', 'opptionnal'],
  ['key', 'kye', 'keys', 'ey'],
  ['path', 'paht', 'pat', 'paths'],
  ['from', 'form', 'frm'],
] as const) {
  for (const word of misspelt) {
    test(`${word} most likely meant ${meant}`, (t) => {
      t.is(nearestWord(word, WORDS), meant)
    })
  }
}

for (const word of [
  '',
  'namespace',
  'zzz',
  'kubernetes',
  'x'.repeat(10_000),
  'secret'.repeat(11),
]) {
  test(`${word.slice(0, 12)} (${word.length} letters) is near to none`, (t) => {
    t.is(nearestWord(word, WORDS), undefined)
  })
}

test('no known words, no suggestion', (t) => {
  t.is(nearestWord('secret', []), undefined)
})

test('a word of four letters or more with one slip is always found', (t) => {
  const known = fc.constantFrom('from', 'secret', 'path', 'mode', 'optional')
  fc.assert(
    fc.property(known, fc.nat(), fc.constantFrom('drop', 'double', 'swap'), (word, at, slip) => {
      const index = at % (word.length - 1)
      const [before, here, next, after] = [
        word.slice(0, index),
        word.charAt(index),
        word.charAt(index + 1),
        word.slice(index + 2),
      ]
      const slips = {
        drop: before + next + after,
        double: before + here + here + next + after,
        swap: before + next + here + after,
      }
      return nearestWord(slips[slip], WORDS) === word
    }),
  )
  t.pass()
})

import test from 'ava'

import { isChosen, parseOptions, type BenchOptions } from './options.ts'

const ROWS = ['volume-work', 'publish-at-once', 'start']

function parse(...argv: readonly string[]): BenchOptions | string {
  return parseOptions(argv, ROWS)
}

test('without words every row is measured in full, and no file is written', (t) => {
  t.deepEqual(parse(), { json: undefined, only: [], isQuick: false, isList: false })
})

test('every word is understood', (t) => {
  const words = ['--json', 'x.json', '--only', 'start', '--only', 'publish', '--quick', '--list']
  t.deepEqual(parse(...words), {
    json: 'x.json',
    only: ['start', 'publish'],
    isQuick: true,
    isList: true,
  })
})

test('a row that is not there is named, with those that are', (t) => {
  t.is(
    parse('--only', 'publsh'),
    '--only: no row has "publsh" in its name; there are volume-work, publish-at-once, start',
  )
})

test('a file without a name and an unknown word are refused in one line', (t) => {
  t.is(parse('--json', ''), '--json: the name of the file is missing')
  t.is(parse('--fast'), "Unknown option '--fast'")
})

test('rows are chosen by any part of their names', (t) => {
  const chosen = (...only: readonly string[]): readonly string[] =>
    ROWS.filter((name) => isChosen(name, { only }))
  t.deepEqual(chosen(), ROWS)
  t.deepEqual(chosen('publish'), ['publish-at-once'])
  t.deepEqual(chosen('work', 'start'), ['volume-work', 'start'])
})

import test from 'ava'

import { ROWS } from './rows.ts'

test('there are twelve rows, each with a name of its own that fits a command line', (t) => {
  const names = ROWS.map(({ name }) => name)
  t.is(names.length, 12)
  t.is(new Set(names).size, names.length)
  for (const name of names) t.regex(name, /^[a-z]+(-[a-z]+)*$/)
})

test('every row says in a sentence what it compares', (t) => {
  for (const { title, compares } of ROWS) {
    t.true(title.length > 0)
    t.regex(compares, /\.$/)
  }
})

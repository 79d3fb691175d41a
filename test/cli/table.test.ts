import test from 'ava'
import { oneLine, renderTable, type Cell } from '../../src/cli/table.ts'

const HEAD = ['POD', 'STATE', 'REASON']
const ROWS: readonly (readonly Cell[])[] = [
  [{ text: 'shop/api-0' }, { text: 'fresh', tone: 'good' }, { text: '' }],
  [
    { text: 'shop/a' },
    { text: 'stale', tone: 'bad' },
    { text: 'SecretNotFound: Secret "db" does not exist in namespace "shop"' },
  ],
]

test('a pipe gets every column whole, without colours or space at the ends', (t) => {
  t.is(
    renderTable(HEAD, ROWS),
    'POD          STATE   REASON\n' +
      'shop/api-0   fresh\n' +
      'shop/a       stale   SecretNotFound: Secret "db" does not exist in namespace "shop"\n',
  )
})

test('a screen gets its last column cut, and its colours around the words only', (t) => {
  t.is(
    renderTable(HEAD, ROWS, { columns: 40, isColoured: false }),
    'POD          STATE   REASON\n' +
      'shop/api-0   fresh\n' +
      'shop/a       stale   SecretNotFound: Se…\n',
  )
  t.is(
    renderTable(HEAD, ROWS.slice(0, 1), { columns: 40, isColoured: true }),
    'POD          STATE   REASON\n' + 'shop/api-0   \u001b[32mfresh\u001b[0m\n',
  )
})

test('a screen that is too narrow for the columns before is left to break the lines', (t) => {
  const narrow = renderTable(HEAD, ROWS, { columns: 30, isColoured: false })
  t.true(narrow.includes('in namespace "shop"\n'))
})

test('what moves a cursor or turns text around does not reach a terminal', (t) => {
  t.is(oneLine('a\u001b[2J\r\nb\u202ec\u0000'), 'a [2J b c')
})

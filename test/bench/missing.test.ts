import test from 'ava'

import { whySkipped } from './missing.ts'
import type { Need } from './row.ts'

const NO_ROOT = new Map<Need, string>([['root', 'needs root']])

test('a row whose needs are there is not skipped', (t) => {
  t.is(whySkipped(['root', 'compiler'], new Map()), undefined)
  t.is(whySkipped(['compiler'], NO_ROOT), undefined)
  t.is(whySkipped([], NO_ROOT), undefined)
})

test('a row is skipped for each need that is missing', (t) => {
  const missing = new Map<Need, string>([...NO_ROOT, ['compiler', 'needs a C compiler']])
  t.is(whySkipped(['root', 'compiler'], missing), 'needs root; needs a C compiler')
})

test('the same reason is given once', (t) => {
  const reason = 'needs Go 1.26'
  const missing = new Map<Need, string>([
    ['api server', reason],
    ['cluster', reason],
  ])
  t.is(whySkipped(['api server', 'cluster'], missing), reason)
})

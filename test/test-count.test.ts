import test from 'ava'

import { countTests, summarize } from './test-count.ts'

const OUTPUT = `
  ✔ core › errors › a reason has one gRPC code
  ✘ [fail]: core › errors › a message names the field
    ℹ logged ✔ by the test
  - [skip] host › mounts a tmpfs
  ✔ core › retry › stops when told to
  ─

  1 test failed
  1 test skipped
`

test('passed, failed and skipped tests are counted, logged lines are not', (t) => {
  t.deepEqual(countTests(OUTPUT), { passed: 2, failed: 1, skipped: 1 })
})

test('the ticks and crosses of a poor terminal count, too', (t) => {
  t.deepEqual(countTests('  √ one\n  × [fail]: two\n'), { passed: 1, failed: 1, skipped: 0 })
})

test('a run that failed without a failed test still counts as a failure', (t) => {
  t.is(summarize({ passed: 3, failed: 0, skipped: 0 }, false), '3 passed, 1 failed')
  t.is(summarize({ passed: 3, failed: 2, skipped: 0 }, false), '3 passed, 2 failed')
  t.is(summarize({ passed: 3, failed: 0, skipped: 0 }, true), '3 passed, 0 failed')
})

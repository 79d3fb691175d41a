import test from 'ava'
import { writeThrown } from '../../src/cli/output.ts'
import { toJson } from '../../src/cli/table.ts'
import { viewOf, volumeTable } from '../../src/cli/volume-view.ts'
import { LatchkeyError } from '../../src/core/errors.ts'

const ESCAPES = '\u001b]0;owned\u0007\u001b[2J\u009b2J'
const CONTROL = /[\x00-\x09\x0b-\x1f\x7f-\x9f]/

const STATUS = {
  volumeId: ESCAPES,
  targetPath: `/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/${ESCAPES}/mount`,
  pod: { namespace: ESCAPES, name: ESCAPES, uid: 'u', serviceAccount: ESCAPES },
  state: 'VOLUME_STALE',
  generation: 1,
  changedAtMs: 9e15,
  checkedAtMs: 0,
  nextLookAtMs: 0,
  reason: 'AccessDenied',
  message: ESCAPES,
} as const

test('what the daemon says never reaches the terminal as an escape', (t) => {
  const view = viewOf(STATUS)
  t.notRegex(volumeTable([view], 0, { columns: 200, isColoured: false }), CONTROL)
  t.notRegex(toJson(view), CONTROL)
  t.deepEqual(JSON.parse(toJson(view)), view, 'nothing is lost in JSON')
  let said = ''
  const err = (text: string): void => {
    said += text
  }
  writeThrown({ out: () => undefined, err }, new LatchkeyError('Overloaded', `${ESCAPES}\nsecond`))
  t.notRegex(said, CONTROL)
  t.regex(said, /\n {2}second\n$/)
})

test('a time that is none is not known', (t) => {
  t.is(viewOf(STATUS).changedAt, null)
})

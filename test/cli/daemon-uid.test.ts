import test from 'ava'
import { parseDaemonUid } from '../../src/cli/host-start.ts'
import { LatchkeyError } from '../../src/core/errors.ts'

test('DAEMON_UID is a user id; not set, or left empty by a manifest, it says nothing', (t) => {
  t.is(parseDaemonUid('65532'), 65_532)
  t.is(parseDaemonUid('0'), 0)
  t.is(parseDaemonUid(undefined), undefined)
  t.is(parseDaemonUid(''), undefined)
})

for (const text of ['-1', '1.5', 'root', '0x10', ' 1', '4294967295', '99999999999']) {
  test(`DAEMON_UID=${JSON.stringify(text)} is refused by name`, (t) => {
    const error = t.throws(() => parseDaemonUid(text), { instanceOf: LatchkeyError })
    t.is(error.reason, 'InvalidRequest')
    t.regex(error.message, /environment variable DAEMON_UID: expected the user id/)
  })
}

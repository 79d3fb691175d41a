import { Metadata, status, type ServiceError } from '@grpc/grpc-js'
import test from 'ava'
import { LatchkeyError, REASONS } from '../../src/core/errors.ts'
import { CODES, fromServiceError, toServiceError } from '../../src/wire/status.ts'

function received(code: status, details: string): ServiceError {
  return Object.assign(new Error(`${code} ${details}`), { code, details, metadata: new Metadata() })
}

for (const reason of REASONS) {
  test(`${reason} survives the way over the wire`, (t) => {
    const sent = toServiceError(new LatchkeyError(reason, 'line one\nline two: 100%'))
    const back = fromServiceError(received(sent.code, sent.details))
    t.is(back.reason, reason)
    t.is(back.message, 'line one\nline two: 100%')
  })
}

test('OK is the code of no reason', (t) => {
  t.false(Object.values(CODES).includes(status.OK))
})

test('what may have been left mounted goes out as UNAVAILABLE, under its own reason', (t) => {
  const sent = toServiceError(new LatchkeyError('VolumeIo', 'busy', { leftMounted: true }))
  t.deepEqual(sent, { code: status.UNAVAILABLE, details: 'VolumeIo: busy' })
})

test('an error of somebody else goes out without its text', (t) => {
  const { code, details } = toServiceError(new Error('hunter2'))
  t.is(code, status.INTERNAL)
  t.regex(details, /^Internal: /)
  t.false(details.includes('hunter2'))
})

test('control characters cannot forge a line of a log; line feeds are kept', (t) => {
  const { details } = toServiceError(
    new LatchkeyError('Internal', 'a\u0000b\u001b[2Jc\r\nd\u0085e'),
  )
  t.is(details, 'Internal: a?b?[2Jc?\nd?e')
})

for (const filler of [1022, 1023, 1024]) {
  test(`a message is cut at its limit, also where that falls into a character (${filler})`, (t) => {
    const { details } = toServiceError(new LatchkeyError('Internal', `${'a'.repeat(filler)}😀😀😀`))
    t.true(details.length <= 'Internal: '.length + 1024 + '…'.length)
    // What grpc-js does with it on the way out, where a throw would end the process.
    t.notThrows(() => encodeURI(details))
  })
}

test('a message that is half a character goes out as something that can be sent', (t) => {
  const { details } = toServiceError(new LatchkeyError('Internal', '\ud83d'))
  t.notThrows(() => encodeURI(details))
})

for (const { code, details, reason } of [
  {
    code: status.UNAVAILABLE,
    details: 'No connection established. Last error: Error: connect ENOENT /run/x.sock',
    reason: 'DaemonUnavailable',
  },
  { code: status.CANCELLED, details: 'Cancelled on client', reason: 'DaemonUnavailable' },
  { code: status.DEADLINE_EXCEEDED, details: 'Deadline exceeded after 1s', reason: 'Timeout' },
  {
    code: status.RESOURCE_EXHAUSTED,
    details: 'Received message larger than max (9 vs. 8)',
    reason: 'PayloadTooLarge',
  },
  { code: status.UNIMPLEMENTED, details: 'no such method', reason: 'Internal' },
  { code: status.UNKNOWN, details: 'NoSuchReason: text', reason: 'Internal' },
] as const) {
  test(`${status[code]} in grpc-js's own words becomes ${reason} in ours`, (t) => {
    const error = fromServiceError(received(code, details))
    t.is(error.reason, reason)
    t.false(error.message.includes(details))
  })
}

test('an error of ours that never went over the wire stays as it is', (t) => {
  const error = new LatchkeyError('Timeout', 'x')
  t.is(fromServiceError(error), error)
  t.is(fromServiceError('a string').reason, 'Internal')
})

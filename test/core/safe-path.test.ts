import { posix } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { LatchkeyError } from '../../src/core/errors.ts'
import { parseSafePath } from '../../src/core/safe-path.ts'

for (const [path, segments] of [
  ['password', ['password']],
  ['db/password', ['db', 'password']],
  ['.dotted', ['.dotted']],
  ['a..b', ['a..b']],
  ['tls.crt', ['tls.crt']],
  ['ümlaut/日本', ['ümlaut', '日本']],
  ['__proto__', ['__proto__']],
] as const) {
  test(`${path} is a safe path`, (t) => {
    t.deepEqual(parseSafePath(path, 'items[0].path'), segments)
  })
}

for (const [what, path] of [
  ['nothing', ''],
  ['an absolute path', '/etc/passwd'],
  ['a way up', '../x'],
  ['a way up in the middle', 'a/../../x'],
  ['a way up at the end', 'a/..'],
  ['a name of the layout', '..data'],
  ['a name that starts like the layout', 'a/..2026'],
  ['a dot segment', 'a/./b'],
  ['an empty segment', 'a//b'],
  ['a trailing slash', 'a/'],
  ['a NUL', 'a\0b'],
  ['a newline', 'a\nb'],
  ['a lone surrogate', 'a\ud800'],
  ['a segment of 256 bytes', 'x'.repeat(256)],
  ['a segment of 256 bytes in two-byte letters', 'ü'.repeat(128)],
  ['a path of more than 4096 bytes', 'x/'.repeat(2100) + 'x'],
] as const) {
  test(`${what} is refused, naming the field`, (t) => {
    const error = t.throws(() => parseSafePath(path, 'items[3].path'), {
      instanceOf: LatchkeyError,
    })
    t.is(error.reason, 'InvalidRequest')
    t.regex(error.message, /^items\[3\]\.path: /)
  })
}

test('whatever passes stays below the folder it is joined to', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (path) => {
      try {
        parseSafePath(path, 'path')
      } catch (thrown) {
        return thrown instanceof LatchkeyError
      }
      return posix.join('/root', path).startsWith('/root/') && !path.includes('\0')
    }),
    { numRuns: 5_000 },
  )
  t.pass()
})

import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { SyscallError } from '../../src/syscalls/libc.ts'
import {
  attach,
  cloneWritable,
  createDetachedTmpfs,
  makeReadOnly,
  unmount,
  unmountLazily,
} from '../../src/syscalls/mount-api.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { tempDir } from '../support/temp-dir.ts'

mountTest(
  'a detached tmpfs is written, closed to writers, attached, and written through a clone',
  (t) => {
    const folder = tempDir(t)
    const mount = createDetachedTmpfs({ source: 'x', size: '65536' })
    writeFileSync(`/proc/self/fd/${mount}/file`, 'one')
    makeReadOnly(mount)
    t.throws(
      () => {
        writeFileSync(`/proc/self/fd/${mount}/file`, 'two')
      },
      { code: 'EROFS' },
    )
    const target = openSync(folder, 'r')
    attach(mount, target)
    closeSync(target)
    closeSync(mount)
    t.is(readFileSync(`${folder}/file`, 'utf8'), 'one')
    const root = openSync(folder, 'r')
    const clone = cloneWritable(root)
    writeFileSync(`/proc/self/fd/${clone}/file`, 'two')
    t.is(readFileSync(`${folder}/file`, 'utf8'), 'two')
    t.throws(
      () => {
        writeFileSync(`${folder}/file`, 'three')
      },
      { code: 'EROFS' },
    )
    closeSync(clone)
    const busy = t.throws(
      () => {
        unmount(folder)
      },
      { instanceOf: SyscallError },
    )
    t.is(busy.code, 'EBUSY')
    t.is(busy.message, 'umount2: EBUSY')
    unmountLazily(folder)
    closeSync(root)
  },
)

mountTest('an option that tmpfs does not know fails by its errno and leaves no descriptor', (t) => {
  const error = t.throws(() => createDetachedTmpfs({ bogus: 'x' }), { instanceOf: SyscallError })
  t.like(error, { call: 'fsconfig', code: 'EINVAL', errno: 22 })
})

mountTest('unmount names what is no mount, what is missing, and follows no link', (t) => {
  const folder = tempDir(t)
  mkdirSync(`${folder}/plain`)
  symlinkSync('/', `${folder}/link`)
  for (const [name, code] of [
    ['plain', 'EINVAL'],
    ['missing', 'ENOENT'],
    ['link', 'EINVAL'],
  ] as const) {
    t.throws(
      () => {
        unmount(`${folder}/${name}`)
      },
      { instanceOf: SyscallError, code },
    )
  }
})

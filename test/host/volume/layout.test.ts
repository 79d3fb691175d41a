import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs'
import test from 'ava'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { VolumeFile } from '../../../src/core/types.ts'
import {
  pruneGenerations,
  writeFirstGeneration,
  writeGeneration,
} from '../../../src/host/volume/layout.ts'
import { digestOf } from '../../../src/host/volume/read-back.ts'
import { wipeFolder } from '../../../src/host/volume/wipe.ts'
import { withFsFaults } from '../../support/fs-faults.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { until } from '../../support/until.ts'
import { fileOf, listing } from '../../support/volumes.ts'

const OWNERSHIP = { fsGroup: undefined, isRequired: false }
const NOW = new Date('2026-11-21T08:00:00Z')
const LATER = new Date('2026-11-21T09:00:00Z')

function write(root: string, files: readonly VolumeFile[], now = NOW): void {
  writeGeneration(root, files, OWNERSHIP, now)
}

test('the generation’s folder is named by the time in UTC, as kubelet names it', (t) => {
  const root = tempDir(t)
  write(root, [fileOf('a', 'x')])
  const [name] = readdirSync(root).filter((entry) => /^\.\.\d/.test(entry))
  t.regex(name ?? '', /^\.\.2026_11_21_08_00_00\.\d{10}$/)
})

test('after a swap every visible link has a new time, and a watcher hears its name', async (t) => {
  const root = tempDir(t)
  write(root, [fileOf('password', 'one'), fileOf('same', 's')])
  const watcher = watch(root)
  t.teardown(() => {
    watcher.close()
  })
  const names = new Set<string | null>()
  watcher.on('change', (_, name) => names.add(String(name)))
  write(root, [fileOf('password', 'two'), fileOf('same', 's')], LATER)
  await until(() => names.has('password') && names.has('same'), { what: 'both names' })
  t.is(lstatSync(`${root}/password`).mtimeMs, LATER.getTime())
  t.is(lstatSync(`${root}/same`).mtimeMs, LATER.getTime())
})

test('a key may become a folder and a folder a key', (t) => {
  const root = tempDir(t)
  write(root, [fileOf('a', '1'), fileOf('b/c', '2')])
  write(root, [fileOf('a/d', '3'), fileOf('b', '4')])
  t.is(readFileSync(`${root}/a/d`, 'utf8'), '3')
  t.is(readFileSync(`${root}/b`, 'utf8'), '4')
})

test('files whose paths share folders lie in the same ones', (t) => {
  const root = tempDir(t)
  const files = [fileOf('a/b/one', '1'), fileOf('a/b/two', '2'), fileOf('a/three', '3')]
  write(root, files)
  t.is(readFileSync(`${root}/a/b/two`, 'utf8'), '2')
  t.is(readFileSync(`${root}/a/three`, 'utf8'), '3')
})

test('what is built out of sight looks as what is written in plain sight, and is swapped like it', (t) => {
  const files = [fileOf('a/one', '1'), fileOf('a/two', '2'), fileOf('three', '3')]
  const seen = tempDir(t)
  write(seen, files)
  const unseen = tempDir(t)
  writeFirstGeneration(unseen, files, OWNERSHIP, NOW)
  t.deepEqual(listing(unseen), listing(seen))
  t.deepEqual(digestOf(unseen), digestOf(seen))
  write(unseen, [fileOf('three', '4')], LATER)
  pruneGenerations(unseen)
  write(seen, [fileOf('three', '4')], LATER)
  pruneGenerations(seen)
  t.deepEqual(listing(unseen), listing(seen))
})

for (const path of ['../x', '/x', 'a/../b', '..x', 'a//b', '', 'a/./b', 'a\0b']) {
  test(`the path ${JSON.stringify(path)} is refused, and nothing is written`, (t) => {
    const root = tempDir(t)
    const error = t.throws(() => {
      write(root, [fileOf('fine', 'x'), fileOf(path, 'x')])
    })
    t.is(LatchkeyError.from(error).reason, 'InvalidRequest')
    t.deepEqual(readdirSync(root), [])
  })
}

for (const [what, files] of [
  ['one path twice', () => [fileOf('new', '1'), fileOf('b', '2'), fileOf('b', '3')]],
  ['a path as file and folder', () => [fileOf('new', '1'), fileOf('b', '2'), fileOf('b/c', '3')]],
] as const) {
  test(`${what} fails and leaves the last good files`, (t) => {
    const root = tempDir(t)
    write(root, [fileOf('a', '1')])
    const before = listing(root)
    t.throws(() => {
      write(root, files())
    })
    t.deepEqual(listing(root), before)
  })
}

test('whatever lies in the place of the layout’s own names is cleared away', (t) => {
  const root = tempDir(t)
  const files = [fileOf('password', 'x'), fileOf('username', 'x')]
  const clean = tempDir(t)
  write(clean, files)
  mkdirSync(`${root}/..data/full`, { recursive: true })
  mkdirSync(`${root}/..data_tmp/full`, { recursive: true })
  mkdirSync(`${root}/..2026_01_01_00_00_00.1`, { mode: 0o700 })
  mkdirSync(`${root}/password/full`, { recursive: true })
  symlinkSync('..data/password', `${root}/username`)
  writeFileSync(`${root}/..stray`, '')
  writeFileSync(`${root}/stray`, '')
  write(root, files)
  t.deepEqual(listing(root), listing(clean))
})

test('a ..data that leads out of the volume is neither read nor followed', (t) => {
  const root = tempDir(t)
  const outside = tempDir(t)
  writeFileSync(`${outside}/precious`, 'x')
  symlinkSync(outside, `${root}/..data`)
  t.deepEqual(digestOf(root), contentsDigest([]))
  write(root, [fileOf('a', '1')])
  pruneGenerations(root)
  t.is(readFileSync(`${outside}/precious`, 'utf8'), 'x')
})

test('a folder that is swapped for a link while it is filled leads nothing outside', (t) => {
  const root = tempDir(t)
  const outside = tempDir(t)
  let isSwapped = false
  withFsFaults(
    (change, [path]) => {
      if (change !== 'openSync' || !String(path).endsWith('/password') || isSwapped) return
      isSwapped = true
      const [name = ''] = readdirSync(root).filter((entry) => /^\.\.\d/.test(entry))
      renameSync(`${root}/${name}/db`, `${root}/${name}/moved`)
      symlinkSync(outside, `${root}/${name}/db`)
    },
    () => {
      write(root, [fileOf('db/password', 'secret')])
    },
  )
  t.true(isSwapped)
  t.deepEqual(readdirSync(outside), [])
})

test('a wipe follows no link and zeroes nothing outside', (t) => {
  const root = tempDir(t)
  const outside = tempDir(t)
  writeFileSync(`${outside}/precious`, 'x')
  write(root, [fileOf('a/b', '1')])
  symlinkSync(outside, `${root}/folder-link`)
  symlinkSync(`${outside}/precious`, `${root}/file-link`)
  wipeFolder(root)
  t.deepEqual(readdirSync(root), [])
  t.is(readFileSync(`${outside}/precious`, 'utf8'), 'x')
  t.true(existsSync(root))
})

import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { VolumeFile } from '../../../src/core/types.ts'
import { mountTest } from '../../support/mount-namespace.ts'
import { firstFiles, secondFiles, tmpfsWorld } from '../../support/tmpfs-world.ts'
import { until } from '../../support/until.ts'
import { fileOf, listing, readText } from '../../support/volumes.ts'

const MIB = 1024 * 1024

function generationsIn(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => /^\.\.\d/.test(name))
}

mountTest('a swap changes what is read and keeps the old generation until it is pruned', (t) => {
  const { store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  const held = openSync(`${volume.targetPath}/password`, 'r')
  t.teardown(() => {
    closeSync(held)
  })
  store.swap(volume, [fileOf('password', 'two'), fileOf('new', 'n')])
  t.is(readText(volume, 'password'), 'two')
  t.is(readText(volume, 'new'), 'n')
  t.false(existsSync(`${volume.targetPath}/username`))
  t.is(generationsIn(volume.targetPath).length, 2)
  store.prune(volume)
  t.is(generationsIn(volume.targetPath).length, 1)
  const still = Buffer.alloc(3)
  readSync(held, still, 0, 3, 0)
  t.is(still.toString(), 'one', 'an open file keeps its bytes')
})

mountTest('the target stays read-only through a swap', (t) => {
  const { store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  store.swap(volume, secondFiles())
  t.throws(
    () => {
      writeFileSync(`${volume.targetPath}/x`, 'x')
    },
    { code: 'EROFS' },
  )
})

mountTest('a volume of an earlier process is swapped and pruned without a word more', (t) => {
  const { store, volume, open } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  const restarted = open()
  restarted.swap(volume, secondFiles())
  restarted.prune(volume)
  t.is(readText(volume, 'password'), 'two')
  t.is(generationsIn(volume.targetPath).length, 1)
})

for (const [what, files] of [
  ['bytes', () => [fileOf('a', 'x'), fileOf('huge', Buffer.alloc(64 * MIB))]],
  ['inodes', () => Array.from({ length: 20_000 }, (_, index) => fileOf(`f${index}`, ''))],
] as const) {
  mountTest(
    `a swap that has too many ${what} keeps the last good files and leaves no half`,
    (t) => {
      const { store, volume } = tmpfsWorld(t, 4096)
      store.create(volume, firstFiles())
      const before = listing(volume.targetPath)
      const error = t.throws(() => {
        store.swap(volume, files())
      })
      t.like(LatchkeyError.from(error), {
        reason: 'VolumeIo',
        message: 'swapping the volume failed: ENOSPC, the volume is full',
      })
      t.deepEqual(listing(volume.targetPath), before)
      store.swap(volume, secondFiles())
      t.is(readText(volume, 'password'), 'two')
    },
  )
}

mountTest('three generations of the largest contents fit, by bytes and by files', (t) => {
  const { store, volume } = tmpfsWorld(t)
  const full = (): VolumeFile[] =>
    Array.from({ length: 1024 }, (_, index) => {
      // A byte takes a page, and so does the link of a long name.
      const size = index === 0 ? 4 * MIB - 1023 : 1
      return fileOf(`${'long-'.repeat(40)}${index}/file`, Buffer.alloc(size, index))
    })
  store.create(volume, full())
  store.swap(volume, full())
  store.swap(volume, full())
  t.is(generationsIn(volume.targetPath).length, 3)
})

mountTest('a file bound out of a volume, as subPath does, keeps its bytes through a swap', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  const bound = `${kubeletRoot}/pods/x-subpath`
  writeFileSync(bound, '')
  t.is(spawnSync('mount', ['--bind', `${volume.targetPath}/password`, bound]).status, 0)
  store.swap(volume, secondFiles())
  store.prune(volume)
  t.is(readFileSync(bound, 'utf8'), 'one')
})

// Read through `..data` held open as well: that is how both files are of one generation for certain.
const READER = `
  import { closeSync, openSync, readFileSync } from 'node:fs'
  const [, target] = process.argv
  const seen = new Set()
  const kinds = (text) => text.length + ':' + [...new Set(text)].join('')
  console.log('ready')
  for (let reads = 0; reads < 2000; reads += 1) {
    seen.add(kinds(readFileSync(target + '/first', 'utf8')))
    const data = openSync(target + '/..data/.', 'r')
    const pair = ['first', 'second'].map((name) => readFileSync('/proc/self/fd/' + data + '/' + name, 'utf8'))
    closeSync(data)
    seen.add(pair.map(kinds).join('+'))
  }
  console.log(JSON.stringify([...seen].sort()))`

mountTest('readers see one whole generation or another while swaps go on', async (t) => {
  // No prune: a reader that is on its way by path needs the linger that the caller gives it.
  const { store, volume } = tmpfsWorld(t, 64 * MIB)
  const value = (letter: string): VolumeFile[] =>
    ['first', 'second'].map((name) => fileOf(name, letter.repeat(5_000)))
  store.create(volume, value('a'))
  const reader = spawn(process.execPath, ['--input-type=module', '-e', READER, volume.targetPath])
  const running = { output: '', isOver: false }
  reader.once('close', () => (running.isOver = true))
  await new Promise<undefined>((resolve) => {
    reader.stdout.on('data', (chunk: Buffer) => {
      running.output += chunk.toString()
      resolve(undefined)
    })
  })
  for (let swaps = 0; !running.isOver && swaps < 4_000; swaps += 1) {
    store.swap(volume, value(swaps % 2 === 0 ? 'b' : 'a'))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => running.isOver, { what: 'the end of the reader' })
  const seen = JSON.parse(running.output.split('\n')[1] ?? '[]') as string[]
  t.true(seen.length > 1)
  for (const kinds of seen) t.regex(kinds, /^(5000:[ab]|5000:a\+5000:a|5000:b\+5000:b)$/)
})

mountTest(
  'what a volume takes of memory counts old generations, as long as they lie there',
  (t) => {
    const { store, volume } = tmpfsWorld(t)
    const big = (text: string): VolumeFile[] => [fileOf('big', Buffer.alloc(MIB, text))]
    const near = (bytes: number, expected: number): void => {
      t.true(bytes >= expected && bytes < expected + 64 * 1024, `${bytes} bytes`)
    }
    store.create(volume, big('1'))
    near(store.memoryOf(volume), MIB)
    store.swap(volume, big('2'))
    near(store.memoryOf(volume), 2 * MIB)
    const held = openSync(`${volume.targetPath}/big`, 'r')
    store.prune(volume)
    near(store.memoryOf(volume), MIB)
    // Who has an old file open keeps its pages.
    store.swap(volume, big('3'))
    store.prune(volume)
    near(store.memoryOf(volume), 2 * MIB)
    closeSync(held)
    near(store.memoryOf(volume), MIB)
  },
)

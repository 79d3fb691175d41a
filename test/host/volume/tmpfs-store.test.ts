import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { ExecutionContext } from 'ava'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { VolumeFile } from '../../../src/core/types.ts'
import { parseMountinfo } from '../../../src/host/volume/mountinfo.ts'
import { TmpfsStore } from '../../../src/host/volume/tmpfs-store.ts'
import { probeKernel } from '../../../src/syscalls/kernel-features.ts'
import { attach, createDetachedTmpfs } from '../../../src/syscalls/mount-api.ts'
import { mountTest } from '../../support/mount-namespace.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { fileOf, listing, readText, volumeAt } from '../../support/volumes.ts'

const MIB = 1024 * 1024

function world(t: ExecutionContext, maxVolumeBytes = 4 * MIB) {
  const kubeletRoot = tempDir(t)
  const features = probeKernel({ allowSwap: true })
  const now = (): Date => new Date()
  const store = new TmpfsStore({ kubeletRoot, features, maxVolumeBytes, now })
  t.teardown(() => {
    for (const volume of store.list()) store.remove(volume)
  })
  const anew = (): TmpfsStore => new TmpfsStore({ kubeletRoot, features, maxVolumeBytes, now })
  return { kubeletRoot, store, anew }
}

const ONE = (): VolumeFile[] => [fileOf('password', 'one'), fileOf('username', 'me')]
const TWO = (): VolumeFile[] => [fileOf('password', 'two'), fileOf('username', 'me')]

function mountsBelow(folder: string) {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')).filter(({ mountPoint }) =>
    mountPoint.startsWith(folder),
  )
}

mountTest('a volume has the layout, modes and owners of a Secret volume of kubelet', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, [fileOf('password', 'one'), fileOf('.dotted', ''), fileOf('db/key', 'k')])
  t.is((statSync(volume.targetPath).mode & 0o7777).toString(8), '1777')
  t.deepEqual(listing(volume.targetPath), [
    '- 644 0:0 GEN/.dotted',
    '- 644 0:0 GEN/db/key',
    '- 644 0:0 GEN/password',
    'd 755 0:0 GEN',
    'd 755 0:0 GEN/db',
    'l 777 0:0 ..data -> GEN',
    'l 777 0:0 .dotted -> ..data/.dotted',
    'l 777 0:0 db -> ..data/db',
    'l 777 0:0 password -> ..data/password',
  ])
})

mountTest('with fsGroup the group owns all of it, and folders pass the group on', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot, 'db', 2000)
  store.create(volume, [fileOf('password', 'one', { mode: 0o440 }), fileOf('db/key', 'k')])
  const root = statSync(volume.targetPath)
  t.is(`${(root.mode & 0o7777).toString(8)} ${root.uid}:${root.gid}`, '3777 0:2000')
  t.deepEqual(listing(volume.targetPath), [
    '- 440 0:2000 GEN/password',
    '- 644 0:2000 GEN/db/key',
    'd 2755 0:2000 GEN',
    'd 2755 0:2000 GEN/db',
    'l 777 0:2000 ..data -> GEN',
    'l 777 0:2000 db -> ..data/db',
    'l 777 0:2000 password -> ..data/password',
  ])
})

mountTest('the mount is a read-only tmpfs of its own that names its volume', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((text) => text.includes(volume.targetPath))
  t.regex(line ?? '', / ro,nosuid,nodev,noexec/)
  t.regex(line ?? '', new RegExp(`- tmpfs latchkey:1:${volume.volumeId} rw,.*size=`))
  t.throws(
    () => {
      writeFileSync(`${volume.targetPath}/x`, 'x')
    },
    { code: 'EROFS' },
  )
})

mountTest('bytes come back as they went in: binary, empty, a whole MiB', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const large = Buffer.alloc(MIB, 7)
  store.create(volume, [fileOf('binary', binary), fileOf('empty', ''), fileOf('large', large)])
  t.deepEqual(readFileSync(`${volume.targetPath}/binary`), binary)
  t.is(readText(volume, 'empty'), '')
  t.true(readFileSync(`${volume.targetPath}/large`).equals(large))
})

mountTest('the digest read back is that of what was written, owner and mode included', (t) => {
  const { kubeletRoot, store, anew } = world(t)
  const volume = volumeAt(kubeletRoot)
  const files = [fileOf('a/b/c', 'x', { mode: 0o400 }), fileOf('z', 'y', { ownerUid: 1000 })]
  store.create(volume, files)
  t.deepEqual(store.digest(volume), contentsDigest(files))
  const restarted = anew()
  t.deepEqual(restarted.list(), [volume])
  t.deepEqual(restarted.digest(volume), contentsDigest(files))
})

mountTest('a swap changes what is read, keeps the old generation until it is pruned', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const before = lstatSync(`${volume.targetPath}/password`)
  const held = openSync(`${volume.targetPath}/password`, 'r')
  t.teardown(() => {
    closeSync(held)
  })
  store.swap(volume, [fileOf('password', 'two'), fileOf('new', 'n')])
  t.is(readText(volume, 'password'), 'two')
  t.is(readText(volume, 'new'), 'n')
  t.false(existsSync(`${volume.targetPath}/username`))
  t.is(readdirSync(volume.targetPath).filter((name) => /^\.\.\d/.test(name)).length, 2)
  t.true(lstatSync(`${volume.targetPath}/password`).mtimeMs >= before.mtimeMs)
  store.prune(volume)
  t.is(readdirSync(volume.targetPath).filter((name) => /^\.\.\d/.test(name)).length, 1)
  const still = Buffer.alloc(3)
  readSync(held, still, 0, 3, 0)
  t.is(still.toString(), 'one', 'an open file keeps its bytes')
})

mountTest('a swap that does not fit keeps the last good files and leaves no half', (t) => {
  const { kubeletRoot, store } = world(t, 4096)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const before = listing(volume.targetPath)
  const error = t.throws(() => {
    store.swap(volume, [fileOf('a', 'x'), fileOf('huge', Buffer.alloc(64 * MIB))])
  })
  t.like(LatchkeyError.from(error), {
    reason: 'VolumeIo',
    message: 'swapping the volume failed: ENOSPC, the volume is full',
  })
  t.deepEqual(listing(volume.targetPath), before)
  store.swap(volume, TWO())
  t.is(readText(volume, 'password'), 'two')
})

mountTest('a create that does not fit leaves no mount and no folder', (t) => {
  const { kubeletRoot, store } = world(t, 4096)
  const volume = volumeAt(kubeletRoot)
  t.throws(() => {
    store.create(volume, [fileOf('huge', Buffer.alloc(64 * MIB))])
  })
  t.deepEqual(mountsBelow(kubeletRoot), [])
  t.false(existsSync(volume.targetPath))
})

mountTest('remove zeroes the bytes even for who holds a file open, and leaves nothing', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  store.swap(volume, TWO())
  const held = openSync(`${volume.targetPath}/password`, 'r')
  t.teardown(() => {
    closeSync(held)
  })
  store.remove(volume)
  const bytes = Buffer.alloc(3, 'x')
  readSync(held, bytes, 0, 3, 0)
  t.deepEqual(bytes, Buffer.alloc(3))
  t.deepEqual(mountsBelow(kubeletRoot), [])
  t.false(existsSync(volume.targetPath))
  t.true(existsSync(dirname(volume.targetPath)), 'the parent is kubelet’s')
  store.remove(volume)
  t.false(store.isMounted(volume))
})

mountTest(
  'remove works for a volume of an earlier process, and where even the parent is gone',
  (t) => {
    const { kubeletRoot, store, anew } = world(t)
    const volume = volumeAt(kubeletRoot)
    store.create(volume, ONE())
    anew().remove(volume)
    t.deepEqual(mountsBelow(kubeletRoot), [])
    rmdirSync(dirname(volume.targetPath))
    t.notThrows(() => {
      store.remove(volume)
    })
  },
)

mountTest('a busy volume is emptied and goes all the same', async (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const child = spawn('sleep', ['60'], { cwd: volume.targetPath })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise((resolve) => child.once('spawn', resolve))
  store.remove(volume)
  t.deepEqual(mountsBelow(kubeletRoot), [])
  t.deepEqual(readdirSync(`/proc/${child.pid ?? 0}/cwd/`), [])
})

mountTest('mounts of ours that somebody stacked are all taken away', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const source = `latchkey:1:${volume.volumeId}`
  const second = createDetachedTmpfs({ source })
  const folder = openSync(volume.targetPath, 'r')
  attach(second, folder)
  closeSync(second)
  closeSync(folder)
  t.is(mountsBelow(kubeletRoot).length, 2)
  store.remove(volume)
  t.deepEqual(mountsBelow(kubeletRoot), [])
})

for (const [what, prepare] of [
  ['a folder that is not empty', (path: string) => mkdirSync(`${path}/x`, { recursive: true })],
  [
    'a file',
    (path: string) => {
      writeFileSync(path, 'precious')
    },
  ],
  [
    'a link',
    (path: string) => {
      symlinkSync('/tmp', path)
    },
  ],
] as const) {
  mountTest(`${what} at the target is refused and left as it is`, (t) => {
    const { kubeletRoot, store } = world(t)
    const volume = volumeAt(kubeletRoot)
    prepare(volume.targetPath)
    const before = lstatSync(volume.targetPath)
    t.throws(
      () => {
        store.create(volume, ONE())
      },
      { instanceOf: LatchkeyError, message: /target/ },
    )
    t.is(lstatSync(volume.targetPath).ino, before.ino)
    t.deepEqual(mountsBelow(kubeletRoot), [])
  })
}

mountTest('a foreign mount at the target is neither covered nor removed', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  mkdirSync(volume.targetPath)
  const foreign = createDetachedTmpfs({ source: 'somebody-else' })
  const folder = openSync(volume.targetPath, 'r')
  attach(foreign, folder)
  closeSync(foreign)
  closeSync(folder)
  writeFileSync(`${volume.targetPath}/precious`, 'x')
  t.throws(
    () => {
      store.create(volume, ONE())
    },
    { message: /already/ },
  )
  const error = LatchkeyError.from(
    t.throws(() => {
      store.remove(volume)
    }),
  )
  t.like(error, { reason: 'VolumeIo', leftMounted: true })
  t.is(readText(volume, 'precious'), 'x')
  spawnSync('umount', [volume.targetPath])
})

mountTest('a link anywhere on the way to the target is not followed', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  const plugin = dirname(dirname(volume.targetPath))
  renameSync(plugin, `${kubeletRoot}/elsewhere`)
  symlinkSync(`${kubeletRoot}/elsewhere`, plugin)
  t.throws(
    () => {
      store.create(volume, ONE())
    },
    { instanceOf: LatchkeyError },
  )
  t.deepEqual(readdirSync(`${kubeletRoot}/elsewhere/db`), [])
})

mountTest('a second create upon a mounted volume does not stack', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  t.throws(() => {
    store.create(volume, TWO())
  })
  t.is(mountsBelow(kubeletRoot).length, 1)
  t.is(readText(volume, 'password'), 'one')
})

mountTest('a process that dies while it builds leaves nothing', (t) => {
  const { kubeletRoot } = world(t)
  const volume = volumeAt(kubeletRoot)
  const script = `
    import { writeFileSync } from 'node:fs'
    import { createDetachedTmpfs } from '${import.meta.dirname}/../../../src/syscalls/mount-api.ts'
    const fd = createDetachedTmpfs({ source: 'latchkey:1:x' })
    writeFileSync('/proc/self/fd/' + fd + '/secret', 'x')
    process.kill(process.pid, 'SIGKILL')`
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script])
  t.is(signal, 'SIGKILL')
  t.deepEqual(mountsBelow(kubeletRoot), [])
  t.false(existsSync(volume.targetPath))
})

mountTest('a restarted process finds its volumes, with their group, and nothing else', (t) => {
  const { kubeletRoot, store, anew } = world(t)
  const plain = volumeAt(kubeletRoot, 'plain')
  const grouped = volumeAt(kubeletRoot, 'grouped', 2000)
  store.create(plain, ONE())
  store.create(grouped, ONE())
  const bound = `${kubeletRoot}/pods/x-subpath`
  writeFileSync(bound, '')
  spawnSync('mount', ['--bind', `${plain.targetPath}/password`, bound])
  t.teardown(() => spawnSync('umount', [bound]))
  const found = anew().list()
  t.deepEqual(
    found.toSorted((a, b) => a.targetPath.localeCompare(b.targetPath)),
    [grouped, plain],
  )
})

mountTest('a file bound out of a volume, as subPath does, keeps its bytes through a swap', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const bound = `${kubeletRoot}/pods/x-subpath`
  writeFileSync(bound, '')
  spawnSync('mount', ['--bind', `${volume.targetPath}/password`, bound])
  t.teardown(() => spawnSync('umount', [bound]))
  store.swap(volume, TWO())
  store.prune(volume)
  t.is(readFileSync(bound, 'utf8'), 'one')
})

mountTest('what a crashed writer left is swept with the next swap and prune', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const writable = spawnSync('sh', [
    '-c',
    `mount -o remount,bind,rw "$0" && mkdir "$0/..2020_01_01_00_00_00.1" && ln -s x "$0/..data_tmp" && mount -o remount,bind,ro "$0"`,
    volume.targetPath,
  ])
  t.is(writable.status, 0, String(writable.stderr))
  store.swap(volume, TWO())
  store.prune(volume)
  t.is(readText(volume, 'password'), 'two')
  t.deepEqual(readdirSync(volume.targetPath).filter((name) => name.startsWith('..')).length, 2)
})

mountTest('readers by path see one whole value or the other while swaps go on', async (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  const value = (letter: string): VolumeFile[] => [fileOf('password', letter.repeat(20_000))]
  store.create(volume, value('a'))
  const reader = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { readFileSync } from 'node:fs'
     const seen = new Set()
     console.log('ready')
     for (let i = 0; i < 4000; i += 1) {
       const text = readFileSync(${JSON.stringify(`${volume.targetPath}/password`)}, 'utf8')
       seen.add(text.length + ':' + [...new Set(text)].join(''))
     }
     console.log(JSON.stringify([...seen]))`,
  ])
  let output = ''
  const over = new Promise((resolve) => reader.once('close', resolve))
  const ready = new Promise((resolve) => {
    reader.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      resolve(undefined)
    })
  })
  await ready
  const reading = new AbortController()
  void over.then(() => {
    reading.abort()
  })
  for (let swaps = 0; !reading.signal.aborted && swaps < 5_000; swaps += 1) {
    store.swap(volume, value(swaps % 2 === 0 ? 'b' : 'a'))
    // Old generations go two swaps later: a stand-in for the linger that the keeper gives them.
    if (swaps % 50 === 49) store.prune(volume)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await over
  const seen = JSON.parse(output.split('\n')[1] ?? '[]') as string[]
  t.true(seen.length > 0)
  for (const text of seen) t.regex(text, /^20000:[ab]$/)
})

mountTest('stats are those of the volume, and of nothing else', (t) => {
  const { kubeletRoot, store } = world(t)
  const volume = volumeAt(kubeletRoot)
  store.create(volume, ONE())
  const { bytes, inodes } = store.stats(volume)
  t.true(bytes.used > 0 && bytes.used < 64 * 1024)
  t.is(bytes.used + bytes.available, bytes.total)
  t.is(inodes.used, 7)
  const other = volumeAt(kubeletRoot, 'other')
  mkdirSync(other.targetPath)
  t.throws(() => store.stats(other), { instanceOf: LatchkeyError })
})

import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { mountTest } from '../../support/mount-namespace.ts'
import {
  firstFiles,
  mountsBelow,
  mountTmpfs,
  secondFiles,
  tmpfsWorld,
} from '../../support/tmpfs-world.ts'
import { fileOf } from '../../support/volumes.ts'

mountTest(
  'remove zeroes every generation, even for who holds a file open, and leaves nothing',
  (t) => {
    const { kubeletRoot, store, volume } = tmpfsWorld(t)
    store.create(volume, firstFiles())
    const held = [openSync(`${volume.targetPath}/password`, 'r')]
    store.swap(volume, [...secondFiles(), fileOf('deep/large', Buffer.alloc(200_000, 'x'))])
    held.push(openSync(`${volume.targetPath}/password`, 'r'))
    held.push(openSync(`${volume.targetPath}/deep/large`, 'r'))
    store.remove(volume)
    for (const [index, size] of [3, 3, 200_000].entries()) {
      const fd = held[index] ?? -1
      const bytes = Buffer.alloc(size + 1, 'y')
      t.is(readSync(fd, bytes, 0, size + 1, 0), size)
      t.true(bytes.subarray(0, size).every((byte) => byte === 0))
      closeSync(fd)
    }
    t.deepEqual(mountsBelow(kubeletRoot), [])
    t.false(existsSync(volume.targetPath))
    t.true(existsSync(dirname(volume.targetPath)), 'the parent is kubelet’s')
    t.false(store.isMounted(volume))
  },
)

mountTest('remove again is fine: without a mount, a folder, a parent', (t) => {
  const { kubeletRoot, store, volume, open } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  open().remove(volume)
  t.deepEqual(mountsBelow(kubeletRoot), [])
  store.remove(volume)
  mkdirSync(volume.targetPath)
  store.remove(volume)
  t.false(existsSync(volume.targetPath))
  rmdirSync(dirname(volume.targetPath))
  t.notThrows(() => {
    store.remove(volume)
  })
})

mountTest('a busy volume is emptied and goes all the same', async (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  const child = spawn('sleep', ['60'], { cwd: volume.targetPath })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise((resolve) => child.once('spawn', resolve))
  store.remove(volume)
  t.deepEqual(mountsBelow(kubeletRoot), [])
  t.false(existsSync(volume.targetPath))
  t.deepEqual(readdirSync(`/proc/${child.pid ?? 0}/cwd/`), [])
})

mountTest('mounts of ours that somebody stacked are all taken away', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  for (let mounts = 0; mounts < 3; mounts += 1) {
    mountTmpfs(volume.targetPath, `latchkey:1:${volume.volumeId}`)
  }
  t.is(mountsBelow(kubeletRoot).length, 4)
  store.remove(volume)
  t.deepEqual(mountsBelow(kubeletRoot), [])
  t.false(existsSync(volume.targetPath))
})

mountTest('a foreign mount upon the volume stops remove before anything is touched', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  mountTmpfs(volume.targetPath, 'somebody-else')
  writeFileSync(`${volume.targetPath}/precious`, 'x')
  t.throws(
    () => {
      store.remove(volume)
    },
    { message: /not this volume/ },
  )
  t.is(readFileSync(`${volume.targetPath}/precious`, 'utf8'), 'x')
  t.is(mountsBelow(kubeletRoot).length, 2)
  spawnSync('umount', [volume.targetPath])
  t.is(readFileSync(`${volume.targetPath}/password`, 'utf8'), 'one')
})

mountTest(
  'a file bound out of a removed volume reads zeros, and stays kubelet’s to unmount',
  (t) => {
    const { kubeletRoot, store, volume } = tmpfsWorld(t)
    store.create(volume, firstFiles())
    const bound = `${kubeletRoot}/pods/x-subpath`
    writeFileSync(bound, '')
    t.is(spawnSync('mount', ['--bind', `${volume.targetPath}/password`, bound]).status, 0)
    store.remove(volume)
    t.deepEqual(readFileSync(bound), Buffer.alloc(3))
    t.deepEqual(
      mountsBelow(kubeletRoot).map(({ mountPoint }) => mountPoint),
      [bound],
    )
  },
)

mountTest('neither create, swap nor remove leaves a descriptor open', (t) => {
  const { store, volume } = tmpfsWorld(t)
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const before = descriptors()
  store.create(volume, firstFiles())
  store.swap(volume, secondFiles())
  store.prune(volume)
  store.digest(volume)
  store.stats(volume)
  store.list()
  store.remove(volume)
  t.is(descriptors(), before)
})

mountTest('stats are those of the volume, and of nothing else', (t) => {
  const { store, volume } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  const { bytes, inodes } = store.stats(volume)
  t.true(bytes.used > 0 && bytes.used < 64 * 1024)
  t.is(bytes.used + bytes.available, bytes.total)
  t.is(inodes.used, 7)
  t.is(statSync(volume.targetPath).nlink, 3)
  store.remove(volume)
  mkdirSync(volume.targetPath)
  t.throws(() => store.stats(volume), { message: /not this volume/ })
})

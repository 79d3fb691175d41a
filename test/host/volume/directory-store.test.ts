import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { DirectoryStore } from '../../../src/host/volume/directory-store.ts'
import { crashAt } from '../../support/fs-faults.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { fileOf, readText, volumeAt } from '../../support/volumes.ts'

function world(t: ExecutionContext) {
  const kubeletRoot = tempDir(t)
  const open = (): DirectoryStore => new DirectoryStore({ kubeletRoot, now: () => new Date() })
  return { kubeletRoot, store: open(), volume: volumeAt(kubeletRoot), open }
}

const uid = process.getuid?.() ?? 0
const FILES = () => [
  fileOf('password', 'one', { ownerUid: uid }),
  fileOf('a/b', 'x', { ownerUid: uid }),
]

test('a volume is made, swapped, pruned and removed as a mount would be', (t) => {
  const { store, volume } = world(t)
  t.false(store.isMounted(volume))
  store.create(volume, FILES())
  t.true(store.isMounted(volume))
  t.deepEqual(store.digest(volume), contentsDigest(FILES()))
  store.swap(volume, [fileOf('password', 'two')])
  t.is(readText(volume, 'password'), 'two')
  t.false(existsSync(`${volume.targetPath}/a`))
  store.prune(volume)
  t.is(readdirSync(volume.targetPath).length, 3)
  t.true(store.stats(volume).bytes.total > 0)
  const held = openSync(`${volume.targetPath}/password`, 'r')
  store.remove(volume)
  const bytes = Buffer.alloc(3, 'y')
  readSync(held, bytes, 0, 3, 0)
  closeSync(held)
  t.deepEqual(bytes, Buffer.alloc(3))
  t.deepEqual(readdirSync(dirname(volume.targetPath)), [])
  store.remove(volume)
})

test('a restarted process finds its volumes with their fsGroup, and no other folder', (t) => {
  const { kubeletRoot, store, volume, open } = world(t)
  const gid = process.getgid?.() ?? 0
  const grouped = volumeAt(kubeletRoot, 'grouped', gid)
  store.create(volume, FILES())
  store.create(grouped, FILES())
  mkdirSync(`${volumeAt(kubeletRoot, 'foreign').targetPath}/..data`, { recursive: true })
  mkdirSync(`${kubeletRoot}/pods/not-a-pod/volumes/kubernetes.io~csi/x/mount`, { recursive: true })
  writeFileSync(`${kubeletRoot}/pods/a-file`, '')
  t.deepEqual(
    open()
      .list()
      .toSorted((a, b) => a.targetPath.localeCompare(b.targetPath)),
    [volume, grouped],
  )
})

test('without kubelet’s folder there are no volumes', (t) => {
  const store = new DirectoryStore({ kubeletRoot: `${tempDir(t)}/none`, now: () => new Date() })
  t.deepEqual(store.list(), [])
})

test('a folder that is not a volume is neither taken nor removed', (t) => {
  const { store, volume } = world(t)
  mkdirSync(volume.targetPath)
  writeFileSync(`${volume.targetPath}/precious`, 'x')
  for (const call of ['create', 'swap', 'prune', 'remove', 'digest', 'stats'] as const) {
    const error = t.throws(() => store[call](volume, FILES()))
    t.is(LatchkeyError.from(error).reason, 'VolumeIo', call)
  }
  t.deepEqual(readdirSync(volume.targetPath), ['precious'])
})

test('a create that fails leaves neither folder nor marker', (t) => {
  const { store, volume } = world(t)
  t.throws(() => {
    store.create(volume, [fileOf('fine', 'x'), fileOf('../x', 'x')])
  })
  t.deepEqual(readdirSync(dirname(volume.targetPath)), [])
})

test('a link on the way to the target is not followed', (t) => {
  const { kubeletRoot, store, volume } = world(t)
  const outside = `${kubeletRoot}/outside`
  mkdirSync(outside)
  symlinkSync(outside, volume.targetPath)
  t.throws(() => {
    store.create(volume, FILES())
  })
  t.deepEqual(readdirSync(outside), [])
})

test('a create that crashes anywhere is no volume, and the next create starts over', (t) => {
  for (let change = 1; ; change += 1) {
    const { store, volume, open } = world(t)
    const hasCrashed = crashAt(change, () => {
      store.create(volume, FILES())
    })
    if (!hasCrashed) break
    if (!store.isMounted(volume)) {
      t.deepEqual(open().list(), [])
      store.create(volume, FILES())
    }
    t.deepEqual(store.digest(volume), contentsDigest(FILES()), `change ${change}`)
    store.remove(volume)
    t.deepEqual(readdirSync(dirname(volume.targetPath)), [])
  }
})

/** In a process of its own, which gives up being root once it has loaded what it needs. */
const AS_SOMEBODY = `
  const [, folder, kubeletRoot, volume] = process.argv
  const { DirectoryStore } = await import(folder + '/../src/host/volume/directory-store.ts')
  const { fileOf, readText } = await import(folder + '/support/volumes.ts')
  if (process.getuid() === 0) {
    // Where a user namespace knows no other id, its root may not give files away either.
    try { process.setgroups([]); process.setgid(65534); process.setuid(65534) } catch {}
  }
  const store = new DirectoryStore({ kubeletRoot, now: () => new Date() })
  const it = JSON.parse(volume)
  store.create(it, [fileOf('password', 'one', { mode: 0o400, ownerUid: 1234 })])
  store.swap(it, [fileOf('password', 'two', { mode: 0o400, ownerUid: 1234 })])
  store.prune(it)
  const text = readText(it, 'password')
  const [found] = store.list()
  store.remove(it)
  console.log(JSON.stringify({ text, fsGroup: found?.fsGroup, left: store.list().length }))`

test('somebody who may not give files away has them all the same', (t) => {
  const { kubeletRoot, volume } = world(t)
  // For whoever the child becomes.
  for (const path of [kubeletRoot, dirname(volume.targetPath)]) chmodSync(path, 0o777)
  for (let path = dirname(dirname(volume.targetPath)); path !== kubeletRoot; path = dirname(path)) {
    chmodSync(path, 0o755)
  }
  const { stdout, stderr } = spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    AS_SOMEBODY,
    `${import.meta.dirname}/../..`,
    kubeletRoot,
    JSON.stringify({ ...volume, fsGroup: 2000 }),
  ])
  t.is(stderr.toString(), '')
  t.deepEqual(JSON.parse(stdout.toString()), { text: 'two', fsGroup: 2000, left: 0 })
})

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { mountTest, mountTestWithOwners } from '../../support/mount-namespace.ts'
import {
  firstFiles,
  mountsBelow,
  mountTmpfs,
  secondFiles,
  tmpfsWorld,
} from '../../support/tmpfs-world.ts'
import { readText, volumeAt } from '../../support/volumes.ts'

mountTest('a restarted process finds its volumes and nothing else', (t) => {
  const { kubeletRoot, store, volume, open } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  const bound = `${kubeletRoot}/pods/x-subpath`
  writeFileSync(bound, '')
  t.is(spawnSync('mount', ['--bind', `${volume.targetPath}/password`, bound]).status, 0)
  const other = volumeAt(kubeletRoot, 'other')
  spawnSync('mkdir', [other.targetPath])
  mountTmpfs(other.targetPath, `latchkey:1:${volume.volumeId}`)
  const restarted = open()
  t.deepEqual(restarted.list(), [volume])
  t.true(restarted.isMounted(volume))
  t.false(restarted.isMounted(other))
  t.deepEqual(restarted.digest(volume), contentsDigest(firstFiles()))
})

mountTestWithOwners('a restarted process reads each volume’s fsGroup off its root', (t) => {
  const { kubeletRoot, store, volume, open } = tmpfsWorld(t)
  const grouped = volumeAt(kubeletRoot, 'grouped', 2000)
  store.create(volume, firstFiles())
  store.create(grouped, firstFiles())
  t.deepEqual(
    open()
      .list()
      .toSorted((a, b) => a.targetPath.localeCompare(b.targetPath)),
    [volume, grouped],
  )
})

mountTest('where kubelet’s folder does not exist there are no volumes', (t) => {
  const { kubeletRoot, open } = tmpfsWorld(t)
  t.deepEqual(open(`${kubeletRoot}/nowhere`).list(), [])
})

/** A process of its own that makes the volume and kills itself ahead of the given change. */
const BUILDER = `
  const [, folder, kubeletRoot, volume, change, call] = process.argv
  const { crashAt, withFsFaults } = await import(folder + '/support/fs-faults.ts')
  const { TmpfsStore } = await import(folder + '/../src/host/volume/tmpfs-store.ts')
  const { fileOf } = await import(folder + '/support/volumes.ts')
  const store = new TmpfsStore({
    kubeletRoot, features: { noswap: false }, maxVolumeBytes: 65536, now: () => new Date() })
  let changes = 0
  withFsFaults(
    () => {
      changes += 1
      if (changes === Number(change)) process.kill(process.pid, 'SIGKILL')
    },
    () => { store[call](JSON.parse(volume), [fileOf('password', 'two'), fileOf('username', 'me')]) },
  )`

function runBuilder(kubeletRoot: string, volume: object, change: number, call: 'create' | 'swap') {
  const folder = `${import.meta.dirname}/../..`
  const values = [folder, kubeletRoot, JSON.stringify(volume), String(change), call]
  const { signal, status, stderr } = spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    BUILDER,
    ...values,
  ])
  return { wasKilled: signal === 'SIGKILL', status, stderr: stderr.toString() }
}

mountTest('a process that is killed anywhere in a create leaves no mount', (t) => {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  for (let change = 1; ; change += 4) {
    const { wasKilled, status, stderr } = runBuilder(kubeletRoot, volume, change, 'create')
    if (!wasKilled) {
      t.is(status, 0, stderr)
      break
    }
    t.deepEqual(mountsBelow(kubeletRoot), [], `change ${change}`)
    // At most the empty folder at the target, which the next create takes.
    if (existsSync(volume.targetPath)) t.deepEqual(readdirSync(volume.targetPath), [])
  }
  t.is(mountsBelow(kubeletRoot).length, 1)
  store.remove(volume)
})

mountTest('a process that is killed anywhere in a swap leaves old files or new ones', (t) => {
  const { kubeletRoot, store, volume, open } = tmpfsWorld(t)
  store.create(volume, firstFiles())
  for (let change = 1; ; change += 4) {
    const { wasKilled, status, stderr } = runBuilder(kubeletRoot, volume, change, 'swap')
    if (!wasKilled) {
      t.is(status, 0, stderr)
      break
    }
    const restarted = open()
    t.deepEqual(restarted.list(), [volume])
    const files = readText(volume, 'password') === 'one' ? firstFiles() : secondFiles()
    t.deepEqual(restarted.digest(volume), contentsDigest(files), `change ${change}`)
    restarted.swap(volume, firstFiles())
    restarted.prune(volume)
    t.is(readdirSync(volume.targetPath).filter((name) => name.startsWith('..')).length, 2)
  }
  t.is(readText(volume, 'password'), 'two')
})

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { isRecordGone } from '../../../src/host/sweep/kubelet-record.ts'
import { readPodCgroups } from '../../../src/host/sweep/pod-cgroups.ts'
import { Sweeper } from '../../../src/host/sweep/sweeper.ts'
import { Volumes } from '../../../src/host/volumes.ts'
import { createHostMetrics } from '../../../src/observability/host-metrics.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { mountTest } from '../../support/mount-namespace.ts'
import { ScriptedDaemon } from '../../support/scripted-daemon.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { mountsBelow, tmpfsWorld } from '../../support/tmpfs-world.ts'
import { POD_UID, volumeRequest } from '../../support/volume-requests.ts'

const OWN = '00000000-1111-4222-8333-444444444444'

/** A pod's cgroup on a node of cgroup v2, with so many processes. */
function setCgroup(root: string, podUid: string, processes: number): void {
  const pod = join(root, 'kubepods', `pod${podUid}`)
  mkdirSync(pod, { recursive: true })
  for (const folder of [root, join(root, 'kubepods')]) writeFileSync(`${folder}/cgroup.procs`, '')
  writeFileSync(`${pod}/cgroup.procs`, '0\n'.repeat(processes))
  writeFileSync(`${pod}/cgroup.events`, `populated ${processes > 0 ? 1 : 0}\n`)
}

/** A real volume of a pod that runs, with kubelet's record beside it. */
async function mounted(t: ExecutionContext) {
  const { kubeletRoot, store, volume } = tmpfsWorld(t)
  const cgroups = tempDir(t)
  setCgroup(cgroups, OWN, 1)
  setCgroup(cgroups, POD_UID, 1)
  const clock = new FakeClock()
  const daemon = new ScriptedDaemon()
  const log = createLogger({ level: 'silent', side: 'host' })
  const metrics = createHostMetrics({ version: 'test' })
  const common = { clock, log, metrics }
  const volumes = new Volumes({
    ...common,
    store,
    link: daemon,
    maxPublishes: 512,
    maxVolumeBytes: 65_536,
    lingerMs: 0,
    maxFileBytes: 2 ** 30,
  })
  const sweeper = new Sweeper({
    ...common,
    volumes,
    kubeletRoot,
    isRecordGone: (one) => isRecordGone(kubeletRoot, one),
    readPodCgroups: () => readPodCgroups({ root: cgroups, ownPodUid: OWN }),
    graceMs: 60_000,
  })
  t.teardown(() => {
    volumes.stop()
  })
  const parent = dirname(volume.targetPath)
  writeFileSync(`${parent}/vol_data.json`, '{}')
  const request = volumeRequest({ targetPath: volume.targetPath })
  const publishing = volumes.publish(request, new AbortController().signal)
  const stream = await daemon.stream(0)
  stream.contents(1, { password: 'one' })
  await publishing
  return {
    kubeletRoot,
    volume,
    parent,
    volumes,
    sweeper,
    endPod: () => {
      setCgroup(cgroups, POD_UID, 0)
    },
    /** Rounds of the sweep, ten seconds apart. */
    async rounds(count: number): Promise<void> {
      for (let round = 0; round < count; round += 1) {
        await clock.advance(10_000)
        await sweeper.sweep()
      }
    },
  }
}

mountTest('a volume whose record is lost goes wholly once its pod has ended', async (t) => {
  const on = await mounted(t)
  rmSync(`${on.parent}/vol_data.json`)
  await on.rounds(30)
  t.is(readFileSync(`${on.volume.targetPath}/password`, 'utf8'), 'one')
  on.endPod()
  await on.rounds(1)
  t.deepEqual(mountsBelow(on.kubeletRoot), [])
  t.deepEqual(readdirSync(on.parent), [])
  t.is(on.volumes.keepers().length, 0)
})

mountTest('a volume whose pod has ended stays as long as its record does', async (t) => {
  const on = await mounted(t)
  on.endPod()
  await on.rounds(30)
  t.is(readFileSync(`${on.volume.targetPath}/password`, 'utf8'), 'one')
})

mountTest(
  'a subPath mount is left where it is, and a process that has it is one of the pod',
  async (t) => {
    const on = await mounted(t)
    const bound = `${on.kubeletRoot}/pods/${POD_UID}/volume-subpaths/db/api/0`
    mkdirSync(dirname(bound), { recursive: true })
    writeFileSync(bound, '')
    t.is(spawnSync('mount', ['--bind', `${on.volume.targetPath}/password`, bound]).status, 0)
    rmSync(`${on.parent}/vol_data.json`)
    await on.rounds(30)
    t.is(readFileSync(bound, 'utf8'), 'one')
    on.endPod()
    await on.rounds(1)
    t.deepEqual(
      mountsBelow(on.kubeletRoot).map(({ mountPoint }) => mountPoint),
      [bound],
    )
    t.notRegex(readFileSync(bound, 'utf8'), /one/)
    await on.rounds(10)
    t.is(on.volumes.keepers().length, 0)
  },
)

mountTest('a volume whose whole folder kubelet has removed leaves nothing either', async (t) => {
  const on = await mounted(t)
  on.endPod()
  // As by a kubelet in another mount namespace: rmdir of a folder takes the mounts along that others have on it.
  spawnSync('umount', ['--lazy', on.volume.targetPath])
  rmSync(`${on.kubeletRoot}/pods/${POD_UID}`, { recursive: true })
  await on.rounds(10)
  t.is(on.volumes.keepers().length, 0)
  t.false(existsSync(on.parent))
  t.deepEqual(mountsBelow(on.kubeletRoot), [])
})

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { loadConfig } from '../../src/config/load.ts'
import { startHost } from '../../src/host/start-host.ts'
import type { CgroupView } from '../../src/host/sweep/pod-cgroups.ts'
import { DirectoryStore } from '../../src/host/volume/directory-store.ts'
import { createLogger } from '../../src/observability/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'
import { fileOf, volumeAt } from '../support/volumes.ts'

const OWN = '00000000-1111-4222-8333-444444444444'

/** A host side that finds a volume which kubelet has no record of. */
async function started(t: ExecutionContext, cgroups?: CgroupView) {
  const root = tempDir(t)
  mkdirSync(`${root}/plugins_registry`)
  const store = new DirectoryStore({ kubeletRoot: root, now: () => new Date() })
  const volume = volumeAt(root)
  store.create(volume, [fileOf('password', 'one')])
  const clock = new FakeClock()
  const lines: string[] = []
  const host = await startHost({
    config: {
      ...loadConfig({}),
      kubelet: { root },
      sockets: { mount: join(root, 'nobody/mount.sock') },
    },
    nodeName: 'node-1',
    version: '0.0.0-test',
    store,
    clock,
    log: createLogger({
      level: 'info',
      side: 'host',
      write: (line) => {
        lines.push(line)
      },
    }),
    kubeletUid: 0,
    ...(cgroups === undefined ? {} : { cgroups }),
  })
  t.teardown(() => host.stop())
  return { clock, lines, isMounted: () => store.isMounted(volume) }
}

/** Cgroups of v2 with nobody in them but ourselves. */
function cgroupsOf(t: ExecutionContext): CgroupView {
  const root = tempDir(t)
  const own = join(root, `kubepods/pod${OWN}`)
  mkdirSync(own, { recursive: true })
  for (const folder of [root, join(root, 'kubepods'), own]) {
    writeFileSync(join(folder, 'cgroup.procs'), `${process.pid}\n`)
  }
  writeFileSync(join(own, 'cgroup.events'), 'populated 1\n')
  return { root, ownPodUid: OWN }
}

test('a started host sweeps away what its configured grace time has passed for', async (t) => {
  const on = await started(t, cgroupsOf(t))
  let waitedMs = 0
  await until(
    async () => {
      await on.clock.advance(10_000)
      waitedMs += 10_000
      return !on.isMounted()
    },
    { what: 'the volume to go' },
  )
  t.true(waitedMs > 60_000, `gone after ${waitedMs} ms`)
})

test('a started host that is told of no cgroups sweeps nothing away, and says so', async (t) => {
  const on = await started(t)
  await until(
    async () => {
      await on.clock.advance(10_000)
      return on.lines.some((line) => line.includes('volume stranded'))
    },
    { what: 'the volume to be called stranded' },
  )
  t.true(on.isMounted())
})

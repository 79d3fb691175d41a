import type { ExecutionContext } from 'ava'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import type { VolumeFile } from '../../../src/core/types.ts'
import { FileRoom } from '../../../src/host/file-room.ts'
import { Generations } from '../../../src/host/generations.ts'
import { createHostMetrics } from '../../../src/observability/host-metrics.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { mountTest } from '../../support/mount-namespace.ts'
import { firstFiles, secondFiles, tmpfsWorld } from '../../support/tmpfs-world.ts'
import { Watcher } from '../../support/watcher.ts'

const LINGER_MS = 2_000

/** A mounted volume, what puts generations into it, and a process that watches it. */
async function watchedVolume(t: ExecutionContext) {
  const { store, volume } = tmpfsWorld(t)
  const clock = new FakeClock()
  const metrics = createHostMetrics({ version: 'test' })
  const log = createLogger({ level: 'silent', side: 'host' })
  const fileRoom = new FileRoom(2 ** 30)
  const parts = { store, clock, metrics, fileRoom, lingerMs: LINGER_MS }
  const generations = new Generations(volume, undefined, () => 'shop', parts, log)
  let number = 0
  const apply = (files: readonly VolumeFile[]): void => {
    number += 1
    generations.apply({ number, files, digest: contentsDigest(files) })
  }
  apply(firstFiles())
  t.teardown(() => {
    generations.freeze()
  })
  return { apply, clock, watcher: await Watcher.start(t, volume.targetPath) }
}

mountTest(
  'a swap is noticed by inotify on the folder, by inotify on the file, by polling',
  async (t) => {
    const { apply, clock, watcher } = await watchedVolume(t)
    const before = await watcher.look()
    apply(secondFiles())
    await watcher.untilSeen('an event of the folder', (seen) => seen.folderEvents > 0)
    const after = await watcher.look()
    t.is(after.text, 'two')
    for (const what of ['file', 'link', 'data'] as const) t.not(after[what], before[what], what)
    // A watch of the path is one of the old file behind it, which says that it is gone when the linger is over.
    await clock.advance(LINGER_MS)
    await watcher.untilSeen('an event of the file', (seen) => seen.fileEvents > 0)
    t.log(await watcher.look())
  },
)

mountTest(
  'equal bytes are not written again: no event, no other inode, no other time',
  async (t) => {
    const { apply, clock, watcher } = await watchedVolume(t)
    const before = await watcher.look()
    for (let round = 0; round < 10; round += 1) {
      apply(firstFiles())
      await clock.advance(LINGER_MS)
    }
    t.deepEqual(await watcher.look(), before)
    t.is(before.folderEvents, 0)
    // The same watcher does see a change.
    apply(secondFiles())
    await watcher.untilSeen('an event of the folder', (seen) => seen.folderEvents > 0)
  },
)

import { mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { mountTest } from '../../support/mount-namespace.ts'
import { filesOf, Readers, textOf } from '../../support/readers.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { tmpfsWorld } from '../../support/tmpfs-world.ts'

const READERS = 8
const SWAPS = 10_000
/**
 * Old generations go when every read that had begun has ended. In production they linger for two seconds
 * instead, and 10,000 of those would be a working day; to wait for all readers after each swap would take
 * minutes on a small machine.
 */
const SWAPS_PER_PRUNE = 100

mountTest(
  '8 readers spin through 10,000 swaps: none sees a torn file, misses one, or mixes',
  async (t) => {
    t.timeout(300_000)
    const { store, volume } = tmpfsWorld(t)
    store.create(volume, filesOf(0))
    const readers = await Readers.start(t, volume.targetPath, READERS)
    const startedMs = performance.now()
    for (let swap = 1; swap <= SWAPS; swap += 1) {
      store.swap(volume, filesOf(swap))
      if (swap % SWAPS_PER_PRUNE > 0) continue
      await readers.untilAllHaveRead()
      store.prune(volume)
    }
    const tookMs = performance.now() - startedMs
    readers.stop()
    const [reads, torn, missed, mixedByData, mixedByPath] = (
      ['reads', 'torn', 'missed', 'mixedByData', 'mixedByPath'] as const
    ).map((what) => readers.count(what))
    t.log(
      `readers=${READERS} swaps=${SWAPS} reads=${reads} torn=${torn} missed=${missed} ` +
        `mixedByData=${mixedByData} mixedByPath=${mixedByPath} in ${(tookMs / 1000).toFixed(1)} s`,
    )
    t.true((reads ?? 0) > SWAPS)
    t.deepEqual({ torn, missed, mixedByData }, { torn: 0, missed: 0, mixedByData: 0 })
  },
)

test('the readers would notice: a writer without generations tears, loses and mixes files', async (t) => {
  const folder = tempDir(t)
  mkdirSync(`${folder}/..data`)
  for (const name of ['first', 'second', '..data/first', '..data/second']) {
    writeFileSync(`${folder}/${name}`, textOf(0))
  }
  const readers = await Readers.start(t, folder, READERS)
  for (const place of [`${folder}/first`, `${folder}/..data/first`]) {
    writeFileSync(place, textOf(1).slice(0, 5_000))
    await readers.untilAllHaveRead()
    rmSync(place)
    await readers.untilAllHaveRead()
    writeFileSync(place, textOf(1))
    await readers.untilAllHaveRead()
  }
  readers.stop()
  for (const what of ['torn', 'missed', 'mixedByPath', 'mixedByData'] as const) {
    t.log(`${what}=${readers.count(what)}`)
    t.true(readers.count(what) > 0, what)
  }
})

mountTest('what a reader by plain paths may see: the one file old and the other new', (t) => {
  const { store, volume } = tmpfsWorld(t)
  store.create(volume, filesOf(1))
  const data = readlinkSync(`${volume.targetPath}/..data`)
  t.is(readFileSync(`${volume.targetPath}/first`, 'utf8'), textOf(1))
  store.swap(volume, filesOf(2))
  t.is(readFileSync(`${volume.targetPath}/second`, 'utf8'), textOf(2))
  // Where `..data` was resolved once, both are of one generation, for as long as the old one lingers.
  t.is(readFileSync(`${volume.targetPath}/${data}/second`, 'utf8'), textOf(1))
  store.prune(volume)
  t.throws(() => readFileSync(`${volume.targetPath}/${data}/second`), { code: 'ENOENT' })
})

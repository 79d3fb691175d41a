import { setTimeout as pause } from 'node:timers/promises'
import { runInNewContext } from 'node:vm'
import { setFlagsFromString } from 'node:v8'
import { releaseGarbage } from '../../src/syscalls/freed-memory.ts'
import { Chance } from '../soak/chance.ts'
import { readCorpus } from './corpus.ts'
import { judge, type Finding } from './judge.ts'
import type { Lane } from './lane.ts'
import { mutate } from './mutation.ts'

export interface FuzzOptions {
  readonly inputs: number
  readonly seed: number
  readonly corpusFolder: string
  readonly onFinding: (finding: Finding) => void
  /** Called now and then with the count of inputs fed. */
  readonly onProgress: (done: number) => void
}

export interface Tally {
  readonly inputs: number
  readonly crashes: number
  readonly grants: number
  readonly rssGrowthMib: number
  readonly byLane: ReadonlyMap<string, LaneTally>
}

/** A lane of which nothing is taken tests how it refuses, and no more. */
export interface LaneTally {
  accepted: number
  refused: number
  ms: number
}

/** What is loaded, compiled and pooled on the way there is no leak; most of a short run is nothing else. */
const WARM_UP_INPUTS = 50_000
const WARM_UP_AT_MOST = 0.5
const CHECK_EVERY = 20_000
/** After so many of one kind in one lane the rest is noise. */
const MAX_FINDINGS = 100

/** Feeds the lanes what is kept, and then what chance makes of it, one input after the other. */
export async function fuzz(lanes: readonly Lane[], options: FuzzOptions): Promise<Tally> {
  const { inputs, seed, corpusFolder, onFinding, onProgress } = options
  const chance = new Chance(seed)
  const count = { crash: 0, grant: 0 }
  const note = (finding: Finding | undefined): void => {
    if (finding === undefined) return
    count[finding.kind] += 1
    if (count.crash + count.grant <= MAX_FINDINGS) onFinding(finding)
  }
  const stop = onStray((lane, input, why) => {
    note({ kind: 'crash', lane, why, input })
  })
  let done = 0
  const byLane = new Map(lanes.map(({ name }) => [name, { accepted: 0, refused: 0, ms: 0 }]))
  const feed = async (lane: Lane, input: Buffer): Promise<void> => {
    stop.now(lane.name, input)
    const startedMs = performance.now()
    const end = await judge(lane, input, chance)
    const tally = byLane.get(lane.name)
    if (tally !== undefined) tally.ms += performance.now() - startedMs
    if (typeof end === 'object') note(end)
    else if (tally !== undefined) tally[end] += 1
    done += 1
    if (done % CHECK_EVERY === 0) {
      for (const lane of lanes) note(await failing(lane))
      onProgress(done)
    }
  }
  const sown = new Map(
    lanes.map((lane) => [lane, [...readCorpus(corpusFolder, lane.name), ...lane.seeds]]),
  )
  for (const [lane, seeds] of sown) for (const input of seeds) await feed(lane, input)
  const byName = new Map(lanes.map((lane) => [lane.name, lane]))
  const weights = Object.fromEntries(lanes.map(({ name, weight }) => [name, weight]))
  const warmUp = Math.min(WARM_UP_INPUTS, inputs * WARM_UP_AT_MOST)
  let warmRss = 0
  while (done < inputs) {
    if (warmRss === 0 && done >= warmUp) warmRss = await settledRss()
    const lane = byName.get(chance.weigh(weights))
    if (lane !== undefined) await feed(lane, mutate(chance, sown.get(lane) ?? [], lane.words))
  }
  for (const lane of lanes) note(await failing(lane))
  stop.end()
  const rssGrowthMib = Math.max(0, Math.round(((await settledRss()) - warmRss) / 2 ** 20))
  return { inputs: done, crashes: count.crash, grants: count.grant, rssGrowthMib, byLane }
}

async function failing(lane: Lane): Promise<Finding | undefined> {
  try {
    await lane.check?.()
    return undefined
  } catch (thrown) {
    const why = `a good caller is not served any more: ${String(thrown)}`
    return { kind: 'crash', lane: lane.name, why, input: Buffer.alloc(0) }
  }
}

/** What nobody catches is laid at the door of the input that was fed last. */
function onStray(note: (lane: string, input: Buffer, why: string) => void) {
  let now: { lane: string; input: Buffer } = { lane: '', input: Buffer.alloc(0) }
  const hear = (thrown: unknown): void => {
    const why = thrown instanceof Error ? String(thrown.stack) : String(thrown)
    note(now.lane, now.input, `nobody caught: ${why}`)
  }
  process.on('uncaughtException', hear)
  process.on('unhandledRejection', hear)
  return {
    now(lane: string, input: Buffer) {
      now = { lane, input }
    },
    end() {
      process.off('uncaughtException', hear)
      process.off('unhandledRejection', hear)
    },
  }
}

/** With what is garbage given back: V8 and glibc keep what they had at their busiest otherwise. */
async function settledRss(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let round = 0; round < 5; round += 1) {
    collect()
    await releaseGarbage()
    await pause(50)
  }
  return process.memoryUsage.rss()
}

import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, release, totalmem, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { startCrowdedNode, type CrowdedNode } from '../support/crowded-node.ts'
import { enterOwnNamespace } from '../support/own-namespace.ts'

/*
 * How long kubelet waits for NodeUnpublishVolume on a node with many volumes: over the real CSI socket, on
 * real tmpfs, for one volume after the other and for all of them in the same moment. As root:
 * `node test/bench/unpublish.ts [--volumes 250] [--rounds 400]`
 */
const FILES = {
  username: 'shop',
  password: 'p'.repeat(32),
  'tls/tls.crt': 'c'.repeat(4_000),
  'tls/tls.key': 'k'.repeat(1_700),
  'large.json': 'j'.repeat(64 * 1024),
}
const BURSTS = 4
/** kubelet publishes by a few workers at once. */
const PUBLISHES_AT_ONCE = 25

/** Milliseconds. */
interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const { values } = parseArgs({
  options: {
    volumes: { type: 'string', default: '250' },
    rounds: { type: 'string', default: '400' },
  },
})
if (!enterOwnNamespace()) throw new Error('needs root, to mount')
// A short path, for a socket lies below it.
const kubeletRoot = mkdtempSync('/tmp/lk-')
const node = await startCrowdedNode(kubeletRoot, FILES)
try {
  const volumes = Number(values.volumes)
  const oneByOne = await measureOneByOne(node, volumes, Number(values.rounds))
  const atOnce = await measureAtOnce(node, volumes)
  print({ bench: 'unpublish', volumes, unit: 'ms', oneByOne, allAtOnce: atOnce })
  print({
    machine: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    load: loadavg()[0]?.toFixed(1),
  })
} finally {
  await node.stop()
  rmSync(kubeletRoot, { recursive: true, force: true })
}

/** All volumes are mounted at each call: what goes comes again. */
async function measureOneByOne(on: CrowdedNode, volumes: number, rounds: number): Promise<Spread> {
  await publishAll(on, volumes)
  const tookMs: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const index = (round * 7) % volumes
    tookMs.push(await timed(() => on.unpublish(index)))
    await on.publish(index)
  }
  await Promise.all(indexes(volumes).map((index) => on.unpublish(index)))
  return spread(tookMs)
}

async function measureAtOnce(on: CrowdedNode, volumes: number): Promise<Spread> {
  const tookMs: number[] = []
  for (let burst = 0; burst < BURSTS; burst += 1) {
    await publishAll(on, volumes)
    const burstMs = indexes(volumes).map((index) => timed(() => on.unpublish(index)))
    tookMs.push(...(await Promise.all(burstMs)))
  }
  return spread(tookMs)
}

async function publishAll(on: CrowdedNode, volumes: number): Promise<void> {
  for (let first = 0; first < volumes; first += PUBLISHES_AT_ONCE) {
    const some = indexes(volumes).slice(first, first + PUBLISHES_AT_ONCE)
    await Promise.all(some.map((index) => on.publish(index)))
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return performance.now() - startedMs
}

function spread(tookMs: readonly number[]): Spread {
  const sorted = tookMs.toSorted((a, b) => a - b)
  const at = (part: number): number => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
    return Math.round(value * 10) / 10
  }
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

function indexes(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index)
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

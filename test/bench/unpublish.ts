import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, release, totalmem, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { createCaller, startCrowdedHost, type Caller } from '../support/crowded-node.ts'
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

interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const { values } = parseArgs({
  options: {
    volumes: { type: 'string', default: '250' },
    rounds: { type: 'string', default: '400' },
    // The caller is a process of its own, as kubelet is; where it finds the socket.
    kubelet: { type: 'string' },
  },
})
const volumes = Number(values.volumes)
const rounds = Number(values.rounds)
if (values.kubelet === undefined) await runHost()
else await runKubelet(createCaller(values.kubelet))

async function runHost(): Promise<void> {
  if (!enterOwnNamespace()) throw new Error('needs root, to mount')
  // A short path, for a socket lies below it.
  const kubeletRoot = mkdtempSync('/tmp/lk-')
  const host = await startCrowdedHost(kubeletRoot, FILES)
  try {
    const kubelet = fork(import.meta.filename, [...process.argv.slice(2), '--kubelet', kubeletRoot])
    const before = cpuNowMs()
    await new Promise((resolve) => kubelet.once('exit', resolve))
    const cpuMs = (cpuNowMs() - before) / (2 * ((BURSTS + 1) * volumes + rounds))
    print({ hostCpuMsPerCall: rounded(cpuMs), note: 'publishes and unpublishes together' })
    print({
      machine: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      node: process.version,
      load: rounded(loadavg()[0] ?? 0),
    })
  } finally {
    await host.stop()
    rmSync(kubeletRoot, { recursive: true, force: true })
  }
}

async function runKubelet(caller: Caller): Promise<void> {
  const oneByOne = await measureOneByOne(caller)
  const allAtOnce = await measureAtOnce(caller)
  print({ bench: 'unpublish', volumes, unit: 'ms', oneByOne, allAtOnce })
  process.disconnect()
}

/** All volumes are mounted at each call: what goes comes again. */
async function measureOneByOne(on: Caller): Promise<Spread> {
  await publishAll(on)
  const tookMs: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const index = (round * 7) % volumes
    tookMs.push(await timed(() => on.unpublish(index)))
    await on.publish(index)
  }
  await Promise.all(indexes(volumes).map((index) => on.unpublish(index)))
  return spread(tookMs)
}

async function measureAtOnce(on: Caller): Promise<Spread> {
  const tookMs: number[] = []
  for (let burst = 0; burst < BURSTS; burst += 1) {
    await publishAll(on)
    const burstMs = indexes(volumes).map((index) => timed(() => on.unpublish(index)))
    tookMs.push(...(await Promise.all(burstMs)))
  }
  return spread(tookMs)
}

async function publishAll(on: Caller): Promise<void> {
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

function cpuNowMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function spread(tookMs: readonly number[]): Spread {
  const sorted = tookMs.toSorted((a, b) => a - b)
  const at = (part: number): number => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
    return rounded(value)
  }
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100
}

function indexes(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index)
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { summarize } from '../test-count.ts'
import type { Cluster, ClusterDescription } from './cluster/cluster.ts'
import { openCluster } from './cluster/cluster.ts'
import { run } from './cluster/command.ts'
import { describeExisting } from './cluster/existing.ts'
import { buildLatchkeyImages } from './cluster/images.ts'
import { down, up } from './cluster/rig.ts'
import { RUN_FOLDER } from './cluster/run-folder.ts'
import type { Deployment } from './deployment.ts'
import { prepareDeployment } from './deployment.ts'
import type { StoriesResult } from './stories-run.ts'
import { runStories } from './stories-run.ts'
import { setUpVault } from './vault-guide.ts'

const USAGE = `npm run e2e -- [options]
  (none)                 a Kubernetes of its own on this machine; root, Debian, Go 1.26
  --only TITLE           only stories with this title; * matches anything
  --keep                 leave the cluster up afterwards, until --down or the next run
  --down                 take down a cluster that was kept, and nothing else
  --sync-frequency TIME  kubelet's, default 5s
  --kubeconfig FILE      an existing cluster instead, together with
    --image IMAGE          the image to test, where that cluster's nodes find it
    --consumer-image IMAGE for the pods of stories, default python:3.13-slim-bookworm
`

const PROJECT = join(import.meta.dirname, '..', '..')

/** A cluster under test with Latchkey's manifests ready to be applied. */
interface Stage {
  readonly description: ClusterDescription
  readonly cluster: Cluster
  readonly deployment: Deployment
  readonly strike: () => Promise<void>
}

type Flags = ReturnType<typeof readFlags>

const NOTHING: StoriesResult = { count: { passed: 0, failed: 0, skipped: 0 }, succeeded: false }

function readFlags() {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      down: { type: 'boolean', default: false },
      only: text,
      kubeconfig: text,
      image: text,
      'consumer-image': { ...text, default: 'python:3.13-slim-bookworm' },
      'sync-frequency': { ...text, default: '5s' },
    },
  })
  return values
}

function say(line: string): void {
  process.stdout.write(`e2e: ${line}\n`)
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function setStage(flags: Flags, signal: AbortSignal): Promise<Stage> {
  return flags.kubeconfig === undefined
    ? setOwnStage(flags, signal)
    : setForeignStage(flags.kubeconfig, flags, signal)
}

async function setOwnStage(flags: Flags, signal: AbortSignal): Promise<Stage> {
  await run([process.execPath, 'build.ts'], { cwd: PROJECT, signal })
  const syncFrequency = flags['sync-frequency']
  const rig = await up({ report: say, signal, outlive: flags.keep, syncFrequency })
  const { cluster, description } = rig
  try {
    const { current, next } = await buildLatchkeyImages(rig.baseArchive, RUN_FOLDER, signal)
    for (const archive of [current, next]) {
      await cluster.node?.importImage(archive, signal)
      rmSync(archive)
    }
    const deployment = prepareDeployment(cluster, join(RUN_FOLDER, 'manifests'))
    if (cluster.node !== undefined) {
      const begun = performance.now()
      await setUpVault(cluster.node, cluster, signal)
      say(`Vault is set up after ${((performance.now() - begun) / 1000).toFixed(1)} s`)
    }
    const strike = (): Promise<void> => (flags.keep ? Promise.resolve() : rig.down())
    if (flags.keep) tellHowToEnter(description)
    return { description, cluster, deployment, strike }
  } catch (error) {
    await rig.down()
    throw error
  }
}

async function setForeignStage(
  kubeconfig: string,
  flags: Flags,
  signal: AbortSignal,
): Promise<Stage> {
  if (flags.image === undefined) throw new Error('--kubeconfig: --image is missing')
  const description = await describeExisting({
    kubeconfig,
    latchkeyImage: flags.image,
    consumerImage: flags['consumer-image'],
    signal,
  })
  const cluster = openCluster(description)
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-e2e-'))
  const deployment = prepareDeployment(cluster, folder)
  const strike = async (): Promise<void> => {
    if (!flags.keep) await deployment.remove()
    rmSync(folder, { recursive: true })
  }
  return { description, cluster, deployment, strike }
}

function tellHowToEnter(description: ClusterDescription): void {
  if (description.kind !== 'rig') return
  const kubectl = [description.kubectlPath, '--kubeconfig', description.kubeconfig]
  say(`this cluster stays; \`npm run e2e -- --down\` ends it. kubectl there is:`)
  say(`  nsenter -t ${description.seal.pid} -m -n ${kubectl.join(' ')}`)
}

async function perform(stage: Stage, flags: Flags, signal: AbortSignal): Promise<StoriesResult> {
  const { cluster, deployment, description } = stage
  let result = NOTHING
  try {
    await deployment.apply(signal)
    await deployment.waitForRollout(signal)
    say(`Latchkey is ready on ${cluster.nodeName}`)
    result = await runStories({ description, only: flags.only, signal })
  } finally {
    if (!result.succeeded && !signal.aborted) await explainFailure(stage)
  }
  return result
}

async function explainFailure({ cluster, deployment }: Stage): Promise<void> {
  const explanation = await deployment.explain()
  if (cluster.node === undefined) {
    process.stdout.write(`${explanation}\n`)
    return
  }
  const file = join(cluster.node.logFolder, 'latchkey.txt')
  writeFileSync(file, explanation)
  process.stdout.write(`${explanation.split('\n').slice(0, 40).join('\n')}\n`)
  say(`the whole of it is in ${file}, the node's own logs lie beside it`)
}

async function main(): Promise<number> {
  let flags: Flags
  try {
    flags = readFlags()
  } catch (error) {
    process.stderr.write(`${describe(error)}\n\n${USAGE}`)
    return 2
  }
  if (flags.help) {
    process.stdout.write(USAGE)
    return 0
  }
  if (flags.down) {
    await down()
    return 0
  }
  const interruption = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      say(`${name}: taking everything down`)
      interruption.abort(new Error(`interrupted by ${name}`))
    })
  }
  let result = NOTHING
  try {
    const stage = await setStage(flags, interruption.signal)
    try {
      result = await perform(stage, flags, interruption.signal)
    } finally {
      await stage.strike()
    }
  } catch (error) {
    result = { ...result, succeeded: false }
    say(describe(error))
  }
  if (result.count.skipped > 0) say(`${result.count.skipped} skipped`)
  process.stdout.write(`${summarize(result.count, result.succeeded)}\n`)
  return result.succeeded ? 0 : 1
}

process.exitCode = await main()

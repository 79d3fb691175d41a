import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import type { Binaries } from './binaries.ts'
import { ensureBinaries } from './binaries.ts'
import { cacheFolder } from './cache.ts'
import type { Cluster } from './cluster.ts'
import { openCluster, waitForApiServer } from './cluster.ts'
import { configureContainerd } from './containerd.ts'
import {
  apiServerCommand,
  AUDIT_LOG,
  controllerManagerCommand,
  etcdCommand,
  schedulerCommand,
} from './control-plane.ts'
import { furnish } from './furnishing.ts'
import { BASE_IMAGE, ensureBaseImage, ensurePauseImage, LATCHKEY_IMAGE } from './images.ts'
import { configureKubelet } from './kubelet.ts'
import { ensurePackages, ensurePrometheus } from './packages.ts'
import { createPki } from './pki.ts'
import type { RigDescription } from './rig-node.ts'
import {
  claimRunFolder,
  recordSeal,
  releaseRunFolder,
  removeLeftovers,
  RUN_FOLDER,
} from './run-folder.ts'
import type { Seal } from './seal.ts'
import { createSeal, NODE_NAME } from './seal.ts'
import { describeService } from './service.ts'
import { until } from './until.ts'
import { configureVault, vaultPlace } from './vault.ts'

export interface RigOptions {
  readonly report: (line: string) => void
  readonly signal?: AbortSignal
  /** Leaves the node running when this process ends. Default: it ends with it, even by SIGKILL. */
  readonly outlive?: boolean
  /** kubelet's, and with it the pace of republish. Default 5s. */
  readonly syncFrequency?: string
}

export interface Rig {
  readonly cluster: Cluster
  /** For DESCRIPTION_VARIABLE. */
  readonly description: RigDescription
  /** Archive of the base image; the node has it already. */
  readonly baseArchive: string
  /** Takes away every process, mount, cgroup, namespace and file but the cache. */
  down(): Promise<void>
}

/** Everything slow that later runs find in the cache. */
interface Supplies {
  readonly binaries: Binaries
  readonly pauseArchive: string
  readonly baseArchive: string
  readonly prometheusFolder: string
}

/** Logs of the run at hand; they stay until the next one, to be read after a failure. */
const LOG_FOLDER = join(cacheFolder, 'logs')

/** A real Kubernetes of one node on this machine, Ready when this returns. */
export async function up(options: RigOptions): Promise<Rig> {
  const supplies = await gather(options)
  const begun = performance.now()
  const cgroups = await claimRunFolder()
  try {
    rmSync(LOG_FOLDER, { recursive: true, force: true })
    mkdirSync(LOG_FOLDER, { recursive: true })
    const kubeletFolder = join(RUN_FOLDER, 'kubelet')
    mkdirSync(kubeletFolder)
    const seal = await createSeal({
      cgroups,
      pausePath: supplies.binaries.pause,
      logFolder: LOG_FOLDER,
      outlive: options.outlive ?? false,
      created: recordSeal,
      ...(options.signal && { signal: options.signal }),
    })
    await furnish(seal, cgroups, kubeletFolder, join(RUN_FOLDER, 'overlaid'), options.signal)
    const description = await describeRig(seal, supplies, options)
    const cluster = openCluster(description)
    await start(description, cluster, supplies, options)
    options.report(`node ${NODE_NAME} Ready after ${seconds(begun)} s`)
    return { cluster, description, baseArchive: supplies.baseArchive, down: releaseRunFolder }
  } catch (error) {
    await releaseRunFolder()
    throw error
  }
}

/** Takes down what an earlier run has kept or left. */
export async function down(): Promise<void> {
  await removeLeftovers()
}

async function gather({ report, signal }: RigOptions): Promise<Supplies> {
  await ensurePackages(report, signal)
  const binaries = await ensureBinaries(report, signal)
  return {
    binaries,
    pauseArchive: await ensurePauseImage(binaries.pause, signal),
    baseArchive: await ensureBaseImage(report, signal),
    prometheusFolder: await ensurePrometheus(signal),
  }
}

async function describeRig(
  seal: Seal,
  { binaries, prometheusFolder }: Supplies,
  options: RigOptions,
): Promise<RigDescription> {
  const pki = await createPki(join(RUN_FOLDER, 'pki'), options.signal)
  const syncFrequency = options.syncFrequency ?? '5s'
  return {
    kind: 'rig',
    kubeconfig: pki.path('admin.kubeconfig'),
    nodeName: NODE_NAME,
    latchkeyImage: LATCHKEY_IMAGE,
    consumerImage: BASE_IMAGE,
    seal,
    kubectlPath: binaries.kubectl,
    kubectlCacheFolder: join(RUN_FOLDER, 'kubectl-cache'),
    logFolder: LOG_FOLDER,
    recordFolder: join(RUN_FOLDER, 'services'),
    prometheusFolder,
    services: {
      etcd: etcdCommand(binaries, RUN_FOLDER),
      containerd: configureContainerd(RUN_FOLDER),
      'kube-apiserver': apiServerCommand(binaries, pki, join(LOG_FOLDER, AUDIT_LOG)),
      'kube-controller-manager': controllerManagerCommand(binaries, pki),
      'kube-scheduler': schedulerCommand(binaries, pki),
      kubelet: configureKubelet({ binaries, pki, folder: RUN_FOLDER, syncFrequency }),
      vault: configureVault(binaries, pki, RUN_FOLDER),
    },
    vault: vaultPlace(binaries, pki, RUN_FOLDER),
  }
}

async function start(
  description: RigDescription,
  cluster: Cluster,
  supplies: Supplies,
  { signal }: RigOptions,
): Promise<void> {
  const { seal, recordFolder, logFolder, services } = description
  const launch = (name: keyof typeof services): void => {
    describeService({ seal, recordFolder, logFolder }, name, services[name]).start()
  }
  launch('etcd')
  launch('containerd')
  launch('kube-apiserver')
  launch('vault')
  await waitForContainerd(cluster, signal)
  await cluster.node?.importImage(supplies.pauseArchive, signal)
  await cluster.node?.importImage(supplies.baseArchive, signal)
  await waitForApiServer(cluster, signal)
  launch('kube-controller-manager')
  launch('kube-scheduler')
  launch('kubelet')
  await cluster.node?.postgres.start(signal)
  await cluster.node?.vault.initialize(signal)
  await waitForNode(cluster, signal)
}

async function waitForContainerd(cluster: Cluster, signal?: AbortSignal): Promise<void> {
  const { node } = cluster
  await until(() => node?.run(['ctr', 'version'], signal ? { signal } : {}), {
    what: `containerd to answer; see ${LOG_FOLDER}/containerd.log`,
    withinMs: 30_000,
    signal,
  })
}

async function waitForNode(cluster: Cluster, signal?: AbortSignal): Promise<void> {
  const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  await until(
    async () => {
      const { stdout } = await cluster.kubectl(['get', 'node', cluster.nodeName, '-o', ready])
      return stdout.toString() === 'True' ? true : undefined
    },
    { what: `the node to be Ready; see ${LOG_FOLDER}/kubelet.log`, withinMs: 60_000, signal },
  )
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1)
}

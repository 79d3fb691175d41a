import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readMounts } from '../../src/host/volume/mountinfo.ts'
import { LATCHKEY_DRIVER } from '../../src/minicluster/csi-driver.ts'
import { startMinicluster, type Minicluster } from '../../src/minicluster/minicluster.ts'
import type { ServingPki } from '../../src/minicluster/pki.ts'
import { unmountLazily } from '../../src/syscalls/mount-api.ts'
import type { SideName } from './bundle.ts'
import type { Finding } from './findings.ts'
import { inspectNode } from './inspection.ts'
import { waitPatiently } from './patience.ts'
import { SidePair, SIDES } from './side-pair.ts'
import { SoakPods, type Member } from './soak-pods.ts'
import { SoakSecrets } from './soak-secrets.ts'
import { LEASING_DRIVER, SoakVault } from './soak-vault.ts'
import type { Spares } from './spares.ts'

export interface WorldParts {
  /** A folder of its own, with a short path: sockets will lie in it. */
  readonly folder: string
  readonly spares: Spares
  readonly pki: ServingPki
  /** Pods have users of a Vault in place of Secrets, each its own, under sessions that live so long; undefined: no Vault. */
  readonly sessionTtlMs?: number | undefined
}

const DRIVER = LATCHKEY_DRIVER.name
/** After this a node has to be as if nothing had happened. */
const CONVERGENCE_MS = 10_000
/** For what only a machine with far too much to do keeps from happening. */
const PATIENCE_MS = 60_000
/** Old generations go soon, so that every cycle sees them gone. */
const LINGER = '50ms'
/** kubelet comes by itself in an hour: whatever heals sooner has healed without it. */
const SYNC_INTERVAL_MS = 3_600_000

/**
 * A node with both sides as processes of their own, and everything around them in this process: API
 * server, kubelet, pods that read their files all the time.
 */
export class World {
  readonly cluster: Minicluster
  readonly vault: SoakVault | undefined
  readonly secrets: SoakSecrets
  readonly pods: SoakPods
  readonly sides: SidePair
  readonly #folder: string
  readonly #configFile: string
  readonly #stopped = new AbortController()

  private constructor(cluster: Minicluster, vault: SoakVault | undefined, parts: WorldParts) {
    const { folder, spares } = parts
    this.cluster = cluster
    this.vault = vault
    this.#folder = folder
    this.#configFile = join(folder, 'config.json')
    mkdirSync(join(folder, 'm'), { mode: 0o700 })
    writeFileSync(this.#configFile, JSON.stringify(configOf(folder, cluster, vault)))
    this.sides = new SidePair({
      spares,
      configFile: this.#configFile,
      onHostDeath: () => vault?.noteHostDeath(),
    })
    this.secrets = new SoakSecrets(cluster.objects, vault !== undefined)
    const host = (): ReturnType<SidePair['process']> => this.sides.process('host')
    this.pods = new SoakPods({ cluster, secrets: this.secrets, vault, host })
  }

  /** Both sides run, no pod does. */
  static async start(parts: WorldParts): Promise<World> {
    const { folder, pki, sessionTtlMs } = parts
    mkdirSync(folder, { mode: 0o700 })
    const kubelet = {
      syncIntervalMs: SYNC_INTERVAL_MS,
      retry: { firstMs: 50, maxMs: 400, factor: 2 },
      ...(sessionTtlMs === undefined ? {} : { csiDrivers: [LEASING_DRIVER] }),
    }
    const cluster = await startMinicluster({ root: folder, pki, kubelet })
    const vault =
      sessionTtlMs === undefined ? undefined : await SoakVault.start(cluster, sessionTtlMs)
    const world = new World(cluster, vault, parts)
    await Promise.all(SIDES.map((side) => world.sides.start(side)))
    await world.cluster.kubelet.untilRegistered(DRIVER, true, PATIENCE_MS)
    return world
  }

  /** Volumes that are mounted now, whoever wants them. */
  get mounted(): number {
    return readMounts().filter(({ mountPoint }) => mountPoint.startsWith(`${this.#folder}/`)).length
  }

  /** Waits until those that were killed are gone, looks at the pods' files, and tells who is dead. */
  async bury(): Promise<readonly SideName[]> {
    const dead = await this.sides.bury()
    this.pods.look()
    return dead
  }

  /** kubelet publishes every volume again and is answered. */
  async republish(members = this.pods.living): Promise<void> {
    const { kubelet } = this.cluster
    await kubelet.untilRegistered(DRIVER, true, PATIENCE_MS)
    await Promise.all(
      members.map(async ({ pod }) => {
        await kubelet.untilIdle(pod, PATIENCE_MS)
        // Its own patience is ten seconds.
        await kubelet.sync(pod).catch(() => kubelet.untilIdle(pod, PATIENCE_MS))
      }),
    )
    const host = this.sides.process('host')
    if (host.isDead) return
    for (const member of members) Object.assign(member, { tokensOf: host, visitedAtMs: Date.now() })
  }

  /** Reports whether all is as it ought to be. */
  get isInOrder(): boolean {
    return this.#inspect().next().done === true
  }

  /** Everything that is not as it ought to be, were all calm now. */
  inspect(): readonly Finding[] {
    return [...this.#inspect()]
  }

  *#inspect(): Generator<Finding, void> {
    const { kubeletRoot, kubeconfigFile } = this.cluster
    yield* this.pods.pending()
    this.pods.look()
    yield* this.#unforgivable
    yield* this.vault?.strays(new Set(this.pods.living.map(({ pod }) => pod.uid))) ?? []
    yield* inspectNode({
      folder: this.#folder,
      kubeletRoot,
      own: [kubeconfigFile, this.#configFile],
      sockets: [
        mountSocketIn(this.#folder),
        join(kubeletRoot, 'plugins', DRIVER, 'csi.sock'),
        join(kubeletRoot, 'plugins_registry', `${DRIVER}-reg.sock`),
      ],
      expected: this.pods.expected(),
    })
  }

  /** What no waiting makes good. */
  get #unforgivable(): readonly Finding[] {
    return [...this.sides.endedUnasked, ...this.pods.seen]
  }

  /**
   * Waits until nothing is out of order, or until the time for that is over; answers what is. kubelet comes
   * by only for volumes whose tokens and session are both gone with the processes that had them.
   */
  async converge(): Promise<readonly Finding[]> {
    const { living } = this.pods
    const shownBefore = new Map(living.map((member) => [member, member.shown]))
    // Where it fails, the node says what is missing.
    void this.republish(living.filter((member) => this.#needsKubelet(member))).catch(
      () => undefined,
    )
    const isCalm = await this.#wait(() => this.#unforgivable.length > 0 || this.isInOrder)
    // A second look would meet what a Vault's leases bring by themselves: the next swap, in the middle of it.
    const findings = isCalm && this.#unforgivable.length === 0 ? [] : this.inspect()
    if (findings.length > 0) return findings
    // What has just arrived has proved the stream; equal content proves nothing.
    for (const [member, shown] of shownBefore) {
      if (member.shown > shown) member.sessionOf = this.sides.process('daemon')
    }
    return findings
  }

  /** Throws: where it takes longer than a node may take to converge. */
  async until(isSo: () => boolean, what: string): Promise<void> {
    if (!(await this.#wait(isSo))) throw new Error(`waited in vain for ${what}`)
  }

  #wait(isSo: () => boolean): Promise<boolean> {
    const pids = SIDES.map((side) => this.sides.process(side).pid)
    return waitPatiently(isSo, CONVERGENCE_MS, [process.pid, ...pids])
  }

  #needsKubelet(member: Member): boolean {
    const isHeard = member.tokensOf === this.sides.process('host')
    const isKept = member.sessionOf === this.sides.process('daemon')
    return member.isPromised && !isHeard && !isKept
  }

  /** Pods read while everything else goes on. */
  async readAlong(everyMs: number): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      this.pods.look()
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }

  /** Takes everything away, whatever state it is in. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    const { cluster } = this
    await cluster.api.up()
    const isWell = SIDES.every((side) => !this.sides.process(side).isDead)
    if (isWell) await cluster.kubelet.drain().catch(() => undefined)
    await this.sides.stop()
    unmountBelow(this.#folder)
    // Without it kubelet would wait for the driver.
    rmSync(join(cluster.kubeletRoot, 'plugins_registry'), { recursive: true, force: true })
    await cluster.kubelet.untilRegistered(DRIVER, false).catch(() => undefined)
    await cluster.stop()
    await this.vault?.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Takes away what a side left mounted; nothing else could remove the folder. */
export function unmountBelow(folder: string): void {
  for (const { mountPoint } of readMounts().toReversed()) {
    if (mountPoint.startsWith(`${folder}/`)) unmountLazily(mountPoint)
  }
}

function mountSocketIn(folder: string): string {
  return join(folder, 'm', 'mount.sock')
}

function configOf(folder: string, cluster: Minicluster, vault: SoakVault | undefined): object {
  const { nodeName, kubeletRoot, kubeconfigFile } = cluster
  return {
    node: nodeName,
    kubelet: { root: kubeletRoot },
    sockets: { mount: mountSocketIn(folder) },
    volumes: { allowSwap: true, oldGenerationLinger: LINGER },
    kubernetes: { kubeconfig: kubeconfigFile },
    http: { address: '127.0.0.1', port: 0 },
    log: { level: 'debug' },
    ...(vault === undefined ? {} : { sources: [vault.source] }),
  }
}

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { CsiClient } from './csi-client.ts'
import { LATCHKEY_DRIVER } from './csi-driver.ts'
import type { CsiDriver } from './csi-driver.ts'
import { PluginWatcher } from './plugin-watcher.ts'
import type { RegisteredDriver, RegistrationAttempt } from './plugin-watcher.ts'
import { PodSync } from './pod-sync.ts'
import type { PodEvent, PodRef } from './pod-store.ts'
import { PodTokens } from './pod-tokens.ts'
import { KUBELET_RETRY } from './retry-backoff.ts'
import type { RetryLimits } from './retry-backoff.ts'
import { findVolumes, volumeFolder } from './volume-folder.ts'
import type { FoundVolumes } from './volume-folder.ts'

export interface KubeletSettings {
  /** The CSIDriver objects of the cluster. Default: Latchkey's. */
  readonly csiDrivers?: readonly CsiDriver[]
  /** kubelet's syncFrequency: between two republishes lies this to one and a half times this. */
  readonly syncIntervalMs?: number
  /** Default: as kubelet's, 0.5 s doubling to 122 s. */
  readonly retry?: RetryLimits
  readonly random?: () => number
}

export interface KubeletOptions extends KubeletSettings {
  /** Its folder, usually /var/lib/kubelet. */
  readonly root: string
  readonly nodeName: string
  readonly objects: ClusterObjects
  readonly isApiUp: () => boolean
  readonly clock: Clock
}

export type PodState = 'Pending' | 'Running' | 'Terminating' | 'Gone'

interface Life {
  readonly plugins: PluginWatcher
  readonly tokens: PodTokens
  readonly pods: Map<string, PodSync>
  readonly unsubscribe: () => void
}

const SYNC_INTERVAL_MS = 60_000
const WAIT_MS = 10_000

/**
 * The part of kubelet that a CSI driver of inline volumes meets: registration, publish, republish,
 * unpublish, and what a restart leaves of it. Runs no container: a pod is Running when its volumes are
 * mounted.
 */
export class Kubelet {
  readonly #options: KubeletOptions
  readonly #csi: CsiClient
  readonly #waiting = new Set<() => void>()
  /** What a killed kubelet forgets; undefined while it is not running. */
  #life: Life | undefined

  constructor(options: KubeletOptions) {
    this.#options = options
    this.#csi = new CsiClient(options.clock)
  }

  /** Takes up what lies on the disk, then follows plugins and pods. */
  start(): void {
    if (this.#life !== undefined) return
    const { root, clock, objects, isApiUp, retry = KUBELET_RETRY } = this.#options
    const registry = join(root, 'plugins_registry')
    for (const folder of ['pods', 'plugins', 'plugins_registry']) {
      mkdirSync(join(root, folder), { recursive: true, mode: 0o750 })
    }
    const found = findVolumes(root)
    const onChange = (): void => {
      this.#tell()
    }
    const plugins = new PluginWatcher({ folder: registry, clock, csi: this.#csi, retry, onChange })
    const life: Life = {
      plugins,
      tokens: new PodTokens({ objects, clock, isApiUp }),
      pods: new Map(),
      unsubscribe: objects.pods.subscribe(() => {
        this.#followPods(life)
      }),
    }
    this.#life = life
    plugins.start()
    this.#takeUp(life, found)
    this.#followPods(life)
  }

  /** As by kill: calls under way are dropped, mounts stay, what was in memory is forgotten. */
  async stop(): Promise<void> {
    const life = this.#life
    if (life === undefined) return
    this.#life = undefined
    life.unsubscribe()
    life.plugins.stop()
    await Promise.all([...life.pods.values()].map((pod) => pod.stop()))
    life.tokens.clear()
  }

  /** Publishes every volume of a living pod again, with new tokens. */
  async restart(): Promise<void> {
    await this.stop()
    this.start()
  }

  get drivers(): readonly RegisteredDriver[] {
    return this.#life?.plugins.drivers ?? []
  }

  /** Tries to register something, since the start. */
  get registrations(): readonly RegistrationAttempt[] {
    return this.#life?.plugins.attempts ?? []
  }

  state({ uid }: PodRef): PodState {
    const stored = this.#options.objects.pods.get(uid)
    const sync = this.#life?.pods.get(uid)
    if (stored === undefined && sync === undefined) return 'Gone'
    const isLeaving = stored?.deletionAtMs !== undefined || sync?.isTerminating === true
    return isLeaving || stored === undefined ? 'Terminating' : stored.phase
  }

  events(pod: PodRef): readonly PodEvent[] {
    return this.#options.objects.events(pod)
  }

  /**
   * Republishes the pod's volumes now, as a change of its status would, and waits for the answers.
   * Throws: Timeout.
   */
  async sync(pod: PodRef): Promise<void> {
    await this.untilIdle(pod)
    this.#life?.pods.get(pod.uid)?.sync()
    await this.untilIdle(pod)
  }

  /** Resolves when no call for the pod is under way. Throws: Timeout. */
  async untilIdle({ uid, namespace, name }: PodRef, timeoutMs = WAIT_MS): Promise<void> {
    const isIdle = (): boolean => this.#life?.pods.get(uid)?.isBusy !== true
    await this.#await(
      timeoutMs,
      isIdle,
      () => `the driver has not answered for ${namespace}/${name}`,
    )
  }

  /** Where a volume is mounted on this node. */
  targetPath({ uid }: PodRef, volumeName: string): string {
    return volumeFolder(this.#options.root, uid, volumeName).target
  }

  /** What a container of the pod reads there. Rejects as fs does. */
  readFile(pod: PodRef, volumeName: string, path: string): Promise<Buffer> {
    // Synchronous for the sake of mounts, see volume-folder.ts.
    return Promise.try(() => readFileSync(join(this.targetPath(pod, volumeName), path)))
  }

  /**
   * Resolves when the pod is in that state. The bound is real time, whatever clock the kubelet has.
   * Throws: Timeout, with what stands in the way.
   */
  async until(pod: PodRef, state: PodState, timeoutMs = WAIT_MS): Promise<void> {
    await this.#await(
      timeoutMs,
      () => this.state(pod) === state,
      () => {
        const what = `pod ${pod.namespace}/${pod.name} is ${this.state(pod)} and not ${state}`
        const obstacles = this.#life?.pods.get(pod.uid)?.obstacles ?? []
        return obstacles.length === 0 ? what : `${what}: ${obstacles.join('; ')}`
      },
    )
  }

  /** Resolves when a driver is registered (or no longer is). Throws: Timeout, with the last refusal. */
  async untilRegistered(name: string, isRegistered = true, timeoutMs = WAIT_MS): Promise<void> {
    const isSo = (): boolean => this.drivers.some((each) => each.name === name) === isRegistered
    await this.#await(timeoutMs, isSo, () => {
      const last = this.registrations.at(-1)?.error ?? 'no socket in plugins_registry'
      return `driver ${name} is ${isRegistered ? 'not ' : ''}registered: ${last}`
    })
  }

  /**
   * Deletes every pod of this node and waits for their volumes to be unpublished; on demand no longer than
   * there is a driver to do it. Throws: Timeout.
   */
  async drain(timeoutMs = WAIT_MS, needsDriver = false): Promise<void> {
    const { objects, nodeName } = this.#options
    for (const pod of objects.pods.listOn(nodeName)) objects.deletePod(pod)
    const left = (): readonly PodSync[] => [...(this.#life?.pods.values() ?? [])]
    const describe = (): string => {
      const obstacles = left().flatMap((pod) => pod.obstacles)
      return `${left().length} pods are not gone: ${obstacles.join('; ')}`
    }
    const isHopeless = (): boolean => needsDriver && this.drivers.length === 0
    const isOver = (): boolean => left().length === 0 || isHopeless()
    await this.#await(timeoutMs, isOver, describe)
    if (left().length > 0)
      throw new LatchkeyError('Timeout', `no driver is registered: ${describe()}`)
  }

  #takeUp(life: Life, found: FoundVolumes): void {
    for (const [uid, volumes] of found) {
      const pod = this.#options.objects.pods.get(uid)
      const sync = new PodSync(this.#podParts(life), uid, pod, volumes)
      life.pods.set(uid, sync)
      if (pod === undefined || pod.deletionAtMs !== undefined) sync.terminate()
      else sync.start()
    }
  }

  #followPods(life: Life): void {
    const { objects, nodeName } = this.#options
    const stored = objects.pods.listOn(nodeName)
    for (const pod of stored) {
      const known = life.pods.get(pod.uid)
      const sync = known ?? new PodSync(this.#podParts(life), pod.uid, pod, new Map())
      life.pods.set(pod.uid, sync)
      if (pod.deletionAtMs !== undefined) sync.terminate()
      else if (known === undefined) sync.start()
    }
    for (const [uid, sync] of life.pods) {
      if (objects.pods.get(uid) === undefined) sync.terminate()
    }
    this.#tell()
  }

  #podParts(life: Life): ConstructorParameters<typeof PodSync>[0] {
    const { csiDrivers, syncIntervalMs, retry, random } = this.#options
    return {
      ...this.#options,
      csi: this.#csi,
      plugins: life.plugins,
      tokens: life.tokens,
      csiDrivers: csiDrivers ?? [LATCHKEY_DRIVER],
      syncIntervalMs: syncIntervalMs ?? SYNC_INTERVAL_MS,
      retry: retry ?? KUBELET_RETRY,
      random: random ?? Math.random,
      onChange: () => {
        for (const [uid, sync] of life.pods) if (sync.isGone) life.pods.delete(uid)
        this.#tell()
      },
    }
  }

  #tell(): void {
    for (const look of this.#waiting) look()
  }

  async #await(timeoutMs: number, isSo: () => boolean, describe: () => string): Promise<void> {
    if (isSo()) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = (): void => {
      if (isSo()) resolve()
    }
    const cancel = systemClock.after(timeoutMs, () => {
      reject(new LatchkeyError('Timeout', `after ${timeoutMs} ms ${describe()}`))
    })
    this.#waiting.add(look)
    try {
      await promise
    } finally {
      cancel()
      this.#waiting.delete(look)
    }
  }
}

import { volumeIdOf } from '../core/volume-id.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import type { StoredPod } from './pod-store.ts'
import { removePodFolder, volumeFolder } from './volume-folder.ts'
import type { VolumeData } from './volume-folder.ts'
import { VolumeSync } from './volume-sync.ts'
import type { VolumeSyncParts, VolumeTask } from './volume-sync.ts'

export interface PodSyncParts extends Omit<VolumeSyncParts, 'onFailure'> {
  readonly root: string
  readonly objects: ClusterObjects
  readonly random: () => number
  readonly syncIntervalMs: number
}

// A container that starts changes the pod's status, and every such change is a sync.
const SYNC_AFTER_START_MS = 500

/** One pod on this node, or what is left of one: its volumes, and when they are published again. */
export class PodSync {
  readonly uid: string
  readonly #parts: PodSyncParts
  readonly #pod: StoredPod | undefined
  readonly #volumes: readonly VolumeSync[]
  #isTerminating = false
  #isGone = false
  #isStarted = false
  #isStopped = false
  #cancelSync: (() => void) | undefined

  /** `found`: its volumes that an earlier kubelet left; `pod` undefined: there is nothing else of it. */
  constructor(
    parts: PodSyncParts,
    uid: string,
    pod: StoredPod | undefined,
    found: ReadonlyMap<string, VolumeData>,
  ) {
    this.uid = uid
    this.#parts = parts
    this.#pod = pod
    const volumeParts = {
      ...parts,
      onFailure: (message: string) => {
        const event = { type: 'Warning', reason: 'FailedMount', message } as const
        parts.objects.pods.recordEvent(uid, event)
      },
      onChange: () => {
        this.#review()
      },
    }
    this.#volumes = tasksOf(parts.root, uid, pod, found).map(
      (task) => new VolumeSync(volumeParts, task),
    )
  }

  get isTerminating(): boolean {
    return this.#isTerminating
  }

  /** Everything of it is cleaned up. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** An operation is under way on one of its volumes. */
  get isBusy(): boolean {
    return this.#volumes.some(({ isBusy }) => isBusy)
  }

  get obstacles(): readonly string[] {
    return this.#volumes.flatMap(({ obstacle }) => (obstacle === undefined ? [] : [obstacle]))
  }

  start(): void {
    for (const volume of this.#volumes) volume.requestMount()
    this.#review()
  }

  /** Publishes every volume again whose driver wants that. */
  sync(): void {
    if (this.#isTerminating || this.#isStopped) return
    const volumes = this.#pod?.volumes ?? []
    const republished = volumes.map(({ csi }) => {
      return this.#parts.csiDrivers.find(({ name }) => name === csi.driver)?.requiresRepublish
    })
    this.#volumes.forEach((volume, index) => {
      if (republished[index] === true) volume.requestMount()
    })
  }

  /** Its containers have ended; what it had is taken away. */
  terminate(): void {
    if (this.#isTerminating) return
    this.#isTerminating = true
    this.#cancelSync?.()
    // A pod that never ran has nothing to wait for; its volumes go by and by.
    const { pods } = this.#parts.objects
    if (pods.get(this.uid)?.phase === 'Pending') pods.remove(this.uid)
    for (const volume of this.#volumes) volume.tearDown()
    this.#review()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelSync?.()
    await Promise.all(this.#volumes.map((volume) => volume.stop()))
  }

  #review(): void {
    if (this.#isStopped) return
    if (this.#isTerminating) {
      if (this.#volumes.every(({ isGone }) => isGone)) this.#cleanUp()
    } else if (!this.#isStarted && this.#volumes.every(({ isMounted }) => isMounted)) {
      this.#isStarted = true
      const isNew = this.#parts.objects.pods.get(this.uid)?.phase === 'Pending'
      this.#parts.objects.pods.setRunning(this.uid)
      this.#syncIn(isNew ? SYNC_AFTER_START_MS : this.#jitteredMs())
    }
    this.#parts.onChange()
  }

  #cleanUp(): void {
    if (this.#isGone) return
    removePodFolder(this.#parts.root, this.uid)
    this.#parts.tokens.forget(this.uid)
    this.#isGone = true
    this.#parts.objects.pods.remove(this.uid)
    this.#parts.onChange()
  }

  #syncIn(delayMs: number): void {
    this.#cancelSync = this.#parts.clock.after(delayMs, () => {
      this.sync()
      this.#syncIn(this.#jitteredMs())
    })
  }

  // kubelet's workqueue spreads a resync over half its period.
  #jitteredMs(): number {
    return this.#parts.syncIntervalMs * (1 + this.#parts.random() / 2)
  }
}

function tasksOf(
  root: string,
  uid: string,
  pod: StoredPod | undefined,
  found: ReadonlyMap<string, VolumeData>,
): readonly VolumeTask[] {
  const volumes = pod?.volumes ?? []
  const wanted = volumes.map((volume) => ({
    name: volume.name,
    volumeId: volumeIdOf(uid, volume.name),
    driverName: volume.csi.driver,
    folder: volumeFolder(root, uid, volume.name),
    wanted: pod === undefined ? undefined : { pod, volume },
    isReconstructed: found.has(volume.name),
  }))
  const orphans = [...found].filter(([name]) => !volumes.some((volume) => volume.name === name))
  return [
    ...wanted,
    ...orphans.map(([name, data]) => ({
      name,
      volumeId: data.volumeHandle,
      driverName: data.driverName,
      folder: volumeFolder(root, uid, name),
      wanted: undefined,
      isReconstructed: true,
    })),
  ]
}

import { RetryBackoff } from './retry-backoff.ts'
import type { RetryLimits } from './retry-backoff.ts'
import type { PodVolume, StoredPod } from './pod-store.ts'
import type { VolumeFolder } from './volume-folder.ts'
import { publishVolume, unpublishVolume } from './volume-operations.ts'
import type { OperationParts } from './volume-operations.ts'

export interface VolumeTask {
  readonly name: string
  readonly volumeId: string
  readonly driverName: string
  readonly folder: VolumeFolder
  /** undefined: nobody wants it any more, it is only to be taken away. */
  readonly wanted: { readonly pod: StoredPod; readonly volume: PodVolume } | undefined
  /** Found on the disk after a restart: kubelet cannot know what became of it. */
  readonly isReconstructed: boolean
}

export interface VolumeSyncParts extends OperationParts {
  readonly retry: RetryLimits
  /** A publish failed; the text of the pod's event. */
  readonly onFailure: (message: string) => void
  readonly onChange: () => void
}

type Operation = 'publish' | 'unpublish'

/**
 * One volume of one pod: one operation at a time, tried again after kubelet's backoff until it is as
 * wanted.
 */
export class VolumeSync {
  readonly #parts: VolumeSyncParts
  readonly #task: VolumeTask
  readonly #stopping = new AbortController()
  #state: 'unmounted' | 'uncertain' | 'mounted'
  #isMountDue = false
  #isGoing = false
  #isStuck = false
  #round = 0
  #running: Promise<void> | undefined
  #lastOperation: Operation | undefined
  #backoff: RetryBackoff
  #cancelRetry: (() => void) | undefined
  #obstacle: string | undefined

  constructor(parts: VolumeSyncParts, task: VolumeTask) {
    this.#parts = parts
    this.#task = task
    this.#state = task.isReconstructed ? 'uncertain' : 'unmounted'
    this.#backoff = new RetryBackoff(parts.retry)
  }

  get isMounted(): boolean {
    return this.#state === 'mounted'
  }

  /** Nothing of it is left, nor ever will be. */
  get isGone(): boolean {
    return this.#isGoing && this.#state === 'unmounted' && this.#running === undefined
  }

  /** An operation is under way. */
  get isBusy(): boolean {
    return this.#running !== undefined
  }

  /** Why it is not yet as wanted. */
  get obstacle(): string | undefined {
    return this.#obstacle
  }

  /**
   * Publishes it, for the first time or again. Asked for while a publish is under way, that one counts,
   * as in kubelet.
   */
  requestMount(): void {
    this.#isMountDue = true
    this.#step()
  }

  /** Takes it away, after a publish under way has come to its end: kubelet never cancels one. */
  tearDown(): void {
    this.#isGoing = true
    this.#step()
  }

  /** Drops everything as a kubelet does that is killed. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#cancelRetry?.()
    await this.#running
  }

  #step(): void {
    if (this.#running !== undefined || this.#stopping.signal.aborted) return
    const operation = this.#due()
    if (operation === undefined) return
    const { clock } = this.#parts
    // An operation of another kind does not wait for the failures of the one before.
    if (operation !== this.#lastOperation) this.#backoff = new RetryBackoff(this.#parts.retry)
    this.#cancelRetry?.()
    const waitMs = this.#backoff.waitMs(clock.now())
    if (waitMs > 0) {
      this.#cancelRetry = clock.after(waitMs, () => {
        this.#step()
      })
      return
    }
    this.#lastOperation = operation
    this.#running = (operation === 'publish' ? this.#publish() : this.#unpublish()).then(
      (isDone) => {
        this.#running = undefined
        if (isDone) this.#backoff.reset()
        else this.#backoff.fail(clock.now())
        if (this.#stopping.signal.aborted) return
        this.#step()
        this.#parts.onChange()
      },
    )
  }

  #due(): Operation | undefined {
    if (this.#isGoing) return this.#state === 'unmounted' || this.#isStuck ? undefined : 'unpublish'
    return this.#isMountDue && this.#task.wanted !== undefined ? 'publish' : undefined
  }

  async #publish(): Promise<boolean> {
    const { wanted, folder, name, isReconstructed } = this.#task
    if (wanted === undefined) return true
    const cleansUp = this.#state !== 'mounted' && !isReconstructed
    const { signal } = this.#stopping
    const task = { ...wanted, folder, round: this.#round, cleansUp, signal }
    this.#round += 1
    const outcome = await publishVolume(this.#parts, task)
    if (signal.aborted) return false
    if (outcome.kind === 'mounted') {
      this.#state = 'mounted'
      this.#isMountDue = false
      this.#obstacle = undefined
      return true
    }
    if (outcome.kind === 'uncertain' && this.#state === 'unmounted') this.#state = 'uncertain'
    // What was mounted stays so, whatever a republish says.
    if (outcome.kind === 'final' && cleansUp) this.#state = 'unmounted'
    this.#obstacle = outcome.message
    this.#parts.onFailure(`MountVolume.SetUp failed for volume "${name}" : ${outcome.message}`)
    return false
  }

  async #unpublish(): Promise<boolean> {
    const { driverName, volumeId, folder } = this.#task
    const { signal } = this.#stopping
    const outcome = await unpublishVolume(this.#parts, driverName, volumeId, folder, signal)
    if (signal.aborted) return false
    if (outcome.kind === 'removed') {
      this.#state = 'unmounted'
      this.#obstacle = undefined
      return true
    }
    // kubelet tells nobody but its log.
    this.#obstacle = outcome.message
    this.#isStuck = outcome.kind === 'stuck'
    return false
  }
}

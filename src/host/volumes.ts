import { withDeadline } from '../core/deadline.ts'
import { LatchkeyError } from '../core/errors.ts'
import { KeyedQueue } from '../core/keyed-queue.ts'
import type { VolumeRequest } from '../core/types.ts'
import { MAX_HOLD_MS } from '../wire/limits.ts'
import { RecentRefusals } from './recent-refusals.ts'
import { VolumeKeeper, type KeeperParts } from './volume-keeper.ts'
import type { Volume, VolumeRef, VolumeStats } from './volume/volume-store.ts'

/** kubelet gives a publish 2 minutes; an answer in half of that keeps its queue moving. */
const PUBLISH_TIMEOUT_MS = 55_000
const MAX_WAITING_PER_VOLUME = 8

/**
 * The host side's story: what kubelet asks of this node's volumes. Per volume one thing happens at a
 * time; nothing here waits for the daemon but a volume's first publish.
 */
export class Volumes {
  readonly #parts: KeeperParts
  readonly #keepers = new Map<string, VolumeKeeper>()
  readonly #refusals: RecentRefusals
  readonly #queue = new KeyedQueue(MAX_WAITING_PER_VOLUME)
  readonly #stopping = new AbortController()

  constructor(parts: KeeperParts) {
    this.#parts = parts
    this.#refusals = new RecentRefusals(parts.clock)
  }

  /** Takes over every volume that an earlier process left mounted; call once, before kubelet can. */
  adopt(): void {
    for (const volume of this.#parts.store.list()) {
      this.#keepers.set(
        volume.volumeId,
        VolumeKeeper.adopt(volume, this.#digest(volume), this.#parts),
      )
      this.#parts.metrics.countAdopted()
    }
  }

  /**
   * Answers once the pod would see the whole content. Again for a mounted volume is a republish: it
   * brings tokens, never touches the mount and never fails, for a failure could cost a running pod
   * its files.
   */
  async publish(request: VolumeRequest, signal: AbortSignal): Promise<void> {
    const known = this.#keepers.get(request.volumeId)
    if (known !== undefined && !known.isReady) refuseConflict(known, request)
    if (known !== undefined && this.#isInPlace(known)) {
      this.#republish(known, request)
      return
    }
    await this.#queue.run(request.volumeId, async () => {
      const before = this.#keepers.get(request.volumeId)
      if (before !== undefined && this.#isInPlace(before)) this.#republish(before, request)
      else await this.#firstPublish(request, signal)
    })
  }

  /** Zeroes, unlinks, unmounts and removes; the daemon is told afterwards, if it is there. */
  async unpublish(volume: VolumeRef): Promise<void> {
    const gone = new LatchkeyError('OperationPending', 'the volume is being unpublished')
    this.#keepers.get(volume.volumeId)?.freeze(gone)
    await this.#queue.run(volume.volumeId, () => {
      const keeper = this.#keepers.get(volume.volumeId)
      keeper?.freeze(gone)
      this.#remove(volume)
      this.#refusals.forget(volume.volumeId)
      this.#drop(keeper)
    })
  }

  /** undefined: no such volume at that place. */
  stats(volume: VolumeRef): VolumeStats | undefined {
    if (!this.#parts.store.isMounted(volume)) return undefined
    return this.#parts.store.stats(volume)
  }

  /** Volumes by state, for metrics and the report. */
  count(): { readonly mounted: number; readonly pending: number; readonly connected: number } {
    const keepers = [...this.#keepers.values()]
    const mounted = keepers.filter((keeper) => keeper.isMounted).length
    const connected = keepers.filter((keeper) => keeper.isConnected).length
    return { mounted, pending: keepers.length - mounted, connected }
  }

  /** Lets go of the daemon and leaves every mount as it is: the next process adopts them. */
  stop(): void {
    this.#stopping.abort(new LatchkeyError('ShuttingDown', 'the host side is stopping'))
    for (const keeper of this.#keepers.values()) {
      if (keeper.isMounted) keeper.detach()
    }
  }

  async #firstPublish(request: VolumeRequest, signal: AbortSignal): Promise<void> {
    // A keeper that is still here lost its mount to somebody else's umount: begin anew.
    this.#drop(this.#keepers.get(request.volumeId))
    const holdMs = this.#refusals.has(request.volumeId) ? MAX_HOLD_MS : 0
    const keeper = VolumeKeeper.publish(request, holdMs, this.#parts)
    this.#keepers.set(request.volumeId, keeper)
    const waited = this.#parts.metrics.startStage('wait_for_contents')
    try {
      await withDeadline(
        this.#parts.clock,
        PUBLISH_TIMEOUT_MS,
        'publish',
        AbortSignal.any([signal, this.#stopping.signal]),
        () => keeper.ready,
      )
      this.#refusals.forget(request.volumeId)
      waited()
    } catch (thrown) {
      throw this.#undo(keeper, thrown)
    }
  }

  /** kubelet forgets a volume whose first publish failed for good and may never unpublish it. */
  #undo(keeper: VolumeKeeper, thrown: unknown): LatchkeyError {
    const error = LatchkeyError.from(thrown)
    keeper.freeze(error)
    this.#drop(keeper)
    if (error.reason === 'SecretNotFound') this.#refusals.add(keeper.volume.volumeId)
    this.#remove(keeper.volume)
    // Where the bound was reached, what held the publish up is the better answer.
    return error.reason === 'Timeout' ? (keeper.lastError ?? error) : error
  }

  #republish(keeper: VolumeKeeper, request: VolumeRequest): void {
    const known = keeper.request
    if (known !== undefined && !isSameVolume(known, request)) {
      const { volumeId } = request
      this.#parts.log.warn({ volumeId }, 'attributes differ from those of the mounted volume; kept')
    }
    keeper.renew(request)
  }

  #isInPlace(keeper: VolumeKeeper): boolean {
    return keeper.isReady && this.#parts.store.isMounted(keeper.volume)
  }

  #remove(volume: VolumeRef): void {
    const done = this.#parts.metrics.startStage('remove')
    this.#parts.store.remove(volume)
    done()
  }

  #drop(keeper: VolumeKeeper | undefined): void {
    if (keeper === undefined) return
    keeper.freeze(new LatchkeyError('OperationPending', 'the volume was taken away'))
    this.#keepers.delete(keeper.volume.volumeId)
    void keeper.sayUnmounted()
  }

  /** A volume that cannot be read back proves nothing to the daemon, and is opened anew by kubelet. */
  #digest(volume: Volume): Buffer {
    try {
      return this.#parts.store.digest(volume)
    } catch (thrown) {
      const { volumeId } = volume
      this.#parts.log.warn({ volumeId, err: LatchkeyError.from(thrown) }, 'volume not readable')
      return Buffer.alloc(32)
    }
  }
}

function refuseConflict(pending: VolumeKeeper, request: VolumeRequest): void {
  if (pending.request === undefined || isSameVolume(pending.request, request)) return
  throw new LatchkeyError(
    'VolumeConflict',
    'this volume is being published with a different target or other volumeAttributes',
  )
}

/** kubelet's order of attributes changes from call to call, and tokens come and go. */
function isSameVolume(a: VolumeRequest, b: VolumeRequest): boolean {
  return (
    a.targetPath === b.targetPath &&
    a.attributes.size === b.attributes.size &&
    [...a.attributes].every(([key, value]) => b.attributes.get(key) === value)
  )
}

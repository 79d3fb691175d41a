import { withDeadline } from '../core/deadline.ts'
import { LatchkeyError } from '../core/errors.ts'
import { KeyedQueue } from '../core/keyed-queue.ts'
import type { VolumeRequest } from '../core/types.ts'
import { MAX_HOLD_MS } from '../wire/limits.ts'
import { Admission } from './admission.ts'
import { BookmarkRoom } from './bookmark-room.ts'
import { Farewells } from './farewells.ts'
import { FileRoom } from './file-room.ts'
import { RecentRefusals } from './recent-refusals.ts'
import { isSameVolume, refuseConflict } from './same-volume.ts'
import { UnreadableStrays, type UnreadableStray } from './unreadable-strays.ts'
import { VolumeKeeper, type KeeperParts } from './volume-keeper.ts'
import type { Volume, VolumeRef, VolumeStats } from './volume/volume-store.ts'

/** kubelet gives a publish 2 minutes; an answer in half of that keeps its queue moving. */
const PUBLISH_TIMEOUT_MS = 55_000
const MAX_WAITING_PER_VOLUME = 8

export interface VolumesOptions extends Omit<KeeperParts, 'bookmarkRoom' | 'fileRoom'> {
  /** Memory for the files of all volumes. */
  readonly maxFileBytes: number
  /** First publishes under way at once. */
  readonly maxPublishes: number
}

/**
 * The host side's story: what kubelet asks of this node's volumes. Per volume one thing happens at a
 * time; nothing here waits for the daemon but a volume's first publish.
 */
export class Volumes {
  readonly #parts: KeeperParts
  readonly #keepers = new Map<string, VolumeKeeper>()
  /** Whose volume is gone, and whose daemon has not acknowledged it yet. */
  readonly #leaving = new Set<VolumeKeeper>()
  readonly #farewells: Farewells
  readonly #refusals: RecentRefusals
  readonly #unreadable = new UnreadableStrays()
  readonly #queue = new KeyedQueue(MAX_WAITING_PER_VOLUME)
  readonly #admission: Admission
  readonly #stopping = new AbortController()

  constructor({ maxPublishes, maxFileBytes, ...parts }: VolumesOptions) {
    this.#admission = new Admission(maxPublishes)
    const fileRoom = new FileRoom(maxFileBytes)
    this.#parts = { ...parts, fileRoom, bookmarkRoom: new BookmarkRoom() }
    this.#farewells = new Farewells(parts)
    this.#refusals = new RecentRefusals(parts.clock)
  }

  /** Takes over every volume that an earlier process left mounted; call once, before kubelet can. */
  adopt(): void {
    for (const volume of this.#strays()) {
      // A digest of nothing proves nothing to the daemon; the volume is opened anew when kubelet comes.
      const digest = this.#digest(volume)
      if (digest instanceof LatchkeyError) this.#warnUnreadable(volume, digest)
      this.#adopt(volume, digest instanceof LatchkeyError ? Buffer.alloc(32) : digest)
    }
  }

  /**
   * Takes over what an earlier process, ending late, has mounted since. What cannot be read back may be half
   * taken away and is left alone: a republish would be told that it is in place.
   *
   * Throws: VolumeIo.
   */
  adoptStrays(atMost: number): void {
    let adopted = 0
    const unreadable: { volume: VolumeRef; error: LatchkeyError }[] = []
    for (const volume of this.#strays()) {
      if (adopted >= atMost) break
      const digest = this.#digest(volume)
      if (digest instanceof LatchkeyError) unreadable.push({ volume, error: digest })
      else {
        this.#adopt(volume, digest)
        adopted += 1
      }
    }
    for (const { volume, error } of this.#unreadable.replace(unreadable)) {
      this.#warnUnreadable(volume, error)
    }
  }

  /** As of the last `adoptStrays`, but for those that were published or unpublished since. */
  unreadableStrays(): readonly UnreadableStray[] {
    return this.#unreadable.list().filter(({ volume }) => !this.#keepers.has(volume.volumeId))
  }

  /**
   * Answers once the pod would see the whole content. Again for a mounted volume is a republish: it
   * brings tokens, never touches the mount and never fails, for a failure could cost a running pod
   * its files.
   */
  async publish(request: VolumeRequest, signal: AbortSignal): Promise<void> {
    const known = this.#keepers.get(request.volumeId)
    if (known !== undefined && !known.isReady) refuseConflict(known.request, request)
    if (known !== undefined && this.#isInPlace(known)) {
      this.#republish(known, request)
      return
    }
    const leave = this.#admission.enter(request.pod.namespace)
    try {
      await this.#queue.run(request.volumeId, async () => {
        const before = this.#keepers.get(request.volumeId)
        if (before !== undefined && this.#isInPlace(before)) this.#republish(before, request)
        else await this.#firstPublish(request, signal)
      })
    } finally {
      leave()
    }
  }

  /**
   * kubelet has come by with a call that cannot be read, such as one without tokens after the CSIDriver was
   * changed. Where the volume is in place that is a republish all the same, and is not to fail; false: it
   * is none.
   */
  revisit({ volumeId, targetPath }: VolumeRef, why: LatchkeyError): boolean {
    const keeper = this.#keepers.get(volumeId)
    if (keeper?.volume.targetPath !== targetPath || !this.#isInPlace(keeper)) return false
    keeper.noteUnreadableVisit(why)
    return true
  }

  /** Zeroes, unlinks, unmounts and removes; the daemon is told afterwards, if it is there. */
  async unpublish(volume: VolumeRef): Promise<void> {
    const gone = new LatchkeyError('OperationPending', 'the volume is being unpublished')
    this.#keepers.get(volume.volumeId)?.freeze(gone)
    await this.#queue.run(volume.volumeId, () => {
      this.#takeAway(volume, gone)
    })
  }

  /**
   * Unpublishes what kubelet will not: as `unpublish`, if `mayGo` says so when the volume's turn has come and
   * kubelet does not come by meanwhile. Answers whether it is gone.
   *
   * Throws: VolumeIo · OperationPending · whatever `mayGo` throws.
   */
  async sweep(keeper: VolumeKeeper, mayGo: () => Promise<boolean>): Promise<boolean> {
    const { volume, attendance } = keeper
    return this.#queue.run(volume.volumeId, async () => {
      const { visits } = attendance
      const isKept = (): boolean => this.#keepers.get(volume.volumeId) === keeper
      // A republish does not queue up, so it may have come while this was being looked into.
      if (!isKept() || !(await mayGo()) || !isKept() || attendance.visits !== visits) return false
      this.#takeAway(
        volume,
        new LatchkeyError('OperationPending', 'the volume is being swept away'),
      )
      return true
    })
  }

  /** Every volume that is kept here, mounted or being published, or failing to go. */
  keepers(): readonly VolumeKeeper[] {
    return [...this.#keepers.values()]
  }

  /** undefined: no such volume at that place. */
  stats(volume: VolumeRef): VolumeStats | undefined {
    if (!this.#parts.store.isMounted(volume)) return undefined
    return this.#parts.store.stats(volume)
  }

  /** Memory that the files of all volumes take, and may take. */
  get fileMemory(): { readonly bytes: number; readonly mostBytes: number } {
    const { bytes, mostBytes } = this.#parts.fileRoom
    return { bytes, mostBytes }
  }

  /** Volumes by state, for metrics and the report. */
  count(): { readonly mounted: number; readonly pending: number; readonly connected: number } {
    const keepers = this.keepers()
    const mounted = keepers.filter((keeper) => keeper.isMounted).length
    const connected = keepers.filter((keeper) => keeper.isConnected).length
    return { mounted, pending: keepers.length - mounted, connected }
  }

  /**
   * Lets go of the daemon and leaves every mount as it is: the next process adopts them. No farewell is said
   * any more, and none is waited for: SIGTERM is no reason to give back what pods still use, and kubelet
   * kills whoever ends late.
   */
  stop(): void {
    const why = new LatchkeyError('ShuttingDown', 'the host side is stopping')
    this.#stopping.abort(why)
    this.#farewells.stop()
    for (const keeper of this.#leaving) keeper.detach()
    for (const keeper of this.#keepers.values()) {
      if (!keeper.isMounted) {
        keeper.forgetBookmark()
        continue
      }
      // What would still be pruned is the next process's, which may write there by then.
      keeper.freeze(why)
      keeper.detach()
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

  #takeAway(volume: VolumeRef, why: LatchkeyError): void {
    const keeper = this.#keepers.get(volume.volumeId)
    keeper?.freeze(why)
    this.#remove(volume)
    this.#refusals.forget(volume.volumeId)
    this.#unreadable.forget(volume.volumeId)
    this.#drop(keeper)
  }

  #remove(volume: VolumeRef): void {
    const done = this.#parts.metrics.startStage('remove')
    this.#parts.store.remove(volume)
    this.#parts.fileRoom.release(volume.volumeId)
    done()
  }

  #drop(keeper: VolumeKeeper | undefined): void {
    if (keeper === undefined) return
    keeper.freeze(new LatchkeyError('OperationPending', 'the volume was taken away'))
    this.#keepers.delete(keeper.volume.volumeId)
    void this.#sayUnmounted(keeper)
  }

  async #sayUnmounted(keeper: VolumeKeeper): Promise<void> {
    this.#leaving.add(keeper)
    const bookmark = await keeper.sayUnmounted()
    this.#leaving.delete(keeper)
    if (bookmark !== undefined) this.#farewells.add(keeper.volume.volumeId, bookmark)
  }

  #strays(): readonly Volume[] {
    return this.#parts.store.list((volumeId) => this.#keepers.has(volumeId))
  }

  #adopt(volume: Volume, digest: Buffer): void {
    this.#keepers.set(volume.volumeId, VolumeKeeper.adopt(volume, digest, this.#parts))
    this.#parts.metrics.countAdopted()
  }

  /** An error: cannot be read back. */
  #digest(volume: Volume): Buffer | LatchkeyError {
    try {
      return this.#parts.store.digest(volume)
    } catch (thrown) {
      return LatchkeyError.from(thrown)
    }
  }

  #warnUnreadable({ volumeId }: VolumeRef, error: LatchkeyError): void {
    this.#parts.log.warn({ volumeId, err: error }, 'volume not readable')
  }
}

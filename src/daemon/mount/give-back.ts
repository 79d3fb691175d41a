import { withDeadline } from '../../core/deadline.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { HeldVolume__Output } from '../../wire/gen/latchkey/mount/v1/HeldVolume.ts'
import { MAX_HELD_VOLUMES } from '../../wire/limits.ts'
import { readBookmark, unlessNamed, wipeBookmark, type Bookmark } from '../refresh/bookmark.ts'
import { Holdings } from '../refresh/holdings.ts'
import type { Stages } from './stages.ts'

/** The shim keeps its bookmark if it takes longer, and comes back with it. */
const GIVE_BACK_MS = 30_000
/** A report that was on its way when the stream broke says nothing; the next ones are five seconds apart. */
const FORGOTTEN_AFTER_MS = 10_000

/** The stream's end tells the shim that everything has been given back. */
export function giveBack(holdings: Holdings, on: Stages): Promise<void> {
  const endless = new AbortController().signal
  const what = 'giving back what the volume held'
  return withDeadline(on.clock, GIVE_BACK_MS, what, endless, (signal) => holdings.giveBack(signal))
}

/** What a volume holds that no stream serves: nobody comes back for it. Throws as `giveBack`. */
export async function giveBackLeft(volumeId: string, on: Stages): Promise<void> {
  const { sessions } = on
  const inUse = sessions.holdingsInUse(volumeId)
  const left = [sessions.findDetached(volumeId)?.holdings, sessions.unserved.take(volumeId)]
  const held = left.filter((one) => one !== undefined).filter((one) => one !== inUse)
  const giving = held.map((holdings) => giveBack(holdings, on))
  // Not sooner: a session that ends drops what nobody gives back.
  sessions.endDetached(volumeId)
  await Promise.all(giving)
}

/**
 * What a bookmark names and nobody uses: kubelet's next try may be served by now, and may have taken over what the one
 * before says farewell to. Throws as `giveBack`.
 */
export async function giveBackNamed(
  volumeId: string,
  bookmark: Bookmark,
  on: Stages,
): Promise<void> {
  const written = on.sessions.holdingsInUse(volumeId)?.bookmarkFor({}, false)
  const used = written?.use(readBookmark)
  written?.wipe()
  const unused = used === undefined ? bookmark : unlessNamed(bookmark, used)
  if (used !== undefined) wipeBookmark(used)
  await giveBack(Holdings.forFarewell(unused, on), on)
}

/**
 * A host side that was killed while it took a volume away, or before it had one whole, has said nothing, and has no
 * bookmark any more. Its successor reports what there is: what waits for any other volume is given back. Never rejects.
 */
export async function giveBackForgotten(
  held: readonly HeldVolume__Output[],
  on: Stages,
): Promise<void> {
  // It may hold more than it can say.
  if (held.length >= MAX_HELD_VOLUMES) return
  const { sessions } = on
  const beforeMs = on.clock.now() - FORGOTTEN_AFTER_MS
  const detached = sessions.detachedBefore(beforeMs).map(({ volume }) => volume.volumeId)
  const unserved = sessions.unserved.keptBefore(beforeMs)
  // Every few seconds there is a report, and hardly ever anything left behind.
  if (detached.length + unserved.length === 0) return
  const ids = new Set(held.map(({ volumeId }) => volumeId))
  const forgotten = new Set([...detached, ...unserved]).difference(ids)
  await Promise.all([...forgotten].map((volumeId) => giveBackAndTell(volumeId, on)))
}

async function giveBackAndTell(volumeId: string, on: Stages): Promise<void> {
  try {
    await giveBackLeft(volumeId, on)
  } catch (thrown) {
    const { reason } = LatchkeyError.from(thrown)
    on.log.warn({ volumeId, reason }, 'not given back: it ends by its time to live at the source')
  }
}

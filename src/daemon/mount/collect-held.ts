import { LatchkeyError } from '../../core/errors.ts'
import type { Workload } from '../identity/workload.ts'
import type { Holdings } from '../refresh/holdings.ts'
import type { Item } from '../sources/item.ts'
import type { Shim } from './shim.ts'
import type { Contents, Stages } from './stages.ts'

export interface Wanted {
  readonly workload: Workload
  readonly items: readonly Item[]
  readonly fsGroup: number | undefined
  readonly holdings: Holdings | undefined
}

/**
 * Collects a generation. Where that may lease something, the shim is left a bookmark before and after: a daemon
 * that dies in between must leave nothing at a source that nobody knows of.
 *
 * Throws: whatever a fetch throws · why the stream is over.
 */
export async function collectHeld(
  { workload, items, fsGroup, holdings }: Wanted,
  on: Stages,
  shim: Shim,
  signal: AbortSignal,
): Promise<Contents> {
  const collect = (): Promise<Contents> => on.collect(workload, items, fsGroup, signal, holdings)
  if (holdings === undefined) return collect()
  if (!holdings.covers(items)) {
    await holdings.openSessions(signal)
    await leaveBookmark(holdings, true, shim, signal)
  }
  let contents: Contents
  try {
    contents = await collect().finally(() => {
      holdings.doubtUnheard()
    })
  } catch (thrown) {
    // Of several secrets some may have been leased all the same.
    await leaveBookmark(holdings, false, shim, signal)
    throw LatchkeyError.from(thrown)
  }
  try {
    await leaveBookmark(holdings, false, shim, signal)
    return contents
  } catch (thrown) {
    contents.dispose()
    throw thrown
  }
}

async function leaveBookmark(
  holdings: Holdings,
  isAsking: boolean,
  shim: Shim,
  signal: AbortSignal,
): Promise<void> {
  const bookmark = holdings.bookmarkFor(shim, isAsking)
  if (bookmark === undefined) return
  try {
    await shim.leave(bookmark, signal)
  } finally {
    bookmark.wipe()
  }
}

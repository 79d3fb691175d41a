import { LatchkeyError } from '../../core/errors.ts'
import { collectHeld, type Wanted } from './collect-held.ts'
import type { Shim } from './shim.ts'
import type { Contents, Stages } from './stages.ts'
import { watchItems } from './watch-items.ts'

export interface Asked extends Wanted {
  readonly holdMs: number
}

/**
 * The first contents. Where a Secret is not there and the shim may wait, the answer is held until the
 * Secret comes: kubelet's own next try may be two minutes away.
 *
 * Throws: SecretNotFound when the hold ends · whatever a fetch throws, at once.
 */
export async function collectOrHold(
  asked: Asked,
  on: Stages,
  shim: Shim,
  signal: AbortSignal,
): Promise<Contents> {
  const { items, workload, holdMs } = asked
  const collect = (): Promise<Contents> => collectHeld(asked, on, shim, signal)

  if (holdMs === 0) return collect()
  const untilMs = on.clock.now() + holdMs
  // Watching begins before the look, so that a Secret made in between is not missed.
  const changes = watchItems(
    { items, workload: () => workload, versions: new Map(), immutable: new Set(), isUrgent: true },
    on,
  )
  try {
    for (;;) {
      try {
        return await collect()
      } catch (thrown) {
        const error = LatchkeyError.from(thrown)
        const leftMs = untilMs - on.clock.now()
        if (error.reason !== 'SecretNotFound' || leftMs <= 0) throw error
        if (!(await changes.next(leftMs, signal))) throw error
      }
    }
  } finally {
    changes.stop()
  }
}

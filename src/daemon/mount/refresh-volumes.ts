import { withDeadline } from '../../core/deadline.ts'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { RefreshOutcome } from '../../wire/gen/latchkey/mount/v1/RefreshOutcome.ts'
import type { RefreshRequest__Output } from '../../wire/gen/latchkey/mount/v1/RefreshRequest.ts'
import type { Session } from './session.ts'

/** For one volume: a fetch, the pace between two generations, and the shim's answer. */
const REFRESH_TIMEOUT_MS = 30_000

/**
 * Has the chosen volumes looked at now, side by side; one that fails fails alone.
 *
 * Throws: InvalidRequest · VolumeNotFound.
 */
export async function refreshVolumes(
  request: RefreshRequest__Output,
  sessions: readonly Session[],
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly RefreshOutcome[]> {
  const fits = choose(request)
  const chosen = sessions.filter(fits)
  if (chosen.length === 0) {
    throw new LatchkeyError('VolumeNotFound', 'the daemon serves no volume that fits this choice')
  }
  return Promise.all(chosen.map((session) => refreshOne(session, clock, signal)))
}

function choose({ volumeId, pod, source }: RefreshRequest__Output): (session: Session) => boolean {
  if (volumeId) return ({ volume }) => volume.volumeId === volumeId
  if (source) return ({ items }) => items.some(({ from }) => from === source)
  if (pod?.namespace && pod.name) {
    return ({ volume }) => volume.pod.namespace === pod.namespace && volume.pod.name === pod.name
  }
  throw new LatchkeyError(
    'InvalidRequest',
    'choose by volume_id, pod (namespace and name) or source',
  )
}

async function refreshOne(
  session: Session,
  clock: Clock,
  signal: AbortSignal,
): Promise<RefreshOutcome> {
  const { volumeId, pod } = session.volume
  try {
    const refresh = (): Promise<string> => session.refresh()
    const outcome = await withDeadline(clock, REFRESH_TIMEOUT_MS, 'the refresh', signal, refresh)
    return { volumeId, pod, changed: outcome === 'changed' }
  } catch (thrown) {
    const { reason, message } = LatchkeyError.from(thrown)
    return { volumeId, pod, reason, message }
  }
}

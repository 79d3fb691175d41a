import type { HeldVolume__Output } from '../../wire/gen/latchkey/mount/v1/HeldVolume.ts'
import type { Pod__Output } from '../../wire/gen/latchkey/mount/v1/Pod.ts'
import type { VolumeStatus__Output } from '../../wire/gen/latchkey/mount/v1/VolumeStatus.ts'
import type { Session } from './session.ts'

type State = VolumeStatus__Output['state']

/** Every session of the daemon; without a stream it waits for a shim to take it up again. */
export interface ListedSession {
  readonly session: Session
  readonly isLive: boolean
}

/**
 * Joins what the daemon knows of its volumes with what the host side last reported of them, which is up to
 * a heartbeat older. Ordered by namespace, pod and target path.
 */
export function listVolumes(
  sessions: readonly ListedSession[],
  held: readonly HeldVolume__Output[],
): readonly VolumeStatus__Output[] {
  const reported = new Map(held.map((volume) => [volume.volumeId, volume]))
  const served = sessions.map((listed) => ofSession(listed, reported))
  const known = new Set(served.map(({ volumeId }) => volumeId))
  const others = held.filter(({ volumeId }) => !known.has(volumeId)).map(ofShim)
  return [...served, ...others].toSorted(byPod)
}

export interface VolumeSummary {
  /** By state: the last word of its name in the mount API, in lower case. */
  readonly volumes: ReadonlyMap<string, number>
  /** How long the volume whose looks have failed for longest has been stale; 0 where none is. */
  readonly stalestMs: number
}

export function summarize(
  sessions: readonly ListedSession[],
  held: readonly HeldVolume__Output[],
  nowMs: number,
): VolumeSummary {
  const listed = listVolumes(sessions, held)
  const states = Map.groupBy(listed, ({ state }) => state.slice('VOLUME_'.length).toLowerCase())
  const since = sessions.flatMap(({ session }) => session.status.staleness?.sinceMs ?? [])
  return {
    volumes: new Map([...states].map(([state, alike]) => [state, alike.length])),
    stalestMs: Math.max(0, nowMs - Math.min(nowMs, ...since)),
  }
}

function ofSession(
  { session, isLive }: ListedSession,
  reported: ReadonlyMap<string, HeldVolume__Output>,
): VolumeStatus__Output {
  const { volumeId, targetPath, pod } = session.volume
  const { generation, changedAtMs, checkedAtMs, nextLookAtMs, staleness } = session.status
  const ending = stateOfEnding(reported.get(volumeId))
  const own = isLive
    ? staleness === undefined
      ? 'VOLUME_FRESH'
      : 'VOLUME_STALE'
    : 'VOLUME_WAITING'
  return {
    volumeId,
    targetPath,
    pod,
    state: ending ?? own,
    generation,
    changedAtMs: changedAtMs ?? 0,
    checkedAtMs,
    nextLookAtMs: nextLookAtMs ?? 0,
    reason: staleness?.error.reason ?? '',
    message: reported.get(volumeId)?.note || (staleness?.error.message ?? ''),
  }
}

function ofShim(held: HeldVolume__Output): VolumeStatus__Output {
  const { volumeId, targetPath, state, note } = held
  const own = state === 'HELD_PENDING' ? 'VOLUME_PENDING' : 'VOLUME_WAITING'
  return {
    volumeId,
    targetPath,
    pod: { namespace: '', name: '', uid: podUidOf(targetPath), serviceAccount: '' },
    state: stateOfEnding(held) ?? own,
    generation: 0,
    changedAtMs: 0,
    checkedAtMs: 0,
    nextLookAtMs: 0,
    reason: '',
    message: note,
  }
}

function stateOfEnding(held: HeldVolume__Output | undefined): State | undefined {
  if (held?.state === 'HELD_ENDING') return 'VOLUME_ENDING'
  return held?.state === 'HELD_STRANDED' ? 'VOLUME_STRANDED' : undefined
}

/** A shim that is no kubelet's has other paths. */
function podUidOf(targetPath: string): string {
  return /\/pods\/([^/]+)\/volumes\//.exec(targetPath)?.[1] ?? ''
}

function byPod(a: VolumeStatus__Output, b: VolumeStatus__Output): number {
  return compare(keyOf(a), keyOf(b))
}

function keyOf({ pod, targetPath }: { pod: Pod__Output | null; targetPath: string }): string {
  return [pod?.namespace, pod?.name, targetPath].join('\n')
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

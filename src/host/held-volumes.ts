import type { HeldVolume } from '../wire/gen/latchkey/mount/v1/HeldVolume.ts'
import type { VolumeCounts } from '../observability/host-metrics.ts'
import { MAX_HELD_VOLUMES } from '../wire/limits.ts'
import type { Finding } from './sweep/finding.ts'
import type { UnreadableStray } from './unreadable-strays.ts'
import type { VolumeKeeper } from './volume-keeper.ts'

const STATES = {
  mounted: 'HELD_MOUNTED',
  ending: 'HELD_ENDING',
  stranded: 'HELD_STRANDED',
} as const

/** What is reported of each volume: where it stands, and in a sentence what it waits for. */
export function describeHeld(
  keepers: readonly VolumeKeeper[],
  findings: ReadonlyMap<string, Finding>,
  strays: readonly UnreadableStray[],
): HeldVolume[] {
  const held = keepers.slice(0, MAX_HELD_VOLUMES).map((keeper): HeldVolume => {
    const { volumeId, targetPath } = keeper.volume
    if (!keeper.isMounted) {
      const note = keeper.lastError?.message ?? ''
      return { volumeId, targetPath, state: 'HELD_PENDING', note }
    }
    const { state, note } = findings.get(volumeId) ?? { state: 'mounted', note: '' }
    return { volumeId, targetPath, state: STATES[state], note }
  })
  return [...held, ...strays.slice(0, MAX_HELD_VOLUMES - held.length).map(describeStray)]
}

function describeStray({ volume: { volumeId, targetPath }, why }: UnreadableStray): HeldVolume {
  const note = `left by an earlier host side, and cannot be read back: ${why}`
  return { volumeId, targetPath, state: 'HELD_STRANDED', note }
}

/** Volumes by state, each of them once. */
export function countHeld(
  keepers: readonly VolumeKeeper[],
  findings: ReadonlyMap<string, Finding>,
  strays: readonly UnreadableStray[],
): VolumeCounts {
  const counts = { mounted: 0, pending: 0, ending: 0, stranded: strays.length }
  for (const keeper of keepers) {
    const state = findings.get(keeper.volume.volumeId)?.state ?? 'mounted'
    counts[keeper.isMounted ? state : 'pending'] += 1
  }
  return { ...counts, connected: keepers.filter((keeper) => keeper.isConnected).length }
}

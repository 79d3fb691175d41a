import type { Witness } from '../../observability/host-metrics.ts'
import type { PodLife } from './pod-cgroups.ts'

/** What a round of the sweep has to say of a volume. */
export interface Finding {
  readonly state: 'mounted' | 'ending' | 'stranded'
  /** A sentence for `latchkey list`, without a stop. */
  readonly note: string
}

const SAYINGS: Readonly<Record<Witness, string>> = {
  kubelet_record: "kubelet's record of the volume is gone",
  api_server: 'the API server says that the pod is gone',
}

/** A pod that seems to have ended, and why its files are there still. `waitMs`: what is left of the grace time. */
export function findingOf(witness: Witness, life: PodLife, waitMs: number): Finding {
  const says = SAYINGS[witness]
  if (life.is === 'alive') {
    return { state: 'ending', note: `${says}; ${countOf(life.processes)} in the pod still` }
  }
  if (waitMs > 0) {
    const seconds = Math.ceil(waitMs / 1000)
    return { state: 'ending', note: `${says}; looked at for another ${seconds} s` }
  }
  if (life.is === 'empty') return { state: 'ending', note: `${says}; the files go now` }
  const doubt = `but nothing proves that no process of it is left: ${life.why}`
  return { state: 'stranded', note: `${says}, ${doubt}` }
}

function countOf(processes: number): string {
  if (processes === 0) return 'processes live'
  return processes === 1 ? '1 process lives' : `${processes} processes live`
}

/** Still there although everything was said and proven. */
export function findingOfFailure(witness: Witness, why: string): Finding {
  return {
    state: 'ending',
    note: `${SAYINGS[witness]}, but the files could not be removed: ${why}`,
  }
}

/** kubelet stays away, and nobody says that the pod has ended. */
export function findingOfAbsence(awayMs: number): Finding {
  const minutes = Math.floor(awayMs / 60_000)
  const note = `kubelet has not come by for ${minutes} min, and nobody says that the pod has ended`
  return { state: 'mounted', note }
}

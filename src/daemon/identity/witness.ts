import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import type { KubeClient } from '../kube/kube-client.ts'
import type { Workload } from './workload.ts'

/** The mount API's words for it. */
export type PodLife = 'POD_UNKNOWN' | 'POD_ALIVE' | 'POD_GONE'

export interface WitnessOptions {
  readonly kube: Pick<KubeClient, 'reviewToken'>
  readonly audience: string
  readonly clock: Clock
  readonly timeoutMs: number
}

export type Witness = (workload: Workload, signal: AbortSignal) => Promise<PodLife>

/**
 * The words of kube-apiserver for a bound token whose pod is gone, or has been deleted for 60 seconds
 * (pkg/serviceaccount/claims.go). No code goes with them, and they are also said in passing: hence
 * whoever hears POD_GONE needs other proof before anything is taken away.
 */
const INVALIDATED = 'service account token has been invalidated'

/** Asks the API server whether a pod is still there, by the only right that the daemon has. Never throws. */
export function createWitness({ kube, audience, clock, timeoutMs }: WitnessOptions): Witness {
  return async (workload, signal) => {
    const token = workload.tokens.get(audience)
    // An expired token is rejected whether or not its pod lives.
    if (token === undefined || token.expiresAtMs <= clock.now()) return 'POD_UNKNOWN'
    try {
      const status = await withDeadline(clock, timeoutMs, 'the token review', signal, (bounded) =>
        kube.reviewToken(token.token, [audience], bounded),
      )
      if (status.authenticated && status.error === '') return 'POD_ALIVE'
      return status.error.includes(INVALIDATED) ? 'POD_GONE' : 'POD_UNKNOWN'
    } catch {
      return 'POD_UNKNOWN'
    }
  }
}

import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { Limiter } from '../../core/limiter.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { KubeClient } from '../kube/kube-client.ts'
import { digestOfToken, type TokenDigest } from './token-digest.ts'
import type { Workload } from './workload.ts'

/** The mount API's words for it. */
export type PodLife = 'POD_UNKNOWN' | 'POD_ALIVE' | 'POD_GONE'

export interface WitnessOptions {
  readonly kube: Pick<KubeClient, 'reviewToken'>
  readonly audience: string
  readonly clock: Clock
  readonly timeoutMs: number
}

export type Witness = (workload: Workload) => Promise<PodLife>

/**
 * The words of kube-apiserver for a bound token whose pod is gone, or has been deleted for 60 seconds
 * (pkg/serviceaccount/claims.go). No code goes with them, and they are also said in passing: hence
 * whoever hears POD_GONE needs other proof before anything is taken away.
 */
const INVALIDATED = 'service account token has been invalidated'

/** kubelet hands one token to every volume of a pod, and each of them asks every 30 s. */
const KEEP_MS = 15_000
/** Of its own, so that questions never stand in the way of mounts; whoever finds it full asks again later. */
const SLOTS = { atOnce: 8, waiting: 256 }

/**
 * Asks the API server whether a pod is still there, by the only right that the daemon has; once for all volumes of
 * a pod. Never throws.
 */
export function createWitness({ kube, audience, clock, timeoutMs }: WitnessOptions): Witness {
  const slots = new Limiter('questions after pods', SLOTS.atOnce, SLOTS.waiting)
  const answers = new Map<TokenDigest, { readonly life: Promise<PodLife>; readonly atMs: number }>()
  const endless = new AbortController().signal

  const review = async (token: SecretBytes): Promise<PodLife> => {
    try {
      const status = await slots.run(endless, () =>
        withDeadline(clock, timeoutMs, 'the token review', endless, (bounded) =>
          kube.reviewToken(token, [audience], bounded),
        ),
      )
      if (status.authenticated && status.error === '') return 'POD_ALIVE'
      return status.error.includes(INVALIDATED) ? 'POD_GONE' : 'POD_UNKNOWN'
    } catch {
      return 'POD_UNKNOWN'
    } finally {
      token.wipe()
    }
  }

  return (workload) => {
    const nowMs = clock.now()
    for (const [digest, { atMs }] of answers) {
      if (Math.abs(nowMs - atMs) >= KEEP_MS) answers.delete(digest)
    }
    const held = workload.tokens.get(audience)
    // An expired token is rejected whether or not its pod lives.
    if (held === undefined || held.expiresAtMs <= nowMs) return Promise.resolve('POD_UNKNOWN')
    const digest = digestOfToken(held.token)
    const known = answers.get(digest)
    if (known !== undefined) return known.life
    // A copy: whoever asked may end, and wipe its own, while others wait.
    const life = review(held.token.use((bytes) => SecretBytes.copyOf(bytes)))
    answers.set(digest, { life, atMs: nowMs })
    return life
  }
}

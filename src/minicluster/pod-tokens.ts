import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import type { TokenRequest } from './csi-driver.ts'
import { formatTime } from './object-meta.ts'
import type { StoredPod } from './pod-store.ts'
import type { IssuedToken } from './tokens.ts'

export interface PodTokensParts {
  readonly objects: ClusterObjects
  readonly clock: Clock
  /** Tokens come from the API server; while it is away there are no new ones. */
  readonly isApiUp: () => boolean
}

/** A token is replaced when this part of its life is over. */
const REFRESH_AFTER = 0.8

/** kubelet's cache of pods' tokens: one per pod and request, shared by all volumes of the pod. */
export class PodTokens {
  readonly #parts: PodTokensParts
  readonly #cache = new Map<string, IssuedToken>()

  constructor(parts: PodTokensParts) {
    this.#parts = parts
  }

  /**
   * The value of csi.storage.k8s.io/serviceAccount.tokens: JSON, audience to token and expiry. In one
   * buffer, for the caller to zero.
   *
   * Throws: KubeUnavailable · InvalidRequest, where a token is missing or has expired for good.
   */
  encode(pod: StoredPod, requests: readonly TokenRequest[]): Buffer {
    // Go writes a map's keys in their order.
    const sorted = [...requests].sort((a, b) => (a.audience < b.audience ? -1 : 1))
    const parts: Buffer[] = []
    for (const request of sorted) {
      const { token, expiresAtMs } = this.#get(pod, request)
      const before = `${parts.length === 0 ? '{' : ','}${JSON.stringify(request.audience)}:{"token":"`
      const after = `","expirationTimestamp":"${formatTime(expiresAtMs)}"}`
      parts.push(
        Buffer.from(before),
        token.use((bytes) => Buffer.from(bytes)),
        Buffer.from(after),
      )
    }
    const encoded = Buffer.concat([...parts, Buffer.from('}')])
    for (const part of parts) part.fill(0)
    return encoded
  }

  forget(podUid: string): void {
    for (const [key, { token }] of this.#cache) {
      if (!key.startsWith(podUid)) continue
      token.wipe()
      this.#cache.delete(key)
    }
  }

  clear(): void {
    for (const { token } of this.#cache.values()) token.wipe()
    this.#cache.clear()
  }

  #get(pod: StoredPod, { audience, expirationSeconds }: TokenRequest): IssuedToken {
    const key = `${pod.uid}/${expirationSeconds}/${audience}`
    const nowMs = this.#parts.clock.now()
    const held = this.#cache.get(key)
    const freshMs = expirationSeconds * 1000 * (1 - REFRESH_AFTER)
    if (held !== undefined && nowMs <= held.expiresAtMs - freshMs) return held
    try {
      const issued = this.#request(pod, audience, expirationSeconds)
      held?.token.wipe()
      this.#cache.set(key, issued)
      return issued
    } catch (thrown) {
      // An old one that is still good is better than none.
      if (held !== undefined && nowMs < held.expiresAtMs) return held
      throw thrown
    }
  }

  #request(pod: StoredPod, audience: string, lifeSeconds: number): IssuedToken {
    if (this.#parts.isApiUp()) return this.#parts.objects.podToken(pod, audience, lifeSeconds)
    throw new LatchkeyError('KubeUnavailable', 'dial tcp: connect: connection refused')
  }
}

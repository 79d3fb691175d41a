import { randomBytes } from 'node:crypto'
import type { ClusterObjects } from '../../src/minicluster/cluster-objects.ts'
import { needlesOf, type Find, type Needle } from './process-memory.ts'

/** Of whom a secret is, and what it is. */
export type Owned = `${'value' | 'token'} ${string}`

const LARGE_BYTES = 90_000
const PIECE_BYTES = 32

/** The secrets of a cluster in memory, made so that they are found wherever they lie. */
export class Canaries {
  readonly #needles: Needle[] = []
  readonly #objects: ClusterObjects

  /** From now on every token of a pod is known. */
  constructor(objects: ClusterObjects) {
    this.#objects = objects
    const { tokens } = objects
    const mint = tokens.mintForPod.bind(tokens)
    tokens.mintForPod = (pod, audience, lifeSeconds) => {
      const issued = mint(pod, audience, lifeSeconds)
      // Nobody but its bearer has the signature; the rest repeats from token to token.
      const signature = issued.token.use((bytes) => bytes.toString('latin1').split('.')[2] ?? '')
      this.#add(`token ${pod.serviceAccount}`, Buffer.from(signature))
      return issued
    }
  }

  /** New values for the Secret of a service account: a short one, and one of many pages. Answers the short one. */
  change(serviceAccount: string): Buffer {
    const short = Buffer.from(randomBytes(24).toString('base64url'))
    const large = randomBytes(LARGE_BYTES)
    const pieces = [0, LARGE_BYTES / 2, LARGE_BYTES - PIECE_BYTES]
    for (const secret of [short, ...pieces.map((at) => large.subarray(at, at + PIECE_BYTES))]) {
      this.#add(`value ${serviceAccount}`, secret)
    }
    const secret = { namespace: 'shop', name: `db-${serviceAccount}`, data: { short, large } }
    if (this.#objects.secrets.get(secret) === undefined) this.#objects.createSecret(secret)
    else this.#objects.updateSecret(secret)
    return short
  }

  get needles(): readonly Needle[] {
    return this.#needles
  }

  #add(name: Owned, secret: Buffer): void {
    this.#needles.push(...needlesOf(name, secret))
  }
}

/** How often what was found where, such as `3 x value api, raw in [heap]`. */
export function summarize(finds: readonly Find[]): string {
  const groups = Map.groupBy(finds, ({ name, form, region }) => `${name}, ${form} in ${region}`)
  const lines = [...groups].map(([what, { length }]) => `${length} x ${what}`).sort()
  return lines.length === 0 ? 'nothing' : lines.join('; ')
}

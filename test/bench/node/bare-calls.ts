import { ApiClient } from './api-client.ts'
import { NAMESPACE, type BenchPod } from './bench-objects.ts'
import type { Cluster } from '../worlds/sealed-world.ts'

/** The two HTTPS calls that no verified publish can do without, with nothing around them. */
export class BareCalls {
  readonly #client: ApiClient
  readonly #daemonToken: string

  constructor({ plane, daemonToken }: Cluster, connections: number) {
    this.#client = new ApiClient({ url: plane.url, authority: plane.authority, connections })
    this.#daemonToken = daemonToken
  }

  /** A TokenReview, then the pod's Secret read with the pod's own token. */
  async publish(pod: BenchPod): Promise<void> {
    await this.review(pod)
    await this.read(pod)
  }

  async review({ tokens }: BenchPod): Promise<void> {
    const spec = { token: tokens.latchkey, audiences: ['latchkey'] }
    const path = '/apis/authentication.k8s.io/v1/tokenreviews'
    const { status } = (await this.#client.post(path, { spec }, this.#daemonToken)) as {
      readonly status: { readonly authenticated?: boolean }
    }
    if (status.authenticated !== true) throw new Error('a token was not believed')
  }

  async read({ secret, tokens }: BenchPod): Promise<void> {
    await this.#client.get(`/api/v1/namespaces/${NAMESPACE}/secrets/${secret}`, tokens.api)
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}

import type { ControlPlane } from './control-plane.ts'

export const NODE_NAME = 'bench-node'
export const NAMESPACE = 'shop'
export const SYSTEM_NAMESPACE = 'latchkey-system'
const AT_ONCE = 12
const TOKEN_SECONDS = 3600

/** Whose Secret is whose: one for all pods, or one of its own for each, with its own service account. */
export type Sharing = 'one for all' | 'each its own'

/** A pod that is bound to the node and that no kubelet runs, with the tokens that kubelet would send for it. */
export interface BenchPod {
  readonly name: string
  readonly uid: string
  readonly serviceAccount: string
  readonly secret: string
  readonly tokens: PodTokens
}

/** For Latchkey's audience, and for the API server's own. */
export interface PodTokens {
  readonly latchkey: string
  readonly api: string
}

const core = `/api/v1/namespaces/${NAMESPACE}`
const rbac = '/apis/rbac.authorization.k8s.io/v1'

/** The objects of a cluster that has Latchkey, and the pods of one node; made as rows need them. */
export class BenchObjects {
  readonly #plane: ControlPlane
  #made = 0

  private constructor(plane: ControlPlane) {
    this.#plane = plane
  }

  static async make(plane: ControlPlane): Promise<BenchObjects> {
    const { admin } = plane
    for (const name of [NAMESPACE, SYSTEM_NAMESPACE]) {
      await admin.post('/api/v1/namespaces', { metadata: { name } })
    }
    await admin.post('/api/v1/nodes', { metadata: { name: NODE_NAME } })
    await admin.post(`/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts`, {
      metadata: { name: 'latchkey' },
    })
    await admin.post(`${rbac}/clusterroles`, REVIEWER)
    await admin.post(`${rbac}/clusterrolebindings`, REVIEWER_BINDING)
    await admin.post(`${rbac}/namespaces/${NAMESPACE}/roles`, READER)
    await admin.post(`${rbac}/namespaces/${NAMESPACE}/rolebindings`, READER_BINDING)
    const objects = new BenchObjects(plane)
    await objects.#makeOwner('db')
    return objects
  }

  /** A token of Latchkey's own service account, as the daemon has one. */
  async daemonToken(): Promise<string> {
    const path = `/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/latchkey/token`
    return tokenIn(await this.#plane.admin.post(path, { spec: { expirationSeconds: 7200 } }))
  }

  /** Makes pods; their tokens are of this moment and no API server has seen them before. */
  async makePods(count: number, sharing: Sharing = 'one for all'): Promise<readonly BenchPod[]> {
    const first = this.#made
    this.#made += count
    const indexes = Array.from({ length: count }, (_, index) => first + index)
    return inBatches(indexes, AT_ONCE, async (index) => {
      const owner = sharing === 'one for all' ? 'db' : `own-${index}`
      if (owner !== 'db') await this.#makeOwner(owner)
      return this.#makePod(`pod-${index}`, owner)
    })
  }

  /** Another set of tokens for the same pod, as kubelet asks for one before the last expires. */
  async renewTokens(pod: Omit<BenchPod, 'tokens'>, seconds = TOKEN_SECONDS): Promise<PodTokens> {
    const path = `${core}/serviceaccounts/${pod.serviceAccount}/token`
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: pod.name, uid: pod.uid }
    const ask = async (audiences: readonly string[]): Promise<string> => {
      const spec = { audiences, expirationSeconds: seconds, boundObjectRef }
      return tokenIn(await this.#plane.admin.post(path, { spec }))
    }
    const [latchkey, api] = await Promise.all([ask(['latchkey']), ask([])])
    return { latchkey, api }
  }

  async #makeOwner(name: string): Promise<void> {
    const { admin } = this.#plane
    await admin.post(`${core}/serviceaccounts`, { metadata: { name } })
    const data = { username: base64('shop'), password: base64('p'.repeat(32)) }
    await admin.post(`${core}/secrets`, { metadata: { name }, data })
  }

  async #makePod(name: string, owner: string): Promise<BenchPod> {
    const made = (await this.#plane.admin.post(`${core}/pods`, {
      metadata: { name },
      spec: {
        nodeName: NODE_NAME,
        serviceAccountName: owner,
        automountServiceAccountToken: false,
        containers: [{ name: 'app', image: 'none' }],
      },
    })) as { readonly metadata: { readonly uid: string } }
    const pod = { name, uid: made.metadata.uid, serviceAccount: owner, secret: owner }
    return { ...pod, tokens: await this.renewTokens(pod) }
  }
}

/** Works through all of them, so many at a time; answers in their order. */
export async function inBatches<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const answers: R[] = []
  for (let first = 0; first < items.length; first += atOnce) {
    answers.push(...(await Promise.all(items.slice(first, first + atOnce).map(work))))
  }
  return answers
}

const REVIEWER = {
  metadata: { name: 'latchkey-daemon' },
  rules: [{ apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] }],
}
const REVIEWER_BINDING = {
  metadata: { name: 'latchkey-daemon' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'latchkey-daemon' },
  subjects: [{ kind: 'ServiceAccount', name: 'latchkey', namespace: SYSTEM_NAMESPACE }],
}
const READER = {
  metadata: { name: 'reads' },
  rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'watch'] }],
}
const READER_BINDING = {
  metadata: { name: 'reads' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reads' },
  subjects: [
    {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'Group',
      name: `system:serviceaccounts:${NAMESPACE}`,
    },
  ],
}

function tokenIn(answer: unknown): string {
  return (answer as { readonly status: { readonly token: string } }).status.token
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

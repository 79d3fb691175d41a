import type { ContractApi, PodName } from '../api-contract.ts'

/** A namespace with a pod whose service account `api` may get and watch Secrets `db` and `late`. */
export interface Tenant {
  readonly namespace: string
  readonly pod: PodName
  /** For the API server. */
  readonly token: string
}

export const PROTOBUF = 'application/vnd.kubernetes.protobuf'

export async function createTenant(
  api: ContractApi,
  verbs: readonly ('get' | 'watch')[] = ['get', 'watch'],
): Promise<Tenant> {
  const namespace = await api.createNamespace()
  await api.createServiceAccount(namespace, 'api')
  const pod = await api.createPod(namespace, 'api-0', 'api')
  await api.grant({ namespace, serviceAccount: 'api', verbs, secrets: ['db', 'late'] })
  return { namespace, pod, token: await api.podToken(pod, '') }
}

export function secretPath(namespace: string, name: string): string {
  return `/api/v1/namespaces/${namespace}/secrets/${name}`
}

export function watchPath(namespace: string, name: string, query = ''): string {
  return `/api/v1/namespaces/${namespace}/secrets?watch=true&fieldSelector=metadata.name%3D${name}${query}`
}

/** The API server's words where RBAC says no. */
export function deniedText(namespace: string, verb: string, secret?: string): string {
  const what = secret === undefined ? 'secrets' : `secrets "${secret}"`
  return `${what} is forbidden: User "system:serviceaccount:${namespace}:api" cannot ${verb} resource "secrets" in API group "" in the namespace "${namespace}"`
}

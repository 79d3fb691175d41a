import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { ApiServer } from '../../src/minicluster/api-server.ts'
import { ClusterObjects, DAEMON_ACCOUNT } from '../../src/minicluster/cluster-objects.ts'
import { createServingPki } from '../../src/minicluster/pki.ts'
import type { ContractApi } from './api-contract.ts'

export interface MemoryApi {
  readonly server: ApiServer
  readonly objects: ClusterObjects
  readonly contract: ContractApi
}

const NODE = 'node-1'
// Keys take long to make, and no test changes them.
const PKI = createServingPki()

/** The minicluster's API server, as the contract wants to handle it. */
export async function startMemoryApi(clock: Clock = systemClock): Promise<MemoryApi> {
  const objects = new ClusterObjects(clock)
  const server = await ApiServer.start({ objects, clock, pki: await PKI })
  return { server, objects, contract: contractOf(server, objects) }
}

function contractOf(server: ApiServer, objects: ClusterObjects): ContractApi {
  let namespaces = 0
  const now = <T>(work: () => T): Promise<T> => Promise.resolve(work())
  return {
    origin: server.origin,
    authorityPem: server.authorityPem,
    nodeName: NODE,
    createNamespace: () => now(() => `tenant-${(namespaces += 1)}`),
    createServiceAccount: (namespace, name) =>
      now(() => void objects.createServiceAccount({ namespace, name })),
    createSecret: (namespace, name, data, more = {}) =>
      now(() => {
        const secret = objects.createSecret({ namespace, name, data: bytesOf(data), ...more })
        return String(secret.resourceVersion)
      }),
    updateSecret: (namespace, name, data) =>
      now(() => {
        const secret = objects.updateSecret({ namespace, name, data: bytesOf(data) })
        return String(secret.resourceVersion)
      }),
    deleteSecret: (namespace, name) =>
      now(() => {
        objects.deleteSecret({ namespace, name })
      }),
    grant: (grant) =>
      now(() => {
        objects.grant(grant)
      }),
    revoke: (namespace, serviceAccount) =>
      now(() => {
        objects.revoke({ namespace, serviceAccount })
      }),
    createPod: (namespace, name, serviceAccount) =>
      now(() => objects.createPod({ namespace, name, serviceAccount, node: NODE })),
    forceDelete: (pod) =>
      now(() => {
        objects.forceDelete(pod)
      }),
    podToken: (pod, audience) =>
      now(() => objects.podToken(pod, audience, 600).token.use((bytes) => bytes.toString())),
    reviewerToken: () =>
      now(() =>
        objects.tokens
          .mintForServiceAccount(DAEMON_ACCOUNT, 600)
          .token.use((bytes) => bytes.toString()),
      ),
    eventWriterToken: () =>
      now(() => {
        const account = objects.createServiceAccount({ namespace: 'home', name: 'event-writer' })
        objects.grants.grantEvents(account)
        const { token } = objects.tokens.mintForServiceAccount(account, 600)
        return token.use((bytes) => bytes.toString())
      }),
    forgetHistory: () =>
      now(() => {
        server.compact()
      }),
  }
}

export function bytesOf(data: Readonly<Record<string, string>>): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text)]))
}

import { randomBytes } from 'node:crypto'
import { until } from '../support/until.ts'
import type { ContractApi, PodName } from './api-contract.ts'
import { ask } from './api-request.ts'
import type { Endpoint, Question } from './api-request.ts'

/** How to be cluster-admin on an API server that runs already. */
export interface Admin extends Endpoint {
  readonly token?: string
  readonly identity?: Question['identity']
  /** A node that exists; pods of the contract are bound to it and never need to start. */
  readonly nodeName: string
}

export interface RemoteApi {
  readonly contract: ContractApi
  /** Removes every namespace and role that the contract made. */
  cleanUp(): Promise<void>
}

const RBAC = '/apis/rbac.authorization.k8s.io/v1'
const LIFE_SECONDS = 600

type Call = (method: string, path: string, body?: object) => Promise<Record<string, unknown>>

/** A real API server, as the contract wants to handle it. */
export async function connectRemoteApi(admin: Admin): Promise<RemoteApi> {
  const call = callAs(admin)
  const run = `latchkey-contract-${randomBytes(4).toString('hex')}`
  const namespaces: string[] = []
  const createNamespace = async (): Promise<string> => {
    const name = `${run}-${namespaces.length}`
    // Before the wait: cases run side by side.
    namespaces.push(name)
    await call('POST', '/api/v1/namespaces', { metadata: { name } })
    return name
  }
  const home = await createNamespace()
  await createAccount(call, home, run, 'reviewer', {
    group: 'authentication.k8s.io',
    resource: 'tokenreviews',
  })
  await createAccount(call, home, run, 'event-writer', { group: '', resource: 'events' })
  return {
    contract: {
      origin: admin.origin,
      authorityPem: admin.authorityPem,
      nodeName: admin.nodeName,
      createNamespace,
      forgetHistory: undefined,
      reviewerToken: () => requestToken(call, { namespace: home, name: 'reviewer' }, {}),
      eventWriterToken: () => requestToken(call, { namespace: home, name: 'event-writer' }, {}),
      ...secretOperations(call),
      ...podOperations(call, admin.nodeName),
    },
    async cleanUp() {
      for (const name of namespaces) await call('DELETE', `/api/v1/namespaces/${name}`)
      for (const account of ['reviewer', 'event-writer']) {
        await call('DELETE', `${RBAC}/clusterrolebindings/${run}-${account}`)
        await call('DELETE', `${RBAC}/clusterroles/${run}-${account}`)
      }
    },
  }
}

function callAs(admin: Admin): Call {
  return async (method, path, body) => {
    const { token, identity } = admin
    const question = { method, path, token, identity, ...(body === undefined ? {} : { body }) }
    const reply = await ask(admin, question)
    const answer = reply.json()
    if (reply.status < 300) return answer
    throw new Error(`${method} ${path}: ${reply.status} ${String(answer['message'])}`)
  }
}

/** A service account that may create one kind of objects everywhere, and nothing else. */
async function createAccount(
  call: Call,
  namespace: string,
  run: string,
  name: string,
  { group, resource }: { readonly group: string; readonly resource: string },
): Promise<void> {
  const role = `${run}-${name}`
  await call('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, account(name))
  await call('POST', `${RBAC}/clusterroles`, {
    metadata: { name: role },
    rules: [{ apiGroups: [group], resources: [resource], verbs: ['create'] }],
  })
  await call('POST', `${RBAC}/clusterrolebindings`, {
    metadata: { name: role },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  })
  await untilAllowed(call, namespace, name, { group, resource, verb: 'create' })
}

type SecretOperations = Pick<
  ContractApi,
  'createServiceAccount' | 'createSecret' | 'updateSecret' | 'deleteSecret' | 'grant' | 'revoke'
>

function secretOperations(call: Call): SecretOperations {
  const secrets = (namespace: string): string => `/api/v1/namespaces/${namespace}/secrets`
  return {
    async createServiceAccount(namespace, name) {
      await call('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, account(name))
    },
    async createSecret(namespace, name, data, more = {}) {
      const body = { metadata: { name }, data: base64Of(data), ...more }
      return versionOf(await call('POST', secrets(namespace), body))
    },
    async updateSecret(namespace, name, data) {
      const body = { metadata: { name }, data: base64Of(data) }
      return versionOf(await call('PUT', `${secrets(namespace)}/${name}`, body))
    },
    async deleteSecret(namespace, name) {
      await call('DELETE', `${secrets(namespace)}/${name}`)
    },
    async grant({ namespace, serviceAccount, verbs, secrets: resourceNames }) {
      const roles = `${RBAC}/namespaces/${namespace}`
      await call('POST', `${roles}/roles`, {
        metadata: { name: serviceAccount },
        rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames, verbs }],
      })
      await call('POST', `${roles}/rolebindings`, {
        metadata: { name: serviceAccount },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: serviceAccount },
        subjects: [{ kind: 'ServiceAccount', name: serviceAccount, namespace }],
      })
      const [verb = 'get'] = verbs
      const asked = { namespace, resource: 'secrets', verb, name: resourceNames[0] ?? '' }
      await untilAllowed(call, namespace, serviceAccount, asked)
    },
    async revoke(namespace, serviceAccount) {
      await call('DELETE', `${RBAC}/namespaces/${namespace}/rolebindings/${serviceAccount}`)
    },
  }
}

function podOperations(
  call: Call,
  nodeName: string,
): Pick<ContractApi, 'createPod' | 'forceDelete' | 'podToken'> {
  const podPath = ({ namespace, name }: PodName): string =>
    `/api/v1/namespaces/${namespace}/pods/${name}`
  return {
    async createPod(namespace, name, serviceAccountName) {
      const pod = await call('POST', `/api/v1/namespaces/${namespace}/pods`, {
        metadata: { name },
        spec: {
          serviceAccountName,
          nodeName,
          automountServiceAccountToken: false,
          // It never has to run: a token needs the object only.
          containers: [{ name: 'none', image: 'registry.invalid/none', imagePullPolicy: 'Never' }],
        },
      })
      return { namespace, name, uid: (pod['metadata'] as { uid: string }).uid }
    },
    async forceDelete(pod) {
      await call('DELETE', `${podPath(pod)}?gracePeriodSeconds=0`)
    },
    async podToken(pod, audience) {
      const { spec } = (await call('GET', podPath(pod))) as {
        spec?: { serviceAccountName: string }
      }
      const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: pod.name, uid: pod.uid }
      const name = spec?.serviceAccountName ?? 'default'
      const audiences = audience === '' ? [] : [audience]
      const more = { audiences, boundObjectRef }
      return requestToken(call, { namespace: pod.namespace, name }, more)
    },
  }
}

async function requestToken(
  call: Call,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  spec: object,
): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
  const body = { spec: { audiences: [], expirationSeconds: LIFE_SECONDS, ...spec } }
  const { status } = (await call('POST', path, body)) as { status?: { token: string } }
  return status?.token ?? ''
}

/** RBAC is asked by an informer that lags some milliseconds behind what was written. */
async function untilAllowed(
  call: Call,
  namespace: string,
  serviceAccount: string,
  resourceAttributes: object,
): Promise<void> {
  const body = {
    spec: { user: `system:serviceaccount:${namespace}:${serviceAccount}`, resourceAttributes },
  }
  await until(
    async () => {
      const review = await call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', body)
      return (review as { status?: { allowed: boolean } }).status?.allowed === true
    },
    { what: `the grant to ${serviceAccount}` },
  )
}

function account(name: string): object {
  return { metadata: { name }, automountServiceAccountToken: false }
}

function base64Of(data: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  )
}

function versionOf(object: Record<string, unknown>): string {
  return (object['metadata'] as { resourceVersion: string }).resourceVersion
}

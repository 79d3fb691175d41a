import { connect } from 'node:http2'
import type { ExecutionContext } from 'ava'
import { decodeStatus, decodeUnknown } from '../../../src/wire/kubernetes-messages.ts'
import { until } from '../../support/until.ts'
import type { ContractApi, ContractCase } from '../api-contract.ts'
import { ask } from '../api-request.ts'
import { createTenant, deniedText, PROTOBUF, secretPath } from './tenant.ts'

export const ERROR_CASES: readonly ContractCase[] = [
  {
    title: 'a Secret that is not there is 404, in both encodings',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const path = secretPath(namespace, 'late')
      await assertFails(t, api, { path, token }, 404, 'NotFound', 'secrets "late" not found')
    },
  },
  {
    title: 'what was not granted is 403 in words that name user, verb and namespace',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'other', { password: 'hunter2' })
      for (const name of ['other', 'not-there-at-all']) {
        const path = secretPath(namespace, name)
        const text = deniedText(namespace, 'get', name)
        await assertFails(t, api, { path, token }, 403, 'Forbidden', text)
      }
    },
  },
  {
    title: 'a grant ends at its namespace',
    async run(t, api) {
      const { token, namespace } = await createTenant(api)
      const elsewhere = await api.createNamespace()
      await api.createSecret(elsewhere, 'db', { password: 'hunter2' })
      const text = `secrets "db" is forbidden: User "system:serviceaccount:${namespace}:api" cannot get resource "secrets" in API group "" in the namespace "${elsewhere}"`
      const path = secretPath(elsewhere, 'db')
      await assertFails(t, api, { path, token }, 403, 'Forbidden', text)
    },
  },
  {
    title: 'to get by name is not to list, whatever the field selector',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const path = `/api/v1/namespaces/${namespace}/secrets`
      const denied = deniedText(namespace, 'list')
      await assertFails(t, api, { path, token }, 403, 'Forbidden', denied)
      const selected = `${path}?fieldSelector=metadata.name%3Ddb`
      const named = deniedText(namespace, 'list', 'db')
      await assertFails(t, api, { path: selected, token }, 403, 'Forbidden', named)
    },
  },
  {
    title: 'a right that was taken away is gone for the next read',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const question = { path: secretPath(namespace, 'db'), token }
      t.is((await ask(api, question)).status, 200)
      await api.revoke(namespace, 'api')
      await until(async () => (await ask(api, question)).status === 403, { what: 'a refusal' })
    },
  },
  {
    title: 'a token that is no good is 401, in both encodings',
    async run(t, api) {
      const { namespace, pod } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const path = secretPath(namespace, 'db')
      for (const token of ['garbage', await api.podToken(pod, 'latchkey')]) {
        await assertFails(t, api, { path, token }, 401, 'Unauthorized', 'Unauthorized')
      }
    },
  },
  {
    title: 'the token of a pod that is gone opens nothing',
    async run(t, api) {
      const { namespace, pod, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const question = { path: secretPath(namespace, 'db'), token }
      t.is((await ask(api, question)).status, 200)
      await api.forceDelete(pod)
      await until(async () => (await ask(api, question)).status === 401, {
        what: 'the token to be refused',
        timeoutMs: 20_000,
      })
    },
  },
  {
    title: 'a request without a token is nobody',
    async run(t, api) {
      const { namespace } = await createTenant(api)
      const text = `secrets "db" is forbidden: User "system:anonymous" cannot get resource "secrets" in API group "" in the namespace "${namespace}"`
      const path = secretPath(namespace, 'db')
      await assertFails(t, api, { path }, 403, 'Forbidden', text)
    },
  },
  {
    title: 'a form that nobody speaks is 406, a wrong version of one that exists is, too',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      for (const accept of [
        'text/html',
        'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=1',
      ]) {
        const reply = await ask(api, { path: secretPath(namespace, 'db'), token, accept })
        t.is(reply.status, 406)
        t.like(reply.json(), { kind: 'Status', reason: 'NotAcceptable', code: 406 })
      }
    },
  },
  {
    title: 'version and readiness are public, but not to a bad token',
    async run(t, api) {
      const version = await ask(api, { path: '/version' })
      t.is(version.status, 200)
      t.is(version.contentType, 'application/json')
      t.regex(version.json<{ gitVersion: string }>().gitVersion, /^v1\.\d+\.\d+/)
      for (const path of ['/readyz', '/livez', '/healthz']) {
        const reply = await ask(api, { path })
        t.deepEqual([reply.status, reply.body.toString()], [200, 'ok'])
        t.regex(reply.contentType, /^text\/plain/)
      }
      t.is((await ask(api, { path: '/version', token: 'garbage' })).status, 401)
    },
  },
  {
    title: 'what is not there at all is 404 where one may look, and 403 elsewhere',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      t.is((await ask(api, { path: '/apis/none.example', token })).status, 404)
      const nonsense = await ask(api, { path: '/nonsense', token })
      t.is(nonsense.status, 403)
      t.is(
        nonsense.json()['message'],
        `forbidden: User "system:serviceaccount:${namespace}:api" cannot get path "/nonsense"`,
      )
      const things = await ask(api, { path: `/api/v1/namespaces/${namespace}/things`, token })
      t.is(things.status, 403)
      const post = await ask(api, {
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/secrets`,
        token,
        body: { metadata: { name: 'mine' } },
      })
      t.is(post.json()['message'], deniedText(namespace, 'create'))
    },
  },
  {
    title: 'HEAD of a Secret is not allowed',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const path = secretPath(namespace, 'db')
      t.is((await ask(api, { method: 'HEAD', path, token })).status, 405)
    },
  },
  {
    title: 'many requests share one connection where the client speaks HTTP/2',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const session = connect(api.origin, { ca: api.authorityPem })
      t.teardown(() => {
        session.destroy()
      })
      const read = (): Promise<number> =>
        new Promise((resolve, reject) => {
          const request = session.request({
            ':path': secretPath(namespace, 'db'),
            authorization: `Bearer ${token}`,
          })
          request.once('error', reject)
          request.once('response', (headers) => {
            resolve(headers[':status'] ?? 0)
          })
          request.resume()
        })
      t.deepEqual(await Promise.all([read(), read(), read()]), [200, 200, 200])
    },
  },
]

async function assertFails(
  t: ExecutionContext,
  api: ContractApi,
  question: { readonly path: string; readonly token?: string },
  code: number,
  reason: string,
  message: string,
): Promise<void> {
  const json = await ask(api, question)
  t.is(json.status, code)
  t.is(json.contentType, 'application/json')
  t.like(json.json(), {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    message,
    reason,
    code,
  })
  const protobuf = await ask(api, { ...question, accept: PROTOBUF })
  t.is(protobuf.status, code)
  t.is(protobuf.contentType, PROTOBUF)
  const { typeMeta, raw } = decodeUnknown(protobuf.body)
  t.is(typeMeta?.kind, 'Status')
  t.like(decodeStatus(raw), { status: 'Failure', message, reason, code })
}

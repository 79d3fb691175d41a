import { decodeSecret, decodeUnknown } from '../../../src/wire/kubernetes-messages.ts'
import type { ContractCase } from '../api-contract.ts'
import { ask } from '../api-request.ts'
import { createTenant, PROTOBUF, secretPath } from './tenant.ts'

interface SecretJson {
  readonly kind: string
  readonly apiVersion: string
  readonly metadata: Readonly<Record<string, string>>
  readonly type: string
  readonly immutable?: boolean
  readonly data?: Readonly<Record<string, string>>
}

export const READ_CASES: readonly ContractCase[] = [
  {
    title: 'a Secret is read as JSON, its values in base64',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const version = await api.createSecret(namespace, 'db', { password: 'hunter2', user: 'ü' })
      const reply = await ask(api, { path: secretPath(namespace, 'db'), token })
      t.is(reply.status, 200)
      t.is(reply.contentType, 'application/json')
      const secret = reply.json<SecretJson>()
      t.like(secret, { kind: 'Secret', apiVersion: 'v1', type: 'Opaque' })
      t.like(secret.metadata, { name: 'db', namespace, resourceVersion: version })
      t.regex(secret.metadata['creationTimestamp'] ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
      t.deepEqual(secret.data, { password: 'aHVudGVyMg==', user: 'w7w=' })
      t.false('immutable' in secret)
    },
  },
  {
    title: 'a Secret is read as protobuf, its values as bytes',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const version = await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const reply = await ask(api, { path: secretPath(namespace, 'db'), token, accept: PROTOBUF })
      t.is(reply.status, 200)
      t.is(reply.contentType, PROTOBUF)
      const { typeMeta, raw } = decodeUnknown(reply.body)
      t.deepEqual({ ...typeMeta }, { apiVersion: 'v1', kind: 'Secret' })
      const secret = decodeSecret(raw)
      t.like(secret.metadata, { name: 'db', namespace, resourceVersion: version })
      t.deepEqual(Object.keys(secret.data), ['password'])
      t.is(secret.data['password']?.toString(), 'hunter2')
      t.is(secret.type, 'Opaque')
      t.false(secret.immutable)
    },
  },
  {
    title: 'a Secret that never changes says so in both encodings',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' }, { immutable: true })
      const path = secretPath(namespace, 'db')
      t.true((await ask(api, { path, token })).json<SecretJson>().immutable)
      const { body } = await ask(api, { path, token, accept: PROTOBUF })
      t.true(decodeSecret(decodeUnknown(body).raw).immutable)
    },
  },
  {
    title: 'the first form of an Accept header that can be served is served',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const path = secretPath(namespace, 'db')
      const forms: readonly (readonly [string | undefined, string])[] = [
        [undefined, 'application/json'],
        ['*/*', 'application/json'],
        [`${PROTOBUF}, application/json`, PROTOBUF],
        [`text/html, application/json;q=0.9`, 'application/json'],
      ]
      for (const [accept, contentType] of forms) {
        const reply = await ask(api, { path, token, accept })
        t.deepEqual([reply.status, reply.contentType], [200, contentType])
      }
    },
  },
  {
    title: 'an update takes a new version, an equal one does not',
    async run(t, api) {
      const { namespace } = await createTenant(api)
      const first = await api.createSecret(namespace, 'db', { password: 'one' })
      t.is(await api.updateSecret(namespace, 'db', { password: 'one' }), first)
      const second = await api.updateSecret(namespace, 'db', { password: 'two' })
      t.true(Number(second) > Number(first))
    },
  },
  {
    title: 'metadata alone can be read, and a Table without the object',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const version = await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const path = secretPath(namespace, 'db')
      const partial = await ask(api, {
        path,
        token,
        accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
      })
      t.deepEqual(Object.keys(partial.json()).sort(), ['apiVersion', 'kind', 'metadata'])
      t.is(partial.json<SecretJson>().metadata['resourceVersion'], version)
      const table = await ask(api, {
        path: `${path}?includeObject=None`,
        token,
        accept: 'application/json;as=Table;g=meta.k8s.io;v=v1',
      })
      t.like(table.json(), {
        kind: 'Table',
        apiVersion: 'meta.k8s.io/v1',
        metadata: { resourceVersion: version },
      })
      const [row] = table.json<{ rows: { cells: unknown[]; object: unknown }[] }>().rows
      t.deepEqual(row?.cells.slice(0, 3), ['db', 'Opaque', 1])
      t.is(row?.object, null)
    },
  },
]

import type { ContractCase } from '../api-contract.ts'
import { ask, openWatch } from '../api-request.ts'
import type { WatchLine } from '../api-request.ts'
import { createTenant, deniedText, watchPath } from './tenant.ts'

const TABLE = 'application/json;as=Table;g=meta.k8s.io;v=v1'
const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'

export const WATCH_CASES: readonly ContractCase[] = [
  {
    title: 'a watch without a version begins with what is there, then tells every change',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const created = await api.createSecret(namespace, 'db', { password: 'one' })
      await api.createSecret(namespace, 'late', { password: 'other' })
      const watch = await openWatch(api, { path: watchPath(namespace, 'db'), token })
      t.deepEqual([watch.status, watch.contentType], [200, 'application/json'])
      await watch.arrive(1)
      const updated = await api.updateSecret(namespace, 'db', { password: 'two' })
      await api.updateSecret(namespace, 'late', { password: 'another' })
      await api.deleteSecret(namespace, 'db')
      await api.createSecret(namespace, 'db', { password: 'three' })
      const lines = await watch.arrive(4)
      watch.close()
      t.deepEqual(
        lines.map(({ type, object }) => [type, object.metadata.name, object.data?.['password']]),
        [
          ['ADDED', 'db', 'b25l'],
          ['MODIFIED', 'db', 'dHdv'],
          ['DELETED', 'db', 'dHdv'],
          ['ADDED', 'db', 'dGhyZWU='],
        ],
      )
      t.deepEqual(versionsOf(lines.slice(0, 2)), [created, updated])
      t.true(Number(versionsOf(lines)[2]) > Number(updated))
    },
  },
  {
    title: 'a watch from the version of a read tells what came after it, and nothing twice',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const read = await api.createSecret(namespace, 'db', { password: 'one' })
      const missed = await api.updateSecret(namespace, 'db', { password: 'two' })
      const path = watchPath(namespace, 'db', `&resourceVersion=${read}`)
      const watch = await openWatch(api, { path, token })
      await watch.arrive(1)
      await api.updateSecret(namespace, 'db', { password: 'two' })
      const last = await api.updateSecret(namespace, 'db', { password: 'three' })
      const lines = await watch.arrive(2)
      watch.close()
      t.deepEqual(
        lines.map(({ type }) => type),
        ['MODIFIED', 'MODIFIED'],
      )
      t.deepEqual(versionsOf(lines), [missed, last])
    },
  },
  {
    title: 'a Secret that is not there yet can be watched: it comes as ADDED',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const watch = await openWatch(api, { path: watchPath(namespace, 'late'), token })
      t.is(watch.status, 200)
      t.deepEqual(watch.lines(), [])
      await api.createSecret(namespace, 'late', { password: 'at last' })
      const [line] = await watch.arrive(1)
      watch.close()
      t.is(line?.type, 'ADDED')
    },
  },
  {
    title: 'a watch of metadata carries no values',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'one' })
      const path = watchPath(namespace, 'db')
      const watch = await openWatch(api, { path, token, accept: METADATA })
      t.is(watch.contentType, 'application/json')
      const version = await api.updateSecret(namespace, 'db', { password: 'two' })
      const lines = await watch.arrive(2)
      watch.close()
      for (const { object } of lines) {
        t.is(object.kind, 'PartialObjectMetadata')
        t.deepEqual(Object.keys(object).sort(), ['apiVersion', 'kind', 'metadata'])
      }
      t.is(versionsOf(lines)[1], version)
    },
  },
  {
    title: 'a watch of Tables without objects says name, type, number of keys and version',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'one' })
      const path = watchPath(namespace, 'db', '&includeObject=None')
      const watch = await openWatch(api, { path, token, accept: TABLE })
      const version = await api.updateSecret(namespace, 'db', { password: 'two', user: 'app' })
      await api.deleteSecret(namespace, 'db')
      const lines = await watch.arrive(3)
      watch.close()
      t.deepEqual(
        lines.map(({ type }) => type),
        ['ADDED', 'MODIFIED', 'DELETED'],
      )
      t.deepEqual(
        lines.map(({ object }) => object.rows?.[0]?.cells.slice(0, 3)),
        [
          ['db', 'Opaque', 1],
          ['db', 'Opaque', 2],
          ['db', 'Opaque', 2],
        ],
      )
      t.is(versionsOf(lines)[1], version)
      for (const { object } of lines) t.is(object.rows?.[0]?.object, null)
      const [first, ...later] = lines.map(({ object }) => object.columnDefinitions)
      t.deepEqual(
        first?.map(({ name }) => name),
        ['Name', 'Type', 'Data', 'Age'],
      )
      t.deepEqual(later, [null, null])
    },
  },
  {
    title: 'with bookmarks allowed, one marks where the objects of the beginning end',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'one' })
      for (const query of [
        '&allowWatchBookmarks=true',
        '&allowWatchBookmarks=true&resourceVersion=0',
        '&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan',
      ]) {
        const watch = await openWatch(api, { path: watchPath(namespace, 'db', query), token })
        const lines = await watch.arrive(2)
        watch.close()
        t.deepEqual(
          lines.map(({ type }) => type),
          ['ADDED', 'BOOKMARK'],
        )
        t.is(lines[1]?.object.metadata.annotations?.['k8s.io/initial-events-end'], 'true')
        t.true(Number(versionsOf(lines)[1]) >= Number(versionsOf(lines)[0]))
      }
    },
  },
  {
    title: 'initial events are asked for together with how old they may be',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const path = watchPath(namespace, 'db', '&sendInitialEvents=true')
      const reply = await ask(api, { path, token })
      t.is(reply.status, 422)
      t.like(reply.json(), { kind: 'Status', reason: 'Invalid', code: 422 })
    },
  },
  {
    title: 'a watch ends in good order when its time is up',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      await api.createSecret(namespace, 'db', { password: 'one' })
      const path = watchPath(namespace, 'db', '&timeoutSeconds=1')
      const watch = await openWatch(api, { path, token })
      t.true(await watch.ended)
      t.is(watch.lines().length, 1)
    },
  },
  {
    title: 'who may only get is told at once that it may not watch',
    async run(t, api) {
      const { namespace, token } = await createTenant(api, ['get'])
      const reply = await ask(api, { path: watchPath(namespace, 'db'), token })
      t.is(reply.status, 403)
      t.is(reply.json()['message'], deniedText(namespace, 'watch', 'db'))
    },
  },
  {
    title: 'a grant by name covers a watch only by the field selector of that name',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const path = `/api/v1/namespaces/${namespace}/secrets?watch=true`
      const all = await ask(api, { path, token })
      t.is(all.status, 403)
      t.is(all.json()['message'], deniedText(namespace, 'watch'))
      const other = await ask(api, { path: watchPath(namespace, 'other'), token })
      t.is(other.json()['message'], deniedText(namespace, 'watch', 'other'))
    },
  },
  {
    title: 'a version that is no number is answered with 500',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const path = watchPath(namespace, 'db', '&resourceVersion=abc')
      const reply = await ask(api, { path, token })
      t.is(reply.status, 500)
      t.like(reply.json(), {
        kind: 'Status',
        message:
          'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
        code: 500,
      })
    },
  },
  {
    title: 'a version that is too old is Gone: 410 in an ERROR event under 200, and the end',
    needs: 'forgetHistory',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const old = await api.createSecret(namespace, 'db', { password: 'one' })
      await api.updateSecret(namespace, 'db', { password: 'two' })
      await api.forgetHistory?.()
      for (const accept of [undefined, METADATA, TABLE]) {
        const path = watchPath(namespace, 'db', `&resourceVersion=${old}`)
        const watch = await openWatch(api, { path, token, accept })
        t.is(watch.status, 200)
        t.true(await watch.ended)
        const [line, ...more] = watch.lines()
        t.deepEqual(more, [])
        t.is(line?.type, 'ERROR')
        t.like(line?.object, { kind: 'Status', reason: 'Expired', code: 410 })
        t.regex(
          line?.object.message ?? '',
          new RegExp(`^too old resource version: ${old} \\(\\d+\\)$`),
        )
      }
    },
  },
]

function versionsOf(lines: readonly WatchLine[]): readonly (string | undefined)[] {
  return lines.map(({ object }) => object.metadata.resourceVersion)
}

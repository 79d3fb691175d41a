import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { ClusterObjects } from '../../src/minicluster/cluster-objects.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { bytesOf } from './memory-api.ts'

function createObjects(): ClusterObjects {
  return new ClusterObjects(new FakeClock())
}

const DB = { namespace: 'shop', name: 'db' }
const POD = { namespace: 'shop', name: 'api-0', node: 'node-1' }

const REFUSED: readonly (readonly [string, RegExp, (objects: ClusterObjects) => unknown])[] = [
  ['a namespace', /secret namespace/, (o) => o.createSecret({ ...DB, namespace: 'a/b', data: {} })],
  ['a name', /secret name/, (o) => o.createSecret({ ...DB, name: 'Db', data: {} })],
  ['a key', /data: "..\/x"/, (o) => o.createSecret({ ...DB, data: bytesOf({ '../x': '' }) })],
  [
    'data over 1 MiB',
    /more than 1048576 bytes/,
    (o) => o.createSecret({ ...DB, data: { big: Buffer.alloc(1_048_577) } }),
  ],
  [
    'a service account that is not there',
    /error looking up service account shop\/api/,
    (o) => o.createPod({ ...POD, serviceAccount: 'api' }),
  ],
  [
    'a volume whose name is no folder name',
    /volumes: "\.\."/,
    (o) => o.createPod({ ...POD, volumes: [{ name: '..', csi: { driver: 'd' } }] }),
  ],
  [
    'two volumes of one name',
    /there twice/,
    (o) => {
      const volume = { name: 'db', csi: { driver: 'd' } }
      return o.createPod({ ...POD, volumes: [volume, volume] })
    },
  ],
]

for (const [what, message, create] of REFUSED) {
  test(`refused, naming the field: ${what}`, (t) => {
    const error = t.throws(() => create(createObjects()), { instanceOf: LatchkeyError, message })
    t.is(error.reason, 'InvalidRequest')
  })
}

test('an object of that name can be made once, and again after it is gone', (t) => {
  const objects = createObjects()
  const first = objects.createSecret({ ...DB, data: {} })
  t.throws(() => objects.createSecret({ ...DB, data: {} }), { message: /already exists/ })
  objects.deleteSecret(DB)
  t.not(objects.createSecret({ ...DB, data: {} }).uid, first.uid)
  const pod = objects.createPod(POD)
  t.throws(() => objects.createPod(POD), { message: /already exists/ })
  objects.forceDelete(pod)
  t.not(objects.createPod(POD).uid, pod.uid)
})

test('an immutable Secret takes the same data only', (t) => {
  const objects = createObjects()
  objects.createSecret({ ...DB, data: bytesOf({ a: 'b' }), immutable: true })
  t.notThrows(() => objects.updateSecret({ ...DB, data: bytesOf({ a: 'b' }) }))
  t.throws(() => objects.updateSecret({ ...DB, data: bytesOf({ a: 'c' }) }), {
    message: /field is immutable when `immutable` is set/,
  })
})

test('what is not there can be neither updated nor deleted', (t) => {
  const objects = createObjects()
  t.throws(() => objects.updateSecret({ ...DB, data: {} }), { message: 'secrets "db" not found' })
  t.throws(
    () => {
      objects.deleteSecret(DB)
    },
    { message: 'secrets "db" not found' },
  )
})

test('values are copies: what the caller does with its buffer changes nothing', (t) => {
  const objects = createObjects()
  const password = Buffer.from('hunter2')
  objects.createSecret({ ...DB, data: { password } })
  password.fill(0)
  t.is(objects.secrets.get(DB)?.data.get('password')?.use(String), 'hunter2')
})

test('the oldest of more than a thousand writes are forgotten', (t) => {
  const objects = createObjects()
  const first = objects.createSecret({ ...DB, data: {} })
  for (let i = 0; i < 1001; i += 1) objects.updateSecret({ ...DB, data: bytesOf({ i: String(i) }) })
  t.is(objects.secrets.changesSince(first.resourceVersion), undefined)
  t.is(objects.secrets.changesSince(objects.secrets.oldestRevision)?.length, 1000)
})

test('revoking takes the named verbs, or all', (t) => {
  const objects = createObjects()
  const account = { namespace: 'shop', serviceAccount: 'api' }
  const user = {
    isAuthenticated: true,
    name: 'system:serviceaccount:shop:api',
    uid: 'u',
    groups: [],
    extra: {},
  }
  const allows = (verb: string): boolean =>
    objects.grants.allows(user, {
      kind: 'resource',
      verb,
      apiGroup: '',
      apiVersion: 'v1',
      namespace: 'shop',
      resource: 'secrets',
      subresource: '',
      name: 'db',
    })
  t.deepEqual([allows('get'), allows('watch')], [false, false])
  objects.grant({ ...account, verbs: ['get', 'watch'] })
  t.deepEqual([allows('get'), allows('watch'), allows('list')], [true, true, false])
  objects.revoke({ ...account, verbs: ['watch'] })
  t.deepEqual([allows('get'), allows('watch')], [true, false])
  objects.revoke(account)
  t.false(allows('get'))
})

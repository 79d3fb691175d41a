import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { latchkeyVolume, reader, secret } from './kube-objects.ts'
import { until } from '../cluster/until.ts'
import { database, DB, untilFile } from './latchkey.ts'
import { cluster, csiVolumePath, makePlace, mountsOf, nodeStory, story } from './support.ts'

const LIST = (folder: string): readonly string[] => [
  'bash',
  '-c',
  // Type, mode, owner and link of everything, the generation's random name made the same, then the bytes.
  `cd ${folder} && find . -mindepth 1 -printf '%P %y %m %U:%G %l\\n' | sed -E 's/\\.\\.20[0-9_]+\\.[0-9]+/GEN/g' | sort && sha256sum *`,
]

const BOTH = { ours: DB, theirs: { secret: { secretName: 'db' } } }

for (const [who, options] of [
  ['root', {}],
  ['a non-root user', { podSecurityContext: { runAsUser: 1000, runAsNonRoot: true } }],
  ['a non-root user with fsGroup', { podSecurityContext: { runAsUser: 1000, fsGroup: 2000 } }],
] as const) {
  story(`${who} sees the same files in our volume and in kubelet's`, async (t) => {
    const place = await makePlace(t)
    await place.apply(...database(place))
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: BOTH, ...options })
    await place.waitForPod('app')
    const [ours, theirs] = await Promise.all(
      ['ours', 'theirs'].map((name) => place.execText('app', LIST(`/volumes/${name}`))),
    )
    t.true((ours ?? '').includes('password'))
    t.is(ours, theirs)
  })
}

story('binary, empty, dotted and 1 MiB values arrive byte for byte', async (t) => {
  const place = await makePlace(t)
  const entries = {
    binary: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
    empty: '',
    '.dotted.key': 'dots',
  }
  // A Secret holds 1 MiB in all its keys together.
  const large = { large: Buffer.alloc(1024 * 1024 - 64, 'x') }
  await place.apply(
    secret('odd', entries),
    secret('large', large),
    ...reader('api', place.namespace, ['odd', 'large']),
  )
  const items =
    '[{ secret: odd, key: binary }, { secret: odd, key: empty }, { secret: odd, key: .dotted.key }, { secret: large }]'
  await place.applyConsumer('app', {
    serviceAccount: 'api',
    volumes: { all: latchkeyVolume({ items }) },
  })
  await place.waitForPod('app')
  for (const [name, value] of Object.entries({ ...entries, ...large })) {
    const seen = await place.exec('app', ['cat', `/volumes/all/${name}`])
    t.true(seen.equals(Buffer.from(value)), name)
  }
})

story('items choose keys, paths and modes, and leave out what is optional', async (t) => {
  const place = await makePlace(t)
  await place.apply(...database(place))
  const items = `
    - { secret: db, key: password, path: db/password, mode: "0400" }
    - { secret: db, key: nothing, path: nothing, optional: true }`
  await place.applyConsumer('app', {
    serviceAccount: 'api',
    volumes: { db: latchkeyVolume({ items }) },
  })
  await place.waitForPod('app')
  t.is(await place.execText('app', ['stat', '-Lc', '%a', '/volumes/db/db/password']), '400\n')
  t.is(await place.execText('app', ['ls', '/volumes/db']), 'db\n')
})

story('two pods of one service account and one of another each get only their own', async (t) => {
  const place = await makePlace(t)
  await place.apply(
    ...database(place),
    secret('mail', { password: 'mail-password' }),
    ...reader('mailer', place.namespace, ['mail']),
  )
  await place.applyConsumer('api-0', { serviceAccount: 'api', volumes: { db: DB } })
  await place.applyConsumer('api-1', { serviceAccount: 'api', volumes: { db: DB } })
  const mail = latchkeyVolume({ secret: 'mail' })
  await place.applyConsumer('mail-0', { serviceAccount: 'mailer', volumes: { mail } })
  await place.applyConsumer('thief', { serviceAccount: 'mailer', volumes: { db: DB } })
  for (const pod of ['api-0', 'api-1']) {
    await place.waitForPod(pod)
    t.is(await place.execText(pod, ['cat', '/volumes/db/password']), 'one')
  }
  await place.waitForPod('mail-0')
  t.is(await place.execText('mail-0', ['cat', '/volumes/mail/password']), 'mail-password')
  const event = await place.waitForEvent('thief', /AccessDenied/)
  t.regex(event.message, /secrets "db" is forbidden/)
})

story('a container without the volumeMount sees nothing of the volume', async (t) => {
  const place = await makePlace(t)
  await place.apply(...database(place))
  await place.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'app' },
    spec: {
      serviceAccountName: 'api',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      containers: ['with', 'without'].map((name) => ({
        name,
        image: cluster.consumerImage,
        imagePullPolicy: 'IfNotPresent',
        command: ['bash', '-c', 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done'],
        volumeMounts: name === 'with' ? [{ name: 'db', mountPath: '/db', readOnly: true }] : [],
      })),
      volumes: [{ name: 'db', ...DB }],
    },
  })
  await place.waitForPod('app')
  const countMounts = ['bash', '-c', 'grep -c latchkey:1: /proc/self/mountinfo || true']
  t.is(await place.execText('app', countMounts, 'with'), '1\n')
  t.is(await place.execText('app', countMounts, 'without'), '0\n')
})

nodeStory('the volume is a read-only tmpfs of its own, and gone with its pod', async (t, node) => {
  const place = await makePlace(t)
  await place.apply(...database(place))
  await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
  const pod = await place.waitForPod('app')
  const [mount, ...others] = mountsOf(node, pod).filter(({ source }) =>
    source.startsWith('latchkey'),
  )
  t.deepEqual(others, [])
  t.is(mount?.fileSystem, 'tmpfs')
  for (const option of ['ro', 'nosuid', 'nodev', 'noexec']) t.true(mount?.options.includes(option))
  t.is(readFileSync(join(csiVolumePath(node, pod, 'db'), 'password'), 'utf8'), 'one')
  await place.deletePod('app')
  t.deepEqual(
    mountsOf(node, pod).filter(({ source }) => source.startsWith('latchkey')),
    [],
  )
})

const EXAMPLES = join(import.meta.dirname, '../../../deploy/examples')

/** An example as shipped, but for its namespace and an image that the node has. */
function example(file: string, namespace: string): string {
  return readFileSync(join(EXAMPLES, file), 'utf8')
    .replaceAll('namespace: default', `namespace: ${namespace}`)
    .replace(/image: .*/, `image: ${cluster.consumerImage}\n      imagePullPolicy: IfNotPresent`)
}

story('the Python worker of the examples reads its username and password', async (t) => {
  const place = await makePlace(t)
  await place.applyYaml(example('python-worker.yaml', place.namespace))
  await place.waitForPod('python-worker')
  await until(
    async () => {
      const log = await place.kubectl('logs', 'python-worker', '--tail=1')
      return log === 'would sign in as worker with 9 characters\n' ? true : undefined
    },
    { what: 'the worker to say what it read', withinMs: 30_000 },
  )
  t.pass()
})

story('the example with items gets the file it asks for, and later the optional one', async (t) => {
  const place = await makePlace(t)
  await place.applyYaml(example('items.yaml', place.namespace))
  await place.waitForPod('shop')
  const folder = '/run/secrets/shop'
  t.is(await place.execText('shop', ['cat', `${folder}/db/password`]), 'change-me')
  t.is(await place.execText('shop', ['ls', folder]), 'db\n')
  await place.apply(secret('feature-flags', { 'flags.json': '{}' }))
  await untilFile(place, 'shop', `${folder}/flags.json`, '{}')
})

for (const overlay of ['outside-sources-only', 'kubernetes-1.34-or-older']) {
  story(`the overlay ${overlay} is taken by the API server`, async (t) => {
    const folder = join(import.meta.dirname, '../../../deploy/kustomize/overlays', overlay)
    const { stdout } = await cluster.kubectl([
      'apply',
      '-k',
      folder,
      '--dry-run=server',
      '-o',
      'name',
    ])
    t.regex(stdout.toString(), /csidriver\.storage\.k8s\.io\/csi\.latchkey\.dev/)
  })
}

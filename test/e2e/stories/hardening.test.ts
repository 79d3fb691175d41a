import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AUDIT_LOG } from '../cluster/control-plane.ts'
import { until } from '../cluster/until.ts'
import { consumerPod } from './kube-objects.ts'
import { database, DB, renewLatchkey, system } from './latchkey.ts'
import { cluster, makePlace, nodeStory, type Place } from './support.ts'

const PROJECT = join(import.meta.dirname, '../../..')
const POLICIES = ['own-account', 'own-token', 'host-paths', 'allowed-namespaces'] as const
const ACCOUNT = '--as=system:serviceaccount:latchkey-system:latchkey'
const NODE_CLAIM = 'authentication.kubernetes.io/node-name'

const fileOf = (name: string): string => join(PROJECT, 'deploy/hardening', `${name}.yaml`)

nodeStory('with every policy of the hardening guide applied, Latchkey does its work', async (t) => {
  const place = await makePlace(t)
  for (const name of POLICIES) {
    t.teardown(() => system.kubectl('delete', '--ignore-not-found', '-f', fileOf(name)))
    await system.kubectl('apply', '-f', fileOf(name))
  }
  // Its addresses are examples; this cluster's network would not enforce them anyway.
  await system.kubectl('apply', '--dry-run=server', '-f', fileOf('network-policy'))
  await untilRefused(t, place, hostPathPod('/var/lib/kubelet/pods'), /shows folders of Latchkey/)

  await place.apply(...database(place))
  const consumer = { serviceAccount: 'api', volumes: { db: DB } }
  const pod = consumerPod('app', cluster.consumerImage, consumer)
  await untilRefused(t, place, pod, /takes the label latchkey\.dev\/volumes=allowed/)
  await label(place, 'latchkey.dev/volumes=allowed')
  // kubelet asks for a token of Latchkey's account, and the new daemon reviews tokens with it.
  await renewLatchkey()
  await until(
    () =>
      place.applyConsumer('app', consumer).then(
        () => true,
        () => undefined,
      ),
    { what: 'the label to count', withinMs: 30_000 },
  )
  await place.waitForPod('app')
  t.is(await place.execText('app', ['cat', '/volumes/db/password']), 'one')
})

nodeStory(
  'pods of node agents cannot ask for the folders of Latchkey, however their paths are spelled',
  async (t) => {
    const place = await applied(t, 'host-paths')
    await untilRefused(t, place, hostPathPod('/var/lib/kubelet/pods'), /shows folders of Latchkey/)
    for (const path of [
      '/',
      '/var',
      '/var/lib/kubelet',
      '/var//lib/./kubelet/',
      '/var/lib/kubelet/plugins',
      '/var/lib/kubelet/plugins/csi.latchkey.dev',
      '/var/lib/kubelet/plugins_registry/x',
      '/var/lib/kubelet/pods/0/volumes',
      '/proc',
      '/proc/1/root/var/lib/kubelet/pods',
      '/var/run/',
    ]) {
      const { message } = await t.throwsAsync(
        tryToCreate(place, hostPathPod(path)),
        undefined,
        path,
      )
      t.regex(message, /shows folders of Latchkey/, path)
    }
    for (const path of ['/var/log', '/var/lib/kubelet-other', '/var/lib/kubelet/device-plugins']) {
      await t.notThrowsAsync(tryToCreate(place, hostPathPod(path)), path)
    }
    await label(place, 'latchkey.dev/host-paths=allowed')
    await until(
      () =>
        tryToCreate(place, hostPathPod('/var')).then(
          () => true,
          () => undefined,
        ),
      { what: 'the label to count', withinMs: 30_000 },
    )
  },
)

nodeStory('nobody but kubelet gets a token of Latchkey’s account', async (t) => {
  await applied(t, 'own-token')
  const lasting = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/service-account-token',
    metadata: {
      name: 'lasting',
      annotations: { 'kubernetes.io/service-account.name': 'latchkey' },
    },
  }
  await untilRefused(t, system, lasting, /no lasting token/)
  const { message } = await t.throwsAsync(system.kubectl('create', 'token', 'latchkey'))
  t.regex(message, /only kubelet asks for tokens/)
  const other = { ...lasting, type: 'Opaque', metadata: { name: 'other' } }
  await t.notThrowsAsync(tryToCreate(system, other))
})

nodeStory(
  'Latchkey’s account writes only with tokens of its pods, and only of their node',
  async (t) => {
    const place = await applied(t, 'own-account')
    const rights = join(PROJECT, 'deploy/kustomize/components/events/rbac.yaml')
    await system.kubectl('apply', '-f', rights)
    t.teardown(() => system.kubectl('delete', '--ignore-not-found', '-f', rights))
    const said = eventOf(place, cluster.nodeName)
    await untilRefused(t, place, said, /whose tokens name their node/, ACCOUNT)
    const here = `--as-user-extra=${NODE_CLAIM}=${cluster.nodeName}`
    await t.notThrowsAsync(tryToCreate(place, said, ACCOUNT, here))
    const elsewhere = await t.throwsAsync(
      tryToCreate(place, eventOf(place, 'another-node'), ACCOUNT, here),
    )
    t.regex(elsewhere.message, /of its own node/)
  },
)

nodeStory(
  'the audit log says which pod read which Secret, and neither value nor token',
  async (t, node) => {
    const place = await makePlace(t)
    await place.apply(...database(place, 'canary-of-the-audit'))
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
    const { metadata } = await place.waitForPod('app')
    const log = (): string => readFileSync(join(node.logFolder, AUDIT_LOG), 'utf8')
    const lines = (): string[] =>
      log()
        .split('\n')
        .filter((line) => line.includes(place.namespace))
    const isRead = (line: string): boolean =>
      line.includes('"verb":"get"') &&
      line.includes('"resource":"secrets"') &&
      line.includes(`"username":"system:serviceaccount:${place.namespace}:api"`) &&
      line.includes(`"authentication.kubernetes.io/pod-uid":["${metadata.uid}"]`)
    await until(() => Promise.resolve(lines().some(isRead) || undefined), {
      what: 'the read to be in the audit log',
      withinMs: 30_000,
    })
    t.false(log().includes('canary-of-the-audit'))
    t.false(log().includes(Buffer.from('canary-of-the-audit').toString('base64')))
    t.notRegex(log(), /eyJ[\w-]{20,}\.eyJ/)
  },
)

async function applied(
  t: Parameters<typeof makePlace>[0],
  name: (typeof POLICIES)[number],
): Promise<Place> {
  const place = await makePlace(t)
  t.teardown(() => system.kubectl('delete', '--ignore-not-found', '-f', fileOf(name)))
  await system.kubectl('apply', '-f', fileOf(name))
  return place
}

/** Asks the API server to create it, and to keep nothing. Rejects with what it says. */
async function tryToCreate(
  { namespace }: Place,
  object: object,
  ...as: readonly string[]
): Promise<void> {
  const input = JSON.stringify(object)
  // kubectl would look for schemas, and not everybody may.
  const how = ['--dry-run=server', '--validate=false', ...as]
  const args = ['-n', namespace, 'create', ...how, '-f', '-']
  await cluster.kubectl(args, { input, timeoutMs: 30_000 })
}

/** A policy counts some moments after it was made, and so does a right. */
async function untilRefused(
  t: Parameters<typeof makePlace>[0],
  place: Place,
  object: object,
  because: RegExp,
  ...as: readonly string[]
): Promise<void> {
  let said = 'nothing'
  const isRefused = async (): Promise<true | undefined> => {
    said = await tryToCreate(place, object, ...as).then(() => 'created', String)
    return because.test(said) ? true : undefined
  }
  await until(isRefused, { what: 'the policy to count', withinMs: 60_000 }).catch(() => undefined)
  t.regex(said, because)
}

async function label({ namespace }: Place, text: string): Promise<void> {
  await cluster.kubectl(['label', 'namespace', namespace, text])
}

function hostPathPod(path: string): object {
  const container = { name: 'app', image: 'none.invalid/none', volumeMounts: [] }
  const volumes = [{ name: 'node', hostPath: { path } }]
  const metadata = { name: 'agent' }
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [container], volumes } }
}

function eventOf({ namespace }: Place, node: string): object {
  const involvedObject = { apiVersion: 'v1', kind: 'Pod', namespace, name: 'app' }
  const metadata = { name: 'app.1', namespace }
  const said = { type: 'Normal', reason: 'SecretsFresh', message: 'fresh' }
  const by = { reportingComponent: 'latchkey', reportingInstance: node }
  return { apiVersion: 'v1', kind: 'Event', metadata, involvedObject, ...said, ...by }
}

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { ClusterNode } from '../cluster/cluster.ts'
import { database, DB, latchkeyPod } from './latchkey.ts'
import type { WalkOrder, WalkReport } from './rights-walk.ts'
import { cluster, containerOf, makePlace, nodeStory } from './support.ts'

const WALK = join(import.meta.dirname, 'rights-walk.ts')

/** What Latchkey is given. */
const OWN = ['create tokenreviews.authentication.k8s.io']
/** Kubernetes' role system:basic-user, of whoever shows a good token. */
const OF_EVERYBODY = [
  'create selfsubjectreviews.authentication.k8s.io',
  'create selfsubjectaccessreviews.authorization.k8s.io',
  'create selfsubjectrulesreviews.authorization.k8s.io',
]
/** Its role system:cluster-trust-bundle-discovery, of every service account: certificates of authorities, no secrets. */
const OF_EVERY_ACCOUNT = ['get', 'list', 'watch'].map(
  (verb) => `${verb} clustertrustbundles.certificates.k8s.io`,
)
const ALLOWED = [...OWN, ...OF_EVERYBODY, ...OF_EVERY_ACCOUNT].toSorted()
/** Its roles system:discovery, system:public-info-viewer and system:service-account-issuer-discovery. */
const PATHS_OF_EVERYBODY = [
  ...['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*'],
  ...['/healthz', '/livez', '/readyz', '/version', '/version/'],
  ...['/.well-known/openid-configuration', '/.well-known/openid-configuration/'],
  ...['/openid/v1/jwks', '/openid/v1/jwks/'],
]
/** Some that the API server has, whatever it tells of them. */
const FURTHER_PATHS = ['/', '/metrics', '/logs/', '/debug/pprof/', '/configz', '/statusz', '/flagz']

nodeStory('the daemon’s own token can do nothing but review tokens', async (t, node) => {
  const place = await makePlace(t)
  await place.apply(...database(place))
  await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
  await place.waitForPod('app')
  const report = await walkWith(node, place.namespace)
  t.log(`${report.asked} requests, ${report.resources.length} resources and subresources`)
  // Else discovery told of too little for this to show anything.
  t.true(report.resources.length > 100)
  for (const wanted of [
    'secrets v1',
    'pods/exec v1',
    'serviceaccounts/token v1',
    'nodes/proxy v1',
  ]) {
    t.true(report.resources.includes(wanted), wanted)
  }
  t.true(report.asked > 2_000)

  const allowed = Object.keys(report.allowed)
  const resources = allowed.filter((what) => !what.startsWith('get /'))
  t.deepEqual(resources.toSorted(), ALLOWED)
  const paths = allowed.filter((what) => what.startsWith('get /')).map((what) => what.slice(4))
  t.deepEqual(
    paths.filter((path) => !PATHS_OF_EVERYBODY.some((rule) => isCovered(path, rule))),
    [],
  )
  t.true(paths.includes('/version'))
  // A token that nobody knows would be refused everything, and that as 401.
  for (const [what, statuses] of Object.entries(report.allowed)) {
    t.false(statuses.includes(401), what)
  }
  for (const [namespace, rules] of Object.entries(report.rules)) {
    t.deepEqual(sumOf(rules as Rules), ALLOWED, namespace)
    const urls = (rules as Rules).nonResourceRules.flatMap(({ verbs, nonResourceURLs }) =>
      nonResourceURLs.map((url) => `${verbs.join()} ${url}`),
    )
    const wanted = PATHS_OF_EVERYBODY.map((url) => `get ${url}`)
    t.deepEqual([...new Set(urls)].toSorted(), wanted.toSorted(), namespace)
  }
})

/**
 * Run in the daemon's container, and so as its user: what can be read of process 1, and of a process that is like it
 * in all but that it has not been hardened.
 */
const READER = `
  const { closeSync, openSync, readFileSync, readSync } = require('node:fs')
  const { spawn } = require('node:child_process')
  const read = (pid) => Object.fromEntries(['mem', 'environ', 'maps'].map((file) => {
    try {
      if (file !== 'mem') return [file, readFileSync('/proc/' + pid + '/' + file).length > 0]
      const at = parseInt(readFileSync('/proc/' + pid + '/maps', 'utf8'), 16)
      const memory = openSync('/proc/' + pid + '/mem')
      const count = readSync(memory, Buffer.alloc(16), 0, 16, at)
      closeSync(memory)
      return [file, count === 16]
    } catch (error) {
      return [file, error.code]
    }
  }))
  const plain = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1e3)'])
  plain.stdout.once('data', () => {
    console.log(JSON.stringify({ uid: process.getuid(), daemon: read(1), plain: read(plain.pid) }))
    plain.kill()
  })`

nodeStory(
  'a process of the daemon’s own user, in its own container, cannot read its memory',
  async (t, node) => {
    const id = containerOf(await latchkeyPod(), 'daemon')?.containerID ?? ''
    const { stdout } = await node.execContainer(id, ['node', '-e', READER])
    const { uid, daemon, plain } = JSON.parse(stdout.toString()) as Record<string, unknown>
    t.is(uid, 65532)
    t.deepEqual(plain, { mem: true, environ: true, maps: true })
    t.deepEqual(daemon, { mem: 'EACCES', environ: 'EACCES', maps: 'EACCES' })
  },
)

interface Rules {
  readonly resourceRules: readonly {
    readonly verbs: readonly string[]
    readonly apiGroups: readonly string[]
    readonly resources: readonly string[]
  }[]
  readonly nonResourceRules: readonly {
    readonly verbs: readonly string[]
    readonly nonResourceURLs: readonly string[]
  }[]
}

/** As the walk names them. */
function sumOf({ resourceRules }: Rules): string[] {
  const all = resourceRules.flatMap(({ verbs, apiGroups, resources }) =>
    verbs.flatMap((verb) =>
      apiGroups.flatMap((group) => resources.map((resource) => `${verb} ${resource}.${group}`)),
    ),
  )
  return [...new Set(all)].toSorted()
}

/** As Kubernetes reads it: a star at the end stands for anything. */
function isCovered(path: string, rule: string): boolean {
  return rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : path === rule
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[]
}

/** With the token that lies in the daemon's container. */
async function walkWith(node: ClusterNode, namespace: string): Promise<WalkReport> {
  const { metadata } = await latchkeyPod()
  const volume = `pods/${metadata.uid}/volumes/kubernetes.io~projected/token/token`
  const config = await node.run(['cat', cluster.kubeconfig])
  const { clusters } = JSON.parse(config.stdout.toString()) as Kubeconfig
  const { server = '', 'certificate-authority-data': authority = '' } = clusters[0]?.cluster ?? {}
  const root = (await cluster.kubectl(['get', '--raw', '/'])).stdout.toString()
  const { paths } = JSON.parse(root) as { readonly paths: readonly string[] }
  const order: WalkOrder = {
    server,
    authorityPem: Buffer.from(authority, 'base64').toString(),
    token: readFileSync(join(node.kubeletRoot, volume), 'utf8').trim(),
    namespaces: ['kube-system', 'default', 'latchkey-system', namespace],
    names: {
      secrets: ['db'],
      pods: ['app', metadata.name],
      serviceaccounts: ['latchkey', 'api', 'default'],
      configmaps: ['latchkey-config', 'kube-root-ca.crt'],
      nodes: [cluster.nodeName],
      namespaces: ['kube-system', 'latchkey-system', namespace],
      daemonsets: ['latchkey'],
      clusterroles: ['cluster-admin', 'latchkey-daemon'],
      clusterrolebindings: ['latchkey-daemon'],
    },
    paths: [...new Set([...paths, ...FURTHER_PATHS])],
  }
  const options = { input: JSON.stringify(order), timeoutMs: 180_000 }
  const { stdout } = await node.run([process.execPath, WALK], options)
  return JSON.parse(stdout.toString()) as WalkReport
}

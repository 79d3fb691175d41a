import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import type { ClusterNode } from '../../e2e/cluster/cluster.ts'
import { buildLatchkeyImages } from '../../e2e/cluster/images.ts'
import { up, type Rig } from '../../e2e/cluster/rig.ts'
import { RUN_FOLDER } from '../../e2e/cluster/run-folder.ts'
import type { Service } from '../../e2e/cluster/service.ts'
import { until } from '../../e2e/cluster/until.ts'
import { prepareDeployment } from '../../e2e/deployment.ts'
import { ApiClient } from '../node/api-client.ts'
import { measureRow, type Outcome, type Row } from '../row.ts'

const PROJECT = join(import.meta.dirname, '..', '..', '..')
/** kubelet's own default, which the lane of the stories shortens. */
const SYNC_FREQUENCY = '1m'

/** What rows on a real node work with: the cluster of `npm run e2e`, with Latchkey as it is shipped. */
export interface ClusterWorld {
  readonly api: ApiClient
  readonly node: ClusterNode
  /** For the pods of a row. */
  readonly consumerImage: string
  /** A number of rounds or pods: the first, or the second for --quick. */
  scale(full: number, quick: number): number
  /** Makes the namespace, and waits until pods can be made in it. */
  makeNamespace(name: string): Promise<void>
}

interface ClusterOrder {
  readonly isQuick: boolean
  readonly say: (line: string) => void
}

type Done = (answer: { readonly row: string; readonly outcome: Outcome }) => void

/** Brings the cluster up, measures the rows on it and takes it down. */
export async function measureCluster(
  rows: readonly Row<ClusterWorld>[],
  { isQuick, say }: ClusterOrder,
  done: Done,
): Promise<void> {
  execFileSync(process.execPath, ['build.ts'], { cwd: PROJECT, stdio: 'ignore' })
  const interruption = interrupted()
  const rig = await up({ report: say, signal: interruption, syncFrequency: SYNC_FREQUENCY })
  try {
    await deploy(rig)
    const { api, close } = await openProxy(rig)
    const world = openWorld(rig, api, isQuick)
    for (const row of rows) {
      say(row.name)
      done({ row: row.name, outcome: await measureRow(row, world) })
    }
    await close()
  } finally {
    await rig.down()
  }
}

async function deploy({ cluster, baseArchive }: Rig): Promise<void> {
  const { current, next } = await buildLatchkeyImages(baseArchive, RUN_FOLDER)
  await cluster.node?.importImage(current)
  for (const archive of [current, next]) rmSync(archive)
  // Without the node: its Vault is no matter here, and the manifests stay as they are shipped.
  const manifests = join(RUN_FOLDER, 'manifests')
  const deployment = prepareDeployment({ ...cluster, node: undefined }, manifests)
  await deployment.apply()
  await deployment.waitForRollout()
}

/** The API server through `kubectl proxy`: a socket's name crosses network namespaces, a port does not. */
async function openProxy(
  rig: Rig,
): Promise<{ readonly api: ApiClient; readonly close: () => Promise<void> }> {
  const folder = mkdtempSync('/tmp/lkb-')
  const socketPath = join(folder, 'api.sock')
  const words = ['proxy', `--unix-socket=${socketPath}`, '--disable-filter=true']
  const node = nodeOf(rig)
  const proxy: Service = node.service('bench-proxy', [...node.kubectl, ...words])
  proxy.start()
  const api = new ApiClient({ url: 'http://localhost', socketPath, connections: 64 })
  await until(() => api.get('/readyz').then(() => true), {
    what: 'kubectl proxy to listen',
    withinMs: 10_000,
  })
  const close = async (): Promise<void> => {
    await api.close()
    await proxy.kill()
    rmSync(folder, { recursive: true, force: true })
  }
  return { api, close }
}

function openWorld(rig: Rig, api: ApiClient, isQuick: boolean): ClusterWorld {
  return {
    api,
    node: nodeOf(rig),
    consumerImage: rig.cluster.consumerImage,
    scale: (full, quick) => (isQuick ? quick : full),
    async makeNamespace(name) {
      await api.post('/api/v1/namespaces', { metadata: { name } })
      for (const object of ['serviceaccounts/default', 'configmaps/kube-root-ca.crt']) {
        await until(() => api.get(`/api/v1/namespaces/${name}/${object}`), {
          what: `${object} in the new namespace`,
          withinMs: 30_000,
        })
      }
    },
  }
}

function nodeOf({ cluster }: Rig): ClusterNode {
  const { node } = cluster
  if (node === undefined) throw new Error('the cluster has no node of ours')
  return node
}

/** So that Ctrl-C takes the node down instead of leaving it half made. */
function interrupted(): AbortSignal {
  const interruption = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      interruption.abort(new Error(`interrupted by ${name}`))
    })
  }
  return interruption.signal
}

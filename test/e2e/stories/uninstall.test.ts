import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import { prepareDeployment } from '../deployment.ts'
import { commandsOf, PROJECT, type as typeThere } from '../guide.ts'
import { database, DB, latchkeyMounts, setPassword, untilFile } from './latchkey.ts'
import { cluster, makePlace, nodeStory } from './support.ts'

/** Far longer than a pod takes to end where the driver is there. */
const STUCK_MS = 15_000

/** Runs a line of the guide in the project's folder, with the image that the node has. */
function type(node: ClusterNode, line: string, manifests: string): Promise<string> {
  const printed = line.replace('my-latchkey', manifests)
  return typeThere(node, printed, PROJECT, { kubectl: node.kubectl })
}

nodeStory(
  'the uninstall guide, typed as printed: first in the wrong order and back, then in the right one',
  async (t, node) => {
    const manifests = mkdtempSync(join(tmpdir(), 'lk-uninstall-'))
    const deployment = prepareDeployment(cluster, manifests)
    t.teardown(async () => {
      await deployment.apply()
      await deployment.waitForRollout()
      rmSync(manifests, { recursive: true, force: true })
    })
    const place = await makePlace(t)
    await place.apply(...database(place))
    for (const name of ['ends', 'stays']) {
      await place.applyConsumer(name, { serviceAccount: 'api', volumes: { db: DB } })
    }
    for (const name of ['ends', 'stays']) await place.waitForPod(name)

    const [listPods = '', listVolumes = '', remove = ''] = commandsOf(
      'docs/uninstall.md',
      'In this order',
    )
    const again = commandsOf('docs/uninstall.md', 'In the wrong order')
    t.is(again.length, 2)

    await type(node, remove, manifests)
    await place.kubectl('delete', 'pod', 'ends', '--wait=false')
    await sleep(STUCK_MS)
    t.not((await place.findPod('ends'))?.metadata.deletionTimestamp, undefined, 'it cannot end')
    t.is(await place.execText('stays', ['cat', '/volumes/db/password']), 'one')
    t.is(latchkeyMounts(node).length, 2)

    for (const line of again) await type(node, line, manifests)
    const backMs = performance.now()
    await place.waitForNoPod('ends', 150_000)
    t.log(`the pod that could not end was gone ${Math.round(performance.now() - backMs)} ms later`)
    await setPassword(place, 'two')
    await untilFile(place, 'stays', '/volumes/db/password', 'two')

    t.is(await type(node, listPods, manifests), `${place.namespace}/stays\n`)
    t.regex(await type(node, listVolumes, manifests), new RegExp(`${place.namespace}.*stays`))
    await place.deletePod('stays')
    t.is(await type(node, listPods, manifests), '')
    await until(
      async () => {
        const text = await type(node, listVolumes, manifests)
        return text === 'No volumes on this node.\n' ? true : undefined
      },
      { what: 'the node to hold no volume', withinMs: 30_000 },
    )
    await type(node, remove, manifests)
    t.deepEqual(latchkeyMounts(node), [])
    const plugin = join(node.kubeletRoot, 'plugins/csi.latchkey.dev')
    t.deepEqual(
      [existsSync(join(plugin, 'csi.sock')), existsSync(join(node.kubeletRoot, REGISTRATION))],
      [false, false],
    )
    const { stdout } = await cluster.kubectl(['get', 'csinode', cluster.nodeName, '-o', 'yaml'])
    t.notRegex(stdout.toString(), /csi\.latchkey\.dev/)
  },
)

const REGISTRATION = 'plugins_registry/csi.latchkey.dev-reg.sock'

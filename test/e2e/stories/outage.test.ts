import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { waitForApiServer } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import type { KubeObject } from './kube-objects.ts'
import { consumerPod } from './kube-objects.ts'
import { database, DB, latchkeyPod, setPassword, untilFile } from './latchkey.ts'
import { cluster, containerOf, csiVolumePath, makePlace, mountsOf, nodeStory } from './support.ts'

const OUTAGE_MS = 100_000
/** Long enough to be still there when the API server goes, short enough to end before it is back. */
const LAST_WORDS_S = 20

/** A pod that takes a while to end. kubelet hears of no deletion while the API server is away. */
function slowToEnd(name: string): KubeObject {
  const lifecycle = { preStop: { exec: { command: ['sleep', String(LAST_WORDS_S)] } } }
  const pod = consumerPod(name, cluster.consumerImage, {
    serviceAccount: 'api',
    volumes: { db: DB },
    container: { lifecycle },
  })
  const spec = { ...(pod['spec'] as object), terminationGracePeriodSeconds: LAST_WORDS_S + 20 }
  return { ...pod, spec }
}

nodeStory(
  'the API server is away for two minutes: pods read on, one ends, one waits, all are fresh after',
  async (t, node) => {
    const place = await makePlace(t)
    await place.apply(...database(place))
    await place.applyConsumer('steady', { serviceAccount: 'api', volumes: { db: DB } })
    await place.apply(slowToEnd('ending'))
    const steady = await place.waitForPod('steady')
    const ending = await place.waitForPod('ending')
    const file = join(csiVolumePath(node, steady, 'db'), 'password')

    // kubelet hears of no new pod either, so this one's volume is held up until the outage begins.
    const daemon = containerOf(await latchkeyPod(), 'daemon')?.containerID ?? ''
    await node.killContainer(daemon, 'SIGSTOP')
    await place.applyConsumer('late', { serviceAccount: 'api', volumes: { db: DB } })
    const late = await place.waitForPodThat('kubelet to know it', 'late', () => true)
    const record = join(dirname(csiVolumePath(node, late, 'db')), 'vol_data.json')
    await until(() => (existsSync(record) ? true : undefined), {
      what: 'kubelet to begin with its volume',
      withinMs: 30_000,
    })
    // The tokens come next, and kubelet has to ask the API server for them.
    await sleep(2_000)
    await place.kubectl('delete', 'pod', 'ending', '--wait=false')
    // It is told once kubelet has seen the deletion.
    await place.waitForEvent('ending', /Stopping container/)

    await node.apiServer.kill()
    const goneMs = performance.now()
    t.teardown(() => {
      if (!node.apiServer.isRunning()) node.apiServer.start()
    })
    await node.killContainer(daemon, 'SIGCONT')
    let reads = 0
    let unmountedMs: number | undefined
    while (performance.now() - goneMs < OUTAGE_MS) {
      if (readFileSync(file, 'utf8') === 'one') reads += 1
      else t.fail('the file of a running pod changed')
      if (mountsOf(node, ending).every(({ source }) => !source.startsWith('latchkey'))) {
        unmountedMs ??= performance.now() - goneMs
      }
      t.deepEqual(
        mountsOf(node, late).filter(({ source }) => source.startsWith('latchkey')),
        [],
      )
      await sleep(50)
    }
    t.true(reads > 100)
    t.not(unmountedMs, undefined, 'a pod that ended was unmounted without the API server')

    node.apiServer.start()
    await waitForApiServer(cluster)
    const backMs = performance.now()
    await place.waitForPod('late', 150_000)
    const startedMs = performance.now()
    t.is(await place.execText('late', ['cat', '/volumes/db/password']), 'one')
    const event = await place.waitForEvent('late', /KubeUnavailable/)
    await setPassword(place, 'two')
    for (const pod of ['steady', 'late']) await untilFile(place, pod, '/volumes/db/password', 'two')
    const now = await place.findPod('steady')
    t.is(containerOf(now, 'app')?.containerID, containerOf(steady, 'app')?.containerID)
    await place.waitForNoPod('ending')
    const after = (ms: number): string => `${((ms - backMs) / 1000).toFixed(1)}s`
    t.log(`the waiting pod's event: ${event.message}`)
    t.log(
      `outage of ${OUTAGE_MS / 1000}s: a pod unmounted ${Math.round(unmountedMs ?? 0)}ms into it; ` +
        `the waiting pod ran ${after(startedMs)} after it, all files fresh ${after(performance.now())} after it`,
    )
  },
)

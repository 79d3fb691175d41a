import { until } from '../cluster/until.ts'
import type { Pod } from './kube-objects.ts'
import { database, DB, latchkeyPod, setPassword, untilFile, untilMetric } from './latchkey.ts'
import { containerOf, makePlace, mountsOf, nodeStory, type Place } from './support.ts'
import type { ExecutionContext } from 'ava'

async function livePod(t: ExecutionContext): Promise<{ place: Place; pod: Pod }> {
  const place = await makePlace(t)
  await place.apply(...database(place))
  await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
  return { place, pod: await place.waitForPod('app') }
}

/** The pod was neither restarted nor remounted, reads what it read, and sees the next change. */
async function assertUnharmed(t: ExecutionContext, place: Place, pod: Pod): Promise<void> {
  // A kubelet that has just been started does not know its pods yet, and `exec` goes through it.
  await until(() => place.execText('app', ['true']), { what: 'exec to work', withinMs: 60_000 })
  t.is(await place.execText('app', ['cat', '/volumes/db/password']), 'one')
  await setPassword(place, 'two')
  await untilFile(place, 'app', '/volumes/db/password', 'two')
  const now = await place.findPod('app')
  t.is(now?.metadata.uid, pod.metadata.uid)
  t.is(containerOf(now, 'app')?.restartCount, 0)
}

nodeStory('kubelet is restarted under a live pod: files stay, refresh goes on', async (t, node) => {
  const { place, pod } = await livePod(t)
  await node.kubelet.kill()
  node.kubelet.start()
  await untilMetric('latchkey_host_registered', (value) => value === 1)
  await assertUnharmed(t, place, pod)
})

nodeStory(
  'a pod that is deleted while the daemon is down ends, and its tmpfs is gone',
  async (t, node) => {
    const { place, pod } = await livePod(t)
    const id = containerOf(await latchkeyPod(), 'daemon')?.containerID ?? ''
    await node.killContainer(id, 'SIGSTOP')
    try {
      await place.deletePod('app')
      t.deepEqual(
        mountsOf(node, pod).filter(({ source }) => source.startsWith('latchkey')),
        [],
      )
    } finally {
      await node.killContainer(id, 'SIGCONT')
    }
  },
)

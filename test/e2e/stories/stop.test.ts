import { database, DB, latchkeyPod, setPassword } from './latchkey.ts'
import { system, untilFile, untilMetric, unworn } from './latchkey.ts'
import { latchkeyVolume, reader } from './kube-objects.ts'
import { containerOf, makePlace, mountsOf, nodeStory } from './support.ts'

/** terminationGracePeriodSeconds of the DaemonSet: after it kubelet kills. */
const GRACE_MS = 30_000

nodeStory(
  'SIGTERM: each side ends with code 0 in time, also with a publish under way, and keeps mounts',
  async (t, node) => {
    await unworn('host', 'daemon')
    const place = await makePlace(t)
    await place.apply(...database(place), ...reader('early', place.namespace, ['late']))
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
    const late = latchkeyVolume({ secret: 'late' })
    await place.applyConsumer('waiting', { serviceAccount: 'early', volumes: { late } })
    const pod = await place.waitForPod('app')
    const mounted = mountsOf(node, pod)
    await place.waitForEvent('waiting', /SecretNotFound/)
    await untilMetric('latchkey_host_volumes{state="pending"}', (count) => count === 1)
    for (const name of ['host', 'daemon'] as const) {
      const before = await latchkeyPod()
      const toldMs = Date.now()
      await node.killContainer(containerOf(before, name)?.containerID ?? '', 'SIGTERM')
      const after = await system.waitForPodThat(
        `${name} to be back`,
        before.metadata.name,
        (now) => {
          const status = containerOf(now, name)
          return status !== undefined && status.restartCount > 0 && status.ready
        },
      )
      const ended = containerOf(after, name)?.lastState?.terminated
      t.is(ended?.exitCode, 0)
      // Written down to the second.
      const tookMs = Date.parse(ended?.finishedAt ?? '') + 1_000 - toldMs
      t.true(tookMs < GRACE_MS)
      t.log(`SIGTERM: ${name} ended with ${String(ended?.exitCode)} within ${tookMs} ms`)
      t.deepEqual(mountsOf(node, pod), mounted)
      await setPassword(place, `after ${name}`)
      await untilFile(place, 'app', '/volumes/db/password', `after ${name}`)
    }
  },
)

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { until } from '../cluster/until.ts'
import type { ClusterNode } from '../cluster/cluster.ts'
import { openApiProxy, type ApiProxy } from './api-proxy.ts'
import { figures } from './figures.ts'
import { latchkeyVolume, reader, secret, type Pod } from './kube-objects.ts'
import { csiVolumePath, makePlace, nodeStory, type Place } from './support.ts'

const NAMES = ['one', 'two', 'three', 'four', 'five'] as const
const CHANGES_EACH = 40
/** A volume takes a new generation every half second at most; closer changes would measure that. */
const PAUSE_MS = 600

/** What the item of the story asks for. */
const INTERVAL_MS = 5_000
const LOOKS = 5
const SLACK_MS = 2_000

interface Change {
  readonly node: ClusterNode
  readonly api: ApiProxy
  readonly place: Place
  readonly pod: Pod
  /** Of the Secret and of the volume. */
  readonly name: string
  readonly value: string
}

/** Changes a Secret and waits until the file has it; answers how long that took. */
async function changeValue({ node, api, place, pod, name, value }: Change): Promise<number> {
  const file = join(csiVolumePath(node, pod, name), 'value')
  const data = { value: Buffer.from(value).toString('base64') }
  const begunMs = performance.now()
  await api.patch(`/api/v1/namespaces/${place.namespace}/secrets/${name}`, { data })
  await until(() => (readFileSync(file, 'utf8') === value ? true : undefined), {
    what: `change ${value} to reach its file`,
    withinMs: 60_000,
    everyMs: 2,
  })
  return performance.now() - begunMs
}

nodeStory(
  '200 changes of watched Secrets: each reaches its file, and how soon is printed',
  async (t, node) => {
    const place = await makePlace(t)
    await place.apply(
      ...NAMES.map((name) => secret(name, { value: 'before' })),
      ...reader('api', place.namespace, NAMES),
    )
    await place.applyConsumer('app', {
      serviceAccount: 'api',
      volumes: Object.fromEntries(
        NAMES.map((name) => [name, latchkeyVolume({ secret: name })] as const),
      ),
    })
    const pod = await place.waitForPod('app')
    const api = await openApiProxy(t, node)
    const change = (name: string, value: string): Promise<number> =>
      changeValue({ node, api, place, pod, name, value })
    const delays = await Promise.all(
      NAMES.map(async (name, index) => {
        // A watch has to be there first: until it is, changes are noticed by its start.
        await sleep(2_000 + (index * PAUSE_MS) / NAMES.length)
        const own: number[] = []
        for (let n = 1; n <= CHANGES_EACH; n += 1) {
          own.push(await change(name, `${name} ${n}`))
          await sleep(PAUSE_MS)
        }
        return own
      }),
    )
    const all = delays.flat()
    t.is(all.length, 200)
    t.log(`freshness: changes=${all.length} ${figures(all)}, from before the patch is sent`)
  },
)

nodeStory(
  'a pod that may only get its Secret sees each change within the interval of its item',
  async (t, node) => {
    const place = await makePlace(t)
    await place.apply(
      secret('slow', { value: 'before' }),
      ...reader('api', place.namespace, ['slow'], ['get']),
    )
    const slow = latchkeyVolume({ items: `[{ secret: slow, refresh: ${INTERVAL_MS / 1000}s }]` })
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: { slow } })
    const pod = await place.waitForPod('app')
    const api = await openApiProxy(t, node)
    const delays: number[] = []
    for (let n = 1; n <= LOOKS; n += 1) {
      delays.push(await changeValue({ node, api, place, pod, name: 'slow', value: `value ${n}` }))
    }
    // A tenth is the jitter; the rest is what a busy machine may take for a look.
    t.true(Math.max(...delays) <= INTERVAL_MS * 1.1 + SLACK_MS)
    t.log(`freshness without watch: interval=${INTERVAL_MS}ms changes=${LOOKS} ${figures(delays)}`)
  },
)

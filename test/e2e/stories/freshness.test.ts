import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { until } from '../cluster/until.ts'
import { openApiProxy } from './api-proxy.ts'
import { figures } from './figures.ts'
import { latchkeyVolume, reader, secret } from './kube-objects.ts'
import { csiVolumePath, makePlace, nodeStory } from './support.ts'

const NAMES = ['one', 'two', 'three', 'four', 'five'] as const
const CHANGES_EACH = 40
/** A volume takes a new generation every half second at most; closer changes would measure that. */
const PAUSE_MS = 600

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
    const change = async (name: string, value: string): Promise<number> => {
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

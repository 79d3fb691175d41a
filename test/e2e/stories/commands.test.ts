import { database, DB, renewLatchkey, system } from './latchkey.ts'
import { makePlace, story } from './support.ts'

const ON_A_NODE = ['exec', 'daemonset/latchkey', '-c', 'host', '--', 'latchkey'] as const

/** As the reference prints it. */
function latchkey(...words: readonly string[]): Promise<string> {
  return system.kubectl(...ON_A_NODE, ...words)
}

story('latchkey list, by kubectl exec: the pod, its volume and that it is fresh', async (t) => {
  const place = await makePlace(t)
  await place.apply(...database(place))
  await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
  const pod = await place.waitForPod('app')
  const text = await latchkey('list', '--namespace', place.namespace)
  t.regex(text, new RegExp(`${place.namespace}/app .*db .*fresh`))
  const json = await latchkey('list', '--namespace', place.namespace, '--output', 'json')
  const { volumes } = JSON.parse(json) as { volumes: readonly Record<string, unknown>[] }
  t.is(volumes.length, 1)
  t.like(volumes[0], {
    namespace: place.namespace,
    pod: 'app',
    uid: pod.metadata.uid,
    serviceAccount: 'api',
    volume: 'db',
    state: 'fresh',
    generation: 1,
    watched: true,
  })
  t.log(text.trim())
})

story('latchkey refresh, by kubectl exec: a Secret that only it would have noticed', async (t) => {
  const place = await makePlace(t)
  await place.apply(...database(place, 'one', ['get']))
  await place.applyConsumer('app', {
    serviceAccount: 'api',
    volumes: { db: { csi: { ...CSI, volumeAttributes: { secret: 'db', refresh: '24h' } } } },
  })
  await place.waitForPod('app')
  const refresh = (): Promise<string> => latchkey('refresh', '--pod', `${place.namespace}/app`)
  t.regex(await refresh(), /unchanged/)
  const data = { password: Buffer.from('two').toString('base64') }
  await place.kubectl('patch', 'secret', 'db', '-p', JSON.stringify({ data }))
  t.is(await place.execText('app', ['cat', '/volumes/db/password']), 'one')
  t.regex(await refresh(), /refreshed/)
  t.is(await place.execText('app', ['cat', '/volumes/db/password']), 'two')
})

const CSI = { driver: 'csi.latchkey.dev', readOnly: true } as const

interface Checkup {
  readonly checks: readonly { readonly check: string; readonly grade: string; fix: string | null }[]
}

story('latchkey doctor, by kubectl exec: all is well with a node as it should be', async (t) => {
  // It also tells what was refused since the start, and stories before have asked for that.
  await renewLatchkey()
  // Which tokens pods bring can only be told once one has.
  const place = await makePlace(t)
  await place.apply(...database(place))
  await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
  await place.waitForPod('app')
  const { checks } = JSON.parse(await latchkey('doctor', '--output', 'json')) as Checkup
  t.true(checks.length >= 9)
  t.deepEqual(
    checks.filter(({ grade }) => grade !== 'ok'),
    [],
  )
  t.log((await latchkey('doctor')).trim())
})

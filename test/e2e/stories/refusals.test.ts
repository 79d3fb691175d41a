import { latchkeyVolume, reader, secret } from './kube-objects.ts'
import { database, DB, untilMetric } from './latchkey.ts'
import { makePlace, story, type Place } from './support.ts'

/** Runs what an event told the user to run, word by word. */
async function obey(place: Place, message: string): Promise<string[]> {
  const lines = message.split('\n').filter((line) => line.startsWith('kubectl '))
  for (const line of lines) {
    const [, , namespace, ...words] = line.split(' ')
    if (namespace !== place.namespace) throw new Error(`not the pod's namespace: ${line}`)
    await place.kubectl(...words)
  }
  return lines
}

story(
  'a missing Secret is named in the events, and to create it is all there is to do',
  async (t) => {
    const place = await makePlace(t)
    await place.apply(...reader('api', place.namespace, ['db']))
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
    const event = await place.waitForEvent('app', /SecretNotFound/)
    t.regex(event.message, /"db"/)
    t.regex(event.message, /create it/)
    // A later try is under way and being held by the daemon.
    await untilMetric('latchkey_host_volumes{state="pending"}', (count) => count >= 1)
    const failuresBefore = await countFailures(place)
    await place.apply(secret('db', { password: 'late' }))
    await place.waitForPod('app')
    t.is(await place.execText('app', ['cat', '/volumes/db/password']), 'late')
    t.is(await countFailures(place), failuresBefore, 'the held try itself succeeded')
  },
)

async function countFailures(place: Place): Promise<number> {
  const events = await place.events('app')
  return events
    .filter(({ message }) => message.includes('SecretNotFound'))
    .reduce((sum, { count = 1 }) => sum + count, 0)
}

story(
  'a Secret that the pod may not read: the event has the two lines that allow it',
  async (t) => {
    const place = await makePlace(t)
    await place.apply(secret('db', { password: 'one' }), {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'api' },
    })
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
    const { message } = await place.waitForEvent('app', /AccessDenied/)
    t.regex(message, /secrets "db" is forbidden: User "system:serviceaccount:.*:api" cannot get/)
    t.is((await obey(place, message)).length, 2)
    await place.waitForPod('app', 150_000)
    t.is(await place.execText('app', ['cat', '/volumes/db/password']), 'one')
  },
)

for (const [what, volume, expected] of [
  [
    'readOnly forgotten',
    { csi: { driver: 'csi.latchkey.dev', volumeAttributes: { secret: 'db' } } },
    /InvalidRequest: spec\.volumes\[\]\.csi\.readOnly must be true/,
  ],
  [
    'an unknown attribute',
    latchkeyVolume({ sceret: 'db' }),
    /InvalidRequest: volumeAttributes: .*"sceret", did you mean "secret"/,
  ],
  [
    'both secret and items',
    latchkeyVolume({ secret: 'db', items: '[{ secret: db }]' }),
    /InvalidRequest: volumeAttributes: has both secret and items/,
  ],
  [
    'a path with ..',
    latchkeyVolume({ items: '[{ secret: db, key: password, path: ../password }]' }),
    /InvalidRequest: volumeAttributes\.items\[0\]\.path: .*"\.\."/,
  ],
  [
    'a nodePublishSecretRef',
    {
      csi: {
        driver: 'csi.latchkey.dev',
        readOnly: true,
        nodePublishSecretRef: { name: 'db' },
        volumeAttributes: { secret: 'db' },
      },
    },
    /InvalidRequest: spec\.volumes\[\]\.csi\.nodePublishSecretRef is not supported/,
  ],
] as const) {
  story(`${what}: the pod's event names the field`, async (t) => {
    const place = await makePlace(t)
    await place.apply(...database(place))
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: volume } })
    const event = await place.waitForEvent('app', /FailedMount|MountVolume\.SetUp failed/)
    t.regex(event.message, expected)
  })
}

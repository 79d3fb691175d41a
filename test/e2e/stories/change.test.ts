import { database, DB, setPassword, untilFile } from './latchkey.ts'
import { makePlace, story } from './support.ts'

const READ_FOREVER = `
import collections, os, time
seen = collections.Counter()
while True:
    with open("/volumes/db/password") as file:
        text = file.read()
    seen[f"{len(text)}{''.join(sorted(set(text)))}"] += 1
    with open("/tmp/seen.new", "w") as log:
        log.write(" ".join(sorted(seen)))
    os.replace("/tmp/seen.new", "/tmp/seen")
    time.sleep(0.0005)
`

// In base64 it still fits into one argument of kubectl.
const LENGTH = 60_000

story('a changed Secret reaches the running pod, and no reader sees a torn file', async (t) => {
  const place = await makePlace(t)
  const [first, second, third] = ['a', 'b', 'c'].map((letter) => letter.repeat(LENGTH))
  await place.apply(...database(place, first))
  await place.applyConsumer('app', {
    serviceAccount: 'api',
    volumes: { db: DB },
    container: { command: ['python3', '-c', READ_FOREVER] },
  })
  await place.waitForPod('app')
  for (const password of [second ?? '', third ?? '', second ?? '']) {
    await setPassword(place, password)
    await untilFile(place, 'app', '/volumes/db/password', password)
  }
  const seen = (await place.execText('app', ['cat', '/tmp/seen'])).split(' ')
  t.deepEqual(
    seen.filter((text) => !new RegExp(`^${LENGTH}[abc]$`).test(text)),
    [],
  )
  t.true(seen.length >= 3)
})

story('a container that mounts by subPath keeps readable bytes after a change', async (t) => {
  const place = await makePlace(t)
  await place.apply(...database(place))
  await place.applyConsumer('app', {
    serviceAccount: 'api',
    volumes: { db: DB },
    container: {
      volumeMounts: [{ name: 'db', mountPath: '/one-file', subPath: 'password', readOnly: true }],
    },
  })
  await place.waitForPod('app')
  await setPassword(place, 'two')
  await untilFile(place, 'app', '/volumes/db/password', 'two')
  t.is(await place.execText('app', ['cat', '/one-file']), 'one')
})

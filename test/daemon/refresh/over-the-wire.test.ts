import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../../src/core/clock.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import { Feeds } from '../../../src/daemon/refresh/feeds.ts'
import { collect } from '../../../src/daemon/sources/collect.ts'
import { Fetcher } from '../../../src/daemon/sources/fetcher.ts'
import { createKubernetesSource } from '../../../src/daemon/sources/kubernetes-source.ts'
import { secretKeyOf } from '../../../src/daemon/sources/secret-key.ts'
import { until } from '../../support/until.ts'
import type { Answer } from '../kube/api-server.ts'
import { serve } from '../kube/kube-world.ts'
import { PROTOBUF, secretBytes, statusJson } from '../kube/kubernetes-bytes.ts'
import { JSON_TYPE, errorLine, eventLine } from '../kube/watching.ts'
import { itemOf, textOf } from '../sources/values.ts'
import { workloadOf } from '../sources/workloads.ts'

const KEY = secretKeyOf(itemOf())

/** An API server with one Secret, and a source of ours that reads and watches it over TLS. */
async function worldOf(t: ExecutionContext, mayWatch: boolean) {
  const secret = { resourceVersion: '1', password: 'one' }
  const watches: Answer[] = []
  const { client, server } = await serve(t, ({ url }, answer) => {
    if (!url.searchParams.has('watch')) {
      const { resourceVersion, password } = secret
      const data = { password: Buffer.from(password) }
      answer.send(200, PROTOBUF, secretBytes({ resourceVersion, data }))
    } else if (mayWatch) {
      watches.push(answer)
      answer.start(200, JSON_TYPE)
      answer.write(eventLine('ADDED', secret.resourceVersion))
    } else {
      answer.send(403, JSON_TYPE, statusJson('secrets "db" is forbidden', 403))
    }
  })
  const source = createKubernetesSource(client)
  const fetcher = new Fetcher({
    sources: new Map([[source.name, source]]),
    clock: systemClock,
    timeoutMs: 10_000,
    slots: new Limiter('fetches', 4, 4),
    onFetch: () => undefined,
  })
  const feeds = new Feeds({ clock: systemClock, intervalMs: 50 })
  const { signal } = new AbortController()
  return {
    server,
    watches,
    feeds,
    look: () => collect(workloadOf(), [itemOf()], undefined, fetcher, signal),
    listen(version: string | undefined) {
      const heard = { notices: 0 }
      const stop = feeds.subscribe({
        source,
        secret: 'db',
        version,
        isUrgent: false,
        workload: () => workloadOf(),
        onChange: () => (heard.notices += 1),
      })
      t.teardown(stop)
      return { heard, stop }
    },
    change(password: string, resourceVersion = '2') {
      Object.assign(secret, { resourceVersion, password })
      for (const watch of watches) watch.write(eventLine('MODIFIED', resourceVersion))
    },
  }
}

test('a change on a real connection is noticed and fetched, and the watch ends with its last listener', async (t) => {
  const on = await worldOf(t, true)
  const first = await on.look()
  t.deepEqual(
    first.files.map(({ data }) => textOf(data)),
    ['one'],
  )
  const { heard, stop } = on.listen(first.versions.get(KEY))
  await until(() => on.watches.length === 1, { what: 'the watch' })
  on.change('two')
  await until(() => heard.notices === 1, { what: 'the notice' })
  const second = await on.look()
  t.deepEqual(
    second.files.map(({ data }) => textOf(data)),
    ['two'],
  )
  t.is(second.versions.get(KEY), '2')
  t.notDeepEqual(second.digest, first.digest)
  stop()
  await until(() => on.watches.every((watch) => watch.gone()), { what: 'the end of the watch' })
  t.is(heard.notices, 1, 'what was known already is no notice')
  t.is(on.feeds.size, 0)
})

for (const [what, end] of [
  [
    'a version that is too old (410)',
    (watch: Answer) => {
      watch.write(errorLine(410))
    },
  ],
  [
    'its time being over',
    (watch: Answer) => {
      watch.end()
    },
  ],
  [
    'a restart of the API server',
    (watch: Answer) => {
      watch.cut()
    },
  ],
] as const) {
  test(`a watch that ends by ${what} is opened again, and what changed in between arrives`, async (t) => {
    const on = await worldOf(t, true)
    const { heard } = on.listen('1')
    await until(() => on.watches.length === 1, { what: 'the watch' })
    // Nobody tells of it, as no watch is open.
    on.watches.splice(0).forEach(end)
    on.change('two')
    await until(() => on.watches.length === 1, { what: 'the next watch' })
    await until(() => heard.notices === 1, { what: 'the notice' })
    const { files } = await on.look()
    t.deepEqual(
      files.map(({ data }) => textOf(data)),
      ['two'],
    )
    on.change('three', '3')
    await until(() => heard.notices === 2, { what: 'a notice of the next watch' })
    t.pass()
  })
}

test('a pod that may get and not watch is told to look, and asks to watch only once', async (t) => {
  const on = await worldOf(t, false)
  const { heard, stop } = on.listen('1')
  await until(() => heard.notices >= 3, { what: 'three looks' })
  stop()
  const asked = on.server.calls.filter(({ url }) => url.searchParams.has('watch'))
  t.is(asked.length, 1)
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../cluster/until.ts'
import { database, DB, latchkeyPod, metricsText } from './latchkey.ts'
import { makePlace, nodeStory } from './support.ts'

nodeStory(
  'Prometheus scrapes both sides by one address, and promtool has nothing to say',
  async (t, node) => {
    const place = await makePlace(t)
    await place.apply(...database(place))
    await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
    await place.waitForPod('app')

    const { status } = await latchkeyPod()
    const folder = mkdtempSync(join(tmpdir(), 'lk-prometheus-'))
    t.teardown(() => {
      rmSync(folder, { recursive: true, force: true })
    })
    const config = join(folder, 'prometheus.yml')
    const targets = [`${status.podIP ?? ''}:9808`]
    writeFileSync(
      config,
      JSON.stringify({
        global: { scrape_interval: '1s' },
        scrape_configs: [{ job_name: 'latchkey', static_configs: [{ targets }] }],
      }),
    )
    const address = '127.0.0.1:19090'
    const prometheus = node.service('prometheus', [
      join(node.prometheusFolder, 'prometheus'),
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
    ])
    prometheus.start()
    t.teardown(() => prometheus.kill())

    const ask = async (query: string): Promise<number> => {
      const url = `http://${address}/api/v1/query?query=${encodeURIComponent(query)}`
      const script = `import urllib.request, sys; sys.stdout.write(urllib.request.urlopen(${JSON.stringify(url)}, timeout=5).read().decode())`
      const { stdout } = await node.run(['python3', '-c', script])
      const { data } = JSON.parse(stdout.toString()) as {
        readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] }
      }
      return Number(data.result[0]?.value[1] ?? Number.NaN)
    }
    for (const query of [
      'up{job="latchkey"}',
      'latchkey_host_registered',
      'sum(latchkey_host_volumes{state="mounted"})',
      'sum(latchkey_host_publishes_total{reason="none"})',
      'sum(latchkey_token_review_duration_seconds_count{reason="none"})',
      'sum(latchkey_fetch_duration_seconds_count{source="kubernetes"})',
    ]) {
      const value = await until(
        async () => {
          const answer = await ask(query).catch(() => Number.NaN)
          return answer >= 1 ? answer : undefined
        },
        { what: `${query} to be at least 1`, withinMs: 30_000 },
      )
      t.true(value >= 1, query)
    }

    const page = join(folder, 'metrics.txt')
    writeFileSync(page, await metricsText())
    const promtool = join(node.prometheusFolder, 'promtool')
    const { stdout, stderr } = await node.run(['bash', '-c', `${promtool} check metrics < ${page}`])
    t.is(`${stdout.toString()}${stderr}`, '')
  },
)

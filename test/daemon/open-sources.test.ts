import type { ServerResponse } from 'node:http'
import test from 'ava'
import type { VaultConfig } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import { RejectedTokens } from '../../src/daemon/identity/rejected-tokens.ts'
import type { Workload } from '../../src/daemon/identity/workload.ts'
import type { KubeClient } from '../../src/daemon/kube/kube-client.ts'
import { openSources, type OpenSources } from '../../src/daemon/open-sources.ts'
import { Holdings } from '../../src/daemon/refresh/holdings.ts'
import type { Item } from '../../src/daemon/sources/item.ts'
import { createDaemonMetrics } from '../../src/observability/daemon-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import { until } from '../support/until.ts'
import { itemOf } from './sources/values.ts'
import { startDoubleWorld, type DoubleWorld } from './sources/vault/double-world.ts'
import { workloadOf, type WorkloadChanges } from './sources/workloads.ts'

const HANGING_VOLUMES = 50

function sourceAt(name: string, address: string): VaultConfig {
  return {
    kind: 'vault',
    name,
    address,
    caFile: undefined,
    serverName: undefined,
    namespace: undefined,
    auth: { method: 'jwt', mount: 'jwt', role: 'api', audience: 'vault' },
    limits: { concurrent: 16, perSecond: 1_000, timeoutMs: 60_000, maxBytes: 1024 * 1024 },
  }
}

function podOf(world: DoubleWorld, changes: WorkloadChanges): Workload {
  const workload = workloadOf({ token: 'for the API server', ...changes })
  const { name: pod, serviceAccount } = workload.pod
  const expiresAtMs = Date.now() + 600_000
  const token = { audience: 'vault', token: world.jwt({ pod, serviceAccount }), expiresAtMs }
  return { ...workload, expiresAtMs, tokens: new Map([...workload.tokens, ['vault', token]]) }
}

interface Vaults {
  readonly config: readonly VaultConfig[]
  readonly readSecret?: KubeClient['readSecret']
}

function open({ config, readSecret }: Vaults): OpenSources {
  return openSources({
    config: { ...loadConfig({}), sources: config },
    kube: { readSecret } as KubeClient,
    clock: systemClock,
    log: createLogger({ level: 'silent', side: 'daemon' }),
    metrics: createDaemonMetrics({ version: 'test' }),
    rejected: new RejectedTokens({ clock: systemClock }),
  })
}

test('110 pods of 20 service accounts that start at once log in 20 times', async (t) => {
  const world = await startDoubleWorld()
  const role = world.double.roles.get('api')
  if (role === undefined) throw new Error('no role')
  world.double.roles.set('api', { ...role, serviceAccount: '*' })
  world.kv2.put('shop/a', { k: 'v' })
  const source = sourceAt('vault', world.double.address)
  const sources = open({ config: [source] })
  t.teardown(async () => {
    sources.close()
    await world.close()
  })
  const held: Holdings[] = []
  const start = async (number: number): Promise<void> => {
    const serviceAccount = `sa-${number % 20}`
    const podName = `api-${number}`
    const items = [itemOf({ from: 'vault', secret: 'kv2/shop/a', key: 'k', path: 'k' })]
    const pod = podOf(world, { podName, serviceAccount, serviceAccountUid: serviceAccount })
    const log = createLogger({ level: 'silent', side: 'daemon' })
    const parts = { sources: sources.byName, clock: systemClock, log }
    const holdings = Holdings.open(pod, items, parts, undefined)?.join()
    if (holdings === undefined) throw new Error('nothing to hold')
    held.push(holdings)
    await holdings.openSessions(signal())
    const contents = await sources.collect(pod, items, undefined, signal(), holdings)
    contents.dispose()
  }
  await Promise.all(Array.from({ length: 110 }, (_, number) => start(number)))
  t.is(world.double.count('auth/jwt/login'), 20)
  t.is(sources.sessions().get('vault'), 20)
  await Promise.all(held.map((holdings) => holdings.giveBack(signal())))
  t.is(world.double.sessions.tokens.size, 0)
  t.is(world.double.count('auth/token/revoke-self'), 20)
})

function signal(): AbortSignal {
  return new AbortController().signal
}

test('a Vault that answers nothing holds up neither Secrets of the cluster nor another Vault, however many wait for it', async (t) => {
  const [hanging, well] = [await startDoubleWorld(), await startDoubleWorld()]
  const held: ServerResponse[] = []
  hanging.double.fault = (_request, response) => {
    held.push(response)
    return true
  }
  well.kv2.put('shop/a', { k: 'v' })
  const readSecret: KubeClient['readSecret'] = () =>
    Promise.resolve({
      resourceVersion: '1',
      data: new Map([['k', SecretBytes.copyOf(Buffer.from('v'))]]),
      immutable: false,
    })
  const sources = open({
    config: [sourceAt('hanging', hanging.double.address), sourceAt('well', well.double.address)],
    readSecret,
  })
  const over = new AbortController()
  t.teardown(async () => {
    over.abort(new Error('the test is over'))
    sources.close()
    for (const response of held) response.destroy()
    await Promise.all([hanging.close(), well.close()])
  })
  const collect = async (podName: string, item: Partial<Item>): Promise<string> => {
    const contents = await sources.collect(
      podOf(well, { podName }),
      [itemOf({ key: 'k', path: 'k', ...item })],
      undefined,
      over.signal,
    )
    const [file] = contents.files
    const text = file?.data.use((bytes) => bytes.toString()) ?? ''
    contents.dispose()
    return text
  }
  for (let number = 0; number < HANGING_VOLUMES; number += 1) {
    const secret = `kv2/shop/${number}`
    collect(`stuck-${number}`, { from: 'hanging', secret }).catch(() => undefined)
  }
  await until(() => held.length > 0, { what: 'the one Vault to be asked' })
  t.is(await collect('api-0', { from: 'well', secret: 'kv2/shop/a' }), 'v')
  t.is(await collect('api-1', { from: 'kubernetes', secret: 'db' }), 'v')
})

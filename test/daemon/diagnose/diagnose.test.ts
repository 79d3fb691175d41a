import test from 'ava'
import type { Config } from '../../../src/config/config.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { Audiences } from '../../../src/daemon/diagnose/audiences.ts'
import { diagnose, type DiagnosisParts } from '../../../src/daemon/diagnose/diagnose.ts'
import type { ProbedSource } from '../../../src/daemon/diagnose/sources.ts'
import type { ApiServerFacts } from '../../../src/daemon/kube/api-probe.ts'
import { createHostMetrics } from '../../../src/observability/host-metrics.ts'
import type { Finding } from '../../../src/wire/finding.ts'
import type { ShimReport__Output } from '../../../src/wire/gen/latchkey/mount/v1/ShimReport.ts'
import type { VolumeStatus__Output } from '../../../src/wire/gen/latchkey/mount/v1/VolumeStatus.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { vaultWith } from '../../support/vault-config.ts'

const MIB = 1024 ** 2
const SECOND_MS = 1_000

class World {
  readonly clock = new FakeClock()
  readonly audiences = new Audiences()
  facts: (() => ApiServerFacts) | undefined
  answerMs = 4
  review: boolean | LatchkeyError = false
  isConnected = true
  ageMs: number | undefined = 2 * SECOND_MS
  readonly report: ShimReport__Output = {
    version: '0.1.0',
    registered: true,
    registrationError: '',
    metricsText: '',
    held: [],
  }
  latest: ShimReport__Output | undefined = this.report
  volumes: readonly VolumeStatus__Output[] = []
  upMs = 60 * SECOND_MS
  memory: ReturnType<NonNullable<DiagnosisParts['readMemory']>> = {
    usedBytes: 70 * MIB,
    limitBytes: 256 * MIB,
  }
  reviews: string[] = []
  config: Config = loadConfig({})
  sources: readonly ProbedSource[] = []

  async findings(signal = new AbortController().signal): Promise<readonly Finding[]> {
    const { clock, audiences, isConnected, latest, ageMs } = this
    return diagnose(
      {
        config: this.config,
        version: '0.1.0',
        nodeName: 'node-1',
        clock,
        startedAtMs: clock.now() - this.upMs,
        kube: {
          probeApiServer: async () => {
            await clock.advance(this.answerMs)
            return this.facts?.() ?? { version: 'v1.35.1', clockMs: clock.now() }
          },
          reviewToken: (token, audiences) => {
            this.reviews.push(`${token.use((bytes) => bytes.toString())} ${audiences.join()}`)
            if (this.review instanceof LatchkeyError) return Promise.reject(this.review)
            return Promise.resolve({
              authenticated: this.review,
              audiences: [],
              username: '',
              userUid: '',
              extra: new Map(),
              error: '',
            })
          },
        },
        reports: { isConnected, latest, ageMs },
        volumes: () => this.volumes,
        audiences,
        sources: this.sources,
        readMemory: () => this.memory,
      },
      signal,
    )
  }

  async finding(check: string): Promise<Finding> {
    const found = (await this.findings()).find((finding) => finding.check === check)
    if (found === undefined) throw new Error(`no finding about ${check}`)
    return found
  }
}

function volume(changes: Partial<VolumeStatus__Output>): VolumeStatus__Output {
  return {
    volumeId: 'csi-1',
    targetPath: '/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/db/mount',
    pod: { namespace: 'shop', name: 'api-0', uid: 'uid', serviceAccount: 'api' },
    state: 'VOLUME_FRESH',
    generation: 1,
    changedAtMs: 1,
    checkedAtMs: 1,
    nextLookAtMs: 0,
    reason: '',
    message: '',
    ...changes,
  }
}

test('a daemon on a good day finds all well, and says what it saw', async (t) => {
  const world = new World()
  world.audiences.note(['latchkey', ''])
  world.volumes = [volume({}), volume({})]
  t.deepEqual(
    (await world.findings()).map(({ grade, check, detail, fix }) => [grade, check, detail, fix]),
    [
      [
        'GRADE_OK',
        'configuration of the daemon',
        'driver csi.latchkey.dev, audience latchkey, node node-1, sources kubernetes, unwatched secrets every 60s, no events, 64 MiB of files, probes at 0.0.0.0 port 9808',
        '',
      ],
      ['GRADE_OK', 'API server answers', 'v1.35.1, in 4 ms', ''],
      ['GRADE_OK', 'clocks agree', 'this node and the API server are within seconds', ''],
      ['GRADE_OK', 'daemon may review tokens', 'its reviews are answered', ''],
      ['GRADE_OK', 'host side reports', 'its last report came 2s ago', ''],
      ['GRADE_OK', 'both sides are of one version', '0.1.0', ''],
      ['GRADE_OK', 'kubelet has registered the driver', 'it has confirmed it', ''],
      ['GRADE_OK', 'pods bring the tokens that are needed', 'for "latchkey", ""', ''],
      ['GRADE_OK', 'volumes are fresh', '2 fresh', ''],
      [
        'GRADE_OK',
        'mounts are granted',
        'granted 0 calls of kubelet, refused none since the host side started',
        '',
      ],
      ['GRADE_OK', 'daemon has memory left', '70 MiB used of 256 MiB', ''],
    ],
  )
  t.deepEqual(world.reviews, ['latchkey-asks-whether-it-may-ask latchkey'])
})

test('an API server that is away explains what cannot be known without it', async (t) => {
  const world = new World()
  world.facts = () => {
    throw new LatchkeyError('KubeUnavailable', 'no connection to the API server (ECONNREFUSED)')
  }
  const [, answers, clocks, reviews, host] = await world.findings()
  t.like(answers, {
    grade: 'GRADE_FAILED',
    detail: 'no connection to the API server (ECONNREFUSED)',
  })
  t.regex(answers?.fix ?? '', /network policies/)
  t.like(clocks, { grade: 'GRADE_SKIPPED', detail: 'the API server does not answer' })
  t.like(reviews, { grade: 'GRADE_SKIPPED' })
  t.like(host, { check: 'host side reports', grade: 'GRADE_OK' })
  t.deepEqual(world.reviews, [])
})

test('an API server that takes its time, and hides its version, is told of', async (t) => {
  const world = new World()
  world.answerMs = 2_500
  world.facts = () => ({ version: '', clockMs: undefined })
  t.like(await world.finding('API server answers'), {
    grade: 'GRADE_WARNING',
    detail: 'it hides its version, in 2500 ms',
  })
  t.is((await world.finding('clocks agree')).grade, 'GRADE_SKIPPED')
})

for (const [aheadMs, grade, detail] of [
  [4_000, 'GRADE_OK', 'this node and the API server are within seconds'],
  [20_000, 'GRADE_WARNING', 'this node is 20s ahead of the API server'],
  [-20_000, 'GRADE_WARNING', 'this node is 20s behind the API server'],
  [300_000, 'GRADE_FAILED', 'this node is 5m ahead of the API server'],
] as const) {
  test(`a clock that is ${aheadMs} ms ahead is ${grade}`, async (t) => {
    const world = new World()
    world.answerMs = 0
    world.facts = () => ({ version: 'v1', clockMs: world.clock.now() - aheadMs })
    t.like(await world.finding('clocks agree'), { grade, detail })
  })
}

test('a daemon that may not review tokens says which manifest lets it', async (t) => {
  const world = new World()
  world.review = new LatchkeyError('KubeUnavailable', 'the daemon may not create tokenreviews')
  const finding = await world.finding('daemon may review tokens')
  t.like(finding, { grade: 'GRADE_FAILED', detail: 'the daemon may not create tokenreviews' })
  t.regex(finding.fix, /rbac\.yaml/)
})

test('an API server that believes a word that is no token has failed', async (t) => {
  const world = new World()
  world.review = true
  t.is((await world.finding('daemon may review tokens')).grade, 'GRADE_FAILED')
})

test('a host side that is away is told of with the age of its last word', async (t) => {
  const world = new World()
  world.isConnected = false
  world.ageMs = 300 * SECOND_MS
  const finding = await world.finding('host side reports')
  t.like(finding, {
    grade: 'GRADE_FAILED',
    detail: 'the host side is not connected; its last report came 5m ago',
  })
  t.regex(finding.fix, /logs ds\/latchkey -c host/)
  for (const check of [
    'both sides are of one version',
    'kubelet has registered the driver',
    'mounts are granted',
  ]) {
    t.is((await world.finding(check)).grade, 'GRADE_SKIPPED', check)
  }
  world.latest = undefined
  world.ageMs = undefined
  t.is((await world.finding('host side reports')).detail, 'the host side is not connected')
})

test('a host side that has fallen silent is told of', async (t) => {
  const world = new World()
  world.ageMs = 20 * SECOND_MS
  t.is((await world.finding('host side reports')).grade, 'GRADE_WARNING')
})

test('sides of two versions are told of', async (t) => {
  const world = new World()
  world.latest = { ...world.report, version: '0.2.0' }
  t.like(await world.finding('both sides are of one version'), {
    grade: 'GRADE_WARNING',
    detail: 'host side 0.2.0, daemon 0.1.0',
  })
})

test('a driver that kubelet has not registered is told of in the words of kubelet', async (t) => {
  const world = new World()
  world.latest = { ...world.report, registered: false, registrationError: 'no such version' }
  const check = 'kubelet has registered the driver'
  t.like(await world.finding(check), { grade: 'GRADE_FAILED', detail: 'no such version' })
  world.latest = { ...world.report, registered: false }
  const silent = await world.finding(check)
  t.like(silent, { grade: 'GRADE_FAILED' })
  t.regex(silent.fix, /kubelet\.root/)
})

test('tokens that are missing are told of with the line that the CSIDriver needs', async (t) => {
  const world = new World()
  const check = 'pods bring the tokens that are needed'
  t.is((await world.finding(check)).grade, 'GRADE_SKIPPED')
  world.audiences.note(['', 'vault'])
  t.like(await world.finding(check), {
    grade: 'GRADE_FAILED',
    detail: 'for "", "vault"; none for Latchkey itself',
    fix: 'add to spec.tokenRequests of CSIDriver csi.latchkey.dev: - audience: "latchkey"',
  })
  world.audiences.note(['latchkey'])
  t.like(await world.finding(check), {
    grade: 'GRADE_WARNING',
    fix: 'where pods read Kubernetes Secrets, add to spec.tokenRequests of CSIDriver csi.latchkey.dev: - audience: ""',
  })
})

/** Two Vaults of the configuration, each with an audience of its own. */
function withVaults(world: World): void {
  const vault = (name: string, audience: string) =>
    vaultWith({ name, auth: { method: 'jwt', mount: 'jwt', role: undefined, audience } })
  const sources = [vault('vault-a', 'audience-a'), vault('vault-b', 'audience-b')]
  world.config = { ...world.config, sources }
}

test('tokens that a source lacks are told of with its name and the line to add', async (t) => {
  const world = new World()
  withVaults(world)
  const check = 'pods bring the tokens that are needed'
  world.audiences.note(['latchkey', '', 'audience-a'])
  t.like(await world.finding(check), {
    grade: 'GRADE_FAILED',
    detail: 'for "latchkey", "", "audience-a"; none for source vault-b',
    fix: 'add to spec.tokenRequests of CSIDriver csi.latchkey.dev: - audience: "audience-b"',
  })
  world.audiences.note(['latchkey'])
  t.like(await world.finding(check), {
    grade: 'GRADE_FAILED',
    detail: 'for "latchkey"; none for source vault-a, source vault-b, the API server',
    fix:
      'add to spec.tokenRequests of CSIDriver csi.latchkey.dev: - audience: "audience-a", - audience: "audience-b"; ' +
      'where pods read Kubernetes Secrets, add to spec.tokenRequests of CSIDriver csi.latchkey.dev: - audience: ""',
  })
  world.audiences.note(['latchkey', '', 'audience-a', 'audience-b'])
  t.is((await world.finding(check)).grade, 'GRADE_OK')
})

test('before a pod has brought tokens, the audiences that the CSIDriver has to name are said', async (t) => {
  const world = new World()
  withVaults(world)
  t.like(await world.finding('pods bring the tokens that are needed'), {
    grade: 'GRADE_SKIPPED',
    detail:
      'no pod has brought tokens since the daemon started; spec.tokenRequests of CSIDriver csi.latchkey.dev has to name "latchkey", "audience-a", "audience-b", and "" where pods read Kubernetes Secrets',
  })
})

test('the sources of the configuration are looked at, also while the API server is away', async (t) => {
  const world = new World()
  const seen = { grade: 'GRADE_OK', detail: 'active', fix: '' } as const
  world.sources = [
    {
      name: 'vault-a',
      kind: 'vault',
      address: 'https://vault-a.example.org',
      probe: () => Promise.resolve(seen),
    },
  ]
  world.facts = () => {
    throw new LatchkeyError('KubeUnavailable', 'no connection')
  }
  t.like(await world.finding('source vault-a answers'), { grade: 'GRADE_OK' })
})

test('volumes are counted by state, and the first that need a look are named, but no secret is', async (t) => {
  const world = new World()
  const stale = {
    state: 'VOLUME_STALE',
    reason: 'SecretNotFound',
    message: 'Secret "pw" is gone',
  } as const
  world.volumes = [
    volume({}),
    ...[0, 1, 2].map(() => volume(stale)),
    volume({
      state: 'VOLUME_STRANDED',
      pod: { namespace: '', name: '', uid: 'u-1', serviceAccount: '' },
      message: 'nothing proves that it ended',
    }),
  ]
  t.deepEqual(await world.finding('volumes are fresh'), {
    check: 'volumes are fresh',
    grade: 'GRADE_WARNING',
    detail:
      '1 stranded, 3 stale, 1 fresh: uid:u-1 db: nothing proves that it ended; ' +
      'shop/api-0 db: SecretNotFound; shop/api-0 db: SecretNotFound',
    fix: 'latchkey list says why for each of them',
  })
})

test('volumes that wait for tokens are no trouble before kubelet is overdue', async (t) => {
  const world = new World()
  world.volumes = [volume({ state: 'VOLUME_WAITING' })]
  t.like(await world.finding('volumes are fresh'), { grade: 'GRADE_OK', detail: '1 waiting' })
  world.upMs = 180 * SECOND_MS
  t.like(await world.finding('volumes are fresh'), {
    grade: 'GRADE_WARNING',
    detail: '1 waiting: kubelet has brought no tokens',
  })
})

test('refusals are counted from the metrics of the host side', async (t) => {
  const world = new World()
  const metrics = createHostMetrics({ version: '0.1.0' })
  metrics.countPublish(undefined)
  metrics.countPublish('SecretNotFound')
  metrics.countPublish('SecretNotFound')
  world.latest = { ...world.report, metricsText: await metrics.text() }
  t.like(await world.finding('mounts are granted'), {
    grade: 'GRADE_OK',
    detail: 'granted 1 calls of kubelet, refused since the host side started: 2 SecretNotFound',
  })
  metrics.countPublish('TokenMissing')
  world.latest = { ...world.report, metricsText: await metrics.text() }
  const finding = await world.finding('mounts are granted')
  t.is(finding.grade, 'GRADE_WARNING')
  t.regex(finding.fix, /csidriver\.yaml/)
  metrics.countPublish('Unsupported')
  world.latest = { ...world.report, metricsText: await metrics.text() }
  t.is((await world.finding('mounts are granted')).grade, 'GRADE_FAILED')
})

test('a daemon that is close to its memory limit is told of', async (t) => {
  const world = new World()
  world.memory = { usedBytes: 250 * MIB, limitBytes: 256 * MIB }
  t.is((await world.finding('daemon has memory left')).grade, 'GRADE_WARNING')
  world.memory = { usedBytes: 250 * MIB, limitBytes: undefined }
  t.like(await world.finding('daemon has memory left'), {
    grade: 'GRADE_OK',
    detail: '250 MiB used, no limit',
  })
  world.memory = undefined
  t.is((await world.finding('daemon has memory left')).grade, 'GRADE_SKIPPED')
})

test('a caller that has gone is not answered', async (t) => {
  const world = new World()
  const gone = new AbortController()
  world.facts = () => {
    gone.abort(new LatchkeyError('Timeout', 'the caller hung up'))
    throw new Error('cut off')
  }
  await t.throwsAsync(world.findings(gone.signal), { message: 'the caller hung up' })
})

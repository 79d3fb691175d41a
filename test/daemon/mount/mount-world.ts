import type { ExecutionContext } from 'ava'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { ServiceToken, VolumeRequest } from '../../../src/core/types.ts'
import type { Stale } from '../../../src/daemon/sources/serve-last.ts'
import type { PodLife } from '../../../src/daemon/identity/witness.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import { ByteBudget } from '../../../src/daemon/mount/byte-budget.ts'
import { mount } from '../../../src/daemon/mount/mount.ts'
import { KUBERNETES_GRAMMAR } from '../../../src/daemon/sources/grammar.ts'
import { Sessions } from '../../../src/daemon/mount/sessions.ts'
import type { Stages } from '../../../src/daemon/mount/stages.ts'
import { createDaemonMetrics } from '../../../src/observability/daemon-metrics.ts'
import { createLogger } from '../../../src/observability/log.ts'
import type { ShimMessage__Output } from '../../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { ScriptedShim } from '../../support/shim.ts'
import { until } from '../../support/until.ts'
import { volumeRequest } from '../../support/volume-requests.ts'

export const TOKEN_LIFE_MS = 5 * 60_000

/** A daemon around mount(): one source whose secret the test sets, one reviewer whose answer it sets. */
export class World {
  readonly clock = new FakeClock()
  secret: Readonly<Record<string, string>> | Reason = { password: 'one' }
  review: Reason | undefined
  nextLookAtMs: number | undefined
  stale: Stale | undefined
  /** What pods would be told by events. */
  readonly told: string[] = []
  life: PodLife = 'POD_UNKNOWN'
  /** Questions after a pod that kubelet stays away from. */
  asked = 0
  readonly reviewed: string[] = []
  /** Every token of every request that was reviewed. */
  readonly brought: ServiceToken[] = []
  readonly subscribers = new Set<() => void>()
  readonly budget = new ByteBudget({ namespaceBytes: 20_000, nodeBytes: 40_000 })
  readonly sessions = new Sessions(this.clock, this.budget)
  fetches = 0
  readonly handedOut: SecretBytes[] = []

  readonly stages = {
    authenticate: (request: VolumeRequest) => this.#authenticate(request),
    audience: 'latchkey',
    askForPod: () => {
      this.asked += 1
      return Promise.resolve(this.life)
    },
    grammars: new Map([['kubernetes', KUBERNETES_GRAMMAR]]),
    sources: new Map([['kubernetes', { name: 'kubernetes', audience: '' }]]),
    collect: () => this.#collect(),
    feeds: {
      subscribe: ({ onChange }: { onChange: () => void }) => {
        this.subscribers.add(onChange)
        return () => this.subscribers.delete(onChange)
      },
      nextLookAtMs: () => this.nextLookAtMs,
    },
    events: {
      stale: (_volume: unknown, { reason }: LatchkeyError) => this.told.push(`stale ${reason}`),
      fresh: () => this.told.push('fresh'),
      forget: () => this.told.push('forget'),
    },
    sessions: this.sessions,
    budget: this.budget,
    slots: new Limiter('mounts', 4, 4),
    clock: this.clock,
    log: createLogger({ level: 'silent', side: 'daemon' }),
    metrics: createDaemonMetrics({ version: 'test' }),
  } as unknown as Stages

  /** The secret changes, and whoever watches is told. */
  change(secret: Readonly<Record<string, string>> | Reason): void {
    this.secret = secret
    for (const notify of this.subscribers) notify()
    // Past the pace that a volume's generations keep.
    void this.clock.advance(1_000)
  }

  #authenticate(request: VolumeRequest): Promise<Workload> {
    this.reviewed.push(request.tokens.map(({ token }) => token.use((b) => b.toString())).join())
    this.brought.push(...request.tokens)
    if (this.review !== undefined) return Promise.reject(new LatchkeyError(this.review, 'no'))
    return Promise.resolve({
      pod: request.pod,
      serviceAccountUid: 'sa-uid',
      expiresAtMs: this.clock.now() + TOKEN_LIFE_MS,
      tokens: new Map(request.tokens.map((token) => [token.audience, token])),
    })
  }

  #collect() {
    this.fetches += 1
    if (typeof this.secret === 'string') {
      return Promise.reject(new LatchkeyError(this.secret, 'as told'))
    }
    const files = Object.entries(this.secret).map(([path, text]) => ({
      path,
      data: SecretBytes.copyOf(Buffer.from(text)),
      mode: 0o644,
      ownerUid: 0,
    }))
    this.handedOut.push(...files.map(({ data }) => data))
    const bytes = files.reduce((sum, { data }) => sum + data.length, 0)
    const dispose = (): void => {
      for (const { data } of files) data.wipe()
    }
    return Promise.resolve({
      dispose,
      files,
      digest: contentsDigest(files),
      versions: new Map(),
      immutable: new Set(),
      bytes,
      stale: this.stale,
    })
  }
}

export function openMessage(changes: Partial<VolumeRequest> = {}, holdMs = 0): ShimMessage__Output {
  const { attributes, tokens, pod, volumeId, targetPath } = volumeRequest(changes)
  return {
    open: {
      volumeId,
      targetPath,
      pod,
      attributes: Object.fromEntries(attributes),
      tokens: tokens.map((token) => ({
        ...token,
        token: token.token.use((bytes) => Buffer.from(bytes)),
      })),
      holdMs,
      bookmark: Buffer.alloc(0),
    },
  }
}

export function begin(
  t: ExecutionContext,
  on: Pick<World, 'stages'>,
  first: ShimMessage__Output,
  shim = new ScriptedShim(),
) {
  const ended = mount(shim, on.stages).then(
    () => undefined,
    (thrown: unknown) => LatchkeyError.from(thrown),
  )
  shim.say(first)
  t.teardown(() => {
    shim.hangUp()
  })
  return { shim, ended }
}

/** Opens a volume and commits its first generation. */
export async function opened(t: ExecutionContext, on: World) {
  const stream = begin(t, on, openMessage())
  const { digest } = await stream.shim.generation(1)
  stream.shim.commit(1)
  await until(() => on.subscribers.size > 0, { what: 'the session to watch' })
  return { ...stream, digest }
}

import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { ServiceToken, VolumeRequest } from '../../../src/core/types.ts'
import {
  createAuthenticator,
  type Authenticator,
} from '../../../src/daemon/identity/authenticator.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import { ByteBudget } from '../../../src/daemon/mount/byte-budget.ts'
import { keepNeeded } from '../../../src/daemon/mount/credentials.ts'
import { parseItems } from '../../../src/daemon/sources/parse-items.ts'
import { mount } from '../../../src/daemon/mount/mount.ts'
import { parseOpen } from '../../../src/daemon/mount/open-request.ts'
import { Sessions } from '../../../src/daemon/mount/sessions.ts'
import type { ShimStream } from '../../../src/daemon/mount/shim-stream.ts'
import type { Contents, Stages } from '../../../src/daemon/mount/stages.ts'
import { KUBERNETES_GRAMMAR } from '../../../src/daemon/sources/grammar.ts'
import { createDaemonMetrics } from '../../../src/observability/daemon-metrics.ts'
import { createLogger } from '../../../src/observability/log.ts'
import type { DaemonMessage } from '../../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { Open__Output } from '../../../src/wire/gen/latchkey/mount/v1/Open.ts'
import type { ShimMessage__Output } from '../../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import {
  KUBELET_ROOT,
  NOW_SECONDS,
  OUR_AUDIENCE,
  THIS_NODE,
  review,
  type Token,
} from './matrix-cluster.ts'
import type { Asked, Grant } from './matrix-oracle.ts'

/** Between two looks at one volume. */
const TURN_MS = 500

export type Outcome = { readonly grant: Grant } | { readonly refused: Reason }

/**
 * The daemon's own code: who decides, and what stands around it from a stream's first word to its contents. What it would fetch is
 * replaced by a note of the workload that it would fetch for; the API server by the facts of the cluster.
 */
export class MatrixDaemon {
  readonly sessions: Sessions
  readonly #facts = new Map<string, Pick<Asked, 'shortcoming'> & { readonly token: Token }>()
  readonly #clock = new FakeClock(NOW_SECONDS * 1000)
  readonly #budget = new ByteBudget({ namespaceBytes: 1e9, nodeBytes: 1e9 })
  readonly #authenticator: Authenticator
  readonly #stages: Stages
  /** TokenReviews asked for. */
  reviews = 0
  /** For whom it would have fetched last. */
  lastFetch: Grant | undefined

  constructor() {
    const clock = this.#clock
    this.sessions = new Sessions(clock, this.#budget)
    this.#authenticator = createAuthenticator({
      kube: { reviewToken: (token, audiences) => Promise.resolve(this.#review(token, audiences)) },
      nodeName: THIS_NODE,
      audience: OUR_AUDIENCE,
      kubeletRoot: KUBELET_ROOT,
      clock,
      timeoutMs: 5_000,
    })
    this.#stages = {
      authenticate: (request: VolumeRequest, signal: AbortSignal) =>
        this.#authenticator.authenticate(request, signal),
      audience: OUR_AUDIENCE,
      askForPod: () => Promise.resolve('POD_UNKNOWN'),
      sources: new Map([['kubernetes', { name: 'kubernetes', audience: '' }]]),
      grammars: new Map([['kubernetes', KUBERNETES_GRAMMAR]]),
      collect: (workload: Workload) => {
        this.lastFetch = grantOf(workload)
        return Promise.resolve(noteOf(this.lastFetch))
      },
      feeds: { subscribe: () => () => undefined, nextLookAtMs: () => undefined },
      sessions: this.sessions,
      budget: this.#budget,
      slots: new Limiter('mounts', 64, 64),
      clock,
      log: createLogger({ level: 'silent', side: 'daemon' }),
      metrics: createDaemonMetrics({ version: 'test' }),
    } as unknown as Stages
  }

  /** Asks whoever decides. Throws: what is no LatchkeyError. */
  async decide(asked: Asked): Promise<Outcome> {
    this.learn(asked)
    try {
      const { volume } = parseOpen(openOf(asked))
      const workload = await this.#authenticator.authenticate(volume, new AbortController().signal)
      const items = parseItems(new Map([['secret', 'db']]), this.#stages.grammars)
      return { grant: grantOf(keepNeeded(workload, items, this.#stages)) }
    } catch (thrown) {
      return refusalOf(thrown)
    }
  }

  /** Opens a stream, and hangs up when it is served. Throws: what is no LatchkeyError. */
  async open(asked: Asked): Promise<Outcome> {
    this.learn(asked)
    const shim = new OneWordShim({ open: openOf(asked) })
    try {
      await mount(shim, this.#stages)
      return { refused: 'Internal' }
    } catch (thrown) {
      return shim.grant === undefined ? refusalOf(thrown) : { grant: shim.grant }
    }
  }

  /** A stream that goes on. Answers how it ended. Throws: what is no LatchkeyError. */
  async hold(shim: ShimStream): Promise<Reason | 'the end'> {
    try {
      await mount(shim, this.#stages)
      return 'the end'
    } catch (thrown) {
      if (thrown instanceof LatchkeyError) return thrown.reason
      throw thrown
    }
  }

  /** Has a volume's sources asked, and answers for whom. Throws: why they were not. */
  async fetchFor(volumeId: string): Promise<Grant | undefined> {
    this.lastFetch = undefined
    const refreshing = this.sessions.find(volumeId)?.refresh()
    // It waits for its turn, by the clock.
    const isOver = Promise.resolve(refreshing).then(
      () => true,
      () => true,
    )
    while (!(await Promise.race([isOver, this.pass(TURN_MS)]))) continue
    await refreshing
    return this.lastFetch
  }

  /** Lets time go by; false, so that it can race. */
  async pass(ms: number): Promise<false> {
    await this.#clock.advance(ms)
    return false
  }

  /** Tells the API server what is true of the tokens. */
  learn({ tokens, shortcoming }: Asked): void {
    for (const { token } of tokens) this.#facts.set(token.text, { token, shortcoming })
  }

  #review(token: SecretBytes, audiences: readonly string[]) {
    this.reviews += 1
    const facts = this.#facts.get(token.use((bytes) => bytes.toString()))
    return review(facts?.token, audiences, NOW_SECONDS, facts?.shortcoming)
  }
}

/** Says Open, and hangs up at the first contents. */
class OneWordShim implements ShimStream {
  grant: Grant | undefined
  readonly #word: ShimMessage__Output
  readonly #over = new AbortController()

  constructor(word: ShimMessage__Output) {
    this.#word = word
  }

  get closed(): AbortSignal {
    return this.#over.signal
  }

  async *receive(): AsyncGenerator<ShimMessage__Output, void> {
    yield this.#word
    await new Promise((resolve) => {
      this.#over.signal.addEventListener('abort', resolve)
    })
  }

  send(message: DaemonMessage): Promise<void> {
    const [file] = message.contents?.files ?? []
    if (file !== undefined) this.grant = JSON.parse(String(file.data)) as Grant
    this.#over.abort(new LatchkeyError('DaemonUnavailable', 'hung up'))
    return Promise.resolve()
  }
}

function refusalOf(thrown: unknown): Outcome {
  if (thrown instanceof LatchkeyError) return { refused: thrown.reason }
  throw thrown
}

function grantOf({ pod, serviceAccountUid, expiresAtMs, tokens }: Workload): Grant {
  const textOf = ({ token }: ServiceToken): string => token.use((bytes) => bytes.toString())
  const texts = [...tokens].map(([audience, token]) => [audience, textOf(token)] as const)
  return { pod, serviceAccountUid, expiresAtMs, tokens: Object.fromEntries(texts) }
}

function noteOf(grant: Grant): Contents {
  const data = new SecretBytes(Buffer.from(JSON.stringify(grant)))
  const files = [{ path: 'who', data, mode: 0o444, ownerUid: 0 }]
  return {
    files,
    digest: contentsDigest(files),
    bytes: data.length,
    versions: new Map(),
    immutable: new Set(),
    dispose: () => {
      data.wipe()
    },
  }
}

/** As the host side puts it. */
export function openOf({ pod, targetPath, volumeId, tokens }: Asked): Open__Output {
  return {
    volumeId,
    targetPath,
    pod,
    attributes: { secret: 'db' },
    tokens: tokensOf(tokens),
    holdMs: 0,
    bookmark: Buffer.alloc(0),
  }
}

/** What a caller states beside a token is not believed. */
export function tokensOf(tokens: Asked['tokens']): Open__Output['tokens'] {
  return tokens.map(({ audience, token }) => ({
    audience,
    token: Buffer.from(token.text),
    expiresAtMs: (NOW_SECONDS + 3_600) * 1000,
  }))
}

import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import { timespan } from '../../core/timespan.ts'
import type { Config } from '../../config/config.ts'
import { failed, ok, skipped, warning, type Finding } from '../../wire/finding.ts'
import type { ApiServerFacts } from '../kube/api-probe.ts'
import type { KubeClient, KubeErrands } from '../kube/kube-client.ts'

export interface ApiServerParts {
  readonly kube: Pick<KubeClient, 'reviewToken'> & Pick<KubeErrands, 'probeApiServer'>
  readonly clock: Clock
  readonly config: Config
}

const ANSWERS = 'API server answers'
const CLOCKS = 'clocks agree'
const REVIEWS = 'daemon may review tokens'
const SLOW_MS = 2_000
/** The header has whole seconds, and the way there and back takes its time. */
const SKEW_MS = 5_000
/** A token's ten minutes would be judged very differently on both sides. */
const GRAVE_SKEW_MS = 60_000
/** Nobody's token: to be told so takes the same rights as to be told whose it is. */
const NO_TOKEN = 'latchkey-asks-whether-it-may-ask'

/** Whether the API server can be reached, what time it has, and whether it lets the daemon do its work. */
export async function judgeApiServer(
  { kube, clock, config }: ApiServerParts,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const askedMs = clock.now()
  let facts: ApiServerFacts
  try {
    facts = await kube.probeApiServer(signal)
  } catch (thrown) {
    signal.throwIfAborted()
    const unknown = 'the API server does not answer'
    return [unreachable(thrown), skipped(CLOCKS, unknown), skipped(REVIEWS, unknown)]
  }
  const answeredMs = clock.now()
  return [
    judgeAnswer(facts.version, answeredMs - askedMs),
    judgeSkew(facts.clockMs, (askedMs + answeredMs) / 2),
    await judgeReview(kube, config.audience, signal),
  ]
}

function unreachable(thrown: unknown): Finding {
  const { message } = LatchkeyError.from(thrown)
  const fix =
    'look for what lies between this node and the API server (network policies, a proxy, its address in kubernetes.kubeconfig); running pods keep their files meanwhile'
  return failed(ANSWERS, message, fix)
}

function judgeAnswer(version: string, tookMs: number): Finding {
  const detail = `${version === '' ? 'it hides its version' : version}, in ${Math.round(tookMs)} ms`
  return tookMs < SLOW_MS
    ? ok(ANSWERS, detail)
    : warning(ANSWERS, detail, 'new pods wait for it; look at its load and at the way to it')
}

function judgeSkew(clockMs: number | undefined, hereMs: number): Finding {
  if (clockMs === undefined) return skipped(CLOCKS, 'the API server does not say what time it has')
  const aheadMs = hereMs - clockMs
  const apartMs = Math.abs(aheadMs)
  if (apartMs < SKEW_MS) return ok(CLOCKS, 'this node and the API server are within seconds')
  const detail = `this node is ${timespan(apartMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'} the API server`
  const fix = 'have both follow the same time (NTP): tokens end by the clock'
  return apartMs < GRAVE_SKEW_MS ? warning(CLOCKS, detail, fix) : failed(CLOCKS, detail, fix)
}

async function judgeReview(
  kube: ApiServerParts['kube'],
  audience: string,
  signal: AbortSignal,
): Promise<Finding> {
  const token = SecretBytes.copyOf(Buffer.from(NO_TOKEN))
  try {
    const { authenticated } = await kube.reviewToken(token, [audience], signal)
    if (!authenticated) return ok(REVIEWS, 'its reviews are answered')
    return failed(
      REVIEWS,
      'the API server calls a word authenticated that is no token',
      'look for an authenticator of the API server that takes everything',
    )
  } catch (thrown) {
    signal.throwIfAborted()
    const { message } = LatchkeyError.from(thrown)
    const fix =
      'apply rbac.yaml of deploy/kustomize/base: ClusterRole and ClusterRoleBinding latchkey-daemon'
    return failed(REVIEWS, message, fix)
  }
}

import type { Config } from '../../config/config.ts'
import { quoted } from '../../core/foreign-text.ts'
import { timespan } from '../../core/timespan.ts'
import type { CgroupMemory } from '../../observability/cgroup-memory.ts'
import { failed, ok, skipped, warning, type Finding } from '../../wire/finding.ts'

const TOKENS = 'pods bring the tokens that are needed'
const MEMORY = 'daemon has memory left'
const MIB = 1024 ** 2
const TIGHT = 0.9

/** What the daemon runs with; nothing in its configuration is secret. */
export function judgeConfig(config: Config, node: string): Finding {
  const { driver, audience, sources, refresh, events, http, limits, kubernetes } = config
  const words = [
    `driver ${driver}`,
    `audience ${audience}`,
    `node ${node}`,
    `sources ${['kubernetes', ...sources.map(({ name }) => name)].join(', ')}`,
    `unwatched secrets every ${timespan(refresh.intervalMs)}`,
    events.enabled ? `events after ${timespan(events.staleAfterMs)}` : 'no events',
    `${limits.nodeBytes / MIB} MiB of files`,
    `probes at ${http.address} port ${http.port}`,
    ...(kubernetes.kubeconfig === undefined ? [] : [`kubeconfig ${kubernetes.kubeconfig}`]),
  ]
  return ok('configuration of the daemon', words.join(', '))
}

/** For whom pods have to bring a token. */
interface Wanted {
  readonly who: string
  readonly audience: string
}

/**
 * Whether the CSIDriver asks for every token that is needed, seen by what comes: the daemon may not read it.
 * `audiences`: those of the newest tokens that a pod brought; undefined before the first.
 */
export function judgeAudiences(
  audiences: readonly string[] | undefined,
  { driver, audience, sources }: Config,
): Finding {
  const wanted: readonly Wanted[] = [
    { who: 'Latchkey itself', audience },
    ...sources.map(({ name, auth }) => ({ who: `source ${name}`, audience: auth.audience })),
  ]
  const place = `spec.tokenRequests of CSIDriver ${driver}`
  if (audiences === undefined) {
    const names = [...new Set(wanted.map((one) => quoted(one.audience)))].join(', ')
    return skipped(
      TOKENS,
      `no pod has brought tokens since the daemon started; ${place} has to name ${names}, and "" where pods read Kubernetes Secrets`,
    )
  }
  const missing = wanted.filter((one) => !audiences.includes(one.audience))
  const forApiServer = { who: 'the API server', audience: '' }
  const optional = audiences.includes('') ? [] : [forApiServer]
  const brought = `for ${audiences.map(quoted).join(', ') || 'nobody'}`
  if (missing.length + optional.length === 0) return ok(TOKENS, brought)

  const without = [...missing, ...optional].map(({ who }) => who).join(', ')
  const detail = `${brought}; none for ${without}`
  const inside = optional.map(
    (one) => `where pods read Kubernetes Secrets, ${addition(place, [one])}`,
  )
  return missing.length === 0
    ? warning(TOKENS, detail, inside.join(''))
    : failed(TOKENS, detail, [addition(place, missing), ...inside].join('; '))
}

function addition(place: string, missing: readonly Wanted[]): string {
  const lines = missing.map(({ audience }) => `- audience: ${JSON.stringify(audience)}`)
  return `add to ${place}: ${[...new Set(lines)].join(', ')}`
}

export function judgeMemory(memory: CgroupMemory | undefined): Finding {
  if (memory === undefined) return skipped(MEMORY, 'its cgroup cannot be read')
  const { usedBytes, limitBytes } = memory
  const used = `${Math.ceil(usedBytes / MIB)} MiB used`
  if (limitBytes === undefined) return ok(MEMORY, `${used}, no limit`)
  const detail = `${used} of ${Math.floor(limitBytes / MIB)} MiB`
  return usedBytes < TIGHT * limitBytes
    ? ok(MEMORY, detail)
    : warning(MEMORY, detail, 'raise the memory limit of the container daemon')
}

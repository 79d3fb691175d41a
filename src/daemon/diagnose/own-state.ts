import type { Config } from '../../config/config.ts'
import { timespan } from '../../core/timespan.ts'
import type { CgroupMemory } from '../../observability/cgroup-memory.ts'
import { quoted } from '../kube/foreign-text.ts'
import { failed, ok, skipped, warning, type Finding } from '../../wire/finding.ts'

const TOKENS = 'pods bring the tokens that are needed'
const MEMORY = 'daemon has memory left'
const MIB = 1024 ** 2
const TIGHT = 0.9

/** What the daemon runs with; nothing in its configuration is secret. */
export function judgeConfig(config: Config, node: string): Finding {
  const { driver, audience, refresh, events, http, limits, kubernetes } = config
  const words = [
    `driver ${driver}`,
    `audience ${audience}`,
    `node ${node}`,
    `unwatched secrets every ${timespan(refresh.intervalMs)}`,
    events.enabled ? `events after ${timespan(events.staleAfterMs)}` : 'no events',
    `${limits.nodeBytes / MIB} MiB of files`,
    `probes at ${http.address} port ${http.port}`,
    ...(kubernetes.kubeconfig === undefined ? [] : [`kubeconfig ${kubernetes.kubeconfig}`]),
  ]
  return ok('configuration of the daemon', words.join(', '))
}

/** `audiences`: those of the newest tokens that a pod brought; undefined before the first. */
export function judgeAudiences(
  audiences: readonly string[] | undefined,
  { driver, audience }: Config,
): Finding {
  if (audiences === undefined) {
    return skipped(TOKENS, 'no pod has brought tokens since the daemon started')
  }
  const detail = `for ${audiences.map(quoted).join(', ') || 'nobody'}`
  const lineFor = (name: string): string =>
    `add to spec.tokenRequests of CSIDriver ${driver}: - audience: ${name}`
  if (!audiences.includes(audience)) return failed(TOKENS, detail, lineFor(audience))
  if (!audiences.includes('')) {
    const fix = `where pods read Kubernetes Secrets, ${lineFor("''")}`
    return warning(TOKENS, `${detail}; none for the API server`, fix)
  }
  return ok(TOKENS, detail)
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

import type { Config } from '../../config/config.ts'
import type { Clock } from '../../core/clock.ts'
import { readCgroupMemory, type CgroupMemory } from '../../observability/cgroup-memory.ts'
import type { Finding } from '../../wire/finding.ts'
import type { ShimReport__Output } from '../../wire/gen/latchkey/mount/v1/ShimReport.ts'
import type { VolumeStatus__Output } from '../../wire/gen/latchkey/mount/v1/VolumeStatus.ts'
import type { KubeClient, KubeErrands } from '../kube/kube-client.ts'
import { judgeApiServer } from './api-server.ts'
import type { Audiences } from './audiences.ts'
import { judgeHost } from './host-side.ts'
import { judgeAudiences, judgeConfig, judgeMemory } from './own-state.ts'
import { judgeSources, type ProbedSource } from './sources.ts'
import { judgeRefusals, judgeVolumes } from './volumes.ts'

/** What the daemon looks at when it looks at itself. */
export interface DiagnosisParts {
  readonly config: Config
  readonly version: string
  readonly nodeName: string
  readonly clock: Clock
  readonly startedAtMs: number
  readonly kube: Pick<KubeClient, 'reviewToken'> & Pick<KubeErrands, 'probeApiServer'>
  readonly reports: HostReports
  readonly volumes: () => readonly VolumeStatus__Output[]
  readonly audiences: Audiences
  readonly sources: readonly ProbedSource[]
  /** A test gives its own. */
  readonly readMemory?: () => CgroupMemory | undefined
}

/** What the host side last said of itself. */
export interface HostReports {
  readonly isConnected: boolean
  readonly latest: ShimReport__Output | undefined
  readonly ageMs: number | undefined
}

/**
 * Every finding in the order in which one depends on the other: what is wrong first explains what follows.
 * No secret is in them, nor the name of one. Bounded by the two calls to the API server and the one to each
 * source that it makes. Throws: the signal's reason.
 */
export async function diagnose(
  parts: DiagnosisParts,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { config, clock, reports, readMemory = readCgroupMemory } = parts
  const upMs = clock.now() - parts.startedAtMs
  const [apiServer, sources] = await Promise.all([
    judgeApiServer(parts, signal),
    judgeSources(parts.sources, clock, signal),
  ])
  return [
    judgeConfig(config, parts.nodeName),
    ...apiServer,
    ...sources,
    ...judgeHost(reports, parts.version),
    judgeAudiences(parts.audiences.latest, config),
    judgeVolumes(parts.volumes(), upMs),
    judgeRefusals(reports.isConnected ? (reports.latest?.metricsText ?? '') : undefined),
    judgeMemory(readMemory()),
  ]
}

import { isReason, type Reason } from '../../core/errors.ts'
import { readTargetPath } from '../../core/target-path.ts'
import { failed, ok, skipped, warning, type Finding } from '../../wire/finding.ts'
import type { VolumeStatus__Output } from '../../wire/gen/latchkey/mount/v1/VolumeStatus.ts'

const VOLUMES = 'volumes are fresh'
const REFUSALS = 'mounts are granted'
const MAX_SHOWN = 3
const MAX_MESSAGE_CHARS = 160
/** kubelet comes back to a volume within 2m2s. */
const TOKENS_DUE_MS = 150_000

type State = VolumeStatus__Output['state']

/** In the order of their gravity. */
const STATES: readonly (readonly [State, string])[] = [
  ['VOLUME_STRANDED', 'stranded'],
  ['VOLUME_STALE', 'stale'],
  ['VOLUME_WAITING', 'waiting'],
  ['VOLUME_PENDING', 'pending'],
  ['VOLUME_ENDING', 'ending'],
  ['VOLUME_FRESH', 'fresh'],
]

/** How many volumes are in which state, and why the first of them are. `upMs`: the daemon's own age. */
export function judgeVolumes(volumes: readonly VolumeStatus__Output[], upMs: number): Finding {
  const byState = new Map(
    STATES.map(([state]) => [state, volumes.filter((volume) => volume.state === state)]),
  )
  const counts = STATES.flatMap(([state, word]) => {
    const count = byState.get(state)?.length ?? 0
    return count === 0 ? [] : [`${count} ${word}`]
  })
  const detail = counts.length === 0 ? 'no volumes on this node' : counts.join(', ')
  const worth = [...(byState.get('VOLUME_STRANDED') ?? []), ...(byState.get('VOLUME_STALE') ?? [])]
  if (worth.length > 0) {
    const shown = worth.slice(0, MAX_SHOWN).map(whyOf).join('; ')
    return warning(VOLUMES, `${detail}: ${shown}`, 'latchkey list says why for each of them')
  }
  if ((byState.get('VOLUME_WAITING')?.length ?? 0) > 0 && upMs > TOKENS_DUE_MS) {
    const fix =
      'look whether kubelet runs, and whether the CSIDriver has requiresRepublish: true; the files stay as they are'
    return warning(VOLUMES, `${detail}: kubelet has brought no tokens`, fix)
  }
  return ok(VOLUMES, detail)
}

/** Messages of sources name secrets, which those who may look at a node need not know: a reason says enough. */
function whyOf({ pod, targetPath, reason, message }: VolumeStatus__Output): string {
  const volume = readTargetPath(targetPath)?.volumeName ?? ''
  const name = pod?.name ? `${pod.namespace}/${pod.name}` : `uid:${pod?.uid ?? ''}`
  const [first = ''] = message.split('\n', 1)
  return `${name} ${volume}: ${reason === '' ? first.slice(0, MAX_MESSAGE_CHARS) : reason}`
}

/** These are no pod's fault. */
const OURS: Readonly<Partial<Record<Reason, string>>> = {
  TokenMissing:
    'the CSIDriver asks for too few tokens: see csidriver.yaml of deploy/kustomize/base',
  Unsupported: 'latchkey doctor in the host container says what the kernel lacks',
  VolumeIo: 'the log of the host side names the volume and the error',
  Internal: 'the log of the host side has the details; please report it',
}

/**
 * What the host side has refused kubelet since it started. `metricsText`: its metrics in Prometheus' text
 * format; undefined while it is away.
 */
export function judgeRefusals(metricsText: string | undefined): Finding {
  if (metricsText === undefined) return skipped(REFUSALS, 'the host side is not connected')
  const { granted, refused } = countPublishes(metricsText)
  const counts = [...refused].map(([reason, count]) => `${count} ${reason}`)
  const detail =
    counts.length === 0
      ? `granted ${granted} calls of kubelet, refused none since the host side started`
      : `granted ${granted} calls of kubelet, refused since the host side started: ${counts.join(', ')}`
  const fixes = [...refused.keys()].flatMap((reason) => OURS[reason] ?? [])
  return fixes.length === 0 ? ok(REFUSALS, detail) : judgeOurs(refused, detail, fixes.join('; '))
}

function judgeOurs(refused: ReadonlyMap<Reason, number>, detail: string, fix: string): Finding {
  return refused.has('Unsupported') ? failed(REFUSALS, detail, fix) : warning(REFUSALS, detail, fix)
}

function countPublishes(text: string): {
  readonly granted: number
  readonly refused: ReadonlyMap<Reason, number>
} {
  const refused = new Map<Reason, number>()
  let granted = 0
  for (const [, labels = '', value = ''] of text.matchAll(
    /^latchkey_host_publishes_total\{([^}]*)\} (\S+)$/gm,
  )) {
    const count = Number(value)
    const reason = /\breason="([^"]*)"/.exec(labels)?.[1] ?? ''
    if (reason === 'none') granted += count
    else if (isReason(reason) && count > 0) refused.set(reason, count)
  }
  return { granted, refused }
}

import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import { type KubeObject, latchkeyVolume, reader, secret } from './kube-objects.ts'
import { containerOf, mountsOf, openPlace, type Place } from './support.ts'
import type { Pod } from './kube-objects.ts'

/** Where Latchkey itself lives. */
export const system: Place = openPlace('latchkey-system')

/** The pod of the DaemonSet on a one-node cluster; of two during a rollout, the new one. */
export async function latchkeyPod(): Promise<Pod> {
  const selected = ['-l', 'app.kubernetes.io/name=latchkey']
  const text = await system.kubectl('get', 'pods', ...selected, '-o', 'json')
  const pod = (JSON.parse(text) as { items: Pod[] }).items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .toSorted((a, b) => a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp))
    .at(-1)
  if (pod === undefined) throw new Error('no pod of the DaemonSet is there')
  return pod
}

/**
 * A pod of the DaemonSet with these containers never restarted: such a one kubelet restarts at once, another
 * one only after a backoff.
 */
export async function unworn(...containers: readonly ('host' | 'daemon')[]): Promise<void> {
  const pod = await latchkeyPod()
  const isUnworn = containers.every((name) => containerOf(pod, name)?.restartCount === 0)
  if (!isUnworn) await renewLatchkey()
}

/** Replaces the pod of the DaemonSet, and waits for the new one and for the end of the old. */
export async function renewLatchkey(): Promise<void> {
  await system.kubectl('rollout', 'restart', 'daemonset/latchkey')
  await system.kubectl('rollout', 'status', 'daemonset/latchkey', '--timeout=100s')
  // `exec daemonset/latchkey` might take the old one.
  const names = ['get', 'pods', '-l', 'app.kubernetes.io/name=latchkey', '-o', 'name']
  const isAlone = async (): Promise<true | undefined> =>
    (await system.kubectl(...names)).trim().split('\n').length === 1 ? true : undefined
  await until(isAlone, { what: 'the former pod to be gone', withinMs: 60_000 })
}

export interface LogLine {
  readonly time: string
  readonly msg: string
  readonly [field: string]: unknown
}

/** What the present container of one side has logged. */
export async function logLines(container: 'host' | 'daemon'): Promise<LogLine[]> {
  const { metadata } = await latchkeyPod()
  const text = await system.kubectl('logs', metadata.name, '-c', container)
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine)
}

/** Where the node has volumes of ours mounted, of whatever pod. */
export function latchkeyMounts(node: ClusterNode): string[] {
  return mountsOf(node)
    .filter(({ source }) => source.startsWith('latchkey:'))
    .map(({ mountPoint }) => mountPoint)
}

/** What the daemon's /metrics says now. */
export async function metricsText(): Promise<string> {
  const { metadata } = await latchkeyPod()
  const path = `/api/v1/namespaces/latchkey-system/pods/${metadata.name}:9808/proxy/metrics`
  return system.kubectl('get', '--raw', path)
}

/** Waits until a sample of /metrics, named with its labels as printed, has a value that fits. */
export async function untilMetric(sample: string, fits: (value: number) => boolean): Promise<void> {
  await until(
    async () => {
      const line = (await metricsText()).split('\n').find((text) => text.startsWith(`${sample} `))
      return line !== undefined && fits(Number(line.slice(sample.length))) ? true : undefined
    },
    { what: `${sample} to fit`, withinMs: 60_000 },
  )
}

/** A Secret `db` and a service account `api` that may read and watch it. */
export function database(place: Place, password = 'one', verbs?: readonly string[]): KubeObject[] {
  return [
    secret('db', { username: 'me', password }),
    ...reader('api', place.namespace, ['db'], verbs),
  ]
}

export const DB = latchkeyVolume({ secret: 'db' })

/** Waits until a file in a running pod has this text. */
export async function untilFile(
  place: Place,
  pod: string,
  path: string,
  wanted: string,
): Promise<void> {
  await until(
    // Not there yet is not wrong yet.
    async () => {
      const text = await place.execText(pod, ['bash', '-c', `cat ${path} 2>/dev/null || true`])
      return text === wanted ? true : undefined
    },
    { what: `${path} in ${pod} to be ${wanted}`, withinMs: 90_000 },
  )
}

/** Like `kubectl patch`, for one value of Secret db. */
export async function setPassword(place: Place, password: string): Promise<void> {
  const data = { password: Buffer.from(password).toString('base64') }
  await place.kubectl('patch', 'secret', 'db', '-p', JSON.stringify({ data }))
}

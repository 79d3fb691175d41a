import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import type { ExecutionContext, SerialFn } from 'ava'
import test from 'ava'

import type { Cluster, ClusterDescription, ClusterNode } from '../cluster/cluster.ts'
import { DESCRIPTION_VARIABLE, openCluster, STORY_LABEL } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import type {
  ConsumerOptions,
  ContainerStatus,
  KubeEvent,
  KubeObject,
  Pod,
} from './kube-objects.ts'
import { consumerPod } from './kube-objects.ts'
import type { Mount } from './mount-table.ts'
import { parseMountTable } from './mount-table.ts'

/** Longest that a healthy pod may take from applied to Running on a busy two-core machine. */
const POD_WITHIN_MS = 60_000
const GONE_WITHIN_MS = 60_000

// AVA itself was killed, and the cluster with it. Without this the story would go on waiting.
process.once('disconnect', () => process.exit(1))

/** The cluster that `npm run e2e` has brought up. */
export const cluster: Cluster = openConnected()

/** A story that any cluster can tell. */
export const story: SerialFn = test.serial

/**
 * A story that ends processes of the node, or looks at its mounts. Elsewhere than on our own node
 * it is skipped, by name.
 */
export function nodeStory(
  title: string,
  tell: (t: ExecutionContext, node: ClusterNode) => Promise<void>,
): void {
  const { node } = cluster
  if (node === undefined) test.serial.skip(`${title} (needs a node of our own)`, () => undefined)
  else test.serial(title, (t) => tell(t, node))
}

/** A namespace of one test, and what a story does in it. */
export interface Place {
  readonly namespace: string
  /** Creates or changes objects in this namespace. */
  apply(...objects: readonly KubeObject[]): Promise<void>
  /** The same for the text of a YAML file. */
  applyYaml(yaml: string): Promise<void>
  /** Applies a pod of the consumer image; see `consumerPod`. */
  applyConsumer(name: string, options: ConsumerOptions): Promise<void>
  /** kubectl in this namespace; its output as text. */
  kubectl(...args: readonly string[]): Promise<string>
  /** The pod, or undefined when there is none. */
  findPod(name: string): Promise<Pod | undefined>
  /** Waits until it runs and all its containers are ready. */
  waitForPod(name: string, withinMs?: number): Promise<Pod>
  /** Waits until the pod is as the question wants it. `what` completes "waited 60000 ms for ". */
  waitForPodThat(
    what: string,
    name: string,
    question: (pod: Pod) => boolean,
    withinMs?: number,
  ): Promise<Pod>
  /** Deletes it and waits until kubelet has taken everything of it away. */
  deletePod(name: string): Promise<void>
  waitForNoPod(name: string, withinMs?: number): Promise<void>
  /** Runs a command in a container (the first one) and gives its output as bytes. */
  exec(pod: string, command: readonly string[], container?: string): Promise<Buffer>
  /** The same, as text. */
  execText(pod: string, command: readonly string[], container?: string): Promise<string>
  events(pod: string): Promise<KubeEvent[]>
  /** Waits for an event of the pod with a message that matches. */
  waitForEvent(pod: string, message: RegExp, withinMs?: number): Promise<KubeEvent>
}

/**
 * Makes a namespace of its own for the test. At the test's end its pods are deleted, and waited
 * for, so that no story leaves a volume to the next one.
 */
export async function makePlace(t: ExecutionContext): Promise<Place> {
  const namespace = `story-${randomBytes(4).toString('hex')}`
  const metadata = { name: namespace, labels: { [STORY_LABEL]: '' } }
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata })
  await cluster.kubectl(['create', '-f', '-'], { input })
  t.teardown(() => leave(namespace))
  // A pod is refused before its service account is there, and its start waits in vain for this
  // ConfigMap; both are made by controllers a moment after the namespace.
  for (const object of ['serviceaccount/default', 'configmap/kube-root-ca.crt']) {
    await until(() => cluster.kubectl(['-n', namespace, 'get', object]), {
      what: `${object} in the new namespace`,
      withinMs: 30_000,
    })
  }
  return openPlace(namespace)
}

/** A place in a namespace that exists already, such as Latchkey's own. */
export function openPlace(namespace: string): Place {
  const inNamespace = ['-n', namespace]
  const kubectl = async (args: readonly string[], input?: string): Promise<Buffer> => {
    const options = { timeoutMs: 120_000, ...(input !== undefined && { input }) }
    return (await cluster.kubectl([...inNamespace, ...args], options)).stdout
  }
  const place: Place = {
    namespace,
    async apply(...objects) {
      await place.applyYaml(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
    },
    async applyYaml(yaml) {
      // Server-side: a Secret of 1 MiB does not fit into the annotation of the other way.
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], yaml)
    },
    async applyConsumer(name, options) {
      await place.apply(consumerPod(name, cluster.consumerImage, options))
    },
    async kubectl(...args) {
      return (await kubectl(args)).toString()
    },
    async findPod(name) {
      const text = await place.kubectl('get', 'pod', name, '--ignore-not-found', '-o', 'json')
      return text === '' ? undefined : (JSON.parse(text) as Pod)
    },
    waitForPod: (name, withinMs) =>
      place.waitForPodThat(`pod ${name} to be ready`, name, isReady, withinMs),
    waitForPodThat: (what, name, question, withinMs = POD_WITHIN_MS) =>
      until(
        async () => {
          const pod = await place.findPod(name)
          return pod !== undefined && question(pod) ? pod : undefined
        },
        { what, withinMs, explain: () => explainPod(place, name) },
      ),
    async deletePod(name) {
      await kubectl(['delete', 'pod', name, '--wait=false'])
      await place.waitForNoPod(name)
    },
    async waitForNoPod(name, withinMs = GONE_WITHIN_MS) {
      await until(async () => ((await place.findPod(name)) === undefined ? true : undefined), {
        what: `pod ${name} to be gone`,
        withinMs,
        explain: () => explainPod(place, name),
      })
    },
    exec: (pod, command, container) =>
      kubectl([
        'exec',
        pod,
        ...(container === undefined ? [] : ['-c', container]),
        '--',
        ...command,
      ]),
    async execText(pod, command, container) {
      return (await place.exec(pod, command, container)).toString()
    },
    async events(pod) {
      const selector = `involvedObject.kind=Pod,involvedObject.name=${pod}`
      const text = await place.kubectl('get', 'events', '--field-selector', selector, '-o', 'json')
      return (JSON.parse(text) as { items: KubeEvent[] }).items
    },
    waitForEvent: (pod, message, withinMs = POD_WITHIN_MS) =>
      until(async () => (await place.events(pod)).find((event) => message.test(event.message)), {
        what: `an event of pod ${pod} that matches ${String(message)}`,
        withinMs,
        explain: () => explainPod(place, pod),
      }),
  }
  return place
}

/** The mounts of the node, or of its kubelet's folder for one pod. */
export function mountsOf(node: ClusterNode, pod?: Pod): Mount[] {
  const mounts = parseMountTable(node.mountinfo())
  if (pod === undefined) return mounts
  const folder = `/var/lib/kubelet/pods/${pod.metadata.uid}/`
  return mounts.filter(({ mountPoint }) => mountPoint.startsWith(folder))
}

/** Where a CSI volume of the pod lies on the node, as seen from this process. */
export function csiVolumePath(node: ClusterNode, pod: Pod, volume: string): string {
  const folder = join(node.kubeletRoot, 'pods', pod.metadata.uid, 'volumes', 'kubernetes.io~csi')
  return join(folder, volume, 'mount')
}

/** Kills kubelet and starts it again; see `startKubelet`. */
export async function restartKubelet(node: ClusterNode): Promise<void> {
  await node.kubelet.kill()
  await startKubelet(node)
}

/** Returns when it knows its pods: before that it answers exec with "pod does not exist". */
export async function startKubelet(node: ClusterNode): Promise<void> {
  node.kubelet.start()
  const path = `/api/v1/nodes/${cluster.nodeName}/proxy/pods`
  await until(
    async () => {
      const { stdout } = await cluster.kubectl(['get', '--raw', path])
      const { items } = JSON.parse(stdout.toString()) as { items: unknown[] | null }
      return items !== null && items.length > 0 ? true : undefined
    },
    { what: 'kubelet to know its pods again', withinMs: POD_WITHIN_MS },
  )
}

/** The state of one container. */
export function containerOf(pod: Pod | undefined, name: string): ContainerStatus | undefined {
  return pod?.status.containerStatuses?.find((status) => status.name === name)
}

function openConnected(): Cluster {
  const text = process.env[DESCRIPTION_VARIABLE]
  if (text === undefined) throw new Error('stories are told by `npm run e2e`')
  return openCluster(JSON.parse(text) as ClusterDescription)
}

function isReady(pod: Pod): boolean {
  const ready = pod.status.conditions?.find(({ type }) => type === 'Ready')
  return pod.status.phase === 'Running' && ready?.status === 'True'
}

/** What the pod's owner would see: its phase, its containers and its events. */
async function explainPod(place: Place, name: string): Promise<string> {
  try {
    const pod = await place.findPod(name)
    if (pod === undefined) return 'there is no such pod'
    const events = await place.events(name)
    return [
      `phase ${pod.status.phase}`,
      ...(pod.status.containerStatuses ?? []).map((status) => JSON.stringify(status)),
      ...events.map(({ type, reason, message }) => `${type} ${reason} ${message}`),
    ].join('\n')
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function leave(namespace: string): Promise<void> {
  const deletePods = ['delete', 'pods', '--all', '--timeout=60s']
  await cluster.kubectl(['-n', namespace, ...deletePods], { timeoutMs: 70_000 })
  await cluster.kubectl(['delete', 'namespace', namespace, '--wait=false'])
}

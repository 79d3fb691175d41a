import { randomBytes } from 'node:crypto'
import { LatchkeyError } from '../../core/errors.ts'
import type { Pod } from '../../core/types.ts'
import type { DaemonToken } from './daemon-token.ts'
import { collectBody } from './response-body.ts'
import type { Transport } from './transport.ts'

/** What `kubectl describe pod` shows in a line. */
export interface PodEvent {
  readonly pod: Pick<Pod, 'namespace' | 'name' | 'uid'>
  /** The node that it is said from. */
  readonly node: string
  readonly type: 'Normal' | 'Warning'
  /** One word. */
  readonly reason: string
  /** 1,024 characters at most; more is cut off. */
  readonly message: string
  /** How often it has been said, this time included, and since when. */
  readonly count: number
  readonly firstAtMs: number
  readonly lastAtMs: number
}

export type CreatePodEvent = (event: PodEvent, signal: AbortSignal) => Promise<void>

const COMPONENT = 'latchkey'
const MAX_MESSAGE_CHARS = 1024
const MAX_NAME_CHARS = 253
const MAX_ANSWER_BYTES = 256 * 1024

/**
 * Creates events with the daemon's own account. As core/v1 and not events.k8s.io/v1: the same objects, and
 * the older form has the count and the two times that kubectl shows.
 *
 * The function throws: AccessDenied (it may not create events) · KubeUnavailable · Timeout · ShuttingDown ·
 * the signal's reason.
 */
export function createEventWriter(transport: Transport, daemonToken: DaemonToken): CreatePodEvent {
  return async (event, signal) => {
    const bearer = await daemonToken.read()
    const response = await transport.send(
      'daemon',
      {
        method: 'POST',
        path: `/api/v1/namespaces/${encodeURIComponent(event.pod.namespace)}/events`,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          ...(bearer === undefined
            ? {}
            : { authorization: `Bearer ${bearer.use((bytes) => bytes.toString('latin1'))}` }),
        },
        body: JSON.stringify(bodyOf(event)),
      },
      signal,
    )
    if (response.status === 401) daemonToken.forget()
    await collectBody(response.body, MAX_ANSWER_BYTES, signal)
    const refused = refusal(response.status, event.pod.namespace)
    if (refused !== undefined) throw refused
  }
}

function bodyOf({ pod, node, message, ...event }: PodEvent): object {
  const { namespace, name, uid } = pod
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: eventName(name), namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
    type: event.type,
    reason: event.reason,
    message: message.slice(0, MAX_MESSAGE_CHARS).toWellFormed(),
    source: { component: COMPONENT, host: node },
    reportingComponent: COMPONENT,
    reportingInstance: node,
    count: event.count,
    firstTimestamp: timestamp(event.firstAtMs),
    lastTimestamp: timestamp(event.lastAtMs),
  }
}

/**
 * Named before it is sent, so that a call whose connection died under it can be made again: the second one
 * meets the first one's object, and not two of them lie there.
 */
function eventName(pod: string): string {
  const suffix = `.${randomBytes(8).toString('hex')}`
  const stem = pod.slice(0, MAX_NAME_CHARS - suffix.length).replace(/[^a-z0-9]+$/, '')
  return stem + suffix
}

/** metav1.Time knows seconds only. */
function timestamp(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z')
}

function refusal(status: number, namespace: string): LatchkeyError | undefined {
  switch (status) {
    case 200:
    case 201:
    case 409:
      return undefined
    case 401:
      return new LatchkeyError(
        'KubeUnavailable',
        "the API server does not accept the daemon's own credentials",
      )
    case 403:
      return new LatchkeyError(
        'AccessDenied',
        `the daemon may not create events in namespace "${namespace}": add the kustomize component events, or set events.enabled to false`,
      )
    default:
      return new LatchkeyError(
        'KubeUnavailable',
        `the API server answered ${status} when asked to create an event`,
      )
  }
}

import type { Answer, ApiStatus } from './answer.ts'
import { badRequest, jsonAnswer, NO_SUCH_METHOD, statusAnswer } from './answer.ts'
import { JSON_TYPE } from './media-type.ts'
import { keyOf, newUid } from './object-meta.ts'
import type { PodStore } from './pod-store.ts'
import type { ResourceRequest } from './request-info.ts'

/** A request that authorization has let through. */
export interface EventsRequest {
  readonly method: string
  readonly contentType: string
  readonly info: ResourceRequest
  readonly body: Buffer
}

type JsonObject = Readonly<Record<string, unknown>>

const MAX_NAMES = 10_000

/** Events that were created from outside; each is also put down among what happened to its pod. */
export class Events {
  readonly #pods: PodStore
  readonly #names = new Set<string>()

  constructor(pods: PodStore) {
    this.#pods = pods
  }

  /** POST /api/v1/namespaces/NAMESPACE/events, in JSON. */
  answer({ method, contentType, info, body }: EventsRequest): Answer {
    if (method !== 'POST') return statusAnswer(NO_SUCH_METHOD, 'json')
    if (!contentType.startsWith(JSON_TYPE)) {
      const message = `the body of the request was in an unknown format - accepted media types include: ${JSON_TYPE}`
      return statusAnswer({ code: 415, message, reason: 'UnsupportedMediaType' }, 'json')
    }
    const event = readObject(body)
    if (event === undefined) return statusAnswer(UNREADABLE, 'json')
    const refused = refusal(event, info.namespace) ?? this.#take(event, info.namespace)
    if (refused !== undefined) return statusAnswer(refused, 'json')
    const metadata = { ...asObject(event['metadata']), namespace: info.namespace, uid: newUid() }
    return jsonAnswer(201, { kind: 'Event', apiVersion: 'v1', ...event, metadata })
  }

  #take(event: JsonObject, namespace: string): ApiStatus | undefined {
    const name = textOf(asObject(event['metadata'])['name'])
    const key = keyOf({ namespace, name })
    if (this.#names.has(key)) return alreadyExists(name)
    this.#names.add(key)
    const [oldest] = this.#names
    if (this.#names.size > MAX_NAMES && oldest !== undefined) this.#names.delete(oldest)
    const { uid } = asObject(event['involvedObject'])
    this.#pods.recordEvent(textOf(uid), {
      type: event['type'] === 'Warning' ? 'Warning' : 'Normal',
      reason: textOf(event['reason']),
      message: textOf(event['message']),
    })
    return undefined
  }
}

const UNREADABLE = badRequest('the object provided is unrecognized (must be of type Event)')

function refusal(event: JsonObject, namespace: string): ApiStatus | undefined {
  const metadata = asObject(event['metadata'])
  const [name, own] = [textOf(metadata['name']), textOf(metadata['namespace'])]
  if (own !== '' && own !== namespace) {
    return badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
  }
  if (name === '') {
    return invalid(name, 'metadata.name: Required value: name or generateName is required')
  }
  const about = textOf(asObject(event['involvedObject'])['namespace'])
  return about === namespace
    ? undefined
    : invalid(
        name,
        `involvedObject.namespace: Invalid value: ${JSON.stringify(about)}: does not match event.namespace`,
      )
}

function invalid(name: string, why: string): ApiStatus {
  return {
    code: 422,
    message: `Event ${JSON.stringify(name)} is invalid: ${why}`,
    reason: 'Invalid',
  }
}

function alreadyExists(name: string): ApiStatus {
  return {
    code: 409,
    message: `events ${JSON.stringify(name)} already exists`,
    reason: 'AlreadyExists',
    details: { name, kind: 'events' },
  }
}

function readObject(body: Buffer): JsonObject | undefined {
  try {
    const object = asObject(JSON.parse(body.toString()))
    const { kind = 'Event', apiVersion = 'v1' } = object
    return kind === 'Event' && apiVersion === 'v1' ? object : undefined
  } catch {
    return undefined
  }
}

function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {}
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

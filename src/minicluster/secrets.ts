import type { Answer } from './answer.ts'
import {
  badRequest,
  jsonAnswer,
  NO_SUCH_METHOD,
  NO_SUCH_RESOURCE,
  notFound,
  statusAnswer,
} from './answer.ts'
import type { MediaType } from './media-type.ts'
import { PROTOBUF_TYPE } from './media-type.ts'
import { isTrue, selectedName } from './request-info.ts'
import type { ResourceRequest } from './request-info.ts'
import {
  metadataJson,
  partialMetadataJson,
  secretJson,
  secretProtobuf,
  secretTable,
} from './secret-form.ts'
import type { RowObject } from './secret-form.ts'
import type { SecretStore, StoredSecret } from './secret-store.ts'
import { WatchEvents } from './watch-events.ts'
import type { WatchPlan } from './watch.ts'

/** A request that authorization has let through. */
export interface SecretsRequest {
  readonly method: string
  readonly url: URL
  readonly info: ResourceRequest
  readonly form: MediaType
}

const ROW_OBJECTS: readonly string[] = ['None', 'Metadata', 'Object']
// What an API server allows a watch whose client sets no limit: half an hour at the least.
const DEFAULT_WATCH_MS = 1_800_000

/** Answers a read at once; what it gives back for a watch is to be started. */
export function answerSecrets(
  request: SecretsRequest,
  store: SecretStore,
  nowMs: number,
): Answer | WatchPlan {
  const { method, info, form, url } = request
  if (method !== 'GET') return statusAnswer(NO_SUCH_METHOD, form.encoding)
  const rowObject = url.searchParams.get('includeObject') ?? 'Metadata'
  if (form.as === 'Table' && !isRowObject(rowObject)) {
    const message = `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(rowObject)}: must be 'Metadata', 'Object', 'None', or empty`
    return statusAnswer(badRequest(message), 'json')
  }
  const row = isRowObject(rowObject) ? rowObject : 'Metadata'
  if (info.verb === 'watch') return planWatch(request, row)
  if (info.verb !== 'get') return statusAnswer(NO_SUCH_RESOURCE, form.encoding)
  const secret = store.get(info)
  if (secret === undefined) return statusAnswer(notFound(info.name), form.encoding)
  return answerRead(secret, form, row, nowMs)
}

function answerRead(
  secret: StoredSecret,
  form: MediaType,
  rowObject: RowObject,
  nowMs: number,
): Answer {
  if (form.encoding === 'protobuf') {
    return { code: 200, contentType: PROTOBUF_TYPE, body: secretProtobuf(secret) }
  }
  switch (form.as) {
    case 'object':
      return jsonAnswer(200, secretJson(secret))
    case 'PartialObjectMetadata':
      return jsonAnswer(200, partialMetadataJson(metadataJson(secret)))
    case 'Table':
      return jsonAnswer(200, secretTable(secret, rowObject, nowMs, true))
  }
}

function planWatch({ url, info, form }: SecretsRequest, rowObject: RowObject): Answer | WatchPlan {
  const query = url.searchParams
  const version = query.get('resourceVersion') ?? ''
  if (!/^\d*$/.test(version)) {
    const quoted = JSON.stringify(version)
    // A real API server answers 500 without a reason, and so does this one.
    const message = `resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`
    return statusAnswer({ code: 500, message }, form.encoding)
  }
  const wantsInitialEvents = isTrue(query.get('sendInitialEvents'))
  if (wantsInitialEvents && query.get('resourceVersionMatch') !== 'NotOlderThan') {
    return statusAnswer(INITIAL_EVENTS_UNMATCHED, form.encoding)
  }
  const beginsWithAll = version === '' || version === '0' || wantsInitialEvents
  const wantsBookmarks = isTrue(query.get('allowWatchBookmarks'))
  return {
    namespace: info.namespace,
    name: selectedName(query),
    sinceRevision: beginsWithAll ? undefined : Number(version),
    marksBeginning: wantsBookmarks && beginsWithAll,
    wantsBookmarks,
    lifetimeMs: lifetimeOf(query.get('timeoutSeconds')),
    events: new WatchEvents(form.as, rowObject),
  }
}

const INITIAL_EVENTS_UNMATCHED = {
  code: 422,
  message:
    'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
  reason: 'Invalid',
}

function lifetimeOf(timeoutSeconds: string | null): number {
  const seconds = Number(timeoutSeconds ?? 0)
  return seconds > 0 ? seconds * 1000 : DEFAULT_WATCH_MS
}

function isRowObject(text: string): text is RowObject {
  return ROW_OBJECTS.includes(text)
}

import { encodeStatus, encodeUnknown } from '../wire/kubernetes-messages.ts'
import { JSON_TYPE, PROTOBUF_TYPE, TEXT_TYPE } from './media-type.ts'
import type { MediaType } from './media-type.ts'
import type { RequestInfo, ResourceRequest } from './request-info.ts'
import type { User } from './user.ts'

/** A whole answer, as opposed to a watch. */
export interface Answer {
  readonly code: number
  readonly contentType: string
  readonly body: Buffer | string
  readonly headers?: Readonly<Record<string, string>>
}

/** A Status object of kind Failure; texts and fields are those of Kubernetes' API server. */
export interface ApiStatus {
  readonly code: number
  readonly message: string
  readonly reason?: string
  readonly details?: Readonly<Record<string, unknown>>
}

export const UNAUTHORIZED: ApiStatus = {
  code: 401,
  message: 'Unauthorized',
  reason: 'Unauthorized',
}

export const NO_SUCH_RESOURCE: ApiStatus = {
  code: 404,
  message: 'the server could not find the requested resource',
  reason: 'NotFound',
  details: {},
}

export const NO_SUCH_METHOD: ApiStatus = {
  code: 405,
  message: 'the server does not allow this method on the requested resource',
  reason: 'MethodNotAllowed',
  details: {},
}

export const NOT_ACCEPTABLE: ApiStatus = {
  code: 406,
  message: `only the following media types are accepted: ${JSON_TYPE}, ${PROTOBUF_TYPE}`,
  reason: 'NotAcceptable',
}

export const STORAGE_FAILED: ApiStatus = {
  code: 500,
  message: 'Internal error occurred: etcdserver: leader changed',
  reason: 'InternalError',
  details: { causes: [{ message: 'etcdserver: leader changed' }] },
}

export function badRequest(message: string): ApiStatus {
  return { code: 400, message, reason: 'BadRequest' }
}

export function notFound(name: string): ApiStatus {
  return {
    code: 404,
    message: `secrets "${name}" not found`,
    reason: 'NotFound',
    details: { name, kind: 'secrets' },
  }
}

export function forbidden(user: User, info: RequestInfo): ApiStatus {
  const denied = `User "${user.name}" cannot ${info.verb}`
  if (info.kind === 'path') {
    const message = `forbidden: ${denied} path "${info.path}"`
    return { code: 403, message, reason: 'Forbidden', details: {} }
  }
  const { apiGroup, resource, name, namespace } = info
  const what = apiGroup === '' ? resource : `${resource}.${apiGroup}`
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`
  return {
    code: 403,
    message: `${what}${name === '' ? '' : ` "${name}"`} is forbidden: ${denied} resource "${fullName(info)}" in API group "${apiGroup}" ${where}`,
    reason: 'Forbidden',
    details: {
      ...(name === '' ? {} : { name }),
      ...(apiGroup === '' ? {} : { group: apiGroup }),
      kind: resource,
    },
  }
}

function fullName({ resource, subresource }: ResourceRequest): string {
  return subresource === '' ? resource : `${resource}/${subresource}`
}

export function statusAnswer(status: ApiStatus, encoding: MediaType['encoding']): Answer {
  const { code } = status
  if (encoding === 'json') return jsonAnswer(code, statusObject(status))
  const raw = encodeStatus({
    status: 'Failure',
    message: status.message,
    reason: status.reason ?? '',
    code,
  })
  const typeMeta = { apiVersion: 'v1', kind: 'Status' }
  return { code, contentType: PROTOBUF_TYPE, body: encodeUnknown({ typeMeta, raw }) }
}

export function statusObject({ code, message, reason, details }: ApiStatus): object {
  const head = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message }
  return {
    ...head,
    ...(reason === undefined ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  }
}

export function jsonAnswer(code: number, object: object): Answer {
  return { code, contentType: JSON_TYPE, body: `${JSON.stringify(object)}\n` }
}

export function textAnswer(code: number, text: string): Answer {
  return { code, contentType: TEXT_TYPE, body: text }
}

import { join } from 'node:path'
import protobuf from 'protobufjs'
import { PROTO_FOLDER } from './protos.ts'

/** A Kubernetes object in its protobuf envelope. */
export interface UnknownObject {
  /** null where it was left out. */
  readonly typeMeta: { readonly apiVersion: string; readonly kind: string } | null
  /** The object's own encoding; a view of the decoded buffer. */
  readonly raw: Buffer
}

export interface SecretObject {
  /** null where it was left out. */
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly resourceVersion: string
  } | null
  /** Views of the decoded buffer. */
  readonly data: Readonly<Record<string, Buffer>>
  readonly type: string
  readonly immutable: boolean
}

export interface StatusObject {
  readonly status: string
  readonly message: string
  readonly reason: string
  readonly code: number
}

// A body in Kubernetes' protobuf encoding begins with these four bytes, then comes an Unknown.
const MAGIC = Buffer.from('k8s\0')

const root = new protobuf.Root().loadSync(join(PROTO_FOLDER, 'kubernetes/v1/secret.proto'))
const unknownType = root.lookupType('kubernetes.v1.Unknown')
const secretType = root.lookupType('kubernetes.v1.Secret')
const dataField = secretType.fields['data']?.id
const statusType = root.lookupType('kubernetes.v1.Status')

/** Each decode throws where the bytes are no such message; what it throws may quote them. */
export function decodeUnknown(body: Buffer): UnknownObject {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('not a protobuf body')
  return decode(unknownType, body.subarray(MAGIC.length)) as UnknownObject
}

export function decodeSecret(raw: Buffer): SecretObject {
  return decode(secretType, raw) as SecretObject
}

/** How many entries `decodeSecret` would make objects of; throws as it does. */
export function countSecretEntries(raw: Buffer): number {
  const reader = protobuf.Reader.create(raw)
  let count = 0
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag >>> 3 === dataField) count += 1
    reader.skipType(tag & 7)
  }
  return count
}

export function decodeStatus(raw: Buffer): StatusObject {
  return decode(statusType, raw) as StatusObject
}

export function encodeUnknown(object: UnknownObject): Buffer {
  return Buffer.concat([MAGIC, encode(unknownType, object)])
}

export function encodeSecret(object: SecretObject): Buffer {
  return encode(secretType, object)
}

export function encodeStatus(object: StatusObject): Buffer {
  return encode(statusType, object)
}

function decode(type: protobuf.Type, bytes: Buffer): unknown {
  return type.toObject(type.decode(bytes), { defaults: true, objects: true })
}

function encode(type: protobuf.Type, object: object): Buffer {
  return Buffer.from(type.encode(type.fromObject(object)).finish())
}

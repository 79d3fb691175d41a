// Kubernetes' protobuf, encoded by hand, so that the decoder meets bytes that it had no part in.

export interface SecretFields {
  readonly namespace?: string
  readonly name?: string
  readonly resourceVersion?: string
  readonly immutable?: boolean
  readonly data?: Readonly<Record<string, Buffer>>
  readonly kind?: string
  readonly annotation?: string
}

export const PROTOBUF = 'application/vnd.kubernetes.protobuf'

/** A Secret as an API server sends it: magic, Unknown, TypeMeta, raw object. */
export function secretBytes({
  namespace = 'shop',
  name = 'db',
  resourceVersion = '216',
  immutable,
  data = {},
  kind = 'Secret',
  annotation,
}: SecretFields = {}): Buffer {
  const metadata = [
    text(1, name),
    text(3, namespace),
    text(5, 'd5170e26-65d8-47dd-8d45-bab'),
    text(6, resourceVersion),
    ...(annotation === undefined
      ? []
      : [bytes(12, [text(1, 'last-applied'), text(2, annotation)])]),
  ]
  const entries = Object.entries(data).map(([key, value]) =>
    bytes(2, [text(1, key), bytes(2, [value])]),
  )
  const flag = immutable === undefined ? [] : [Buffer.from([(5 << 3) | 0, immutable ? 1 : 0])]
  return envelope(kind, [bytes(1, metadata), ...entries, text(3, 'Opaque'), ...flag])
}

/** What says that it is a Secret, and nothing more. */
export function emptySecretBytes(): Buffer {
  return envelope('Secret', [])
}

/** An object that says of what kind it is nowhere. */
export function kindlessBytes(): Buffer {
  return Buffer.concat([Buffer.from('k8s\0'), bytes(2, [text(3, 'Opaque')])])
}

export function statusBytes(message: string, code: number): Buffer {
  const raw = [
    text(2, 'Failure'),
    text(3, message),
    Buffer.concat([Buffer.from([6 << 3]), varint(code)]),
  ]
  return envelope('Status', raw)
}

export function statusJson(message: string, code: number): string {
  return JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code })
}

function envelope(kind: string, raw: readonly Buffer[]): Buffer {
  const typeMeta = bytes(1, [text(1, 'v1'), text(2, kind)])
  return Buffer.concat([Buffer.from('k8s\0'), typeMeta, bytes(2, raw)])
}

function text(field: number, value: string): Buffer {
  return bytes(field, [Buffer.from(value)])
}

function bytes(field: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([varint((field << 3) | 2), varint(body.length), body])
}

function varint(value: number): Buffer {
  const out: number[] = []
  let rest = value
  while (rest > 0x7f) {
    out.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  return Buffer.from([...out, rest])
}

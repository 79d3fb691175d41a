import { encodeSecret, encodeUnknown } from '../wire/kubernetes-messages.ts'
import { formatTime } from './object-meta.ts'
import type { StoredSecret } from './secret-store.ts'

/** Which object a Table's row carries: `includeObject` of the request. */
export type RowObject = 'None' | 'Metadata' | 'Object'

export function secretJson(secret: StoredSecret): object {
  const data = [...secret.data].map(
    ([key, value]) => [key, value.use((bytes) => bytes.toString('base64'))] as const,
  )
  return {
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: metadataJson(secret),
    ...(secret.immutable ? { immutable: true } : {}),
    ...(data.length === 0 ? {} : { data: Object.fromEntries(data) }),
    type: secret.type,
  }
}

/** The same in Kubernetes' protobuf, envelope included. */
export function secretProtobuf(secret: StoredSecret): Buffer {
  const { name, namespace, uid, resourceVersion, type, immutable } = secret
  const data = [...secret.data].map(
    ([key, value]) => [key, value.use((bytes) => Buffer.from(bytes))] as const,
  )
  const raw = encodeSecret({
    metadata: { name, namespace, uid, resourceVersion: String(resourceVersion) },
    data: Object.fromEntries(data),
    type,
    immutable,
  })
  for (const [, copy] of data) copy.fill(0)
  return encodeUnknown({ typeMeta: { apiVersion: 'v1', kind: 'Secret' }, raw })
}

export function partialMetadataJson(metadata: object): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata }
}

export function metadataJson(secret: StoredSecret): object {
  return {
    name: secret.name,
    namespace: secret.namespace,
    uid: secret.uid,
    resourceVersion: String(secret.resourceVersion),
    creationTimestamp: formatTime(secret.createdAtMs),
  }
}

/** A Secret as `kubectl get` prints it: a Table of one row. */
export function secretTable(
  secret: StoredSecret,
  rowObject: RowObject,
  nowMs: number,
  withColumns: boolean,
): object {
  const objects: Readonly<Record<RowObject, () => object | null>> = {
    None: () => null,
    Metadata: () => partialMetadataJson(metadataJson(secret)),
    Object: () => secretJson(secret),
  }
  const age = `${Math.floor((nowMs - secret.createdAtMs) / 1000)}s`
  const row = {
    cells: [secret.name, secret.type, secret.data.size, age],
    object: objects[rowObject](),
  }
  return table(secret.resourceVersion, row, withColumns)
}

/** What a watch of Tables says when it only tells how far it has come. */
export function bookmarkTable(
  resourceVersion: number,
  object: object | null,
  withColumns: boolean,
): object {
  return table(resourceVersion, { cells: ['', '', 0, '<unknown>'], object }, withColumns)
}

function table(resourceVersion: number, row: object, withColumns: boolean): object {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: String(resourceVersion) },
    columnDefinitions: withColumns ? COLUMNS : null,
    rows: [row],
  }
}

const COLUMNS = [column('Name', 'name'), column('Type', ''), column('Data', ''), column('Age', '')]

function column(name: string, format: string): object {
  return { name, type: 'string', format, description: '', priority: 0 }
}

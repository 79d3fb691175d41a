import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { isSecretKey } from '../core/kube-names.ts'
import { SecretBytes } from '../core/secret-bytes.ts'
import { checkRef, keyOf, newUid } from './object-meta.ts'
import type { ObjectMeta, ObjectRef, Revision } from './object-meta.ts'

export interface SecretSpec extends ObjectRef {
  /** Copied; the caller keeps its buffers. */
  readonly data: Readonly<Record<string, Buffer>>
  readonly type?: string
  readonly immutable?: boolean
}

export interface StoredSecret extends ObjectMeta {
  readonly type: string
  readonly immutable: boolean
  readonly data: ReadonlyMap<string, SecretBytes>
}

/** One write. A deleted Secret carries its last content and the revision of the deletion. */
export interface SecretChange {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly secret: StoredSecret
}

const MAX_DATA_BYTES = 1024 * 1024
const MAX_HISTORY = 1000

/** The Secrets of the cluster and the writes that a watch can still ask for. */
export class SecretStore {
  readonly #clock: Clock
  readonly #revision: Revision
  readonly #secrets = new Map<string, StoredSecret>()
  readonly #listeners = new Set<(change: SecretChange) => void>()
  #history: SecretChange[] = []
  #oldest = 0

  constructor(clock: Clock, revision: Revision) {
    this.#clock = clock
    this.#revision = revision
  }

  /** Throws: InvalidRequest (names, keys, size, already there). */
  create(spec: SecretSpec): StoredSecret {
    checkRef('secret', spec)
    const data = copyData(spec)
    if (this.#secrets.has(keyOf(spec))) throw invalid(`secrets "${spec.name}" already exists`)
    const secret = {
      ...pickRef(spec),
      uid: newUid(),
      resourceVersion: this.#revision.next(),
      createdAtMs: this.#clock.now(),
      type: spec.type ?? 'Opaque',
      immutable: spec.immutable ?? false,
      data,
    }
    this.#secrets.set(keyOf(spec), secret)
    this.#record({ type: 'ADDED', secret })
    return secret
  }

  /** Equal content takes no new revision and tells nobody. Throws: InvalidRequest · SecretNotFound. */
  update(spec: Pick<SecretSpec, 'namespace' | 'name' | 'data'>): StoredSecret {
    const before = this.#existing(spec)
    const data = copyData(spec)
    if (isEqual(before.data, data)) return before
    if (before.immutable) {
      throw invalid(
        `Secret "${spec.name}" is invalid: data: Forbidden: field is immutable when \`immutable\` is set`,
      )
    }
    const secret = { ...before, data, resourceVersion: this.#revision.next() }
    this.#secrets.set(keyOf(spec), secret)
    this.#record({ type: 'MODIFIED', secret })
    return secret
  }

  /** Throws: SecretNotFound. */
  delete(ref: ObjectRef): void {
    const before = this.#existing(ref)
    this.#secrets.delete(keyOf(ref))
    const secret = { ...before, resourceVersion: this.#revision.next() }
    this.#record({ type: 'DELETED', secret })
  }

  get(ref: ObjectRef): StoredSecret | undefined {
    return this.#secrets.get(keyOf(ref))
  }

  /** Those of a namespace, or the one of that name. */
  list(namespace: string, name: string | undefined): readonly StoredSecret[] {
    return [...this.#secrets.values()].filter(
      (secret) => secret.namespace === namespace && (name === undefined || secret.name === name),
    )
  }

  /** Every write after that revision, in order; undefined where some of them are forgotten. */
  changesSince(revision: number): readonly SecretChange[] | undefined {
    if (revision < this.#oldest) return undefined
    return this.#history.filter(({ secret }) => secret.resourceVersion > revision)
  }

  get revision(): number {
    return this.#revision.current
  }

  /** The oldest revision that a watch may start from. */
  get oldestRevision(): number {
    return this.#oldest
  }

  subscribe(listener: (change: SecretChange) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Forgets past writes, as an API server's cache does in time: older versions are Gone (410). */
  compact(): void {
    this.#history = []
    this.#oldest = this.#revision.current
  }

  /** Zeroes every value. */
  wipe(): void {
    for (const { secret } of this.#history) wipeData(secret)
    for (const secret of this.#secrets.values()) wipeData(secret)
    this.#secrets.clear()
    this.#history = []
  }

  #record(change: SecretChange): void {
    this.#history.push(change)
    if (this.#history.length > MAX_HISTORY) {
      this.#oldest = this.#history.shift()?.secret.resourceVersion ?? this.#oldest
    }
    for (const listener of this.#listeners) listener(change)
  }

  #existing(ref: ObjectRef): StoredSecret {
    const secret = this.get(ref)
    if (secret !== undefined) return secret
    throw new LatchkeyError('SecretNotFound', `secrets "${ref.name}" not found`)
  }
}

function pickRef({ namespace, name }: ObjectRef): ObjectRef {
  return { namespace, name }
}

function copyData({ name, data }: Pick<SecretSpec, 'name' | 'data'>): Map<string, SecretBytes> {
  const entries = Object.entries(data)
  const badKey = entries.find(([key]) => !isSecretKey(key))?.[0]
  if (badKey !== undefined)
    throw invalid(`Secret "${name}" data: "${badKey}" is no key of a Secret`)
  const totalBytes = entries.reduce((sum, [, value]) => sum + value.length, 0)
  if (totalBytes > MAX_DATA_BYTES) {
    throw invalid(`Secret "${name}" data: holds more than ${MAX_DATA_BYTES} bytes`)
  }
  return new Map(entries.map(([key, value]) => [key, SecretBytes.copyOf(value)]))
}

function isEqual(
  a: ReadonlyMap<string, SecretBytes>,
  b: ReadonlyMap<string, SecretBytes>,
): boolean {
  if (a.size !== b.size) return false
  return [...a].every(([key, value]) => b.get(key)?.equals(value) ?? false)
}

function wipeData({ data }: StoredSecret): void {
  for (const value of data.values()) value.wipe()
}

function invalid(message: string): LatchkeyError {
  return new LatchkeyError('InvalidRequest', message)
}

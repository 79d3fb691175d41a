import { SecretBytes } from '../../core/secret-bytes.ts'
import type { Value } from './source.ts'

/** A value of the receiver's own: wiping the one leaves the other as it is. */
export function copyValue<T extends Value>(value: T): T {
  const entries = new Map([...value.entries].map(([name, secret]) => [name, copyOf(secret)]))
  const { json, term } = value
  const copy = { ...value, entries }
  const lease = term?.lease
  return {
    ...copy,
    ...(json === undefined ? {} : { json: copyOf(json) }),
    ...(term === undefined || lease === undefined
      ? {}
      : { term: { ...term, lease: { ...lease, id: copyOf(lease.id) } } }),
  }
}

export function wipeValue(value: Value | undefined): void {
  for (const secret of value?.entries.values() ?? []) secret.wipe()
  value?.json?.wipe()
  value?.term?.lease?.id.wipe()
}

function copyOf(secret: SecretBytes): SecretBytes {
  return secret.use((bytes) => SecretBytes.copyOf(bytes))
}

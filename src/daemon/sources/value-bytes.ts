import { SecretBytes } from '../../core/secret-bytes.ts'
import type { Value } from './source.ts'

/** A value of the receiver's own: wiping the one leaves the other as it is. */
export function copyValue(value: Value): Value {
  const entries = [...value.entries].map(
    ([name, secret]) => [name, secret.use((bytes) => SecretBytes.copyOf(bytes))] as const,
  )
  return { ...value, entries: new Map(entries) }
}

export function wipeValue(value: Value | undefined): void {
  for (const secret of value?.entries.values() ?? []) secret.wipe()
}

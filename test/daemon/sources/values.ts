import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { Item } from '../../../src/daemon/sources/item.ts'
import type { Value } from '../../../src/daemon/sources/source.ts'

export function valueOf(
  entries: Readonly<Record<string, string | Buffer>>,
  changes: Partial<Value> = {},
): Value {
  const secrets = Object.entries(entries).map(
    ([name, data]) => [name, SecretBytes.copyOf(Buffer.from(data))] as const,
  )
  return { version: '1', immutable: false, entries: new Map(secrets), ...changes }
}

export function textsOf({ entries }: Value): Readonly<Record<string, string>> {
  return Object.fromEntries([...entries].map(([name, secret]) => [name, textOf(secret)]))
}

export function textOf(secret: SecretBytes): string {
  return secret.use((bytes) => bytes.toString())
}

/** Whether nothing but zeros is left of all of it. */
export function isWiped(value: Value): boolean {
  return value.entries.values().every((secret) => isZeroed(secret))
}

export function isZeroed(secret: SecretBytes): boolean {
  return secret.length > 0 && secret.use((bytes) => bytes.every((byte) => byte === 0))
}

export function itemOf(changes: Partial<Item> = {}): Item {
  return {
    from: 'kubernetes',
    secret: 'db',
    version: undefined,
    role: undefined,
    args: undefined,
    key: undefined,
    path: undefined,
    dir: undefined,
    format: undefined,
    mode: 0o644,
    optional: false,
    refreshMs: undefined,
    lastForMs: undefined,
    ...changes,
  }
}

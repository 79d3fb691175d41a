import type { Args, Item } from './item.ts'

/** Names one secret of one source; items that share it share one fetch. */
export type SecretKey = `${string}\n${string}`

export type Asked = Pick<Item, 'secret' | 'version' | 'role' | 'args'>

export function secretKeyOf(item: Pick<Item, 'from'> & Asked): SecretKey {
  return keyOfAsk(item.from, askOf(item))
}

/** The same, of a text of askOf. */
export function keyOfAsk(from: string, ask: string): SecretKey {
  return `${from}\n${ask}`
}

/** What a source is asked for an item: the secret's name, or JSON where more words make it another secret. */
export function askOf({ secret, version, role, args }: Asked): string {
  const isPlain = version === undefined && role === undefined && args === undefined
  if (isPlain && !secret.startsWith('{')) return secret
  const sorted = Object.entries(args ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify({ secret, version, role, args: args && Object.fromEntries(sorted) })
}

/** The words behind a text of askOf. */
export function readAsk(ask: string): Asked {
  const plain = { secret: ask, version: undefined, role: undefined, args: undefined }
  if (!ask.startsWith('{')) return plain
  const words = JSON.parse(ask) as { secret: string; version?: string; role?: string; args?: Args }
  return { ...plain, ...words }
}

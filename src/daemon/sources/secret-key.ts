import type { Item } from './item.ts'

/** Names one secret of one source; items that share it share one fetch. */
export type SecretKey = `${string}\n${string}`

export function secretKeyOf({ from, secret }: Pick<Item, 'from' | 'secret'>): SecretKey {
  return `${from}\n${secret}`
}

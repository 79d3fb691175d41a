import { LatchkeyError } from '../../core/errors.ts'
import { findCollision } from '../../core/path-collision.ts'

/** Where an item puts a file; `item` is its place in the list. */
export interface Place {
  readonly item: number
  readonly path: string
}

/**
 * Later does not silently win over earlier: what a pod reads must not hang on an order.
 *
 * Throws: InvalidRequest where two places are the same, or one lies below the other.
 */
export function refuseCollisions(places: readonly Place[]): void {
  const found = findCollision(places.map(({ path }) => path))
  if (found === undefined) return
  const itemOf = (index: number): number => places[index]?.item ?? index
  const path = JSON.stringify(found.path)
  const what = found.isFolder ? `make ${path} both a file and a folder` : `both write ${path}`
  throw new LatchkeyError(
    'InvalidRequest',
    `volumeAttributes.items[${itemOf(found.one)}] and items[${itemOf(found.two)}] ${what}`,
  )
}

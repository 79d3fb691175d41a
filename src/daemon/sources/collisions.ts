import { LatchkeyError } from '../../core/errors.ts'

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
  const files = new Map<string, number>()
  for (const { path, item } of places) {
    const other = files.get(path)
    if (other !== undefined) refuse(other, item, `both write ${JSON.stringify(path)}`)
    files.set(path, item)
  }
  for (const { path, item } of places) {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
      const folder = path.slice(0, end)
      const other = files.get(folder)
      if (other === undefined) continue
      refuse(other, item, `make ${JSON.stringify(folder)} both a file and a folder`)
    }
  }
}

function refuse(one: number, two: number, what: string): never {
  throw new LatchkeyError(
    'InvalidRequest',
    `volumeAttributes.items[${one}] and items[${two}] ${what}`,
  )
}

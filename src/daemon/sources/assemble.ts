import { LatchkeyError } from '../../core/errors.ts'
import { parseSafePath } from '../../core/safe-path.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { VolumeFile } from '../../core/types.ts'
import { MAX_VOLUME_BYTES } from '../../wire/limits.ts'
import { secretKeyOf, type SecretKey } from './collect.ts'
import type { Item } from './item.ts'
import type { Value } from './source.ts'

const MAX_FILES = 1024
/** kubelet's mask for files of a volume with fsGroup: the group may always read. */
const GROUP_READ = 0o440

interface Placed {
  readonly index: number
  readonly item: Item
  readonly path: string
  readonly data: SecretBytes
}

/**
 * Turns what was fetched into the volume's files, each with a copy of its bytes.
 *
 * Throws: SecretNotFound where a key is missing · InvalidRequest where two items meet in one place ·
 * PayloadTooLarge.
 */
export function assembleFiles(
  items: readonly Item[],
  values: ReadonlyMap<SecretKey, Value | undefined>,
  fsGroup: number | undefined,
): readonly VolumeFile[] {
  const placed = items.flatMap((item, index) => place(item, index, values.get(secretKeyOf(item))))
  if (placed.length > MAX_FILES) {
    throw new LatchkeyError('PayloadTooLarge', `volume: ${placed.length} files, ${MAX_FILES} allowed`)
  }
  const bytes = placed.reduce((sum, { data }) => sum + data.length, 0)
  if (bytes > MAX_VOLUME_BYTES) {
    throw new LatchkeyError(
      'PayloadTooLarge',
      `volume: ${bytes} bytes in all files, ${MAX_VOLUME_BYTES} allowed; name single keys in items`,
    )
  }
  refuseCollisions(placed)
  return placed.map(({ item, path, data }) => ({
    path,
    data: data.use((own) => SecretBytes.copyOf(own)),
    mode: fsGroup === undefined ? item.mode : item.mode | GROUP_READ,
    ownerUid: 0,
  }))
}

function place(item: Item, index: number, value: Value | undefined): readonly Placed[] {
  if (value === undefined) return []
  if (item.key === undefined) {
    return [...value.entries].map(([key, data]) => {
      parseSafePath(key, `key of secret "${item.secret}"`)
      return { index, item, path: key, data }
    })
  }
  const data = value.entries.get(item.key)
  if (data !== undefined) return [{ index, item, path: item.path ?? item.key, data }]
  if (item.optional) return []
  throw new LatchkeyError(
    'SecretNotFound',
    `secret "${item.secret}" has no key "${item.key}": add the key, or set optional: true`,
  )
}

/** Later does not silently win over earlier: what a pod reads must not hang on an order. */
function refuseCollisions(placed: readonly Placed[]): void {
  const files = new Map<string, number>()
  for (const { path, index } of placed) {
    const other = files.get(path)
    if (other !== undefined) refuse(other, index, `both write "${path}"`)
    files.set(path, index)
  }
  for (const { path, index } of placed) {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
      const folder = path.slice(0, end)
      const other = files.get(folder)
      if (other !== undefined) refuse(other, index, `make "${folder}" both a file and a folder`)
    }
  }
}

function refuse(one: number, two: number, what: string): never {
  throw new LatchkeyError('InvalidRequest', `volumeAttributes.items[${one}] and items[${two}] ${what}`)
}

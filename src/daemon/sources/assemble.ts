import { LatchkeyError } from '../../core/errors.ts'
import { quoted } from '../../core/foreign-text.ts'
import { MAX_VOLUME_BYTES, MAX_VOLUME_FILES } from '../../core/limits.ts'
import { parseSafePath } from '../../core/safe-path.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { VolumeFile } from '../../core/types.ts'
import { refuseCollisions } from './collisions.ts'
import type { Item } from './item.ts'
import { secretKeyOf, type SecretKey } from './secret-key.ts'
import type { Value } from './source.ts'

/** kubelet's mask for files of a volume with fsGroup: the group may always read. */
const GROUP_READ = 0o440

interface Placed {
  /** The item's place in the list. */
  readonly item: number
  readonly path: string
  readonly mode: number
  readonly data: SecretBytes
}

/**
 * Turns what was fetched into the volume's files, each with a copy of its bytes. A secret without a value
 * is not there.
 *
 * Throws: SecretNotFound where a secret or key is missing that is not optional · InvalidRequest where two
 * items meet in one place, or a name is no path · PayloadTooLarge.
 */
export function assembleFiles(
  items: readonly Item[],
  values: ReadonlyMap<SecretKey, Value | undefined>,
  fsGroup: number | undefined,
): readonly VolumeFile[] {
  const placed = items.flatMap((item, index) => place(item, index, values.get(secretKeyOf(item))))
  refuseCrowded(placed.length)
  refuseOversized(placed.reduce((sum, { data }) => sum + data.length, 0))
  refuseCollisions(placed)
  return placed.map(({ path, mode, data }) => ({
    path,
    data: data.use((own) => SecretBytes.copyOf(own)),
    mode: fsGroup === undefined ? mode : mode | GROUP_READ,
    ownerUid: 0,
  }))
}

/** Throws: PayloadTooLarge. */
export function refuseCrowded(volumeFiles: number): void {
  if (volumeFiles <= MAX_VOLUME_FILES) return
  throw new LatchkeyError(
    'PayloadTooLarge',
    `the volume would have ${volumeFiles} files or more, ${MAX_VOLUME_FILES} are allowed; name single keys in items`,
  )
}

/** Throws: PayloadTooLarge. */
export function refuseOversized(volumeBytes: number): void {
  if (volumeBytes <= MAX_VOLUME_BYTES) return
  throw new LatchkeyError(
    'PayloadTooLarge',
    `the volume would have ${volumeBytes} bytes or more, ${MAX_VOLUME_BYTES} are allowed; name single keys in items`,
  )
}

function place(item: Item, index: number, value: Value | undefined): readonly Placed[] {
  const { secret, key, mode, optional } = item
  if (value === undefined) {
    if (optional) return []
    throw new LatchkeyError(
      'SecretNotFound',
      `secret "${secret}" is not there: create it, or set optional: true on its item`,
    )
  }
  if (item.format === 'json' && value.json !== undefined && item.path !== undefined) {
    return [{ item: index, path: item.path, mode, data: value.json }]
  }
  if (key === undefined) {
    return [...value.entries].map(([name, data]) => {
      const path = `${item.dir === undefined ? '' : `${item.dir}/`}${parseFileName(name, secret)}`
      return { item: index, path, mode, data }
    })
  }
  const data = value.entries.get(key)
  if (data !== undefined) {
    const path = item.path ?? key
    parseSafePath(path, `volumeAttributes.items[${index}].path`)
    return [{ item: index, path, mode, data }]
  }
  if (optional) return []
  throw new LatchkeyError(
    'SecretNotFound',
    `secret "${secret}" has no key "${key}": add the key, or set optional: true on its item`,
  )
}

/** An entry's own name as a file's; sources other than Kubernetes have no rules for theirs. */
function parseFileName(name: string, secret: string): string {
  const field = `key ${quoted(name)} of secret "${secret}"`
  if (parseSafePath(name, field).length === 1) return name
  throw new LatchkeyError(
    'InvalidRequest',
    `${field}: is no file name; list it in items with key and path`,
  )
}

import { contentsDigest } from '../../core/contents-digest.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeFile } from '../../core/types.ts'
import type { Workload } from '../identity/workload.ts'
import { assembleFiles } from './assemble.ts'
import type { Fetcher } from './fetcher.ts'
import type { Item } from './item.ts'
import type { Value } from './source.ts'

/** Names one secret of one source; items that share it share one fetch. */
export type SecretKey = `${string}\n${string}`

export function secretKeyOf({ from, secret }: Pick<Item, 'from' | 'secret'>): SecretKey {
  return `${from}\n${secret}`
}

/** A whole generation of a volume. The receiver owns the files' bytes and wipes them. */
export interface Collected {
  readonly files: readonly VolumeFile[]
  readonly digest: Buffer
  /** Of all files together. */
  readonly bytes: number
  /** What each secret's source called the version it gave; a secret that is not there has none. */
  readonly versions: ReadonlyMap<SecretKey, string>
}

/**
 * Fetches every secret of a volume side by side and makes files of them: all or nothing, items that are
 * optional and not there apart. Nothing that was fetched outlives the call but what it answers.
 *
 * Throws: whatever the first failing fetch or the assembly throws.
 */
export async function collect(
  workload: Workload,
  items: readonly Item[],
  fsGroup: number | undefined,
  fetcher: Fetcher,
  signal: AbortSignal,
): Promise<Collected> {
  const wanted = new Map(items.map((item) => [secretKeyOf(item), item]))
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  const fetches = [...wanted].map(async ([key, { from, secret }]) => {
    const isOptional = items.every((item) => secretKeyOf(item) !== key || item.optional)
    try {
      return [key, await fetchIfThere(fetcher, workload, from, secret, isOptional, either)] as const
    } catch (thrown) {
      failed.abort(thrown)
      throw thrown
    }
  })
  const settled = await Promise.allSettled(fetches)
  const values = new Map(settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])))
  try {
    if (failed.signal.aborted) throw LatchkeyError.from(failed.signal.reason)
    const files = assembleFiles(items, values, fsGroup)
    const bytes = files.reduce((sum, { data }) => sum + data.length, 0)
    return { files, bytes, digest: contentsDigest(files), versions: versionsOf(values) }
  } finally {
    // The files hold copies of their own: an entry that no item names is never handed on.
    for (const value of values.values()) wipeValue(value)
  }
}

async function fetchIfThere(
  fetcher: Fetcher,
  workload: Workload,
  from: string,
  secret: string,
  isOptional: boolean,
  signal: AbortSignal,
): Promise<Value | undefined> {
  try {
    return await fetcher.fetch(workload, from, secret, signal)
  } catch (thrown) {
    const isMissing = thrown instanceof LatchkeyError && thrown.reason === 'SecretNotFound'
    if (isMissing && isOptional) return undefined
    throw thrown
  }
}

function versionsOf(values: ReadonlyMap<SecretKey, Value | undefined>): Map<SecretKey, string> {
  return new Map(
    [...values].flatMap(([key, value]) => (value === undefined ? [] : [[key, value.version]])),
  )
}

function wipeValue(value: Value | undefined): void {
  for (const secret of value?.entries.values() ?? []) secret.wipe()
}

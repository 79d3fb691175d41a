import { contentsDigest } from '../../core/contents-digest.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { VolumeFile } from '../../core/types.ts'
import type { Workload } from '../identity/workload.ts'
import { assembleFiles, refuseCrowded, refuseOversized } from './assemble.ts'
import type { Item } from './item.ts'
import { askOf, secretKeyOf, type SecretKey } from './secret-key.ts'
import type { Fetched, Fetching, Stale } from './serve-last.ts'
import { wipeValue } from './value-bytes.ts'

/** A whole generation of a volume. The receiver owns the files' bytes and wipes them. */
export interface Collected {
  readonly files: readonly VolumeFile[]
  readonly digest: Buffer
  /** Of all files together. */
  readonly bytes: number
  /** What each secret's source called the version it gave; a secret that is not there has none. */
  readonly versions: ReadonlyMap<SecretKey, string>
  /** Secrets that never change any more. */
  readonly immutable: ReadonlySet<SecretKey>
  /** Of what was served from memory because its source was away, the oldest; undefined where all is fresh. */
  readonly stale?: Stale | undefined
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
  fetcher: Fetching,
  signal: AbortSignal,
): Promise<Collected> {
  const values = new Map<SecretKey, Fetched>()
  try {
    await fetchAll(workload, items, fetcher, signal, values)
    const files = assembleFiles(items, values, fsGroup)
    const bytes = files.reduce((sum, { data }) => sum + data.length, 0)
    const immutable = [...values].filter(([, value]) => value.immutable).map(([key]) => key)
    return {
      files,
      bytes,
      digest: contentsDigest(files),
      versions: new Map([...values].map(([key, { version }]) => [key, version])),
      immutable: new Set(immutable),
      stale: oldest(values.values()),
    }
  } finally {
    // The files hold copies of their own.
    for (const value of values.values()) wipeValue(value)
  }
}

/** Fills `values` with what is there. The first failure ends the other fetches; all have ended after it. */
async function fetchAll(
  workload: Workload,
  items: readonly Item[],
  fetcher: Fetching,
  signal: AbortSignal,
  values: Map<SecretKey, Fetched>,
): Promise<void> {
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  let [bytes, files] = [0, 0]
  const fetches = [...Map.groupBy(items, secretKeyOf)].map(async ([key, uses]) => {
    try {
      const value = await fetchIfThere(workload, uses, fetcher, either)
      if (value === undefined) return
      const named = keepNamed(value, uses)
      values.set(key, named)
      bytes += uses.reduce((sum, item) => sum + bytesOf(named, item), 0)
      files += uses.reduce((sum, item) => sum + filesOf(named, item), 0)
      // Not only when all is there: hundreds of large secrets would be in memory by then. Empty entries
      // take memory, too; by their number they are bounded far below what the bytes may be.
      refuseOversized(bytes)
      refuseCrowded(files)
    } catch (thrown) {
      failed.abort(thrown)
    }
  })
  await Promise.all(fetches)
  if (failed.signal.aborted) throw LatchkeyError.from(failed.signal.reason)
}

/** `uses` are the items that name one secret. It may be missing only where none of them insists. */
async function fetchIfThere(
  workload: Workload,
  uses: readonly Item[],
  fetcher: Fetching,
  signal: AbortSignal,
): Promise<Fetched | undefined> {
  const [first] = uses
  if (first === undefined) return undefined
  try {
    const { from, lastForMs } = first
    return await fetcher.fetch(workload, from, askOf(first), signal, lastForMs)
  } catch (thrown) {
    const isMissing = thrown instanceof LatchkeyError && thrown.reason === 'SecretNotFound'
    if (isMissing && uses.every(({ optional }) => optional)) return undefined
    throw thrown
  }
}

/** Wipes at once what no item names. */
function keepNamed(value: Fetched, uses: readonly Item[]): Fetched {
  const isWhole = uses.some(isWholeByName)
  const keys = new Set(uses.map(({ key }) => key))
  const entries = new Map<string, SecretBytes>()
  for (const [name, secret] of value.entries) {
    if (isWhole || keys.has(name)) entries.set(name, secret)
    else secret.wipe()
  }
  const isJsonUsed = uses.some(({ format }) => format === 'json')
  if (!isJsonUsed) value.json?.wipe()
  return { ...value, entries, json: isJsonUsed ? value.json : undefined }
}

/** An item that takes all entries, each by its own name. */
function isWholeByName({ key, format }: Item): boolean {
  return key === undefined && format === undefined
}

function bytesOf({ entries, json }: Fetched, { key, format }: Item): number {
  if (format === 'json') return json?.length ?? 0
  if (key !== undefined) return entries.get(key)?.length ?? 0
  return entries.values().reduce((sum, { length }) => sum + length, 0)
}

function filesOf({ entries }: Fetched, item: Item): number {
  if (isWholeByName(item)) return entries.size
  return item.key === undefined || entries.has(item.key) ? 1 : 0
}

function oldest(values: Iterable<Fetched>): Stale | undefined {
  const stale = [...values].flatMap((value) => (value.stale === undefined ? [] : [value.stale]))
  return stale.toSorted((a, b) => a.sinceMs - b.sinceMs)[0]
}

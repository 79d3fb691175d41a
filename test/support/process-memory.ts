import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** What is looked for: `name` says what it is, `form` in which form it would lie there. */
export interface Needle {
  readonly name: string
  readonly form: 'raw' | 'utf16' | 'base64'
  readonly bytes: Buffer
}

export interface Find {
  readonly name: string
  readonly form: Needle['form']
  /** As /proc/PID/maps calls it: [heap], [stack], a file; [anonymous] is V8's heap, among others. */
  readonly region: string
  readonly address: bigint
}

interface Run {
  readonly start: bigint
  readonly end: bigint
}

const CHUNK_BYTES = 4 * 1024 * 1024
const PAGE_BYTES = 4096n
const PAGEMAP_ENTRY_BYTES = 8
/** Needles are told apart by so many of their first bytes before they are compared. */
const KEY_BYTES = 4

/**
 * Every form in which a secret's bytes may lie in memory: as they are, two bytes for each (how V8 keeps text
 * that is not Latin-1), and within base64, where the letters depend on how many bytes stand before.
 */
export function needlesOf(name: string, secret: Buffer): readonly Needle[] {
  return [
    { name, form: 'raw', bytes: Buffer.from(secret) },
    { name, form: 'utf16', bytes: Buffer.from(secret.toString('latin1'), 'utf16le') },
    ...(['base64', 'base64url'] as const).flatMap((alphabet) =>
      [0, 1, 2].map((before) => ({
        name,
        form: 'base64' as const,
        bytes: Buffer.from(innerBase64(secret, before, alphabet)),
      })),
    ),
  ]
}

/** The letters that hang on nothing but the secret, for `before` bytes ahead of it. */
function innerBase64(secret: Buffer, before: number, alphabet: 'base64' | 'base64url'): string {
  const text = Buffer.concat([Buffer.alloc(before), secret]).toString(alphabet)
  const wholeLetters = Math.floor(((before + secret.length) * 8) / 6)
  return text.slice(before === 0 ? 0 : before + 1, wholeLetters)
}

/**
 * Looks through all memory of a process that is its own. Read-only pages of files are left out: what is in
 * them came from there.
 *
 * Throws: errors of node:fs, EACCES where this user may not.
 */
export function scanMemory(pid: number, needles: readonly Needle[]): readonly Find[] {
  const search = createSearch(needles)
  const overlap = Math.max(...needles.map(({ bytes }) => bytes.length)) - 1
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const buffer = Buffer.alloc(CHUNK_BYTES + overlap)
  const finds: Find[] = []
  try {
    for (const { start, end, name } of heldRuns(pid)) {
      for (let at = start; at < end; at += BigInt(CHUNK_BYTES)) {
        const left = Number(end - at)
        const chunk = buffer.subarray(0, readAt(memory, buffer, Math.min(left, buffer.length), at))
        search(chunk, (needle, offset) => {
          // What begins in the overlap is the next chunk's to find.
          if (offset >= CHUNK_BYTES) return
          finds.push({
            name: needle.name,
            form: needle.form,
            region: name,
            address: at + BigInt(offset),
          })
        })
      }
    }
    return finds
  } finally {
    closeSync(memory)
    buffer.fill(0)
  }
}

type Search = (chunk: Buffer, found: (needle: Needle, offset: number) => void) => void

/** All needles in one pass: hundreds of them, each on its own, would take minutes. */
function createSearch(needles: readonly Needle[]): Search {
  const isFirstPair = new Uint8Array(65_536)
  const byKey = Map.groupBy(needles, ({ bytes }) => bytes.readUInt32LE(0))
  for (const { bytes } of needles) isFirstPair[bytes.readUInt16LE(0)] = 1
  return (chunk, found) => {
    for (let at = 0; at <= chunk.length - KEY_BYTES; at += 1) {
      const pair = (chunk[at] ?? 0) | ((chunk[at + 1] ?? 0) << 8)
      if (isFirstPair[pair] === 0) continue
      for (const needle of byKey.get(chunk.readUInt32LE(at)) ?? []) {
        const end = at + needle.bytes.length
        if (chunk.subarray(at, end).equals(needle.bytes)) found(needle, at)
      }
    }
  }
}

/** Runs of pages that are in memory: one that was never touched holds nothing. */
function heldRuns(pid: number): readonly (Run & { readonly name: string })[] {
  const pagemap = openSync(`/proc/${pid}/pagemap`, 'r')
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8')
      .trim()
      .split('\n')
      .flatMap((line) => {
        const [range = '', access = '', , , , path = ''] = line.split(/\s+/)
        const [start = 0n, end = 0n] = range.split('-').map((text) => BigInt(`0x${text}`))
        // [vvar] and the like are the kernel's own, which nobody may read.
        if (!access.startsWith('r') || path.startsWith('[v')) return []
        const name = path === '' ? '[anonymous]' : path
        return runsOf(pagemap, { start, end }, access.includes('w')).map((run) => ({
          ...run,
          name,
        }))
      })
  } finally {
    closeSync(pagemap)
  }
}

/**
 * An entry of /proc/PID/pagemap has eight bytes; bits 63 and 62: in memory, swapped out; bit 61: still the
 * file's own page, or shared (admin-guide/mm/pagemap of the kernel).
 */
function runsOf(pagemap: number, { start, end }: Run, isWritable: boolean): readonly Run[] {
  const pages = Number((end - start) / PAGE_BYTES)
  const entries = Buffer.alloc(pages * PAGEMAP_ENTRY_BYTES)
  const position = (start / PAGE_BYTES) * BigInt(PAGEMAP_ENTRY_BYTES)
  readAt(pagemap, entries, entries.length, position)
  const runs: { start: bigint; end: bigint }[] = []
  for (let page = 0; page < pages; page += 1) {
    const bits = entries[page * PAGEMAP_ENTRY_BYTES + 7] ?? 0
    const isHeld = (bits & 0xc0) !== 0 && (isWritable || (bits & 0x20) === 0)
    if (!isHeld) continue
    const at = start + BigInt(page) * PAGE_BYTES
    const last = runs.at(-1)
    if (last?.end === at) last.end = at + PAGE_BYTES
    else runs.push({ start: at, end: at + PAGE_BYTES })
  }
  return runs
}

/** How many bytes there were: a region may go while it is read. */
function readAt(fd: number, buffer: Buffer, wanted: number, position: bigint): number {
  try {
    return readSync(fd, buffer, 0, wanted, position)
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === 'EIO' || code === 'EFAULT') return 0
    throw thrown
  }
}

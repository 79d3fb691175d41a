import { Buffer } from 'node:buffer'
import { Session } from 'node:inspector'
import { setFlagsFromString } from 'node:v8'
import { bind } from './libc.ts'

/** From glibc's malloc.h: overwrite what is freed with this byte, and what is allocated with its complement. */
const M_PERTURB = -6
const PATTERN = 0xa5

/**
 * From here on memory that is freed is overwritten, so that copies of secrets which libraries make on
 * their way (messages, socket reads, TLS records) do not outlive their use. To be called before the first
 * secret is there. What glibc keeps in its per-thread caches, pieces of at most 1 KiB and seven of a size,
 * goes unwritten; GLIBC_TUNABLES=glibc.malloc.tcache_count=0 turns these off.
 *
 * Answers whether the libc can do it: musl's cannot.
 */
export function overwriteFreedMemory(): boolean {
  // Else a small secret shares a slab with whatever small buffer lives longest.
  Buffer.poolSize = 0
  // Else the sweeper leaves the text of dead strings as it was, such as a token's in a header.
  setFlagsFromString('--clear-free-memory')
  try {
    return bind('mallopt', 'int mallopt(int, int)')(M_PERTURB, PATTERN) === 1
  } catch {
    return false
  }
}

/**
 * Collects all garbage and gives its pages back to the kernel. Blocks the event loop for about 0.1 s, so it is
 * for moments at which secrets have left for good, and not for every one of them.
 */
export async function releaseGarbage(): Promise<void> {
  // A debugger's own way, within the process and without a port: V8 has no other that needs no flag from
  // the command line.
  const session = new Session()
  session.connect()
  try {
    await new Promise<void>((resolve) => {
      session.post('HeapProfiler.collectGarbage', () => {
        resolve()
      })
    })
  } finally {
    session.disconnect()
  }
  trimHeap()
}

/** What glibc has freed it keeps, for the next one who asks. */
function trimHeap(): void {
  try {
    bind('malloc_trim', 'int malloc_trim(size_t)')(0)
  } catch {
    // musl has none, and keeps little.
  }
}

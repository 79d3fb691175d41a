import { readFile } from 'node:fs/promises'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { FileOr } from './cluster-connection.ts'
import { errorCode } from './connection-error.ts'

// kubelet renews the file at 80% of the token's life, which is ten minutes at least.
const REREAD_AFTER_MS = 60_000

export interface DaemonToken {
  /**
   * The daemon's token as it is now; undefined where it has none.
   * Throws: KubeUnavailable where the file cannot be read and none was read before.
   */
  read(): Promise<SecretBytes | undefined>
  /** The API server did not take it: the next read looks into the file. */
  forget(): void
}

export function createDaemonToken(
  source: FileOr<SecretBytes> | undefined,
  clock: Clock,
): DaemonToken {
  if (source === undefined || 'given' in source) {
    return { read: () => Promise.resolve(source?.given), forget: () => undefined }
  }
  let last: SecretBytes | undefined
  let rereadAtMs = 0
  return {
    async read() {
      if (last !== undefined && clock.now() < rereadAtMs) return last
      try {
        last = await readTokenFile(source.file)
        rereadAtMs = clock.now() + REREAD_AFTER_MS
      } catch (thrown) {
        // The one read before may well be good for a while.
        if (last === undefined) throw thrown
      }
      return last
    },
    forget() {
      rereadAtMs = 0
    },
  }
}

async function readTokenFile(path: string): Promise<SecretBytes> {
  const refuse = (why: string): never => {
    throw new LatchkeyError('KubeUnavailable', `the daemon's own token (${path}) ${why}`)
  }
  const bytes = await readFile(path).catch((thrown: unknown) =>
    refuse(`cannot be read (${errorCode(thrown) ?? 'unknown error'})`),
  )
  const token = SecretBytes.copyOf(Buffer.from(bytes.toString('latin1').trim(), 'latin1'))
  bytes.fill(0)
  if (token.length === 0) refuse('is empty')
  return token
}

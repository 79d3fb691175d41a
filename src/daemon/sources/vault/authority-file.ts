import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Clock } from '../../../core/clock.ts'
import { LatchkeyError } from '../../../core/errors.ts'

/** All authorities of the public web together are a quarter of this. */
const MAX_BYTES = 1024 * 1024
/** A mounted ConfigMap changes within a minute or two of its object; nobody waits for a connection until then. */
const LOOK_EVERY_MS = 10_000

export interface AuthorityFileOptions {
  /** The setting that names the file, for errors. */
  readonly setting: string
  readonly file: string
  readonly clock: Clock
  /** It cannot be used any more, and what it held last is. */
  readonly onTrouble: (why: LatchkeyError) => void
}

/**
 * The authorities that a server's certificate is believed from, as they lie in a file that is replaced when they are
 * renewed: connections are opened with what it holds by then.
 */
export class AuthorityFile {
  readonly #options: AuthorityFileOptions
  #pem: string
  #stamp: string
  #lookAtMs: number

  /** Throws: InvalidRequest, naming the setting. */
  constructor(options: AuthorityFileOptions) {
    this.#options = options
    this.#stamp = stampOf(options.file)
    this.#pem = readAuthorities(options)
    this.#lookAtMs = options.clock.now() + LOOK_EVERY_MS
  }

  /** PEM, some seconds old at most. */
  read(): string {
    const { file, clock, onTrouble } = this.#options
    const nowMs = clock.now()
    // A clock that was set back must not keep the old ones for longer.
    if (nowMs < this.#lookAtMs && nowMs >= this.#lookAtMs - LOOK_EVERY_MS) return this.#pem
    this.#lookAtMs = nowMs + LOOK_EVERY_MS
    const stamp = stampOf(file)
    if (stamp === this.#stamp) return this.#pem
    this.#stamp = stamp
    try {
      this.#pem = readAuthorities(this.#options)
    } catch (thrown) {
      onTrouble(LatchkeyError.from(thrown))
    }
    return this.#pem
  }
}

/** Another one for each file that takes its place. */
function stampOf(file: string): string {
  try {
    const { dev, ino, size, mtimeMs } = statSync(file)
    return `${dev} ${ino} ${size} ${mtimeMs}`
  } catch (thrown) {
    return readingTrouble(thrown)
  }
}

function readAuthorities({ setting, file }: AuthorityFileOptions): string {
  const wrong = (what: string): LatchkeyError =>
    new LatchkeyError('InvalidRequest', `${setting}: ${file}: ${what}`)
  let pem: string
  try {
    const stats = statSync(file)
    // A pipe would be waited for without end.
    if (!stats.isFile()) throw wrong('not a file')
    if (stats.size > MAX_BYTES) throw wrong(`larger than ${MAX_BYTES} bytes`)
    pem = readFileSync(file, 'latin1')
  } catch (thrown) {
    if (thrown instanceof LatchkeyError) throw thrown
    throw wrong(readingTrouble(thrown))
  }
  try {
    new X509Certificate(pem)
    return pem
  } catch {
    throw wrong('no certificate in it; PEM is expected, which begins with -----BEGIN CERTIFICATE')
  }
}

function readingTrouble(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (code === 'ENOENT') return "no such file in the daemon's container"
  return `cannot be read (${String(code)})`
}

import { LatchkeyError } from '../../../core/errors.ts'
import { quoted } from '../../../core/foreign-text.ts'

/** What an item asks a Vault for. */
export interface SecretRef {
  /** The path as the `vault` command takes it, `data/` of a KV version 2 engine left out or not. */
  readonly secret: string
  /** Of a KV version 2 secret; undefined is the latest. */
  readonly version?: string | undefined
  /** The body for paths that take one, such as a PKI engine's issue. */
  readonly args?: Readonly<Record<string, unknown>> | undefined
}

const MAX_PATH_CHARS = 1_024
const MAX_ARGS_BYTES = 64 * 1024
const VERSION = /^[1-9]\d{0,9}$/
const CONTROL = /[\x00-\x1f\x7f]/
/** Of Vault itself: its answers hold sessions and keys of the house, not secrets of a pod. */
const HOUSE = /^(sys|auth)(\/|$)/

/** Throws: InvalidRequest, naming the word of the item to mend. */
export function checkRef({ secret, version, args }: SecretRef): void {
  const wrong = (why: string): LatchkeyError =>
    new LatchkeyError('InvalidRequest', `secret ${quoted(secret)} is no path in a Vault: ${why}`)
  if (secret === '' || secret.length > MAX_PATH_CHARS) {
    throw wrong(`it must have 1 to ${MAX_PATH_CHARS} characters`)
  }
  if (secret.startsWith('v1/') || secret.startsWith('/')) {
    throw wrong('it begins with the name of the engine, with neither "/" nor "v1/" before it')
  }
  if (secret.includes('?')) throw wrong('a version has a word of its own, version')
  if (CONTROL.test(secret) || secret.includes('#')) throw wrong('it holds characters of no path')
  if (!secret.isWellFormed()) throw wrong('it is no proper text')
  if (secret.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw wrong('each part between "/" needs a name')
  }
  if (HOUSE.test(secret)) throw wrong('what lies under sys/ and auth/ is no secret')
  if (version !== undefined && !VERSION.test(version)) {
    throw new LatchkeyError(
      'InvalidRequest',
      `version ${quoted(version)} of "${secret}" is none: a KV version 2 engine counts them from 1`,
    )
  }
  if (args !== undefined) argsBody(args)
}

/** Throws: InvalidRequest over 64 KiB. */
export function argsBody(args: Readonly<Record<string, unknown>>): Buffer {
  const body = Buffer.from(JSON.stringify(args))
  if (body.length <= MAX_ARGS_BYTES) return body
  throw new LatchkeyError('InvalidRequest', `args hold more than ${MAX_ARGS_BYTES} bytes`)
}

/** The path as it goes into a request line. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

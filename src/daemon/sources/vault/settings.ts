import { LatchkeyError } from '../../../core/errors.ts'
import { quoted } from '../../../core/foreign-text.ts'

/** How pods log in: with their own token, through an auth method that Vault's administrator mounted. */
export interface VaultAuth {
  readonly method: 'kubernetes' | 'jwt'
  /** Where it is mounted, without `auth/`. */
  readonly mount: string
  /** Fixed by the administrator; undefined leaves it to the pods. */
  readonly role?: string | undefined
  /** Of the pod's token that logs in. */
  readonly audience: string
}

export interface VaultLimits {
  /** Calls under way at once; each has a connection of its own. */
  readonly concurrent: number
  /** Calls that begin in a second; as many may begin at once after a pause. */
  readonly perSecond: number
  /** For one call, its wait for a turn included. */
  readonly timeoutMs: number
  /** Of one answer. */
  readonly maxBytes: number
}

export interface VaultSettings {
  /** The source's name, as items use it in `from`. */
  readonly name: string
  /** https, or http on loopback alone; a path in front of Vault's own is kept. */
  readonly address: string
  /** PEM, which may change: asked for each connection. undefined believes the authorities that Node comes with. */
  readonly readCa?: (() => string) | undefined
  /** The name in the server's certificate, where it is another than the address's. */
  readonly serverName?: string | undefined
  /** Of Vault Enterprise or OpenBao. */
  readonly namespace?: string | undefined
  readonly auth: VaultAuth
  readonly limits: VaultLimits
  /** Secrets and tokens would travel in clear; for tests and for a network that encrypts by itself. */
  readonly allowPlainHttp?: boolean | undefined
}

const PLAIN_HEADER = /^[\x21-\x7e]+$/
const MOUNT = /^[\w.-]+(\/[\w.-]+)*$/
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** Where the server is, checked. Throws: InvalidRequest, naming the setting to mend. */
export function parseAddress(settings: VaultSettings): URL {
  const { address } = settings
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw wrong(settings, 'address', `${quoted(address)} is no https:// address`)
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw wrong(settings, 'address', 'it may hold a host, a port and a path, nothing else')
  }
  const isInClear = url.protocol === 'http:' && !LOOPBACK.test(url.hostname)
  if (isInClear && settings.allowPlainHttp !== true) {
    throw wrong(settings, 'address', 'http would show every secret on the way; use https')
  }
  return url
}

/** Throws: InvalidRequest for a setting that no call could be made with, naming it. */
export function checkSettings(settings: VaultSettings): void {
  parseAddress(settings)
  const { namespace, auth, limits } = settings
  if (namespace !== undefined && !PLAIN_HEADER.test(namespace)) {
    throw wrong(settings, 'namespace', `${quoted(namespace)} is no namespace`)
  }
  if (!MOUNT.test(auth.mount) || auth.mount.startsWith('auth/')) {
    throw wrong(settings, 'auth.mount', `${quoted(auth.mount)} is no mount; leave "auth/" out`)
  }
  for (const [word, value] of Object.entries(limits)) {
    if (!(value > 0)) throw wrong(settings, `limits.${word}`, 'it must be more than 0')
  }
}

/** The role to log in with. Throws: InvalidRequest where the pod may not choose one, or has to. */
export function roleOf({ name, auth }: VaultSettings, asked: string | undefined): string {
  if (auth.role === undefined) {
    if (asked !== undefined && asked !== '') return asked
    throw new LatchkeyError(
      'InvalidRequest',
      `source "${name}" fixes no role: name one of Vault's in the item, as role`,
    )
  }
  if (asked === undefined || asked === auth.role) return auth.role
  throw new LatchkeyError(
    'InvalidRequest',
    `source "${name}" logs in with role "${auth.role}" only: leave role out of the item`,
  )
}

function wrong({ name }: VaultSettings, setting: string, what: string): LatchkeyError {
  return new LatchkeyError('InvalidRequest', `source "${name}", ${setting}: ${what}`)
}

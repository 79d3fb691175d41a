import { SecretBytes } from '../../core/secret-bytes.ts'
import {
  decodeHoldings,
  encodeHoldings,
  type HeldSecretMessage,
  type HoldingsMessage,
} from '../../wire/bookmark-messages.ts'
import { MAX_BOOKMARK_BYTES } from '../../wire/limits.ts'
import type { Workload } from '../identity/workload.ts'
import type { Login } from '../sources/hold.ts'
import type { Value } from '../sources/source.ts'
import { wipeValue } from '../sources/value-bytes.ts'

/** A secret that ends by itself, as it lies with one volume. */
export interface HeldSecret {
  readonly source: string
  readonly ask: string
  readonly value: Value & { readonly term: NonNullable<Value['term']> }
  /** To be asked for anew. */
  readonly isDue: boolean
}

/** Whose holdings they are. */
export type Account = Pick<HoldingsMessage, 'namespace' | 'serviceAccount' | 'serviceAccountUid'>

/** All that a restarted daemon needs to go on with a volume's sessions and leases. The bytes are its own. */
export interface Bookmark {
  readonly account: Account
  readonly logins: readonly Login[]
  readonly held: readonly HeldSecret[]
  /** Replaced by newer ones, and to be given back with the volume. */
  readonly replaced: readonly HeldSecret[]
  /** Something may have been leased besides: the daemon was about to ask. */
  readonly isAsking: boolean
}

export function isSameAccount(a: Account | undefined, b: Account): boolean {
  return (
    a?.namespace === b.namespace &&
    a.serviceAccount === b.serviceAccount &&
    a.serviceAccountUid === b.serviceAccountUid
  )
}

export function accountOf({ pod, serviceAccountUid }: Workload): Account {
  const { namespace, serviceAccount } = pod
  return { namespace, serviceAccount, serviceAccountUid }
}

/**
 * What is too long goes without the values: a restarted daemon then asks for them anew, and gives the older leases
 * back with the volume.
 */
export function writeBookmark(bookmark: Bookmark): SecretBytes {
  const whole = encode(bookmark)
  if (whole.length <= MAX_BOOKMARK_BYTES) return whole
  whole.wipe()
  const { held, replaced } = bookmark
  return encode({ ...bookmark, held: [], replaced: [...replaced, ...held] })
}

function encode({ account, logins, held, replaced, isAsking }: Bookmark): SecretBytes {
  const secrets = [
    ...held.map((secret) => toMessage(secret, false)),
    ...replaced.map((secret) => toMessage(secret, true)),
  ]
  const message = {
    ...account,
    logins: logins.map(({ token, ...login }) => ({ ...login, token: bytesOf(token) })),
    secrets,
    isAsking,
  }
  return new SecretBytes(encodeHoldings(message))
}

/** undefined where it cannot be read: another version may have written it. The bytes are left as they are. */
export function readBookmark(bytes: Buffer): Bookmark | undefined {
  if (bytes.length === 0) return undefined
  let message: HoldingsMessage
  try {
    message = decodeHoldings(bytes)
  } catch {
    return undefined
  }
  const { namespace, serviceAccount, serviceAccountUid, logins, secrets, isAsking } = message
  const those = (isReplaced: boolean): readonly HeldSecret[] =>
    secrets.filter((secret) => secret.isReplaced === isReplaced).map(fromMessage)
  return {
    account: { namespace, serviceAccount, serviceAccountUid },
    logins: logins.map(({ token, ...login }) => ({ ...login, token: secretOf(token) })),
    held: those(false),
    replaced: those(true),
    isAsking,
  }
}

/** What of a bookmark is not named by another one; the rest of it is wiped. */
export function unlessNamed(bookmark: Bookmark, other: Bookmark): Bookmark {
  const tokens = other.logins.map(({ token }) => token)
  const leases = [...other.held, ...other.replaced].map(leaseOf)
  const isNamed = (own: SecretBytes | undefined, named: readonly (SecretBytes | undefined)[]) =>
    own !== undefined && named.some((one) => one?.equals(own) === true)
  const logins = Map.groupBy(bookmark.logins, ({ token }) => isNamed(token, tokens))
  const held = Map.groupBy(bookmark.held, (secret) => isNamed(leaseOf(secret), leases))
  const replaced = Map.groupBy(bookmark.replaced, (secret) => isNamed(leaseOf(secret), leases))
  const part = (which: boolean): Bookmark => ({
    ...bookmark,
    logins: logins.get(which) ?? [],
    held: held.get(which) ?? [],
    replaced: replaced.get(which) ?? [],
  })
  wipeBookmark(part(true))
  return part(false)
}

export function wipeBookmark({ logins, held, replaced }: Bookmark): void {
  for (const { token } of logins) token.wipe()
  for (const { value } of [...held, ...replaced]) wipeValue(value)
}

function leaseOf({ value }: HeldSecret): SecretBytes | undefined {
  return value.term.lease?.id
}

function toMessage(
  { source, ask, value, isDue }: HeldSecret,
  isReplaced: boolean,
): HeldSecretMessage {
  const { term, version, entries, json } = value
  return {
    source,
    ask,
    version,
    // What has been replaced is of no use but for its lease.
    entries: isReplaced
      ? {}
      : Object.fromEntries([...entries].map(([name, secret]) => [name, bytesOf(secret)])),
    json: isReplaced || json === undefined ? NOTHING : bytesOf(json),
    leaseId: term.lease === undefined ? NOTHING : bytesOf(term.lease.id),
    isRenewable: term.lease?.isRenewable ?? false,
    lifeMs: term.lifeMs,
    endsAtMs: term.endsAtMs,
    isReplaced,
    isDue,
  }
}

function fromMessage(message: HeldSecretMessage): HeldSecret {
  const { source, ask, version, entries, json, leaseId, isRenewable, isDue } = message
  const { lifeMs, endsAtMs } = message
  const lease = leaseId.length === 0 ? undefined : { id: secretOf(leaseId), isRenewable }
  const value = {
    version,
    entries: new Map(Object.entries(entries).map(([name, bytes]) => [name, secretOf(bytes)])),
    json: json.length === 0 ? undefined : secretOf(json),
    immutable: false,
    term: { lease, lifeMs, endsAtMs },
  }
  return { source, ask, value, isDue }
}

const NOTHING = Buffer.alloc(0)

function bytesOf(secret: SecretBytes): Buffer {
  return secret.use((bytes) => bytes)
}

function secretOf(bytes: Uint8Array): SecretBytes {
  return SecretBytes.copyOf(bytes)
}

import { createHmac } from 'node:crypto'
import { LatchkeyError } from '../../../core/errors.ts'
import { SecretBytes } from '../../../core/secret-bytes.ts'
import { objectIn, requestIdOf, termOf, type Answer, type Term } from './answer.ts'
import { membersOf, numberOf, secretOf, textOf } from './json-value.ts'
import { JsonError, type JsonSpan } from './json-walk.ts'
import type { ReadPlan } from './read-plan.ts'

/** A lease's id opens nothing by itself, but whoever may renew leases can do so with it: it is not shown. */
export interface Lease extends Term {
  readonly id: SecretBytes
}

/** One secret as Vault has it. Whoever receives it owns the bytes and wipes them. */
export interface VaultSecret {
  /** Strings as their bytes, a list of certificates as PEM, everything else as JSON. */
  readonly entries: ReadonlyMap<string, SecretBytes>
  /** All entries as one JSON object, as Vault wrote it. */
  readonly json: SecretBytes
  /** For equality only: a KV version 2 secret's number and creation, else a keyed digest of the content. */
  readonly version: string
  readonly lease: Lease | undefined
  /** Where there is no lease and yet an end: a certificate's, a token's. */
  readonly expiresAtMs: number | undefined
  /** A pinned version: never changes any more. */
  readonly isImmutable: boolean
  /** Vault's, as its audit log shows it. */
  readonly requestId: string
}

export interface Reading extends Pick<ReadPlan, 'engine' | 'path' | 'isVersioned'> {
  readonly isPinned: boolean
  readonly nowMs: number
  /** Of this process alone: a plain digest of a short secret could be guessed. */
  readonly digestKey: Buffer
}

/** Throws: SecretNotFound where the answer holds nothing to deliver · JsonError. */
export function readSecret(answer: Answer, reading: Reading): VaultSecret {
  const { text, members } = answer
  const data = objectIn(answer, 'data')
  const kv2 = versioned(text, data, reading)
  const content = kv2 === undefined ? members.get('data') : data.get('data')
  if (content?.kind !== 'object') {
    throw new LatchkeyError('SecretNotFound', `"${reading.path}" holds nothing to deliver`)
  }
  const fields = [...membersOf(text, content)]
  const json = SecretBytes.copyOf(text.subarray(content.start, content.end))
  return {
    entries: new Map(fields.map(([name, span]) => [name, secretOf(text, span)])),
    json,
    version: kv2 ?? digestOf(json, reading.digestKey),
    lease: leaseOf(answer),
    expiresAtMs: expiryOf(text, data, reading),
    isImmutable: kv2 !== undefined && reading.isPinned,
    requestId: requestIdOf(answer),
  }
}

/** The version of what a KV version 2 engine answered, undefined for any other answer. */
function versioned(
  text: Buffer,
  data: ReadonlyMap<string, JsonSpan>,
  { isVersioned }: Reading,
): string | undefined {
  if (isVersioned === false) return undefined
  const metadata = membersOf(text, data.get('metadata'))
  const number = numberOf(text, metadata.get('version'))
  if (number === undefined || !data.has('data')) {
    if (isVersioned === true && data.size > 0) throw new JsonError('no version', 0)
    return undefined
  }
  // Whoever deletes a secret with its metadata and writes it anew counts from 1 again.
  return `${number}@${textOf(text, metadata.get('created_time')) ?? ''}`
}

function leaseOf({ text, members }: Answer): Lease | undefined {
  const id = members.get('lease_id')
  if (id?.kind !== 'string' || id.end - id.start <= 2) return undefined
  return { id: secretOf(text, id), ...termOf(text, members) }
}

function expiryOf(
  text: Buffer,
  data: ReadonlyMap<string, JsonSpan>,
  { engine, nowMs }: Reading,
): number | undefined {
  // In a KV engine these are somebody's own words.
  if (engine === 'kv1' || engine === 'kv2') return undefined
  const expiration = numberOf(text, data.get('expiration'))
  if (expiration !== undefined && expiration > 0 && data.get('certificate')?.kind === 'string') {
    return expiration * 1000
  }
  // Static database users and identity tokens: the time until the next rotation, or the end.
  const ttl = numberOf(text, data.get('ttl'))
  const isHidden = engine === 'hidden'
  return ttl !== undefined && ttl > 0 && !isHidden ? nowMs + ttl * 1000 : undefined
}

function digestOf(json: SecretBytes, key: Buffer): string {
  return json.use((bytes) => createHmac('sha256', key).update(bytes).digest('base64url'))
}

import { isIP } from 'node:net'
import { posix } from 'node:path'
import * as z from 'zod'
import { MAX_AUDIENCE_CHARS } from '../core/limits.ts'
import { isDnsLabel, isDnsSubdomain } from '../core/kube-names.ts'
import { parseBytes } from './bytes.ts'
import { parseDurationMs } from '../core/duration.ts'

/** The kinds of values that the configuration knows. Each says in `kind` what it expects, for errors and docs alike. */

const MAX_TEXT_CHARS = 1024
const MAX_WORD_CHARS = 253
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/
const AUTH_MOUNT = /^(?!auth\/)[\w.-]+(\/[\w.-]+)*$/

/** Milliseconds, written with a unit. */
export function duration(from: string, to: string): z.ZodType<number, string> {
  const kind = `a duration with its unit, from ${from} to ${to}`
  return quantity(kind, parseDurationMs, from, to)
}

/** Bytes, written with a unit. */
export function bytes(from: string, to: string): z.ZodType<number, string> {
  const kind = `a size with its unit, from ${from} to ${to}`
  return quantity(kind, parseBytes, from, to)
}

export function wholeNumber(from: number, to: number): z.ZodType<number, number> {
  const kind = `a whole number from ${from} to ${to}`
  return z.int(expected(kind)).min(from, expected(kind)).max(to, expected(kind)).meta({ kind })
}

export function flag(): z.ZodType<boolean, boolean> {
  const kind = 'true or false'
  return z.boolean(expected(kind)).meta({ kind })
}

export function oneOf<const T extends readonly string[]>(
  words: T,
): z.ZodType<T[number], T[number]> {
  const kind = `one of ${words.join(', ')}`
  return z.enum(words, expected(kind)).meta({ kind })
}

export function absolutePath(maxChars = MAX_TEXT_CHARS): z.ZodType<string, string> {
  const bound = maxChars < MAX_TEXT_CHARS ? `, ${maxChars} characters at most` : ''
  return text(`an absolute path without "..", doubled or trailing "/"${bound}`, (path) => {
    const isPlain = path === posix.normalize(path) && !path.endsWith('/')
    return path.startsWith('/') && isPlain && isPrintable(path) && path.length <= maxChars
  })
}

/** What Kubernetes takes as the name of a node. */
export function nodeName(): z.ZodType<string, string> {
  return text('the name of a node (lower case letters, digits, "-" and ".")', isDnsSubdomain)
}

/** What the CSI specification takes as the name of a plugin and Kubernetes as that of a CSIDriver. */
export function driverName(): z.ZodType<string, string> {
  const kind = 'a domain name of at most 63 characters, such as csi.latchkey.dev'
  return text(kind, (name) => name.length <= 63 && isDnsSubdomain(name))
}

export function audience(): z.ZodType<string, string> {
  // "" is the API server's own audience: a token for it proves nothing to anybody else.
  return word(MAX_AUDIENCE_CHARS)
}

export function word(maxChars = MAX_WORD_CHARS): z.ZodType<string, string> {
  const kind = `a word of at most ${maxChars} printable characters, not empty`
  return text(kind, (value) => {
    return value !== '' && value.length <= maxChars && isPrintable(value)
  })
}

/** What items of pods say in `from`; the cluster's own Secrets have their name already. */
export function sourceName(): z.ZodType<string, string> {
  const kind = 'a name of lower case letters, digits and "-", 63 at most, other than kubernetes'
  return text(kind, (name) => isDnsLabel(name) && name !== 'kubernetes')
}

export function domainName(): z.ZodType<string, string> {
  return text('a domain name such as vault.example.org', (name) => {
    // TLS has no server name for an address (RFC 6066, section 3).
    return isDnsSubdomain(name) && isIP(name) === 0
  })
}

/** Plain http shows every secret to whoever is on the way; on loopback nobody is. */
export function vaultAddress(): z.ZodType<string, string> {
  const kind = 'an https:// address of a host, with a port and a path at most'
  return text(kind, (address) => {
    if (!isPrintable(address) || !URL.canParse(address)) return false
    const { protocol, hostname, username, password } = new URL(address)
    // An empty query or fragment is one that a URL does not show.
    if (username !== '' || password !== '' || /[?#]/.test(address)) return false
    return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname))
  })
}

export function authMount(): z.ZodType<string, string> {
  return text('the path of an auth method such as kubernetes, without auth/', (mount) => {
    return AUTH_MOUNT.test(mount)
  })
}

export function ipAddress(): z.ZodType<string, string> {
  return text('an IP address such as 0.0.0.0 or "::"', (address) => isIP(address) !== 0)
}

export function selinuxContext(): z.ZodType<string, string> {
  const kind = 'a context such as system_u:object_r:container_file_t:s0'
  return text(kind, (context) => /^[\w.-]+:[\w.-]+:[\w.-]+(:[\w.,:-]+)?$/.test(context))
}

function text(kind: string, isFine: (text: string) => boolean): z.ZodType<string, string> {
  return z
    .string(expected(kind))
    .refine((value) => value.length <= MAX_TEXT_CHARS && isFine(value), {
      error: expected(kind),
      abort: true,
    })
    .meta({ kind })
}

function quantity(
  kind: string,
  parse: (text: string) => number | undefined,
  from: string,
  to: string,
): z.ZodType<number, string> {
  const [least, most] = [parse(from), parse(to)]
  if (least === undefined || most === undefined) throw new TypeError(`no range: ${from} to ${to}`)
  return z
    .string(expected(kind))
    .transform((value, context) => {
      const amount = parse(value)
      if (amount !== undefined && amount >= least && amount <= most) return amount
      context.addIssue({ code: 'custom', message: expected(kind) })
      return z.NEVER
    })
    .meta({ kind })
}

function isPrintable(value: string): boolean {
  return /^[\x21-\x7e]*$/.test(value)
}

function expected(kind: string): string {
  return `expected ${kind}`
}

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface KeyPair {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: Buffer
  readonly key: Buffer
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** A certificate authority that lives as long as its folder. */
export function makeAuthority(folder: string, name: string): KeyPair {
  const { certFile, keyFile } = filesOf(folder, name)
  openssl(
    'req',
    '-x509',
    ...EC_KEY,
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    keyFile,
    '-out',
    certFile,
  )
  return readPair(folder, name)
}

export interface Leaf {
  readonly subject: string
  /** Such as IP:127.0.0.1 or DNS:api.example. */
  readonly san: string
  /** Negative: it has expired. */
  readonly days?: number
}

/** A certificate signed by `authority`, for a server or a client. */
export function makeLeaf(folder: string, name: string, authority: KeyPair, leaf: Leaf): KeyPair {
  const { certFile, keyFile } = filesOf(folder, name)
  const requestFile = join(folder, `${name}.csr`)
  const extensionFile = join(folder, `${name}.ext`)
  writeFileSync(extensionFile, `subjectAltName=${leaf.san}\n`)
  openssl('req', ...EC_KEY, '-subj', leaf.subject, '-keyout', keyFile, '-out', requestFile)
  openssl(
    'x509',
    '-req',
    '-in',
    requestFile,
    '-CA',
    authority.certFile,
    '-CAkey',
    authority.keyFile,
    '-set_serial',
    String(Date.now()),
    '-days',
    String(leaf.days ?? 2),
    '-extfile',
    extensionFile,
    '-out',
    certFile,
  )
  return readPair(folder, name)
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' })
}

function readPair(folder: string, name: string): KeyPair {
  const { certFile, keyFile } = filesOf(folder, name)
  return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) }
}

function filesOf(folder: string, name: string): { certFile: string; keyFile: string } {
  return { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) }
}

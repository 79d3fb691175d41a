import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import forge from 'node-forge'

export interface KeyPair {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: Buffer
  readonly key: Buffer
}

const DAY_MS = 86_400_000
const LIFE_DAYS = 2

/** A certificate authority that lives as long as its folder. */
export function makeAuthority(folder: string, name: string): KeyPair {
  const { keyPem, certificate } = draft(`/CN=${name}`, LIFE_DAYS)
  certificate.setIssuer(certificate.subject.attributes)
  certificate.setExtensions([{ name: 'basicConstraints', cA: true, critical: true }])
  return write(folder, name, sign(certificate, keyPem), keyPem)
}

export interface Leaf {
  readonly subject: string
  /** Such as IP:127.0.0.1 or DNS:api.example, several with commas. */
  readonly san: string
  /** Negative: it has expired. */
  readonly days?: number
}

/** A certificate signed by `authority`, for a server or a client. */
export function makeLeaf(folder: string, name: string, authority: KeyPair, leaf: Leaf): KeyPair {
  const { keyPem, certificate } = draft(leaf.subject, leaf.days ?? LIFE_DAYS)
  const issuer = forge.pki.certificateFromPem(authority.cert.toString())
  certificate.setIssuer(issuer.subject.attributes)
  const altNames = leaf.san.split(',').map(alternativeName)
  certificate.setExtensions([{ name: 'subjectAltName', altNames }])
  return write(folder, name, sign(certificate, authority.key.toString()), keyPem)
}

function draft(
  subject: string,
  days: number,
): { keyPem: string; certificate: forge.pki.Certificate } {
  // node-forge has no elliptic curves, and makes RSA keys a hundred times slower.
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey)
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`
  certificate.validity.notBefore = new Date(Date.now() - 3 * DAY_MS)
  certificate.validity.notAfter = new Date(Date.now() + days * DAY_MS)
  certificate.setSubject(
    subject
      .slice(1)
      .split('/')
      .map((part) => part.split('='))
      .map(([shortName = '', value = '']) => ({ shortName, value })),
  )
  return { keyPem: privateKey, certificate }
}

function sign(certificate: forge.pki.Certificate, keyPem: string): string {
  certificate.sign(forge.pki.privateKeyFromPem(keyPem), forge.md.sha256.create())
  return forge.pki.certificateToPem(certificate)
}

/** GeneralName of RFC 5280 section 4.2.1.6: 7 is an address, 2 a DNS name. */
function alternativeName(text: string): object {
  const [kind, name = ''] = text.split(':')
  return kind === 'IP' ? { type: 7, ip: name } : { type: 2, value: name }
}

function write(folder: string, name: string, certPem: string, keyPem: string): KeyPair {
  const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  writeFileSync(certFile, certPem)
  writeFileSync(keyFile, keyPem)
  return { certFile, keyFile, cert: Buffer.from(certPem), key: Buffer.from(keyPem) }
}

import { generateKeyPair, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import forge from 'node-forge'
import { systemClock } from '../core/clock.ts'

export interface Identity {
  readonly certPem: string
  readonly keyPem: string
}

export interface Authority extends Identity {
  /** A certificate for a TLS server under these DNS names and IPv4 addresses. */
  issueServer(names: readonly string[]): Promise<Identity>
  /** A certificate for a TLS client; Kubernetes takes the common name for the user. */
  issueClient(commonName: string): Promise<Identity>
}

/** What a TLS server shows, and who vouches for it. */
export interface ServingPki {
  readonly authorityPem: string
  readonly identity: Identity
}

const DAY_MS = 86_400_000
const LIFE_DAYS = 825
const IPV4 = /^\d+(\.\d+){3}$/
// The choices of subjectAltName, RFC 5280 section 4.2.1.6.
const DNS_NAME = 2
const IP_ADDRESS = 7

/** A certificate authority that lives as long as this object. */
export async function createAuthority(commonName: string): Promise<Authority> {
  const keys = await generateKeys()
  const certificate = draft(commonName, keys.publicKeyPem)
  certificate.setIssuer(certificate.subject.attributes)
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ])
  const issuer = { certificate, keyPem: keys.keyPem }
  return {
    certPem: sign(certificate, keys.keyPem),
    keyPem: keys.keyPem,
    issueServer: (names) =>
      issue(issuer, names[0] ?? 'server', [
        { name: 'extKeyUsage', serverAuth: true },
        { name: 'subjectAltName', altNames: names.map(alternativeName) },
      ]),
    issueClient: (name) => issue(issuer, name, [{ name: 'extKeyUsage', clientAuth: true }]),
  }
}

/** A CA and a certificate for a server on this machine; RSA keys take a moment, so tests share one. */
export async function createServingPki(): Promise<ServingPki> {
  const authority = await createAuthority('minicluster')
  const identity = await authority.issueServer(['localhost', 'kubernetes', '127.0.0.1'])
  return { authorityPem: authority.certPem, identity }
}

interface Issuer {
  readonly certificate: forge.pki.Certificate
  readonly keyPem: string
}

async function issue(
  issuer: Issuer,
  commonName: string,
  extensions: readonly object[],
): Promise<Identity> {
  const keys = await generateKeys()
  const certificate = draft(commonName, keys.publicKeyPem)
  certificate.setIssuer(issuer.certificate.subject.attributes)
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    ...extensions,
  ])
  return { certPem: sign(certificate, issuer.keyPem), keyPem: keys.keyPem }
}

function draft(commonName: string, publicKeyPem: string): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKeyPem)
  // A first bit that is set would make the number negative.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`
  // TLS libraries judge by the machine's clock, whatever clock the cluster runs on.
  const nowMs = systemClock.now()
  certificate.validity.notBefore = new Date(nowMs - DAY_MS)
  certificate.validity.notAfter = new Date(nowMs + LIFE_DAYS * DAY_MS)
  certificate.setSubject([{ name: 'commonName', value: commonName }])
  return certificate
}

function sign(certificate: forge.pki.Certificate, keyPem: string): string {
  certificate.sign(forge.pki.privateKeyFromPem(keyPem), forge.md.sha256.create())
  return forge.pki.certificateToPem(certificate)
}

function alternativeName(name: string): object {
  return IPV4.test(name) ? { type: IP_ADDRESS, ip: name } : { type: DNS_NAME, value: name }
}

const generateKeyPairInPool = promisify(generateKeyPair)

// node-forge would make them in JavaScript and hold up the event loop for a second.
async function generateKeys(): Promise<{ publicKeyPem: string; keyPem: string }> {
  const { publicKey, privateKey } = await generateKeyPairInPool('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  return { publicKeyPem: publicKey, keyPem: privateKey }
}

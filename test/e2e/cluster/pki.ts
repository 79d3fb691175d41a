import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { run } from './command.ts'
import { API_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME } from './seal.ts'

export const API_SERVER_URL = `https://${NODE_ADDRESS}:6443`

/** Folder with `ca`, `apiserver`, `kubelet-serving`, `vault-ca`, `vault` (.crt, .key), `sa` (.key, .pub) and kubeconfigs. */
export interface Pki {
  path(file: string): string
}

interface Certificate {
  readonly name: string
  readonly subject: string
  readonly usage: 'serverAuth' | 'clientAuth'
  readonly names?: readonly string[]
  /** The authority that signs it; the cluster's own by default. */
  readonly signer?: string
}

const API_SERVER_NAMES = [
  ...['', '.default', '.default.svc', '.default.svc.cluster.local'].map((it) => `kubernetes${it}`),
  'localhost',
  NODE_NAME,
].map((name) => `DNS:${name}`)

const CERTIFICATES: readonly Certificate[] = [
  {
    name: 'apiserver',
    subject: '/CN=kube-apiserver',
    usage: 'serverAuth',
    names: [
      ...API_SERVER_NAMES,
      ...['127.0.0.1', NODE_ADDRESS, API_SERVICE_ADDRESS].map((address) => `IP:${address}`),
    ],
  },
  {
    name: 'kubelet-serving',
    subject: `/O=system:nodes/CN=system:node:${NODE_NAME}`,
    usage: 'serverAuth',
    names: [`DNS:${NODE_NAME}`, `IP:${NODE_ADDRESS}`],
  },
  {
    name: 'apiserver-kubelet-client',
    subject: '/O=system:masters/CN=kube-apiserver-kubelet-client',
    usage: 'clientAuth',
  },
  // Another authority than the cluster's, so that nobody believes it who was not told to.
  {
    name: 'vault',
    subject: '/CN=vault',
    usage: 'serverAuth',
    names: [`IP:${NODE_ADDRESS}`, 'IP:127.0.0.1'],
    signer: 'vault-ca',
  },
]

/** The clients that get a kubeconfig. */
const CLIENTS: Readonly<Record<string, string>> = {
  admin: '/O=system:masters/CN=admin',
  kubelet: `/O=system:nodes/CN=system:node:${NODE_NAME}`,
  'controller-manager': '/CN=system:kube-controller-manager',
  scheduler: '/CN=system:kube-scheduler',
}

/** Makes every key and certificate of the cluster anew, in about a second. */
export async function createPki(folder: string, signal?: AbortSignal): Promise<Pki> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const pki: Pki = { path: (file) => join(folder, file) }
  // An empty configuration: Debian's own would make an authority of every certificate.
  writeFileSync(pki.path('openssl.cnf'), '[req]\ndistinguished_name=dn\n[dn]\n')
  const options = signal ? { signal } : {}
  const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']
  await run(opensslRequest(pki, 'ca', '/CN=latchkey-e2e-ca', authority), options)
  await run(opensslRequest(pki, 'vault-ca', '/CN=latchkey-e2e-vault-ca', authority), options)
  const clients = Object.entries(CLIENTS).map(([name, subject]): Certificate => ({
    name,
    subject,
    usage: 'clientAuth',
  }))
  for (const certificate of [...CERTIFICATES, ...clients]) {
    await run(signedRequest(pki, certificate), options)
  }
  for (const name of Object.keys(CLIENTS)) writeKubeconfig(pki, name)
  writeServiceAccountKeys(pki)
  return pki
}

function opensslRequest(
  pki: Pki,
  name: string,
  subject: string,
  extensions: readonly string[],
): string[] {
  return [
    ...['openssl', 'req', '-x509', '-config', pki.path('openssl.cnf'), '-subj', subject],
    ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
    ...['-keyout', pki.path(`${name}.key`), '-out', pki.path(`${name}.crt`)],
    ...extensions.flatMap((extension) => ['-addext', extension]),
  ]
}

function signedRequest(pki: Pki, certificate: Certificate): string[] {
  const { name, subject, usage, names, signer: authority = 'ca' } = certificate
  const extensions = [
    'basicConstraints=CA:FALSE',
    `extendedKeyUsage=${usage}`,
    ...(names === undefined ? [] : [`subjectAltName=${names.join(',')}`]),
  ]
  const signer = ['-CA', pki.path(`${authority}.crt`), '-CAkey', pki.path(`${authority}.key`)]
  return [...opensslRequest(pki, name, subject, extensions), ...signer]
}

function writeKubeconfig(pki: Pki, name: string): void {
  const read = (file: string): string => readFileSync(pki.path(file)).toString('base64')
  const cluster = { server: API_SERVER_URL, 'certificate-authority-data': read('ca.crt') }
  const user = {
    'client-certificate-data': read(`${name}.crt`),
    'client-key-data': read(`${name}.key`),
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'e2e', cluster }],
    users: [{ name, user }],
    contexts: [{ name: 'e2e', context: { cluster: 'e2e', user: name } }],
    'current-context': 'e2e',
  }
  writeFileSync(pki.path(`${name}.kubeconfig`), JSON.stringify(config), { mode: 0o600 })
}

function writeServiceAccountKeys(pki: Pki): void {
  const keys = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  writeFileSync(pki.path('sa.key'), keys.privateKey, { mode: 0o600 })
  writeFileSync(pki.path('sa.pub'), keys.publicKey)
}

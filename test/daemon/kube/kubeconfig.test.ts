import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { ClusterConnection } from '../../../src/daemon/kube/cluster-connection.ts'
import { loadKubeconfig } from '../../../src/daemon/kube/kubeconfig.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { makeAuthority, makeLeaf } from './authorities.ts'
import type { KeyPair } from './authorities.ts'

const CANARY = 'canary-kubeconfig-41d0'

type Fields = Readonly<Record<string, unknown>>

interface Kubeconfig {
  readonly cluster?: Fields
  readonly user?: Fields
  readonly context?: Fields
  readonly currentContext?: string
}

interface Folder {
  readonly path: string
  readonly authority: KeyPair
  readonly admin: KeyPair
}

function makeFolder(t: ExecutionContext): Folder {
  const path = tempDir(t)
  const authority = makeAuthority(path, 'ca')
  const admin = makeLeaf(path, 'admin', authority, { subject: '/CN=admin', san: 'DNS:admin' })
  return { path, authority, admin }
}

/** Loads a kubeconfig that is right, changed in the fields that are given. */
function load(folder: Folder, changes: Kubeconfig = {}): ClusterConnection {
  const file = join(folder.path, 'kubeconfig')
  const server = 'https://api.example:6443'
  const context = { cluster: 'c', user: 'u', ...changes.context }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'c', cluster: { server, 'certificate-authority': 'ca.crt', ...changes.cluster } },
    ],
    users: [{ name: 'u', user: changes.user ?? { token: CANARY } }],
    contexts: [{ name: 'x', context }],
    'current-context': changes.currentContext ?? 'x',
  }
  writeFileSync(file, JSON.stringify(config))
  return loadKubeconfig(file)
}

test('a kubeconfig with a token: address, CA file beside it, credentials that do not print', (t) => {
  const folder = makeFolder(t)
  const connection = load(folder)
  t.is(connection.origin, 'https://api.example:6443')
  t.is(connection.pathPrefix, '')
  t.deepEqual(connection.authority, { file: folder.authority.certFile })
  t.is(connection.serverName, undefined)
  t.is(connection.certificate, undefined)
  const { bearer } = connection
  t.true(
    bearer !== undefined && 'given' in bearer && bearer.given.use((b) => b.toString() === CANARY),
  )
  t.false(inspect(connection, { depth: 9 }).includes(CANARY))
})

test('a kubeconfig with a client certificate, as files or as data', (t) => {
  const folder = makeFolder(t)
  const { admin, authority } = folder
  const base64 = (bytes: Buffer): string => bytes.toString('base64')
  for (const user of [
    { 'client-certificate': 'admin.crt', 'client-key': 'admin.key' },
    { 'client-certificate-data': base64(admin.cert), 'client-key-data': base64(admin.key) },
  ]) {
    const { certificate, bearer } = load(folder, { user })
    t.deepEqual(certificate?.certPem, admin.cert)
    t.true(certificate?.keyPem.use((key) => key.equals(admin.key)))
    t.is(bearer, undefined)
  }
  const data = {
    'certificate-authority': undefined,
    'certificate-authority-data': base64(authority.cert),
  }
  t.deepEqual(load(folder, { cluster: data }).authority, { given: authority.cert })
})

test('a kubeconfig with a path in its address and a name for the certificate', (t) => {
  const { origin, pathPrefix, serverName } = load(makeFolder(t), {
    cluster: { server: 'https://rancher.example/k8s/clusters/c-1/', 'tls-server-name': 'api' },
  })
  t.is(origin, 'https://rancher.example')
  t.is(pathPrefix, '/k8s/clusters/c-1')
  t.is(serverName, 'api')
})

const token = { token: CANARY }

const REFUSED: readonly (readonly [string, Kubeconfig, RegExp])[] = [
  [
    'verification switched off',
    { cluster: { 'insecure-skip-tls-verify': true } },
    /cluster\.insecure-skip-tls-verify is refused/,
  ],
  ['a proxy', { cluster: { 'proxy-url': 'http://proxy:3128' } }, /cluster\.proxy-url is refused/],
  ['no TLS', { cluster: { server: 'http://api.example' } }, /cluster\.server has to be an https/],
  [
    'an address that is none',
    { cluster: { server: 'api.example' } },
    /cluster\.server has to be an https/,
  ],
  [
    'a password in the address',
    { cluster: { server: `https://u:${CANARY}@api` } },
    /cluster\.server has to be an address without user/,
  ],
  [
    'a query in the address',
    { cluster: { server: `https://api/?${CANARY}` } },
    /cluster\.server has to be/,
  ],
  ['no server', { cluster: { server: undefined } }, /cannot be read \(not a kubeconfig\)/],
  [
    'no CA',
    { cluster: { 'certificate-authority': undefined } },
    /certificate-authority \(or -data\) holds no cert/,
  ],
  [
    'a CA file that is not there',
    { cluster: { 'certificate-authority': 'none' } },
    /certificate-authority cannot be read \(ENOENT\)/,
  ],
  [
    'a CA that is a key',
    { cluster: { 'certificate-authority': 'admin.key' } },
    /holds no certificate/,
  ],
  ['a program for credentials', { user: { exec: { command: 'aws' } } }, /user\.exec is refused/],
  [
    'a plugin for credentials',
    { user: { 'auth-provider': { name: 'oidc' } } },
    /user\.auth-provider is refused/,
  ],
  ['impersonation', { user: { ...token, as: 'admin' } }, /user\.as is refused/],
  ['a password', { user: { username: 'u', password: CANARY } }, /user\.username is refused/],
  ['no credentials', { user: {} }, /neither a token nor a client-certificate/],
  [
    'a certificate without its key',
    { user: { 'client-certificate': 'admin.crt' } },
    /neither a token nor/,
  ],
  [
    'a key of another certificate',
    { user: { 'client-certificate': 'admin.crt', 'client-key': 'ca.key' } },
    /do not fit together/,
  ],
  [
    'a key that is not there',
    { user: { 'client-certificate': 'admin.crt', 'client-key': 'none' } },
    /user\.client-key cannot be read \(ENOENT\)/,
  ],
  [
    'a context that is not there',
    { currentContext: 'other' },
    /current-context leads to no cluster/,
  ],
  [
    'a cluster that is not there',
    { context: { cluster: 'other' } },
    /current-context leads to no cluster/,
  ],
  ['a user that is not there', { context: { user: 'other' } }, /current-context leads to no user/],
]

for (const [what, changes, message] of REFUSED) {
  test(`a kubeconfig with ${what} is refused`, (t) => {
    const folder = makeFolder(t)
    const error = t.throws(() => load(folder, changes), { instanceOf: LatchkeyError, message })
    t.is(error.reason, 'InvalidRequest')
    t.true(error.message.startsWith(`kubeconfig ${folder.path}/kubeconfig: `))
    t.false(inspect(error, { depth: 20, showHidden: true }).includes(CANARY))
  })
}

test('a file that is missing or no kubeconfig is named, and not quoted', (t) => {
  const folder = tempDir(t)
  const file = join(folder, 'kubeconfig')
  t.throws(() => loadKubeconfig(file), { message: `kubeconfig ${file}: cannot be read (ENOENT)` })
  for (const text of ['', `users: [{token: ${CANARY}`, CANARY, 'clusters: 5', '[]', 'null']) {
    writeFileSync(file, text)
    const error = t.throws(() => loadKubeconfig(file), { instanceOf: LatchkeyError })
    t.is(error.reason, 'InvalidRequest', text)
    t.false(inspect(error, { depth: 20, showHidden: true }).includes(CANARY))
  }
})

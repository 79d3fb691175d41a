import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { loadInCluster } from '../../../src/daemon/kube/in-cluster.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { makeAuthority } from './authorities.ts'

const CANARY = 'canary-service-account-77b1'
const ACCOUNT = 'var/run/secrets/kubernetes.io/serviceaccount'

function makeServiceAccount(root: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, ACCOUNT, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
}

function setService(t: ExecutionContext, host: string | undefined, port: string | undefined): void {
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) Reflect.deleteProperty(process.env, name)
    else process.env[name] = value
  }
  for (const [name, value] of [
    ['KUBERNETES_SERVICE_HOST', host],
    ['KUBERNETES_SERVICE_PORT', port],
  ] as const) {
    const before = process.env[name]
    t.teardown(() => {
      set(name, before)
    })
    set(name, value)
  }
}

test.serial(
  'in a cluster: the address from the environment, CA and token as files to be read anew',
  (t) => {
    const path = tempDir(t)
    makeServiceAccount(path, {
      'ca.crt': makeAuthority(path, 'cluster').cert,
      token: CANARY,
      namespace: 'latchkey-system',
    })
    for (const [host, origin] of [
      ['10.96.0.1', 'https://10.96.0.1:6443'],
      ['fd00::1', 'https://[fd00::1]:6443'],
      ['fd00:0:0::0001', 'https://[fd00::1]:6443'],
      ['api.cluster.example', 'https://api.cluster.example:6443'],
    ] as const) {
      setService(t, host, '6443')
      t.deepEqual(loadInCluster(path), {
        origin,
        pathPrefix: '',
        authority: { file: `${path}/${ACCOUNT}/ca.crt` },
        serverName: undefined,
        bearer: { file: `${path}/${ACCOUNT}/token` },
        certificate: undefined,
      })
    }
  },
)

test.serial('outside of a cluster the missing variable is named', (t) => {
  setService(t, undefined, '443')
  t.throws(() => loadInCluster(), { message: /KUBERNETES_SERVICE_HOST is not set; .*kubeconfig/ })
  setService(t, '10.96.0.1', undefined)
  t.throws(() => loadInCluster(), { message: /KUBERNETES_SERVICE_PORT is not set/ })
})

test.serial('in a cluster without its CA nothing is loaded', (t) => {
  const path = tempDir(t)
  setService(t, '10.96.0.1', '443')
  t.throws(() => loadInCluster(path), {
    message: /certificate-authority cannot be read \(ENOENT\)/,
  })
  makeServiceAccount(path, { 'ca.crt': 'no certificate', token: CANARY })
  t.throws(() => loadInCluster(path), { message: /certificate-authority .*no certificate/ })
})

test.serial('an odd address is refused as a whole, and its variable named', (t) => {
  const path = tempDir(t)
  makeServiceAccount(path, { 'ca.crt': makeAuthority(path, 'cluster').cert, token: CANARY })
  for (const host of [
    ...[
      '',
      ' ',
      '.',
      'me@evil',
      'evil.com/x',
      'evil\\x',
      'evil?x',
      'evil#',
      'ev\til',
      'evil.com\n',
    ],
    ...['10.0.0.1:80', '10.0.0.1:80/', '0x7f.1', '10.1', '010.0.0.1', '10.0.0.999', 'evil%2ecom'],
    ...['[fd00::1]', 'fd00::1]', 'fe80::1%eth0', 'fd00::1::2', ':', 'fd00::g', 'fd00::1/x', 'évil'],
  ]) {
    setService(t, host, '443')
    const refusal = { message: /: KUBERNETES_SERVICE_HOST has to be an IP address or a DNS name$/ }
    t.throws(() => loadInCluster(path), refusal, JSON.stringify(host))
  }
  for (const port of [
    ...['', ' ', 'https', '443?x', '443/x', '443\n', ' 443', '4\t43', '-1', '+443', '4e2', '443.0'],
    ...['0', '00443', '65536', '99999', '١'],
  ]) {
    setService(t, '10.96.0.1', port)
    const refusal = { message: /: KUBERNETES_SERVICE_PORT has to be a number from 1 to 65535$/ }
    t.throws(() => loadInCluster(path), refusal, JSON.stringify(port))
  }
  setService(t, '10.96.0.1', '65535')
  t.is(loadInCluster(path).origin, 'https://10.96.0.1:65535')
})

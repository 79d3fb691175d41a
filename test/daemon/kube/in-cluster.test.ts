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

test.serial('in a cluster without its CA, or at an odd address, nothing is loaded', (t) => {
  const path = tempDir(t)
  setService(t, '10.96.0.1', '443')
  t.throws(() => loadInCluster(path), {
    message: /certificate-authority cannot be read \(ENOENT\)/,
  })
  makeServiceAccount(path, { 'ca.crt': 'no certificate', token: CANARY })
  t.throws(() => loadInCluster(path), { message: /certificate-authority .*no certificate/ })
  makeServiceAccount(path, { 'ca.crt': makeAuthority(path, 'cluster').cert })
  for (const [host, port] of [
    ['10.96.0.1', 'https'],
    ['me@evil', '443'],
    ['10.96.0.1', '443?x'],
    ['', '443'],
  ] as const) {
    setService(t, host, port)
    t.throws(() => loadInCluster(path), { message: /cluster\.server has to be an/ }, host)
  }
})

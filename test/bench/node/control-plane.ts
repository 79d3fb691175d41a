import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Binaries } from '../../e2e/cluster/binaries.ts'
import { run } from '../../e2e/cluster/command.ts'
import { apiServerCommand, etcdCommand } from '../../e2e/cluster/control-plane.ts'
import { API_SERVER_URL, createPki, type Pki } from '../../e2e/cluster/pki.ts'
import { NODE_ADDRESS } from '../../e2e/cluster/seal.ts'
import { until } from '../../e2e/cluster/until.ts'
import { ApiClient } from './api-client.ts'

/** Whose requests are told apart in the audit log: what Latchkey calls itself. */
const LATCHKEY_AGENT = 'latchkey'
const READY_WITHIN_MS = 90_000

/** One line of an audit log, as far as it is read here. */
export interface AuditedRequest {
  readonly verb: string
  readonly userAgent?: string
  /** When it came. */
  readonly requestReceivedTimestamp: string
  readonly objectRef?: { readonly resource?: string; readonly name?: string }
}

/** A real etcd and kube-apiserver, without kubelet or controllers: objects stay as they are made. */
export interface ControlPlane {
  readonly url: string
  readonly authority: Buffer
  /** As a member of system:masters. */
  readonly admin: ApiClient
  /** Every request that Latchkey has made so far and that was answered, watches as they began. */
  latchkeyRequests(): readonly AuditedRequest[]
  close(): Promise<void>
}

/** Starts both in this process's own network; what they write lies in the folder. Ready when it returns. */
export async function startControlPlane(binaries: Binaries, folder: string): Promise<ControlPlane> {
  mkdirSync(folder)
  for (const step of NETWORK) await run(step)
  const pki = await createPki(join(folder, 'pki'))
  const auditLog = join(folder, 'audit.log')
  const policy = join(folder, 'audit-policy.yaml')
  writeFileSync(policy, JSON.stringify(AUDIT_POLICY))
  const apiServer = [
    ...apiServerCommand(binaries, pki, auditLog),
    // The later word wins over the one of the e2e lane, whose policy is the hardening guide's.
    `--audit-policy-file=${policy}`,
  ]
  const children = [
    launch(etcdCommand(binaries, folder), join(folder, 'etcd.log')),
    launch(apiServer, join(folder, 'kube-apiserver.log')),
  ]
  const admin = adminClient(pki)
  await until(() => admin.get('/readyz').then(() => true), {
    what: `the API server to be ready; see ${folder}/kube-apiserver.log`,
    withinMs: READY_WITHIN_MS,
    explain: () => Promise.resolve(tail(join(folder, 'kube-apiserver.log'))),
  })
  return {
    url: API_SERVER_URL,
    authority: readFileSync(pki.path('ca.crt')),
    admin,
    latchkeyRequests: () => readAudit(auditLog),
    async close() {
      await admin.close()
      for (const child of children) child.kill('SIGKILL')
    },
  }
}

const NETWORK = [
  ['ip', 'link', 'set', 'lo', 'up'],
  ['ip', 'address', 'add', `${NODE_ADDRESS}/32`, 'dev', 'lo'],
  // Leads nowhere: the API server only looks whether there is one.
  ['ip', 'route', 'add', 'default', 'dev', 'lo'],
]

const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  // A watch is written down once, when it begins; anything else when it is answered.
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
}

function launch(command: readonly string[], logFile: string): ChildProcess {
  const [file = '', ...args] = command
  const log = openSync(logFile, 'a')
  try {
    return spawn(file, args, { stdio: ['ignore', log, log] })
  } finally {
    closeSync(log)
  }
}

function adminClient(pki: Pki): ApiClient {
  return new ApiClient({
    url: API_SERVER_URL,
    authority: readFileSync(pki.path('ca.crt')),
    certificate: {
      cert: readFileSync(pki.path('admin.crt')),
      key: readFileSync(pki.path('admin.key')),
    },
    connections: 16,
  })
}

function readAudit(file: string): readonly AuditedRequest[] {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return lines
    .map((line) => JSON.parse(line) as AuditedRequest & { readonly stage: string })
    .filter(({ userAgent = '' }) => userAgent.startsWith(LATCHKEY_AGENT))
    .filter(({ verb, stage }) => verb !== 'watch' || stage === 'ResponseStarted')
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-5).join('\n')
}

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { ClusterNode } from './cluster.ts'
import { capture, run } from './command.ts'
import { describePostgres } from './postgres.ts'
import type { Seal } from './seal.ts'
import { inside } from './seal.ts'
import { describeService } from './service.ts'
import type { VaultPlace } from './vault.ts'
import { openVault } from './vault.ts'

/** Our own node, written down: plain data, so that any process can work with it. */
export interface RigDescription {
  readonly kind: 'rig'
  readonly kubeconfig: string
  readonly nodeName: string
  readonly latchkeyImage: string
  readonly consumerImage: string
  readonly seal: Seal
  readonly kubectlPath: string
  readonly kubectlCacheFolder: string
  readonly logFolder: string
  readonly recordFolder: string
  readonly prometheusFolder: string
  /** Service name -> its command line. */
  readonly services: {
    readonly etcd: readonly string[]
    readonly containerd: readonly string[]
    readonly 'kube-apiserver': readonly string[]
    readonly 'kube-controller-manager': readonly string[]
    readonly 'kube-scheduler': readonly string[]
    readonly kubelet: readonly string[]
    readonly vault: readonly string[]
  }
  readonly vault: VaultPlace
}

const IMPORT_TIMEOUT_MS = 180_000
/** Of the one that the node's Vault makes users in. */
const POSTGRES_PORT = 5432
/** The namespace of containerd that kubelet looks in. */
const CTR = ['ctr', '-n', 'k8s.io']

/** The handles of a node that is up. */
export function openRigNode(description: RigDescription): ClusterNode {
  const { seal, services, logFolder, recordFolder, prometheusFolder } = description
  const place = { seal, recordFolder, logFolder }
  const runThere: ClusterNode['run'] = (command, options) =>
    run(inside(seal, command), { label: command.join(' '), ...options })
  const service: ClusterNode['service'] = (name, command) => describeService(place, name, command)
  const vault = service('vault', services.vault)
  return {
    pid: seal.pid,
    kubeletRoot: `/proc/${seal.pid}/root/var/lib/kubelet`,
    logFolder,
    kubectl: [description.kubectlPath, '--kubeconfig', description.kubeconfig],
    prometheusFolder,
    kubelet: describeService(place, 'kubelet', services.kubelet),
    apiServer: describeService(place, 'kube-apiserver', services['kube-apiserver']),
    mountinfo: () => readFileSync(`/proc/${seal.pid}/mountinfo`, 'utf8'),
    vault: openVault(description.vault, vault, runThere, `/proc/${seal.pid}/root`),
    postgres: describePostgres({ run: runThere, service }, 'postgres', POSTGRES_PORT),
    run: runThere,
    service,
    async importImage(archive, signal) {
      const command = [...CTR, 'images', 'import', join('/', archive)]
      await run(inside(seal, command), {
        label: command.join(' '),
        timeoutMs: IMPORT_TIMEOUT_MS,
        ...(signal && { signal }),
      })
    },
    async killContainer(id, signalName) {
      const task = id.replace('containerd://', '')
      const command = [...CTR, 'task', 'kill', '-s', signalName, task]
      await run(inside(seal, command), { label: command.join(' ') })
    },
    execContainer(id, words) {
      const exec = ['task', 'exec', '--exec-id', `e2e-${randomUUID()}`]
      const command = [...CTR, ...exec, id.replace('containerd://', ''), ...words]
      return run(inside(seal, command), { label: words.join(' ') })
    },
    async endPod(uid) {
      const filter = `labels."io.kubernetes.pod.uid"==${uid}`
      const ids = await capture(inside(seal, [...CTR, 'containers', 'ls', '-q', filter]))
      for (const id of ids.split('\n').filter(Boolean)) {
        const command = [...CTR, 'task', 'kill', '-s', 'SIGKILL', '--all', id]
        await run(inside(seal, command), { label: command.join(' ') })
      }
    },
  }
}

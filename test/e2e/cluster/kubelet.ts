import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Binaries } from './binaries.ts'
import { CONTAINERD_SOCKET } from './containerd.ts'
import type { Pki } from './pki.ts'
import { NODE_ADDRESS, NODE_NAME } from './seal.ts'

/** Writes kubelet's configuration and gives the command that runs it. */
export function configureKubelet(options: {
  readonly binaries: Binaries
  readonly pki: Pki
  readonly folder: string
  /** How often kubelet looks at each pod again, and with it republishes. Its own default is 1m. */
  readonly syncFrequency: string
}): string[] {
  const { binaries, pki, folder } = options
  const file = join(folder, 'kubelet.yaml')
  writeFileSync(file, JSON.stringify(kubeletConfig(pki, folder, options.syncFrequency), null, 2))
  const certificates = join(folder, 'kubelet-certificates')
  mkdirSync(certificates, { recursive: true })
  return [
    binaries.kubelet,
    `--config=${file}`,
    `--kubeconfig=${pki.path('kubelet.kubeconfig')}`,
    '--root-dir=/var/lib/kubelet',
    `--cert-dir=${certificates}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${NODE_ADDRESS}`,
  ]
}

function kubeletConfig(pki: Pki, folder: string, syncFrequency: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    // What a machine without systemd and with cgroup v1 needs; on others these do no harm.
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: '/',
    failSwapOn: false,
    protectKernelDefaults: true,
    makeIPTablesUtilChains: false,
    oomScoreAdj: 0,
    maxOpenFiles: 20_000,
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    readOnlyPort: 0,
    resolvConf: '',
    volumePluginDir: join(folder, 'volume-plugins'),
    // The machine's disk and memory are not the node's alone; only a real shortage may evict.
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki.path('ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: pki.path('kubelet-serving.crt'),
    tlsPrivateKeyFile: pki.path('kubelet-serving.key'),
    rotateCertificates: false,
    syncFrequency,
    nodeStatusUpdateFrequency: '4s',
    maxPods: 250,
  }
}

import { join } from 'node:path'

import type { Binaries } from './binaries.ts'
import { ISSUER_HOST } from './furnishing.ts'
import type { Pki } from './pki.ts'
import { NODE_ADDRESS } from './seal.ts'

const ETCD_URL = 'http://127.0.0.1:2379'
const ISSUER = `https://${ISSUER_HOST}`

export function etcdCommand(binaries: Binaries, folder: string): string[] {
  return [
    binaries.etcd,
    `--data-dir=${join(folder, 'etcd')}`,
    `--listen-client-urls=${ETCD_URL}`,
    `--advertise-client-urls=${ETCD_URL}`,
    // Its data ends with the cluster; a slow disk would only make every write slow.
    '--unsafe-no-fsync',
  ]
}

/** As the hardening guide has it. */
const AUDIT_POLICY = join(import.meta.dirname, '../../../deploy/hardening/audit-policy.yaml')

/** Of the API server, in the folder of logs. */
export const AUDIT_LOG = 'kube-audit.log'

/** `auditLog`: where it writes who read which Secret. */
export function apiServerCommand(binaries: Binaries, pki: Pki, auditLog: string): string[] {
  return [
    binaries.kubeApiserver,
    `--etcd-servers=${ETCD_URL}`,
    '--bind-address=0.0.0.0',
    `--advertise-address=${NODE_ADDRESS}`,
    '--secure-port=6443',
    `--tls-cert-file=${pki.path('apiserver.crt')}`,
    `--tls-private-key-file=${pki.path('apiserver.key')}`,
    `--client-ca-file=${pki.path('ca.crt')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    '--service-cluster-ip-range=10.96.0.0/24',
    `--service-account-issuer=${ISSUER}`,
    `--api-audiences=${ISSUER}`,
    `--service-account-signing-key-file=${pki.path('sa.key')}`,
    `--service-account-key-file=${pki.path('sa.pub')}`,
    // On, it would turn the one hour a pod asks for into a year.
    '--service-account-extend-token-expiration=false',
    `--kubelet-client-certificate=${pki.path('apiserver-kubelet-client.crt')}`,
    `--kubelet-client-key=${pki.path('apiserver-kubelet-client.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--audit-policy-file=${AUDIT_POLICY}`,
    `--audit-log-path=${auditLog}`,
  ]
}

export function controllerManagerCommand(binaries: Binaries, pki: Pki): string[] {
  const kubeconfig = pki.path('controller-manager.kubeconfig')
  return [
    binaries.kubeControllerManager,
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1',
    '--leader-elect=false',
    '--use-service-account-credentials',
    `--service-account-private-key-file=${pki.path('sa.key')}`,
    `--root-ca-file=${pki.path('ca.crt')}`,
    `--cluster-signing-cert-file=${pki.path('ca.crt')}`,
    `--cluster-signing-key-file=${pki.path('ca.key')}`,
  ]
}

export function schedulerCommand(binaries: Binaries, pki: Pki): string[] {
  return [
    binaries.kubeScheduler,
    `--kubeconfig=${pki.path('scheduler.kubeconfig')}`,
    '--bind-address=127.0.0.1',
    '--leader-elect=false',
  ]
}

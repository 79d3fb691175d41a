import type { ClusterConnection } from './cluster-connection.ts'
import { invalid, parseServer, readAuthority } from './connection-fields.ts'

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const WHERE = 'in-cluster configuration'

/**
 * Reads what kubelet gives every pod: the service account's files, and the address from the environment.
 * `root` stands before the files' absolute paths. Token and CA are read anew as kubelet rotates them.
 *
 * Throws: InvalidRequest, naming what is missing.
 */
export function loadInCluster(root = ''): ClusterConnection {
  const host = readVariable('KUBERNETES_SERVICE_HOST')
  const port = readVariable('KUBERNETES_SERVICE_PORT')
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  return {
    origin: parseServer(server, WHERE).origin,
    pathPrefix: '',
    authority: readAuthority({ file: `${root}${ACCOUNT}/ca.crt`, data: undefined }, WHERE),
    serverName: undefined,
    bearer: { file: `${root}${ACCOUNT}/token` },
    certificate: undefined,
  }
}

function readVariable(name: string): string {
  const value = process.env[name]
  if (value !== undefined) return value
  throw invalid(WHERE, `${name} is not set; outside of a cluster name a kubeconfig file`)
}

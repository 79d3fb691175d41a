import { isDnsSubdomain } from '../../core/kube-names.ts'
import type { ClusterConnection } from './cluster-connection.ts'
import { invalid, parseServer, readAuthority } from './connection-fields.ts'

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const WHERE = 'in-cluster configuration'
const PORT = /^[1-9]\d{0,4}$/
const MAX_PORT = 65_535
const ADDRESS_V6 = /^[\da-f:.]+$/i

/**
 * Reads what kubelet gives every pod: the service account's files, and the address from the environment.
 * `root` stands before the files' absolute paths. Token and CA are read anew as kubelet rotates them.
 *
 * Throws: InvalidRequest, naming what is missing or odd.
 */
export function loadInCluster(root = ''): ClusterConnection {
  const host = readHost('KUBERNETES_SERVICE_HOST')
  const port = readPort('KUBERNETES_SERVICE_PORT')
  return {
    origin: parseServer(`https://${host}:${port}`, WHERE).origin,
    pathPrefix: '',
    authority: readAuthority({ file: `${root}${ACCOUNT}/ca.crt`, data: undefined }, WHERE),
    serverName: undefined,
    bearer: { file: `${root}${ACCOUNT}/token` },
    certificate: undefined,
  }
}

/**
 * As it stands in a URL. Parsers of URLs drop tabs, end a host at "/" and read "10.1" as 10.0.0.1: nobody who
 * wrote that meant the server that would be asked.
 */
function readHost(name: string): string {
  const host = readVariable(name)
  const inUrl = host.includes(':') ? `[${host}]` : host
  const isAddressV6 =
    ADDRESS_V6.test(host) && host.includes(':') && URL.canParse(`https://${inUrl}`)
  const isPlain = isDnsSubdomain(host) && URL.parse(`https://${host}`)?.hostname === host
  if (isAddressV6 || isPlain) return inUrl
  throw invalid(WHERE, `${name} has to be an IP address or a DNS name`)
}

function readPort(name: string): string {
  const port = readVariable(name)
  if (PORT.test(port) && Number(port) <= MAX_PORT) return port
  throw invalid(WHERE, `${name} has to be a number from 1 to ${MAX_PORT}`)
}

function readVariable(name: string): string {
  const value = process.env[name]
  if (value !== undefined) return value
  throw invalid(WHERE, `${name} is not set; outside of a cluster name a kubeconfig file`)
}

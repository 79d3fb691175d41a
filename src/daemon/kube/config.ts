import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { KubeConfig, bufferFromFileOrString } from '@kubernetes/client-node'
import type { Cluster, User } from '@kubernetes/client-node'
import { LatchkeyError } from '../../core/errors.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { ClientCertificate, ClusterConnection, FileOr } from './cluster-connection.ts'
import { errorCode } from './connection-error.ts'

/**
 * Reads what kubelet gives every pod: the service account's files, and the address from the environment.
 * `root` stands before the files' absolute paths. Token and CA are read anew as kubelet rotates them.
 *
 * Throws: InvalidRequest, naming what is missing.
 */
export function loadInCluster(root = ''): ClusterConnection {
  const where = 'in-cluster configuration'
  for (const name of ['KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT']) {
    if (process.env[name] !== undefined) continue
    throw invalid(where, `${name} is not set; outside of a cluster name a kubeconfig file`)
  }
  const config = new KubeConfig()
  config.loadFromCluster(root)
  return readConnection(config, where)
}

/**
 * Reads the current context of a kubeconfig file. Refused is whatever would weaken the proof of either
 * side (skipped verification, no CA, a proxy) or start programs (exec).
 *
 * Throws: InvalidRequest, naming the field; never quoting the file.
 */
export function loadKubeconfig(path: string): ClusterConnection {
  const where = `kubeconfig ${path}`
  const config = new KubeConfig()
  try {
    config.loadFromFile(path)
  } catch (thrown) {
    // The parser's message quotes lines of the file, and keys lie in it.
    throw invalid(where, `cannot be read (${errorCode(thrown) ?? 'not a kubeconfig'})`)
  }
  return readConnection(config, where)
}

function readConnection(config: KubeConfig, where: string): ClusterConnection {
  const cluster = config.getCurrentCluster()
  const user = config.getCurrentUser()
  if (cluster === null) throw invalid(where, 'current-context leads to no cluster')
  if (user === null) throw invalid(where, 'current-context leads to no user')
  refuseWeakening(cluster, user, where)
  const url = parseServer(cluster.server, where)
  return {
    origin: url.origin,
    pathPrefix: url.pathname.replace(/\/+$/, ''),
    authority: readAuthority(cluster, where),
    serverName: cluster.tlsServerName,
    ...readIdentity(user, where),
  }
}

function refuseWeakening(cluster: Cluster, user: User, where: string): void {
  const refused: readonly (readonly [boolean, string])[] = [
    [cluster.skipTLSVerify, 'cluster.insecure-skip-tls-verify is refused: name the CA instead'],
    [isSet(cluster.proxyUrl), 'cluster.proxy-url is refused: no proxy is used'],
    [isSet(user.exec), 'user.exec is refused: no program is started for credentials'],
    [isSet(user.authProvider) && tokenFileOf(user) === undefined, 'user.auth-provider is refused'],
    [isSet(user.impersonateUser), 'user.as is refused: nobody is impersonated'],
    [isSet(user.username), 'user.username is refused: give a token or a client certificate'],
  ]
  for (const [present, why] of refused) if (present) throw invalid(where, why)
}

function parseServer(server: string, where: string): URL {
  const url = URL.parse(server)
  if (url?.protocol !== 'https:') throw invalid(where, 'cluster.server has to be an https address')
  if (url.username !== '' || url.search !== '' || url.hash !== '') {
    throw invalid(where, 'cluster.server has to be an address without user, query or fragment')
  }
  return url
}

function readAuthority(cluster: Cluster, where: string): FileOr<Buffer> {
  const pem = readPem(cluster.caFile, cluster.caData, 'cluster.certificate-authority', where)
  // Without one, Node would believe every public authority.
  if (pem === null || !isCertificate(pem)) {
    throw invalid(where, 'cluster.certificate-authority (or -data) holds no certificate')
  }
  return cluster.caFile === undefined ? { given: pem } : { file: cluster.caFile }
}

function readIdentity(
  user: User,
  where: string,
): Pick<ClusterConnection, 'bearer' | 'certificate'> {
  const certificate = readCertificate(user, where)
  const tokenFile = tokenFileOf(user)
  if (tokenFile !== undefined) return { bearer: { file: tokenFile }, certificate }
  if (isSet(user.token)) {
    return { bearer: { given: new SecretBytes(Buffer.from(user.token.trim())) }, certificate }
  }
  if (certificate !== undefined) return { bearer: undefined, certificate }
  throw invalid(where, 'user has neither a token nor a client-certificate with its client-key')
}

function readCertificate(user: User, where: string): ClientCertificate | undefined {
  const certPem = readPem(user.certFile, user.certData, 'user.client-certificate', where)
  const keyPem = readPem(user.keyFile, user.keyData, 'user.client-key', where)
  if (certPem === null || keyPem === null) return undefined
  try {
    createSecureContext({ cert: certPem, key: keyPem })
  } catch {
    throw invalid(where, 'user.client-certificate and user.client-key do not fit together')
  }
  return { certPem, keyPem: new SecretBytes(keyPem) }
}

function readPem(
  file: string | undefined,
  data: string | undefined,
  field: string,
  where: string,
): Buffer | null {
  try {
    return bufferFromFileOrString(file, data)
  } catch (thrown) {
    throw invalid(where, `${field} cannot be read (${errorCode(thrown) ?? 'unknown error'})`)
  }
}

/** The form in which client-node hands over the file of a service account's token. */
function tokenFileOf(user: User): string | undefined {
  const provider: unknown = user.authProvider
  if (typeof provider !== 'object' || provider === null) return undefined
  const config: unknown = 'config' in provider ? provider.config : undefined
  if (typeof config !== 'object' || config === null || !('tokenFile' in config)) return undefined
  return typeof config.tokenFile === 'string' ? config.tokenFile : undefined
}

function isCertificate(pem: Buffer): boolean {
  try {
    new X509Certificate(pem)
    return true
  } catch {
    return false
  }
}

function isSet<T>(value: T | null | undefined): value is T {
  return value !== undefined && value !== null && value !== ''
}

function invalid(where: string, why: string): LatchkeyError {
  return new LatchkeyError('InvalidRequest', `${where}: ${why}`)
}

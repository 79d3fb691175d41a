import { createSecureContext } from 'node:tls'
import { KubeConfig } from '@kubernetes/client-node'
import type { Cluster, User } from '@kubernetes/client-node'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { ClientCertificate, ClusterConnection } from './cluster-connection.ts'
import { errorCode } from './connection-error.ts'
import { invalid, parseServer, readAuthority, readPem } from './connection-fields.ts'

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
    authority: readAuthority({ file: cluster.caFile, data: cluster.caData }, where),
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
  const certPem = readPem(
    { file: user.certFile, data: user.certData },
    'user.client-certificate',
    where,
  )
  const keyPem = readPem({ file: user.keyFile, data: user.keyData }, 'user.client-key', where)
  if (certPem === undefined || keyPem === undefined) return undefined
  try {
    createSecureContext({ cert: certPem, key: keyPem })
  } catch {
    throw invalid(where, 'user.client-certificate and user.client-key do not fit together')
  }
  return { certPem, keyPem: new SecretBytes(keyPem) }
}

/** The form in which client-node hands over the file of a service account's token. */
function tokenFileOf(user: User): string | undefined {
  const provider: unknown = user.authProvider
  if (typeof provider !== 'object' || provider === null) return undefined
  const config: unknown = 'config' in provider ? provider.config : undefined
  if (typeof config !== 'object' || config === null || !('tokenFile' in config)) return undefined
  return typeof config.tokenFile === 'string' ? config.tokenFile : undefined
}

function isSet<T>(value: T | null | undefined): value is T {
  return value !== undefined && value !== null && value !== ''
}

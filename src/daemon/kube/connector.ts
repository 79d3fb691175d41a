import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { buildConnector } from 'undici'
import { LatchkeyError } from '../../core/errors.ts'
import type { ClusterConnection } from './cluster-connection.ts'
import { errorCode } from './connection-error.ts'

// Below what load balancers and firewalls usually forget silent connections after.
const TCP_KEEPALIVE_MS = 30_000
// OpenSSL zeroes what it decrypted once it has handed it over, instead of with the next record. Node has no
// name for it: SSL_OP_CLEANSE_PLAINTEXT of OpenSSL 3.
const CLEANSE_PLAINTEXT = 2

export interface ConnectorOptions {
  readonly connection: ClusterConnection
  /** Shows the daemon's client certificate, where it has one. */
  readonly asDaemon: boolean
  readonly allowHttp2: boolean
  readonly timeoutMs: number
}

/**
 * Opens TLS connections that believe the cluster's CA alone. The CA is read anew for each connection,
 * because a cluster may exchange it under a running daemon; there are few connections.
 */
export function createConnector(options: ConnectorOptions): buildConnector.connector {
  let current: { readonly pem: Buffer; readonly connect: buildConnector.connector } | undefined
  return (target, callback) => {
    readAuthority(options.connection)
      .then((pem) => {
        // Kept while the CA is the same: it remembers TLS sessions, which another CA must not inherit.
        if (current?.pem.equals(pem) !== true) current = { pem, connect: buildTls(options, pem) }
        current.connect(target, callback)
      })
      .catch((thrown: unknown) => {
        callback(LatchkeyError.from(thrown), null)
      })
  }
}

function buildTls(options: ConnectorOptions, ca: Buffer): buildConnector.connector {
  const { connection, asDaemon, allowHttp2, timeoutMs } = options
  const certificate = asDaemon ? connection.certificate : undefined
  return buildConnector({
    ca,
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED would decide it otherwise.
    rejectUnauthorized: true,
    secureOptions: CLEANSE_PLAINTEXT,
    allowH2: allowHttp2,
    timeout: timeoutMs,
    keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    ...(connection.serverName === undefined ? {} : { servername: connection.serverName }),
    ...(certificate === undefined
      ? {}
      : { cert: certificate.certPem, key: certificate.keyPem.use((key) => key) }),
  })
}

async function readAuthority({ authority }: ClusterConnection): Promise<Buffer> {
  if ('given' in authority) return authority.given
  try {
    const pem = await readFile(authority.file)
    // An empty list of authorities would mean every public one to Node.
    new X509Certificate(pem)
    return pem
  } catch (thrown) {
    const code = errorCode(thrown) ?? 'no certificate in it'
    throw new LatchkeyError(
      'KubeUnavailable',
      `the cluster's CA file ${authority.file} cannot be used (${code})`,
    )
  }
}

import type { SecretBytes } from '../../core/secret-bytes.ts'

/** Bytes that lie in a file and may be replaced there, or that were given once. */
export type FileOr<T> = { readonly file: string } | { readonly given: T }

/** Where the API server is, how it proves itself to us and how the daemon proves itself to it. */
export interface ClusterConnection {
  /** Scheme, host and port, such as https://10.96.0.1:443. */
  readonly origin: string
  /** What precedes /api where the API server lies behind a path, else ''. */
  readonly pathPrefix: string
  /** PEM of the only authorities that are believed. */
  readonly authority: FileOr<Buffer>
  /** The name to find in the server's certificate, where it is not the host of `origin`. */
  readonly serverName: string | undefined
  /** The daemon's own credentials; at least one of the two is there. Never used for a pod's calls. */
  readonly bearer: FileOr<SecretBytes> | undefined
  readonly certificate: ClientCertificate | undefined
}

export interface ClientCertificate {
  readonly certPem: Buffer
  readonly keyPem: SecretBytes
}

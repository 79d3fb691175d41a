import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import type { FileOr } from './cluster-connection.ts'
import { errorCode } from './connection-error.ts'

/** Bytes of a PEM file: in a file of their own, or in the configuration as base64. */
export interface PemSource {
  readonly file: string | undefined
  readonly data: string | undefined
}

/** Throws: InvalidRequest. */
export function parseServer(server: string, where: string): URL {
  const url = URL.parse(server)
  if (url?.protocol !== 'https:') throw invalid(where, 'cluster.server has to be an https address')
  if (url.username !== '' || url.search !== '' || url.hash !== '') {
    throw invalid(where, 'cluster.server has to be an address without user, query or fragment')
  }
  return url
}

/** Throws: InvalidRequest. */
export function readAuthority(source: PemSource, where: string): FileOr<Buffer> {
  const pem = readPem(source, 'cluster.certificate-authority', where)
  // Without one, Node would believe every public authority.
  if (pem === undefined || !isCertificate(pem)) {
    throw invalid(where, 'cluster.certificate-authority (or -data) holds no certificate')
  }
  return source.file === undefined ? { given: pem } : { file: source.file }
}

/** undefined where there is neither. Throws: InvalidRequest, naming the field. */
export function readPem(
  { file, data }: PemSource,
  field: string,
  where: string,
): Buffer | undefined {
  if (file === undefined) return data === undefined ? undefined : Buffer.from(data, 'base64')
  try {
    return readFileSync(file)
  } catch (thrown) {
    throw invalid(where, `${field} cannot be read (${errorCode(thrown) ?? 'unknown error'})`)
  }
}

export function invalid(where: string, why: string): LatchkeyError {
  return new LatchkeyError('InvalidRequest', `${where}: ${why}`)
}

function isCertificate(pem: Buffer): boolean {
  try {
    new X509Certificate(pem)
    return true
  } catch {
    return false
  }
}

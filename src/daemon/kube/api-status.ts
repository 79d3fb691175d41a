import { decodeStatus, decodeUnknown } from '../../wire/kubernetes-messages.ts'

/** The message of an API server's Status object, in protobuf or JSON; '' where the body is neither. */
export function readStatusMessage(body: Buffer): string {
  try {
    return isProtobuf(body)
      ? decodeStatus(decodeUnknown(body).raw).message
      : messageOf(JSON.parse(body.toString()))
  } catch {
    return ''
  }
}

function isProtobuf(body: Buffer): boolean {
  return body.length >= MAGIC.length && body.subarray(0, MAGIC.length).equals(MAGIC)
}

const MAGIC = Buffer.from('k8s\0')

function messageOf(status: unknown): string {
  if (typeof status !== 'object' || status === null || !('message' in status)) return ''
  return typeof status.message === 'string' ? status.message : ''
}

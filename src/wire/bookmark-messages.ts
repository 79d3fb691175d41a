import { join } from 'node:path'
import protobuf from 'protobufjs'
import { PROTO_FOLDER } from './protos.ts'

/** See proto/latchkey/daemon/v1/bookmark.proto. Bytes are views of the decoded buffer. */
export interface HoldingsMessage {
  readonly namespace: string
  readonly serviceAccount: string
  readonly serviceAccountUid: string
  readonly logins: readonly {
    readonly source: string
    readonly role: string
    readonly token: Uint8Array
    readonly isOwn: boolean
    readonly isDoubted: boolean
  }[]
  readonly secrets: readonly HeldSecretMessage[]
  readonly isAsking: boolean
}

export interface HeldSecretMessage {
  readonly source: string
  readonly ask: string
  readonly version: string
  readonly entries: Readonly<Record<string, Uint8Array>>
  readonly json: Uint8Array
  readonly leaseId: Uint8Array
  readonly isRenewable: boolean
  readonly lifeMs: number
  readonly endsAtMs: number
  readonly isReplaced: boolean
  readonly isDue: boolean
}

const root = new protobuf.Root().loadSync(join(PROTO_FOLDER, 'latchkey/daemon/v1/bookmark.proto'))
const holdingsType = root.lookupType('latchkey.daemon.v1.Holdings')

export function encodeHoldings(holdings: HoldingsMessage): Buffer {
  return Buffer.from(holdingsType.encode(holdingsType.fromObject(holdings)).finish())
}

/** Throws where the bytes are no such message; what it throws may quote them. */
export function decodeHoldings(bytes: Buffer): HoldingsMessage {
  const options = { defaults: true, arrays: true, objects: true, longs: Number }
  return holdingsType.toObject(holdingsType.decode(bytes), options) as HoldingsMessage
}

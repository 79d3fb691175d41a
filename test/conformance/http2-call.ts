import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'

export interface RawCall {
  readonly authority: string
  readonly path: string
  /** The bytes of the request message; none are an empty message. */
  readonly message?: Buffer
}

/** What came back: gRPC's status, or how HTTP/2 broke the stream off. */
export type RawAnswer = { readonly grpcStatus: string } | { readonly resetCode: number }

/** One gRPC call by a bare HTTP/2 client, which sends any authority that it is told to. */
export async function callRaw(socketPath: string, call: RawCall): Promise<RawAnswer> {
  const session = connectHttp2('http://localhost', {
    createConnection: () => connect(socketPath),
  })
  session.on('error', () => undefined)
  try {
    return await new Promise<RawAnswer>((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': call.path,
        ':authority': call.authority,
        'content-type': 'application/grpc',
        te: 'trailers',
      })
      stream.setTimeout(10_000, () => {
        reject(new Error('no answer within 10 s'))
      })
      stream.on('error', () => undefined)
      const settle = (headers: Readonly<Record<string, unknown>>): void => {
        const grpcStatus = headers['grpc-status']
        if (typeof grpcStatus === 'string') resolve({ grpcStatus })
      }
      stream.on('response', settle)
      stream.on('trailers', settle)
      stream.on('close', () => {
        resolve({ resetCode: stream.rstCode })
      })
      stream.resume()
      stream.end(frame(call.message ?? Buffer.alloc(0)))
    })
  } finally {
    session.destroy()
  }
}

/** gRPC's framing: a byte that says "not compressed", four of length. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

export const PROTOCOL_ERROR = constants.NGHTTP2_PROTOCOL_ERROR

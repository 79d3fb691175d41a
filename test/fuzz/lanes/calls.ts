import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2'
import { connect } from 'node:net'

export interface CallAnswer {
  /** undefined where HTTP/2 broke the stream off. */
  readonly status: string | undefined
  readonly message: string
  readonly bytes: number
}

/** A bare gRPC client of a unix socket: it frames whatever bytes it is given. */
export class RawCaller {
  readonly #path: string
  #session: ClientHttp2Session | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Sends the frames and hangs up when something has been answered, or after `patienceMs`. */
  async call(method: string, frames: readonly Buffer[], patienceMs: number): Promise<CallAnswer> {
    const stream = this.#open().request({
      ':method': 'POST',
      ':path': method,
      ':authority': 'localhost',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    try {
      return await answerOf(stream, frames, patienceMs)
    } finally {
      stream.close()
    }
  }

  close(): void {
    this.#session?.destroy()
  }

  #open(): ClientHttp2Session {
    const known = this.#session
    if (known !== undefined && !known.closed && !known.destroyed) return known
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(this.#path),
    })
    session.on('error', () => undefined)
    this.#session = session
    return session
  }
}

function answerOf(
  stream: ClientHttp2Stream,
  frames: readonly Buffer[],
  patienceMs: number,
): Promise<CallAnswer> {
  return new Promise((resolve) => {
    let bytes = 0
    const settle = (status?: string, message = ''): void => {
      clearTimeout(timer)
      resolve({ status, message: decodeURIComponentSafely(message), bytes })
    }
    const timer = setTimeout(settle, patienceMs)
    const hear = (headers: Readonly<Record<string, unknown>>): void => {
      const { 'grpc-status': status, 'grpc-message': message } = headers
      if (typeof status === 'string') settle(status, typeof message === 'string' ? message : '')
    }
    stream.on('error', () => undefined)
    stream.on('response', hear)
    stream.on('trailers', hear)
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    stream.on('close', () => {
      settle()
    })
    for (const frame of frames) stream.write(frame)
    stream.end()
  })
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** gRPC's framing: a byte that says whether it is compressed, four of length. */
export function grpcFrame(message: Buffer, flag = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt8(flag)
  head.writeUInt32BE(length >>> 0, 1)
  return Buffer.concat([head, message])
}

/** One connection's bytes, cut off when the other side ends it or has been quiet for `patienceMs`. */
export function pour(path: string | number, bytes: Buffer, patienceMs: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = typeof path === 'string' ? connect(path) : connect(path, '127.0.0.1')
    const heard: Buffer[] = []
    const timer = setTimeout(() => socket.destroy(), patienceMs)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      heard.push(chunk)
    })
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(Buffer.concat(heard))
    })
    socket.end(bytes)
  })
}

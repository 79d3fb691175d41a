import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientHttp2Stream } from 'node:http2'

// https://nodejs.org/api/diagnostics_channel.html#http2; undici hands out no stream of its own accord.
const CREATED = 'http2.client.stream.created'

/**
 * Gives every HTTP/2 stream of this process a listener for errors, until the answer is called. undici 8.12.4
 * at times drops its own while a reset of the connection is still on its way to the stream, and an error
 * that nobody hears ends the process: a soak saw the daemon die so in one of a thousand outages. Whoever
 * made the request learns of the reset all the same, by the request.
 */
export function hearStreamErrors(): () => void {
  subscribe(CREATED, hear)
  return () => {
    unsubscribe(CREATED, hear)
  }
}

function hear(message: unknown): void {
  const { stream } = message as { readonly stream: ClientHttp2Stream }
  // Once is enough, however many clients there are.
  if (!stream.listeners('error').includes(ignore)) stream.on('error', ignore)
}

function ignore(): void {
  // The request's own error tells it.
}

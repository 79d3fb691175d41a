import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import { splitLines } from './line-splitter.ts'
import type { KubeClient, SecretEvent, SecretRef } from './kube-client.ts'
import { bearerHeader } from './pod-token.ts'
import { watchPath } from './secret-path.ts'
import { secretRefusal } from './secret-refusal.ts'
import type { ApiResponse, Transport } from './transport.ts'
import { createWatchdog } from './watchdog.ts'
import type { Watchdog } from './watchdog.ts'
import { parseWatchLine } from './watch-event.ts'

export interface WatchLimits {
  /** At once, over all Secrets. */
  readonly maxWatches: number
  /** Until the headers are there. */
  readonly startTimeoutMs: number
  /** How long the API server is asked to keep a watch, before jitter. */
  readonly lifetimeMs: number
  /** The longest silence; bookmarks come about once a minute. */
  readonly silenceMs: number
}

export interface WatchOptions {
  readonly transport: Transport
  readonly clock: Clock
  readonly random: () => number
  readonly limits: WatchLimits
}

const LIFETIME_SPREAD = 0.1
const GRACE_MS = 30_000
const MAX_LINE_BYTES = 256 * 1024

// A Table without its objects: name, type, count of keys, version. Metadata alone would not do, because
// `kubectl apply` leaves the values in an annotation of the Secret.
const ACCEPT = 'application/json;as=Table;g=meta.k8s.io;v=v1'

/** Throws as KubeClient.watchSecret does, and Overloaded over `maxWatches`. */
export function createSecretWatcher(options: WatchOptions): KubeClient['watchSecret'] {
  const { clock, random, limits } = options
  let open = 0
  return async function* watchSecret(ref, sinceVersion, podToken, signal) {
    signal.throwIfAborted()
    if (open >= limits.maxWatches) throw new LatchkeyError('Overloaded', 'too many watches at once')
    open += 1
    const lifetimeMs = jittered(limits.lifetimeMs, LIFETIME_SPREAD, random)
    const watchdog = createWatchdog(clock, clock.now() + lifetimeMs + GRACE_MS, signal)
    try {
      const path = watchPath(ref, sinceVersion, Math.round(lifetimeMs / 1000))
      const response = await start(options, { ref, path, podToken, signal }, watchdog)
      if (response !== undefined) yield* readEvents(response, limits, watchdog, signal)
    } finally {
      // Also where the reader has left in the midst of it: the stream is reset, the API server told.
      watchdog.end()
      open -= 1
    }
  }
}

interface Start {
  readonly ref: SecretRef
  readonly path: string
  readonly podToken: SecretBytes
  readonly signal: AbortSignal
}

async function start(
  { transport, limits }: WatchOptions,
  { ref, path, podToken, signal }: Start,
  watchdog: Watchdog,
): Promise<ApiResponse | undefined> {
  const headers = { accept: ACCEPT, authorization: bearerHeader(podToken) }
  const timeout = new LatchkeyError('Timeout', 'the API server did not start a watch in time')
  watchdog.expect(limits.startTimeoutMs, timeout)
  const response = await transport.send('watch', { method: 'GET', path, headers }, watchdog.signal)
  if (response.status === 200) return response
  const refusal = await secretRefusal(response, { ref, verb: 'watch', podToken }, watchdog.signal)
  signal.throwIfAborted()
  // The version is too old to start from, said before the stream instead of in it.
  if (response.status === 410) return undefined
  throw refusal
}

async function* readEvents(
  response: ApiResponse,
  { silenceMs }: WatchLimits,
  watchdog: Watchdog,
  signal: AbortSignal,
): AsyncGenerator<SecretEvent> {
  const chunks = untilEnd(response, silenceMs, watchdog, signal)
  for await (const line of splitLines(chunks, MAX_LINE_BYTES)) {
    const said = parseWatchLine(line)
    if (said === 'over') return
    if (said !== 'alive') yield said
  }
}

/** A body that breaks off has ended like any other; only the caller's own signal is an error. */
async function* untilEnd(
  { body }: ApiResponse,
  silenceMs: number,
  watchdog: Watchdog,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const chunks = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  for (;;) {
    watchdog.expect(silenceMs, new LatchkeyError('Timeout', 'the watch fell silent'))
    const next = await chunks.next().catch(() => undefined)
    // Not while the reader is busy with what was said.
    watchdog.rest()
    signal.throwIfAborted()
    if (next === undefined || next.done === true) return
    yield next.value
  }
}

import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { createApiProbe } from './api-probe.ts'
import type { ClusterConnection } from './cluster-connection.ts'
import { createDaemonToken } from './daemon-token.ts'
import type { KubeClient, KubeErrands } from './kube-client.ts'
import { createEventWriter } from './pod-event.ts'
import { createSecretReader } from './secret-read.ts'
import { createSecretWatcher } from './secret-watch.ts'
import { createTokenReviewer } from './token-review.ts'
import { Transport } from './transport.ts'

export interface KubeClientOptions {
  readonly connection: ClusterConnection
  readonly clock: Clock
  /** Spreads the ends of watches; a test gives its own. */
  readonly random?: () => number
  readonly limits?: Partial<KubeClientLimits>
}

export interface KubeClientLimits {
  /** For one review or one read, from its first to its last byte. */
  readonly callTimeoutMs: number
  readonly connectTimeoutMs: number
  /** At once, for reviews, and again as many for reads. */
  readonly maxConnections: number
  readonly maxWatchConnections: number
  readonly maxWatches: number
  readonly watchLifetimeMs: number
  readonly watchSilenceMs: number
}

const DEFAULTS: KubeClientLimits = {
  callTimeoutMs: 10_000,
  connectTimeoutMs: 5_000,
  maxConnections: 8,
  maxWatchConnections: 64,
  maxWatches: 512,
  watchLifetimeMs: 300_000,
  // Two bookmarks may be late; silence for longer means that nobody is there.
  watchSilenceMs: 150_000,
}

/** The daemon's one client of the API server. Opens no connection before the first call. */
export function createKubeClient(options: KubeClientOptions): KubeClient & KubeErrands {
  const { connection, clock, random = Math.random } = options
  const limits = { ...DEFAULTS, ...options.limits }
  const { callTimeoutMs } = limits
  const transport = new Transport(connection, { ...limits, answerTimeoutMs: callTimeoutMs })
  const daemonToken = createDaemonToken(connection.bearer, clock)
  const review = createTokenReviewer(transport, daemonToken)
  const writeEvent = createEventWriter(transport, daemonToken)
  const probe = createApiProbe(transport)
  return {
    reviewToken(token, audiences, signal) {
      return withDeadline(clock, callTimeoutMs, 'the token review', signal, (bounded) =>
        review(token, audiences, bounded),
      )
    },
    readSecret: createSecretReader(transport, clock, callTimeoutMs),
    watchSecret: createSecretWatcher({
      transport,
      clock,
      random,
      limits: {
        maxWatches: limits.maxWatches,
        startTimeoutMs: callTimeoutMs,
        lifetimeMs: limits.watchLifetimeMs,
        silenceMs: limits.watchSilenceMs,
      },
    }),
    createPodEvent(event, signal) {
      return withDeadline(clock, callTimeoutMs, 'creating an event', signal, (bounded) =>
        writeEvent(event, bounded),
      )
    },
    probeApiServer(signal) {
      return withDeadline(clock, callTimeoutMs, "the API server's answer", signal, probe)
    },
    close: () => transport.close(),
  }
}

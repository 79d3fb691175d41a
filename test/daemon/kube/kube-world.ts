import { inspect } from 'node:util'
import type { ExecutionContext } from 'ava'
import type { Clock } from '../../../src/core/clock.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { Reason } from '../../../src/core/errors.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { ClusterConnection } from '../../../src/daemon/kube/cluster-connection.ts'
import { createKubeClient } from '../../../src/daemon/kube/create-client.ts'
import type { KubeClientLimits } from '../../../src/daemon/kube/create-client.ts'
import type { KubeClient, KubeErrands } from '../../../src/daemon/kube/kube-client.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { startApiServer } from './api-server.ts'
import type { ApiServer, ApiServerOptions } from './api-server.ts'
import { makeAuthority, makeLeaf } from './authorities.ts'
import type { KeyPair } from './authorities.ts'

export const POD_TOKEN = 'canary-pod-token-5b1d'
export const DAEMON_TOKEN = 'canary-daemon-token-93fe'
export const DB = { namespace: 'shop', name: 'db' }

export interface World {
  readonly folder: string
  readonly authority: KeyPair
  readonly server: ApiServer
  readonly connection: ClusterConnection
}

export type ServerOptions = Omit<ApiServerOptions, 'identity'>

/** An API server with a CA of its own, and the connection that leads to it. */
export async function makeWorld(t: ExecutionContext, options: ServerOptions): Promise<World> {
  const folder = tempDir(t)
  const authority = makeAuthority(folder, 'ca')
  const identity = makeLeaf(folder, 'server', authority, {
    subject: '/CN=api',
    san: 'IP:127.0.0.1',
  })
  const server = await startApiServer(t, { ...options, identity })
  const connection: ClusterConnection = {
    origin: `https://127.0.0.1:${server.port}`,
    pathPrefix: '',
    authority: { given: authority.cert },
    serverName: undefined,
    bearer: { given: secretOf(DAEMON_TOKEN) },
    certificate: undefined,
  }
  return { folder, authority, server, connection }
}

export interface ClientOptions {
  readonly clock?: Clock
  readonly limits?: Partial<KubeClientLimits>
}

/** A client that is closed with the test. */
export function clientOf(
  t: ExecutionContext,
  connection: ClusterConnection,
  { clock = systemClock, limits = {} }: ClientOptions = {},
): KubeClient & KubeErrands {
  const client = createKubeClient({ connection, clock, random: () => 0.5, limits })
  t.teardown(() => client.close())
  return client
}

/** The usual pair: a server that answers so, and a client of it. */
export async function serve(
  t: ExecutionContext,
  answer: ServerOptions['answer'],
  options: ClientOptions & { readonly http2?: boolean } = {},
): Promise<World & { readonly client: KubeClient & KubeErrands }> {
  const world = await makeWorld(t, { answer, http2: options.http2 ?? false })
  return { ...world, client: clientOf(t, world.connection, options) }
}

export function secretOf(text: string): SecretBytes {
  return new SecretBytes(Buffer.from(text))
}

export function podToken(): SecretBytes {
  return secretOf(POD_TOKEN)
}

/** A signal that nobody aborts. */
export function never(): AbortSignal {
  return new AbortController().signal
}

/** Asserts why work fails, and that no token shows in the error however deep one looks. */
export async function assertFails(
  t: ExecutionContext,
  work: Promise<unknown>,
  reason: Reason,
  message: RegExp,
): Promise<LatchkeyError> {
  const error = await t.throwsAsync(work, { instanceOf: LatchkeyError, message })
  t.is(error.reason, reason)
  const everything = inspect(error, { depth: 20, showHidden: true })
  t.false(everything.includes(POD_TOKEN))
  t.false(everything.includes(DAEMON_TOKEN))
  return error
}

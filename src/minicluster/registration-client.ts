import type { Clock } from '../core/clock.ts'
import type { PluginInfo__Output } from '../wire/gen/pluginregistration/PluginInfo.ts'
import type { loadRegistration } from '../wire/protos.ts'
import { unixChannel } from '../wire/unix-channel.ts'
import { callUnary, formatFailure } from './rpc.ts'

type Registration = ReturnType<typeof loadRegistration>
type Client = InstanceType<Registration['Registration']>

const DIAL_MS = 10_000
const GET_INFO_MS = 1_000
const NOTIFY_MS = 5_000
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024

export interface RegistrationParts {
  readonly clock: Clock
  readonly registration: Registration
  readonly socketPath: string
  readonly signal: AbortSignal
}

/** Answers why it was refused; undefined: registered. */
export type Judge = (info: PluginInfo__Output) => Promise<string | undefined>

/**
 * kubelet's side of a registration: dial, GetInfo within a second, judge, tell the plugin the verdict.
 * Answers why it failed, undefined where it did not.
 */
export async function registerPlugin(
  parts: RegistrationParts,
  judge: Judge,
): Promise<string | undefined> {
  const { socketPath } = parts
  const { target, credentials, options } = unixChannel(socketPath, MAX_MESSAGE_BYTES)
  const client = new parts.registration.Registration(target, credentials, {
    ...options,
    // Unlike on csi.sock kubelet sets none here, and grpc-go takes the encoded path.
    'grpc.default_authority': encodeURIComponent(socketPath),
  })
  const hangUp = (): void => {
    client.close()
  }
  parts.signal.addEventListener('abort', hangUp, { once: true })
  try {
    return await converse(parts, client, judge)
  } finally {
    parts.signal.removeEventListener('abort', hangUp)
    client.close()
  }
}

async function converse(
  { clock, socketPath, signal }: RegistrationParts,
  client: Client,
  judge: Judge,
): Promise<string | undefined> {
  const bounds = { clock, socketPath, signal }
  if (!(await isReady(client))) return `failed to dial socket ${socketPath}`
  const info = await callUnary<PluginInfo__Output>(
    { ...bounds, timeoutMs: GET_INFO_MS },
    (options, callback) => client.getInfo({}, options, callback),
  )
  if (info.failure !== undefined) {
    return `failed to get plugin info using RPC GetInfo at socket ${socketPath}, err: ${formatFailure(info.failure)}`
  }
  const refusal = await judge(info.value)
  const status = { pluginRegistered: refusal === undefined, error: refusal ?? '' }
  const notified = await callUnary<object>(
    { ...bounds, timeoutMs: NOTIFY_MS },
    (options, callback) => client.notifyRegistrationStatus(status, options, callback),
  )
  // A plugin that cannot be told is not registered either.
  return refusal ?? (notified.failure && formatFailure(notified.failure))
}

function isReady(client: Client): Promise<boolean> {
  return new Promise((resolve) => {
    client.waitForReady(Date.now() + DIAL_MS, (error) => {
      resolve(error === undefined)
    })
  })
}

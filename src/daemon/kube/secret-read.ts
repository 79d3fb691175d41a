import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import { countSecretEntries, decodeSecret, decodeUnknown } from '../../wire/kubernetes-messages.ts'
import type { SecretObject } from '../../wire/kubernetes-messages.ts'
import type { KubeClient, KubeSecret, SecretRef } from './kube-client.ts'
import { bearerHeader } from './pod-token.ts'
import { collectBody } from './response-body.ts'
import { secretPath } from './secret-path.ts'
import { secretRefusal } from './secret-refusal.ts'
import type { Transport } from './transport.ts'

// A Secret holds 1 MiB at most; metadata comes on top, where `kubectl apply` keeps a copy in base64.
const MAX_BODY_BYTES = 2 * 1024 * 1024
// An empty entry costs its author ten bytes and us hundreds: the API server would let 100,000 of them pass.
const MAX_ENTRIES = 4_096
// JSON would make strings of the values, and strings cannot be zeroed.
const ACCEPT = 'application/vnd.kubernetes.protobuf'

/** Throws as KubeClient.readSecret does, and PayloadTooLarge over 2 MiB or 4,096 entries. */
export function createSecretReader(
  transport: Transport,
  clock: Clock,
  timeoutMs: number,
): KubeClient['readSecret'] {
  return async (ref, podToken, signal) => {
    const path = secretPath(ref)
    const headers = { accept: ACCEPT, authorization: bearerHeader(podToken) }
    return withDeadline(clock, timeoutMs, 'reading a Secret', signal, async (bounded) => {
      const response = await transport.send('pod', { method: 'GET', path, headers }, bounded)
      if (response.status !== 200) {
        throw await secretRefusal(response, { ref, verb: 'read', podToken }, bounded)
      }
      const body = await collectBody(response.body, MAX_BODY_BYTES, bounded)
      try {
        return decode(body, ref)
      } finally {
        body.fill(0)
      }
    })
  }
}

// The decoded object is made of views of `body`, so the values are copied out before that is zeroed.
function decode(body: Buffer, ref: SecretRef): KubeSecret {
  const secret = decodeObject(body, ref)
  if (secret.metadata === null) throw unreadable()
  const { name, namespace, resourceVersion } = secret.metadata
  if (name !== ref.name || namespace !== ref.namespace || resourceVersion === '') throw unreadable()
  const data = Object.entries(secret.data).map(
    ([key, value]) => [key, SecretBytes.copyOf(value)] as const,
  )
  return { resourceVersion, immutable: secret.immutable, data: new Map(data) }
}

function decodeObject(body: Buffer, ref: SecretRef): SecretObject {
  try {
    const { typeMeta, raw } = decodeUnknown(body)
    if (typeMeta?.kind !== 'Secret') throw unreadable()
    const entries = countSecretEntries(raw)
    if (entries > MAX_ENTRIES) throw crowded(ref, entries)
    return decodeSecret(raw)
  } catch (thrown) {
    if (thrown instanceof LatchkeyError) throw thrown
    // The decoder's message may quote what it choked on.
    throw unreadable()
  }
}

function crowded({ name }: SecretRef, entries: number): LatchkeyError {
  return new LatchkeyError(
    'PayloadTooLarge',
    `Secret "${name}" has ${entries} entries, ${MAX_ENTRIES} are allowed: split it into several Secrets`,
  )
}

function unreadable(): LatchkeyError {
  return new LatchkeyError(
    'KubeUnavailable',
    'the API server answered with something else than the Secret',
  )
}

import test from 'ava'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import type { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { KubeClient, SecretEvent, SecretRef } from '../../../src/daemon/kube/kube-client.ts'
import { createKubernetesSource } from '../../../src/daemon/sources/kubernetes-source.ts'
import type { Change, Source } from '../../../src/daemon/sources/source.ts'
import { textOf, textsOf, valueOf } from './values.ts'
import { workloadOf } from './workloads.ts'

interface Asked {
  readonly ref: SecretRef
  readonly token: string
  readonly sinceVersion?: string | undefined
  readonly signal: AbortSignal
}

class FakeKube implements KubeClient {
  readonly reads: Asked[] = []
  readonly watches: Asked[] = []
  refusal: Reason | undefined
  events: readonly SecretEvent[] = []

  readSecret(ref: SecretRef, token: SecretBytes, signal: AbortSignal) {
    this.reads.push({ ref, token: textOf(token), signal })
    if (this.refusal !== undefined) {
      return Promise.reject(new LatchkeyError(this.refusal, 'as the API server says'))
    }
    const { entries: data } = valueOf({ password: 'one' })
    return Promise.resolve({ resourceVersion: '7', immutable: true, data })
  }

  async *watchSecret(
    ref: SecretRef,
    sinceVersion: string | undefined,
    token: SecretBytes,
    signal: AbortSignal,
  ) {
    this.watches.push({ ref, token: textOf(token), sinceVersion, signal })
    await Promise.resolve()
    if (this.refusal !== undefined) throw new LatchkeyError(this.refusal, 'as told')
    yield* this.events
  }

  reviewToken(): Promise<never> {
    return Promise.reject(new Error('a source never reviews'))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

const { signal } = new AbortController()

/** All that a watch of the secret `db` tells until it ends. */
async function changesOf(source: Source, workload = workloadOf()): Promise<readonly Change[]> {
  const changes: Change[] = []
  for await (const change of source.watch?.(workload, 'db', signal) ?? []) changes.push(change)
  return changes
}

test('it reads the Secret in the pod’s own namespace with the pod’s own token', async (t) => {
  const kube = new FakeKube()
  const source = createKubernetesSource(kube)
  const value = await source.fetch(workloadOf(), 'db', signal)
  t.is(source.name, 'kubernetes')
  t.is(source.audience, '')
  t.like(value, { version: '7', immutable: true })
  t.deepEqual(textsOf(value), { password: 'one' })
  t.deepEqual(kube.reads, [{ ref: { namespace: 'shop', name: 'db' }, token: 'api-token', signal }])
})

for (const [reason, message] of [
  [
    'AccessDenied',
    [
      'as the API server says',
      'To allow it:',
      'kubectl -n shop create role latchkey-db --verb=get,watch --resource=secrets --resource-name=db',
      'kubectl -n shop create rolebinding latchkey-db-api --role=latchkey-db --serviceaccount=shop:api',
    ].join('\n'),
  ],
  [
    'SecretNotFound',
    'Secret "db" does not exist in namespace "shop": create it, mend its name in the volume, or set optional: true on its item',
  ],
  ['TokenRejected', 'as the API server says'],
  ['KubeUnavailable', 'as the API server says'],
] as const) {
  test(`${reason} tells the owner of the pod what to do, where something can be done`, async (t) => {
    const kube = new FakeKube()
    kube.refusal = reason
    const source = createKubernetesSource(kube)
    const error = await t.throwsAsync(source.fetch(workloadOf(), 'db', signal), {
      instanceOf: LatchkeyError,
      message,
    })
    t.is(error.reason, reason)
  })
}

test('without a token for the API server nobody is asked, and the line to add is named', async (t) => {
  const kube = new FakeKube()
  const source = createKubernetesSource(kube)
  const workload = workloadOf({ token: null })
  const missing = { instanceOf: LatchkeyError, message: /`- audience: ""` to spec\.tokenRequests/ }
  const error = await t.throwsAsync(source.fetch(workload, 'db', signal), missing)
  t.is(error.reason, 'TokenMissing')
  await t.throwsAsync(changesOf(source, workload), missing)
  t.is(kube.reads.length + kube.watches.length, 0)
})

test('a watch begins with what is there and tells of changes without values', async (t) => {
  const kube = new FakeKube()
  kube.events = [
    { type: 'present', resourceVersion: '7' },
    { type: 'deleted', resourceVersion: '8' },
  ]
  const source = createKubernetesSource(kube)
  const changes = await changesOf(source)
  t.deepEqual(changes, [
    { version: '7', present: true },
    { version: '8', present: false },
  ])
  const ref = { namespace: 'shop', name: 'db' }
  t.deepEqual(kube.watches, [{ ref, token: 'api-token', sinceVersion: undefined, signal }])
})

test('a watch that is refused says why', async (t) => {
  const kube = new FakeKube()
  kube.refusal = 'AccessDenied'
  const watching = changesOf(createKubernetesSource(kube))
  const error = await t.throwsAsync(watching, { instanceOf: LatchkeyError })
  t.is(error.reason, 'AccessDenied')
})

import test from 'ava'
import fc from 'fast-check'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { ServiceToken, VolumeRequest } from '../../../src/core/types.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import type { TokenReviewStatus } from '../../../src/daemon/kube/kube-client.ts'
import { serviceTokenOf } from './pod-tokens.ts'
import {
  EXPIRES_AT_SECONDS,
  NODE,
  NOW_MS,
  OTHER_UID,
  POD_UID,
  attempt,
  requestOf,
  statusOf,
  targetPathOf,
} from './pod-world.ts'

const CASES = 2_000

// Two of everything that names something, the usual one far more often: a good part of the cases
// has nothing unusual, most others have one thing or two.
const two = <T>(usual: T, unusual: T): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 40, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constant(unusual) },
  )
const namespace = two('shop', 'bank')
const podName = two('api-0', 'api-1')
const podUid = two(POD_UID, OTHER_UID)
const serviceAccount = two('api', 'admin')
const serviceAccountUid = two('account-uid-1', 'account-uid-2')
const nodeName = two(NODE, 'node-2')
const volume = two('db', 'cache')

const claims = fc.record({
  namespace,
  podName,
  podUid,
  serviceAccount,
  serviceAccountUid,
  nodeName,
  audience: two('same', 'different'),
  expiresAtSeconds: two(EXPIRES_AT_SECONDS, NOW_MS / 1000 - 1),
})

const worlds = fc.record({
  pod: fc.record({ namespace, name: podName, uid: podUid, serviceAccount }),
  path: fc.record({ podUid, volume }),
  id: fc.record({ podUid, volume }),
  // By audience; undefined is a token that is not there.
  latchkey: fc.option(claims, { nil: undefined, freq: 40 }),
  vault: fc.option(claims, { nil: undefined, freq: 2 }),
  apiServer: fc.option(claims, { nil: undefined, freq: 2 }),
  review: fc.record({
    authenticated: two(true, false),
    audiences: fc.oneof(
      { weight: 40, arbitrary: fc.constant(['latchkey']) },
      { weight: 1, arbitrary: fc.subarray(['latchkey', 'vault', '']) },
    ),
    namespace,
    serviceAccount,
    userUid: fc.oneof(serviceAccountUid, fc.constantFrom('account-uid-1', '')),
    podUids: fc.array(podUid, { minLength: 1, maxLength: 1 }),
    podNames: fc.array(podName, { minLength: 1, maxLength: 1 }),
    nodeNames: fc.array(nodeName, { minLength: 1, maxLength: 1 }),
    listOf: two<'one' | 'none' | 'two'>('one', 'two'),
    without: two<'' | 'pod-uid' | 'pod-name' | 'node-name'>('', 'node-name'),
  }),
})

type World = typeof worlds extends fc.Arbitrary<infer T> ? T : never
type Claims = NonNullable<World['latchkey']>

/** The rule once more, over the raw values, written apart from the code under test. */
function isGenuine({ pod, path, id, latchkey, vault, apiServer, review }: World): boolean {
  if (latchkey === undefined) return false
  const others = [vault, apiServer].filter((other) => other !== undefined)
  const all = [latchkey, ...others]
  const samePlace = path.podUid === id.podUid && path.volume === id.volume
  const samePod = [path.podUid, ...review.podUids, ...all.map((c) => c.podUid)]
  const sameNamespace = [review.namespace, ...all.map((c) => c.namespace)]
  return (
    samePlace &&
    samePod.every((uid) => uid === pod.uid) &&
    sameNamespace.every((name) => name === pod.namespace) &&
    all.every((c) => c.serviceAccountUid === review.userUid) &&
    review.authenticated &&
    review.audiences.includes('latchkey') &&
    review.serviceAccount === pod.serviceAccount &&
    review.podNames.every((name) => name === pod.name) &&
    review.nodeNames.every((name) => name === NODE) &&
    review.listOf === 'one' &&
    review.without === '' &&
    others.every((c) => c.expiresAtSeconds * 1000 > NOW_MS) &&
    (vault === undefined || vault.audience === 'same')
  )
}

function tokenFrom(audience: string, given: Claims | undefined): ServiceToken[] {
  if (given === undefined) return []
  const audiences = [given.audience === 'same' ? audience : 'something else']
  return [serviceTokenOf(audience, { ...given, audiences })]
}

function requestFrom({ pod, path, id, latchkey, vault, apiServer }: World): VolumeRequest {
  return requestOf({
    pod,
    targetPath: targetPathOf(path.podUid, path.volume),
    volumeId: volumeIdOf(id.podUid, id.volume),
    tokens: [
      ...tokenFrom('vault', vault),
      ...tokenFrom('latchkey', latchkey),
      ...tokenFrom('', apiServer),
    ],
  })
}

function statusFrom({ review }: World): TokenReviewStatus {
  const { authenticated, audiences, userUid, listOf, without } = review
  const lists = {
    'pod-uid': review.podUids,
    'pod-name': review.podNames,
    'node-name': review.nodeNames,
  }
  const extra = Object.entries(lists)
    .filter(([key]) => key !== without)
    .map(([key, list]) => {
      const values = listOf === 'two' ? [...list, ...list] : list
      return [`authentication.kubernetes.io/${key}`, values] as const
    })
  const username = `system:serviceaccount:${review.namespace}:${review.serviceAccount}`
  return statusOf({ authenticated, audiences, username, userUid, extra: new Map(extra) })
}

async function isAccepted(world: World): Promise<boolean> {
  try {
    const workload = await attempt(requestFrom(world), statusFrom(world)).workload
    return workload.pod.uid === world.pod.uid
  } catch (thrown) {
    if (thrown instanceof LatchkeyError && thrown.reason !== 'Internal') return false
    throw thrown
  }
}

test('exactly the genuine requests are accepted', async (t) => {
  const seen = { accepted: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(worlds, async (world) => {
      const accepted = await isAccepted(world)
      seen[accepted ? 'accepted' : 'refused'] += 1
      return accepted === isGenuine(world)
    }),
    { numRuns: CASES },
  )
  t.log(seen)
  // Else the cases would have shown only one side of it.
  t.true(seen.accepted > CASES / 20)
  t.true(seen.refused > CASES / 20)
})

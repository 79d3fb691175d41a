import test from 'ava'
import type { LatchkeyError } from '../../../src/core/errors.ts'
import type { TokenReviewStatus } from '../../../src/daemon/kube/kube-client.ts'
import { NODE, OTHER_UID, POD_UID, attempt, extraWith, requestOf, statusOf } from './pod-world.ts'
import { assertRefused } from './refusal.ts'
import type { Refusal } from './refusal.ts'

interface Row extends Refusal {
  readonly status: Partial<TokenReviewStatus>
}

// Each row changes one thing in the review that authenticator.test.ts shows to be accepted.
const BAD_REVIEWS: readonly Row[] = [
  {
    what: 'no authentication',
    status: {
      authenticated: false,
      error: '[invalid bearer token, service account token has been invalidated]',
    },
    reason: 'TokenRejected',
    message: /rejects the pod's token: \[invalid bearer token, .*invalidated\]$/,
  },
  {
    what: 'no authentication and no word of why',
    status: { authenticated: false },
    reason: 'TokenRejected',
    message: /rejects the pod's token$/,
  },
  {
    what: 'an error beside the authentication',
    status: { error: 'lookup failed' },
    reason: 'TokenRejected',
    message: /lookup failed/,
  },
  {
    what: 'no audiences',
    status: { audiences: [] },
    reason: 'TokenRejected',
    message: /does not confirm audience "latchkey"/,
  },
  {
    what: 'another audience',
    status: { audiences: ['vault'] },
    reason: 'TokenRejected',
    message: /does not confirm audience/,
  },
  {
    what: 'several other audiences',
    status: { audiences: ['vault', ''] },
    reason: 'TokenRejected',
    message: /does not confirm audience/,
  },
  {
    what: 'an audience that begins like ours',
    status: { audiences: ['latchkey.example', 'latch'] },
    reason: 'TokenRejected',
    message: /does not confirm/,
  },
  {
    what: 'an audience in other letters',
    status: { audiences: ['Latchkey'] },
    reason: 'TokenRejected',
    message: /does not confirm/,
  },
  {
    what: 'no user name',
    status: { username: '' },
    reason: 'PodMismatch',
    message: /names user ""/,
  },
  {
    what: "a human's name",
    status: { username: 'alice' },
    reason: 'PodMismatch',
    message: /names user "alice"/,
  },
  {
    what: "a node's name",
    status: { username: 'system:node:node-1' },
    reason: 'PodMismatch',
    message: /system:node:node-1/,
  },
  {
    what: 'another service account',
    status: { username: 'system:serviceaccount:shop:admin' },
    reason: 'PodMismatch',
    message: /shop:admin/,
  },
  {
    what: 'another namespace',
    status: { username: 'system:serviceaccount:other:api' },
    reason: 'PodMismatch',
    message: /other:api/,
  },
  { what: 'no user uid', status: { userUid: '' }, reason: 'PodMismatch', message: /names no uid/ },
  {
    what: 'another user uid than the tokens',
    status: { userUid: OTHER_UID },
    reason: 'PodMismatch',
    message: /service account uid/,
  },
  {
    what: 'no pod uid',
    status: { extra: extraWith('pod-uid', undefined) },
    reason: 'PodMismatch',
    message: /names no pod-uid: it is not bound/,
  },
  {
    what: 'an empty list for the pod uid',
    status: { extra: extraWith('pod-uid', []) },
    reason: 'PodMismatch',
    message: /names no pod-uid/,
  },
  {
    what: 'an empty pod uid',
    status: { extra: extraWith('pod-uid', ['']) },
    reason: 'PodMismatch',
    message: /names no pod-uid/,
  },
  {
    what: 'another pod uid',
    status: { extra: extraWith('pod-uid', [OTHER_UID]) },
    reason: 'PodMismatch',
    message: /names pod uid "9999/,
  },
  {
    what: 'two pod uids',
    status: { extra: extraWith('pod-uid', [POD_UID, OTHER_UID]) },
    reason: 'PodMismatch',
    message: /more than one pod-uid/,
  },
  {
    what: 'the same pod uid twice',
    status: { extra: extraWith('pod-uid', [POD_UID, POD_UID]) },
    reason: 'PodMismatch',
    message: /more than one pod-uid/,
  },
  {
    what: 'no pod name',
    status: { extra: extraWith('pod-name', undefined) },
    reason: 'PodMismatch',
    message: /names no pod-name/,
  },
  {
    what: 'another pod name',
    status: { extra: extraWith('pod-name', ['api-1']) },
    reason: 'PodMismatch',
    message: /names pod "api-1"/,
  },
  {
    what: 'two pod names',
    status: { extra: extraWith('pod-name', ['api-0', 'api-1']) },
    reason: 'PodMismatch',
    message: /more than one pod-name/,
  },
  {
    what: 'no node',
    status: { extra: extraWith('node-name', undefined) },
    reason: 'PodMismatch',
    message: /Kubernetes 1\.30 or newer is needed/,
  },
  {
    what: 'another node',
    status: { extra: extraWith('node-name', ['node-2']) },
    reason: 'PodMismatch',
    message: /names node "node-2", not "node-1"/,
  },
  {
    what: 'two nodes',
    status: { extra: extraWith('node-name', [NODE, 'node-2']) },
    reason: 'PodMismatch',
    message: /more than one node-name/,
  },
  {
    what: 'nothing extra',
    status: { extra: new Map() },
    reason: 'PodMismatch',
    message: /names no pod-uid/,
  },
  {
    what: 'the extra keys without their prefix',
    status: {
      extra: new Map([
        ['pod-uid', [POD_UID]],
        ['pod-name', ['api-0']],
        ['node-name', [NODE]],
      ]),
    },
    reason: 'PodMismatch',
    message: /names no pod-uid/,
  },
]

for (const { what, status, ...refusal } of BAD_REVIEWS) {
  test(`a review with ${what} is refused as ${refusal.reason}`, async (t) => {
    const { workload, reviews } = attempt(requestOf(), statusOf(status))
    await assertRefused(t, workload, { what, ...refusal })
    t.is(reviews.length, 1)
  })
}

const AUDIENCES: readonly (readonly [readonly string[], boolean])[] = [
  [['latchkey'], true],
  [['latchkey', 'vault'], true],
  [['vault', 'latchkey'], true],
  [[], false],
  [[''], false],
  [['vault'], false],
  [['https://kubernetes.default.svc.cluster.local'], false],
  [['latchkey '], false],
  [['latchkey,vault'], false],
]

for (const [audiences, accepted] of AUDIENCES) {
  test(`a review for audiences ${JSON.stringify(audiences)} is ${accepted ? 'accepted' : 'refused'}`, async (t) => {
    const { workload } = attempt(requestOf(), statusOf({ audiences }))
    if (accepted) await t.notThrowsAsync(workload)
    else t.is((await t.throwsAsync<LatchkeyError>(workload)).reason, 'TokenRejected')
  })
}

import type { ExecutionContext } from 'ava'
import { until } from '../../support/until.ts'
import type { ContractApi, ContractCase } from '../api-contract.ts'
import { ask } from '../api-request.ts'
import type { Reply } from '../api-request.ts'
import { createTenant } from './tenant.ts'

const REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews'

interface Status {
  readonly authenticated?: boolean
  readonly error?: string
  readonly audiences?: readonly string[]
  readonly user: {
    readonly username?: string
    readonly uid?: string
    readonly groups?: readonly string[]
    readonly extra?: Readonly<Record<string, readonly string[]>>
  }
}

export const REVIEW_CASES: readonly ContractCase[] = [
  {
    title: 'a pod-bound token carries the claims that bind it to its pod, node and account',
    async run(t, api) {
      const { namespace, pod } = await createTenant(api)
      const claims = claimsOf(await api.podToken(pod, 'latchkey'))
      t.deepEqual(claims.aud, ['latchkey'])
      t.is(claims.exp - claims.iat, 600)
      t.is(claims.nbf, claims.iat)
      t.is(claims.iss, 'https://kubernetes.default.svc.cluster.local')
      t.is(claims.sub, `system:serviceaccount:${namespace}:api`)
      t.regex(claims.jti, UUID)
      const bound = claims['kubernetes.io']
      t.is(bound.namespace, namespace)
      t.deepEqual(bound.pod, { name: 'api-0', uid: pod.uid })
      t.is(bound.serviceaccount.name, 'api')
      t.is(bound.node.name, api.nodeName)
      t.regex(bound.node.uid, UUID)
    },
  },
  {
    title: 'a review names user, account uid, pod and node of a token for our audience',
    async run(t, api) {
      const { namespace, pod } = await createTenant(api)
      const token = await api.podToken(pod, 'latchkey')
      const claims = claimsOf(token)
      const reply = await review(api, { token, audiences: ['latchkey'] })
      t.is(reply.status, 201)
      t.is(reply.contentType, 'application/json')
      const { kind, apiVersion, status } = reply.json<{
        kind: string
        apiVersion: string
        status: Status
      }>()
      t.deepEqual([kind, apiVersion], ['TokenReview', 'authentication.k8s.io/v1'])
      t.deepEqual(status, {
        authenticated: true,
        user: {
          username: `system:serviceaccount:${namespace}:api`,
          uid: claims['kubernetes.io'].serviceaccount.uid,
          groups: [
            'system:serviceaccounts',
            `system:serviceaccounts:${namespace}`,
            'system:authenticated',
          ],
          extra: {
            'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`],
            'authentication.kubernetes.io/node-name': [api.nodeName],
            'authentication.kubernetes.io/node-uid': [claims['kubernetes.io'].node.uid],
            'authentication.kubernetes.io/pod-name': ['api-0'],
            'authentication.kubernetes.io/pod-uid': [pod.uid],
          },
        },
        audiences: ['latchkey'],
      })
    },
  },
  {
    title: 'a review confirms only those of the asked audiences that the token has',
    async run(t, api) {
      const { pod } = await createTenant(api)
      const token = await api.podToken(pod, 'latchkey')
      const status = statusOf(await review(api, { token, audiences: ['other', 'latchkey'] }))
      t.true(status.authenticated)
      t.deepEqual(status.audiences, ['latchkey'])
    },
  },
  {
    title: 'a review for an audience that the token was not made for says so',
    async run(t, api) {
      const { pod } = await createTenant(api)
      const token = await api.podToken(pod, 'latchkey')
      const reply = await review(api, { token, audiences: ['other'] })
      t.is(reply.status, 201)
      t.deepEqual(statusOf(reply), {
        user: {},
        error:
          '[invalid bearer token, token audiences ["latchkey"] is invalid for the target audiences ["other"]]',
      })
    },
  },
  {
    title: "a review without audiences is held against the API server's own",
    async run(t, api) {
      const { pod, token } = await createTenant(api)
      t.true(statusOf(await review(api, { token })).authenticated)
      const ours = await api.podToken(pod, 'latchkey')
      t.regex(
        statusOf(await review(api, { token: ours })).error ?? '',
        /token audiences \["latchkey"\] is invalid for the target audiences \["https:\/\/kubernetes/,
      )
    },
  },
  {
    title: 'what is no token, or is signed by somebody else, is no bearer token',
    async run(t, api) {
      const { pod } = await createTenant(api)
      const token = await api.podToken(pod, 'latchkey')
      const audiences = ['latchkey']
      t.deepEqual(statusOf(await review(api, { token: 'garbage', audiences })), {
        user: {},
        error: 'invalid bearer token',
      })
      const tampered = `${token.slice(0, -8)}AAAAAAAA`
      t.deepEqual(statusOf(await review(api, { token: tampered, audiences })), {
        user: {},
        error: '[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]',
      })
    },
  },
  {
    title: 'the token of a pod that is gone has been invalidated',
    async run(t, api) {
      const { pod } = await createTenant(api)
      const token = await api.podToken(pod, 'latchkey')
      const ask = async (): Promise<Status> =>
        statusOf(await review(api, { token, audiences: ['latchkey'] }))
      t.true((await ask()).authenticated)
      await api.forceDelete(pod)
      // A real API server remembers a good token for some seconds.
      await until(async () => (await ask()).authenticated !== true, {
        what: 'the token to be refused',
        timeoutMs: 20_000,
      })
      t.deepEqual(await ask(), {
        user: {},
        error: '[invalid bearer token, service account token has been invalidated]',
      })
    },
  },
  {
    title: 'a pod may not review tokens',
    async run(t, api) {
      const { namespace, token } = await createTenant(api)
      const reply = await review(api, { token, audiences: ['latchkey'] }, token)
      assertStatus(t, reply, 403, 'Forbidden')
      t.is(
        reply.json()['message'],
        `tokenreviews.authentication.k8s.io is forbidden: User "system:serviceaccount:${namespace}:api" cannot create resource "tokenreviews" in API group "authentication.k8s.io" at the cluster scope`,
      )
    },
  },
  {
    title: 'a token that is not for the API server may not even ask for a review',
    async run(t, api) {
      const { pod } = await createTenant(api)
      const token = await api.podToken(pod, 'latchkey')
      assertStatus(
        t,
        await review(api, { token, audiences: ['latchkey'] }, token),
        401,
        'Unauthorized',
      )
    },
  },
  {
    title: 'a review without a token, or of something else, is a bad request',
    async run(t, api) {
      const empty = await review(api, { token: '' })
      assertStatus(t, empty, 400, 'BadRequest')
      t.is(empty.json()['message'], 'token is required for TokenReview in authentication')
      for (const body of ['{nonsense', '{"kind":"Pod","apiVersion":"v1"}']) {
        const token = await api.reviewerToken()
        const reply = await ask(api, { method: 'POST', path: REVIEWS, token, body })
        assertStatus(t, reply, 400, 'BadRequest')
      }
    },
  },
  {
    title: 'the reviewer may nothing but create reviews',
    async run(t, api) {
      const { namespace } = await createTenant(api)
      const token = await api.reviewerToken()
      const list = await ask(api, { path: REVIEWS, token })
      assertStatus(t, list, 403, 'Forbidden')
      await api.createSecret(namespace, 'db', { password: 'hunter2' })
      const path = `/api/v1/namespaces/${namespace}/secrets/db`
      assertStatus(t, await ask(api, { path, token }), 403, 'Forbidden')
    },
  },
]

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

interface Claims {
  readonly aud: readonly string[]
  readonly exp: number
  readonly iat: number
  readonly nbf: number
  readonly iss: string
  readonly sub: string
  readonly jti: string
  readonly 'kubernetes.io': {
    readonly namespace: string
    readonly node: { readonly name: string; readonly uid: string }
    readonly pod: { readonly name: string; readonly uid: string }
    readonly serviceaccount: { readonly name: string; readonly uid: string }
  }
}

function claimsOf(token: string): Claims {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims
}

async function review(api: ContractApi, spec: object, as?: string): Promise<Reply> {
  const token = as ?? (await api.reviewerToken())
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec }
  return ask(api, { method: 'POST', path: REVIEWS, token, body })
}

function statusOf(reply: Reply): Status {
  return reply.json<{ status: Status }>().status
}

function assertStatus(t: ExecutionContext, reply: Reply, code: number, reason: string): void {
  t.is(reply.status, code)
  t.like(reply.json(), { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code })
}

import { createHash } from 'node:crypto'
import type { TokenReviewStatus } from '../../../src/daemon/kube/kube-client.ts'

/** The facts of a small cluster, and an API server that tells them: what is true, and not what anybody claims. */

export const KUBELET_ROOT = '/var/lib/kubelet'
export const THIS_NODE = 'node-1'
export const OUR_AUDIENCE = 'latchkey'
export const API_SERVER_AUDIENCE = 'https://kubernetes.default.svc'
export const NOW_SECONDS = 1_800_000_000
export const VOLUMES = ['db', 'cache'] as const

export interface Account {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export interface ClusterPod {
  readonly account: Account
  readonly name: string
  readonly uid: string
  readonly node: string
  readonly isGone: boolean
}

/** A token, and everything that is true of it. */
export interface Token {
  readonly text: string
  /** Whose it is; undefined where it is not a token at all. */
  readonly pod: ClusterPod | undefined
  /** Whom it calls its account: another one where that was made anew since. */
  readonly account: Account
  readonly audiences: readonly string[]
  readonly fromSeconds: number
  readonly untilSeconds: number
  /** Signed by this cluster, and not merely in its words. */
  readonly isSigned: boolean
}

/** How an API server (or a webhook that answers for it) may fall short. */
export const SHORTCOMINGS = [
  'knows no nodes',
  'knows no pods',
  'knows no audiences',
  'tells of another audience',
  'tells no uid of the account',
  'tells another uid of the account',
  'tells another account',
  'tells another namespace',
  'tells another pod',
  'tells another pod uid',
  'tells another node',
  'tells two nodes',
  'tells two pods',
  'tells two pod uids',
  'tells an empty node',
  'says yes with a doubt',
  'says no',
] as const
export type Shortcoming = (typeof SHORTCOMINGS)[number]

export function uidOf(text: string): string {
  const hex = createHash('md5').update(text).digest('hex')
  return [0, 8, 12, 16, 20].map((at, i, all) => hex.slice(at, all[i + 1] ?? 32)).join('-')
}

function accountOf(namespace: string, name: string, time = 1): Account {
  return { namespace, name, uid: uidOf(`account ${namespace}/${name} ${time}`) }
}

/** Two namespaces with the same names in both, so that every name alone is ambiguous. */
export const ACCOUNTS: readonly Account[] = ['shop', 'bank'].flatMap((namespace) =>
  ['api', 'admin.ops'].map((name) => accountOf(namespace, name)),
)

/** The same accounts as they were before somebody deleted and made them again. */
export const FORMER_ACCOUNTS: readonly Account[] = ACCOUNTS.map(({ namespace, name }) =>
  accountOf(namespace, name, 0),
)

/** On both nodes; of each name there was an earlier pod, with another uid. */
export const PODS: readonly ClusterPod[] = ACCOUNTS.flatMap((account) =>
  [THIS_NODE, 'node-2'].flatMap((node) =>
    [false, true].map((isGone) => {
      const name = `${account.name}-${node === THIS_NODE ? 0 : 1}`
      const uid = uidOf(`pod ${account.namespace}/${name} ${isGone ? 'gone' : ''}`)
      // A static pod's uid comes without dashes.
      const isStatic = account.namespace === 'bank' && node === THIS_NODE
      return { account, name, node, isGone, uid: isStatic ? uid.replaceAll('-', '') : uid }
    }),
  ),
)

/**
 * Hands out a token: in the words of Kubernetes, with a signature that nobody here reads. The same facts make
 * the same text, as kubelet brings one token for every volume of a pod; `salt` makes another one.
 */
export function issue(
  token: Omit<Token, 'text'>,
  changes: Readonly<Record<string, unknown>> = {},
  salt = 0,
): Token {
  const { pod, account, audiences, fromSeconds, untilSeconds } = token
  const payload = {
    aud: audiences,
    exp: untilSeconds,
    iat: fromSeconds,
    nbf: fromSeconds,
    'kubernetes.io': {
      namespace: account.namespace,
      node: { name: pod?.node, uid: uidOf(`node ${pod?.node}`) },
      pod: { name: pod?.name, uid: pod?.uid },
      serviceaccount: { name: account.name, uid: account.uid },
    },
    sub: `system:serviceaccount:${account.namespace}:${account.name}`,
    ...changes,
  }
  const signature = `${token.isSigned ? 'signed' : 'forged'} ${salt}`
  const parts = [JSON.stringify({ alg: 'RS256' }), JSON.stringify(payload), signature]
  return { ...token, text: parts.map((p) => Buffer.from(p).toString('base64url')).join('.') }
}

const YES = { authenticated: true, error: '' }
const NO = { authenticated: false, audiences: [], username: '', userUid: '', extra: new Map() }

/**
 * What the API server answers about a token, as kube-apiserver does; with at most one shortcoming.
 * `token` is undefined where it never made such a one.
 */
export function review(
  token: Token | undefined,
  asked: readonly string[],
  nowSeconds: number,
  shortcoming: Shortcoming | undefined,
): TokenReviewStatus {
  const no = (error: string): TokenReviewStatus => ({ ...NO, error })
  const { pod, account } = token ?? {}
  if (token?.isSigned !== true || account === undefined) return no('invalid bearer token')
  if (nowSeconds >= token.untilSeconds) return no('service account token has expired')
  if (nowSeconds < token.fromSeconds) return no('service account token is not valid yet')
  const isKnown = ACCOUNTS.includes(account)
  if (pod?.isGone !== false || !isKnown) return no('service account token has been invalidated')
  const audiences = asked.filter((audience) => token.audiences.includes(audience))
  const isDeaf = shortcoming === 'knows no audiences'
  if (audiences.length === 0 && !isDeaf) return no('token audiences is invalid')
  const facts: TokenReviewStatus = {
    ...YES,
    audiences: isDeaf ? [] : audiences,
    username: `system:serviceaccount:${account.namespace}:${account.name}`,
    userUid: account.uid,
    extra: extraOf({ 'pod-name': [pod.name], 'pod-uid': [pod.uid], 'node-name': [pod.node] }),
  }
  return shortcoming === undefined ? facts : { ...facts, ...shortfall(shortcoming, facts, pod) }
}

function extraOf(values: Readonly<Record<string, readonly string[]>>) {
  const prefix = 'authentication.kubernetes.io/'
  return new Map(Object.entries(values).map(([key, texts]) => [prefix + key, texts]))
}

function shortfall(
  shortcoming: Shortcoming,
  facts: TokenReviewStatus,
  { account, name, uid, node }: ClusterPod,
): Partial<TokenReviewStatus> {
  const pod = { 'pod-name': [name], 'pod-uid': [uid], 'node-name': [node] }
  const extra = (changes: Record<string, readonly string[]>): Partial<TokenReviewStatus> => ({
    extra: extraOf({ ...pod, ...changes }),
  })
  const user = (namespace: string, account: string): Partial<TokenReviewStatus> => ({
    username: `system:serviceaccount:${namespace}:${account}`,
  })
  switch (shortcoming) {
    case 'knows no nodes':
      return { extra: extraOf({ 'pod-name': [name], 'pod-uid': [uid] }) }
    case 'knows no pods':
      return { extra: extraOf({ 'node-name': [node] }) }
    case 'knows no audiences':
      return { audiences: [] }
    case 'tells of another audience':
      return { audiences: [`${OUR_AUDIENCE}.`, API_SERVER_AUDIENCE] }
    case 'tells no uid of the account':
      return { userUid: '' }
    case 'tells another uid of the account':
      return { userUid: uidOf('nobody') }
    case 'tells another account':
      return user(account.namespace, `${account.name}s`)
    case 'tells another namespace':
      return user(`${account.namespace}s`, account.name)
    case 'tells another pod':
      return extra({ 'pod-name': [`${name}0`] })
    case 'tells another pod uid':
      return extra({ 'pod-uid': [uidOf('nobody')] })
    case 'tells another node':
      return extra({ 'node-name': [`${THIS_NODE}0`] })
    case 'tells two nodes':
      return extra({ 'node-name': [THIS_NODE, 'node-2'] })
    case 'tells two pods':
      return extra({ 'pod-name': [name, name] })
    case 'tells two pod uids':
      return extra({ 'pod-uid': [uid, uidOf('nobody')] })
    case 'tells an empty node':
      return extra({ 'node-name': [''] })
    case 'says yes with a doubt':
      return { error: 'the key could not be looked up' }
    case 'says no':
      return { ...facts, authenticated: false }
  }
}

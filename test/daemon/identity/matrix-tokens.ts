import type { Chance } from '../../soak/chance.ts'
import {
  ACCOUNTS,
  API_SERVER_AUDIENCE,
  FORMER_ACCOUNTS,
  NOW_SECONDS,
  OUR_AUDIENCE,
  PODS,
  issue,
  type ClusterPod,
  type Token,
} from './matrix-cluster.ts'

/** The tokens of requests and offers: as they should be, and wrong in every way. */

const ODD_TEXTS = ['', 'x', 'a.b', '..', 'a.b.c.d', 'e30.e30.e30', 'a.W10.c', 'a.bnVsbA.c', 'a.!.c']

/** Under the audience that the caller says it is for. */
export interface Labelled {
  readonly audience: string
  readonly token: Token
}

/** As kubelet does: one for each audience of the CSIDriver, in no order of its own; `salt` makes others of them. */
export function drawTokens(chance: Chance, owner: ClusterPod, salt = 0): Labelled[] {
  const own = { audience: OUR_AUDIENCE, token: tokenOf(owner, {}, salt) }
  const others = ['', 'vault', 'aws'].filter(() => chance.isHit(0.4))
  const tokens = others.map((audience) => ({ audience, token: tokenFor(audience, owner) }))
  tokens.splice(chance.between(0, tokens.length), 0, own)
  return tokens
}

export function tokenOf(pod: ClusterPod, changes: Partial<Token> = {}, salt = 0): Token {
  const words = {
    pod,
    account: pod.account,
    audiences: [OUR_AUDIENCE],
    fromSeconds: NOW_SECONDS - 60,
    untilSeconds: NOW_SECONDS + 600,
    isSigned: true,
    ...changes,
  }
  return issue(words, {}, salt)
}

export function tokenFor(audience: string, pod: ClusterPod, changes: Partial<Token> = {}): Token {
  return tokenOf(pod, { audiences: [audience === '' ? API_SERVER_AUDIENCE : audience], ...changes })
}

/** Puts another token in the place of ours, or adds one to the others. */
export type Swap = (pod: ClusterPod, audience: string, chance: Chance) => Token

/** The former account of the same name, deleted and made anew since. */
function formerOf({ account }: ClusterPod): Token['account'] {
  return FORMER_ACCOUNTS[ACCOUNTS.indexOf(account)] ?? account
}

export const SWAPS: Readonly<Record<string, Swap>> = {
  'of any pod': (_pod, audience, chance) => tokenFor(audience, chance.pick(PODS)),
  'of another pod of the same account': (pod, audience) => tokenFor(audience, siblingOf(pod)),
  'of the earlier pod of that name': (pod, audience) => tokenFor(audience, earlierOf(pod)),
  'of a former account': (pod, audience) => tokenFor(audience, pod, { account: formerOf(pod) }),
  // Only its recipient could tell that it is forged; here its words have to give it away.
  'forged, of another namespace': (pod, audience) =>
    tokenFor(audience, pod, {
      account: { ...pod.account, namespace: pod.account.namespace === 'shop' ? 'bank' : 'shop' },
      isSigned: false,
    }),
  'of another account': (pod, audience, chance) =>
    tokenFor(audience, pod, { account: chance.pick(ACCOUNTS) }),
  expired: (pod, audience) => tokenFor(audience, pod, { untilSeconds: NOW_SECONDS - 1 }),
  'expired now': (pod, audience) => tokenFor(audience, pod, { untilSeconds: NOW_SECONDS }),
  'not valid yet': (pod, audience) => tokenFor(audience, pod, { fromSeconds: NOW_SECONDS + 30 }),
  forged: (pod, audience) => tokenFor(audience, pod, { isSigned: false }),
  'for another audience': (pod, audience, chance) =>
    tokenOf(pod, {
      audiences: [chance.pick([API_SERVER_AUDIENCE, 'vault', 'aws', `${audience}x`, OUR_AUDIENCE])],
    }),
  'for no audience': (pod) => tokenOf(pod, { audiences: [] }),
  'for several audiences': (pod, audience) =>
    tokenOf(pod, { audiences: ['vault', audience === '' ? API_SERVER_AUDIENCE : audience] }),
  'bound to nothing': (pod, audience) => mute(pod, audience, { 'kubernetes.io': undefined }),
  'without an expiry': (pod, audience) => mute(pod, audience, { exp: undefined }),
  'that is none': (pod, _audience, chance) => ({
    ...tokenOf(pod, { isSigned: false }),
    pod: undefined,
    text: chance.pick(ODD_TEXTS),
  }),
  'that is too long': (pod, audience) => mute(pod, audience, { pad: 'x'.repeat(20_000) }),
}

/** A token that does not say what it must: of no pod, as far as anybody can tell. */
function mute(pod: ClusterPod, audience: string, changes: Record<string, unknown>): Token {
  const spoken = tokenFor(audience, pod)
  return { ...issue(spoken, changes), pod: undefined, isSigned: false }
}

function siblingOf(pod: ClusterPod): ClusterPod {
  const isSibling = (other: ClusterPod): boolean =>
    other.account === pod.account && other.name !== pod.name && !other.isGone
  return PODS.find(isSibling) ?? pod
}

function earlierOf(pod: ClusterPod): ClusterPod {
  const isEarlier = (other: ClusterPod): boolean =>
    other.account === pod.account && other.name === pod.name && other.isGone
  return PODS.find(isEarlier) ?? pod
}

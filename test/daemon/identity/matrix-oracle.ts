import { createHash } from 'node:crypto'
import {
  ACCOUNTS,
  KUBELET_ROOT,
  NOW_SECONDS,
  OUR_AUDIENCE,
  THIS_NODE,
  VOLUMES,
  type Shortcoming,
  type Token,
} from './matrix-cluster.ts'

/** What a caller asks for, in words and with tokens of which all is known. */
export interface Asked {
  readonly pod: {
    readonly namespace: string
    readonly name: string
    readonly uid: string
    readonly serviceAccount: string
  }
  readonly targetPath: string
  readonly volumeId: string
  /** Under the audience that the caller says they are for. */
  readonly tokens: readonly { readonly audience: string; readonly token: Token }[]
  readonly shortcoming: Shortcoming | undefined
}

/** For whom secrets are fetched, and with which tokens (by audience). */
export interface Grant {
  readonly pod: Asked['pod']
  readonly serviceAccountUid: string
  readonly expiresAtMs: number
  readonly tokens: Readonly<Record<string, string>>
}

/**
 * Who is to be served, by the rules in words and from the facts of the cluster; undefined is nobody. It shares
 * no code with what it judges, and reads no token: it knows whose each is.
 */
export function whoIsToBeServed(asked: Asked): Grant | undefined {
  const ours = asked.tokens.filter(({ audience }) => audience === OUR_AUDIENCE)
  const others = asked.tokens.filter(({ audience }) => audience !== OUR_AUDIENCE)
  const [sole] = ours
  // One token proves who asks; two would be a choice.
  if (sole === undefined || ours.length > 1 || hasAnAudienceTwice(asked)) return undefined
  const { pod, account, untilSeconds } = sole.token
  const isToBeServed =
    // What the API server does not say, says twice, or doubts counts as no.
    asked.shortcoming === undefined &&
    isGenuine(sole.token) &&
    isBoundToThePodThatAsks(sole.token, asked) &&
    // A token that was stolen from another node proves nothing here.
    pod?.node === THIS_NODE &&
    isThePodsOwnVolume(asked) &&
    others.every(({ audience, token }) => mayComeAlong(token, audience, sole.token))
  if (!isToBeServed) return undefined
  return {
    pod: {
      namespace: account.namespace,
      name: pod.name,
      uid: pod.uid,
      serviceAccount: account.name,
    },
    serviceAccountUid: account.uid,
    expiresAtMs: untilSeconds * 1000,
    tokens: Object.fromEntries(
      asked.tokens.filter(isNeeded).map(({ audience, token }) => [audience, token.text]),
    ),
  }
}

/** Made by this cluster for us, for a pod and an account that still are, and neither too old nor too new. */
function isGenuine(token: Token): boolean {
  const isInTime = token.fromSeconds <= NOW_SECONDS && NOW_SECONDS < token.untilSeconds
  const isAlive = token.pod?.isGone === false && ACCOUNTS.includes(token.account)
  return token.isSigned && isInTime && isAlive && token.audiences.includes(OUR_AUDIENCE)
}

/** All four names of the pod are those that the token was made for. */
function isBoundToThePodThatAsks({ pod, account }: Token, asked: Asked): boolean {
  return (
    pod !== undefined &&
    asked.pod.uid === pod.uid &&
    asked.pod.name === pod.name &&
    asked.pod.namespace === account.namespace &&
    asked.pod.serviceAccount === account.name
  )
}

/** The target is where kubelet puts a volume of this very pod, and the id is what kubelet makes of both. */
function isThePodsOwnVolume({ pod, targetPath, volumeId }: Asked): boolean {
  return VOLUMES.some((volume) => {
    const handle = createHash('sha256').update(`${pod.uid}${volume}`).digest('hex')
    const folder = `${KUBELET_ROOT}/pods/${pod.uid}/volumes/kubernetes.io~csi/${volume}`
    return targetPath === `${folder}/mount` && volumeId === `csi-${handle}`
  })
}

/**
 * Whoever gets it verifies it; here it only has to be of the same pod, of the same life of its account, for
 * whom it says, and not past. "" is the API server, by whatever name that calls itself.
 */
function mayComeAlong(token: Token, audience: string, ours: Token): boolean {
  return (
    token.pod !== undefined &&
    token.pod.uid === ours.pod?.uid &&
    token.account.namespace === ours.account.namespace &&
    token.account.uid === ours.account.uid &&
    (audience === '' || token.audiences.includes(audience)) &&
    NOW_SECONDS < token.untilSeconds
  )
}

/** Every volume here has a Secret of the cluster and nothing else: the others are not kept. */
function isNeeded({ audience }: { readonly audience: string }): boolean {
  return audience === OUR_AUDIENCE || audience === ''
}

function hasAnAudienceTwice({ tokens }: Asked): boolean {
  return new Set(tokens.map(({ audience }) => audience)).size < tokens.length
}

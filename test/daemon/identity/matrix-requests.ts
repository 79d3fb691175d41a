import { createHash } from 'node:crypto'
import type { Chance } from '../../soak/chance.ts'
import {
  ACCOUNTS,
  KUBELET_ROOT,
  OUR_AUDIENCE,
  PODS,
  SHORTCOMINGS,
  THIS_NODE,
  VOLUMES,
  uidOf,
  type ClusterPod,
} from './matrix-cluster.ts'
import type { Asked } from './matrix-oracle.ts'
import { SWAPS, drawTokens, tokenFor, tokenOf, type Labelled, type Swap } from './matrix-tokens.ts'

interface Draft {
  readonly owner: ClusterPod
  pod: Asked['pod']
  targetPath: string
  volumeId: string
  tokens: Labelled[]
  shortcoming: Asked['shortcoming']
}

export interface DrawnRequest {
  readonly asked: Asked
  /** What was done to a request that was right in every point. */
  readonly changes: readonly string[]
}

export const ALIVE_HERE = PODS.filter(({ node, isGone }) => node === THIS_NODE && !isGone)
const ODD_NAMES = [
  '',
  'API',
  'a b',
  'shop:api',
  'api\u0000',
  '../api',
  'ａpi',
  '__proto__',
  'x'.repeat(254),
]

export function pathOf(podUid: string, volume: string): string {
  return `${KUBELET_ROOT}/pods/${podUid}/volumes/kubernetes.io~csi/${volume}/mount`
}

export function handleOf(podUid: string, volume: string): string {
  return `csi-${createHash('sha256').update(podUid).update(volume).digest('hex')}`
}

/** A request that is mostly right: with none, one, two or three things changed. */
export function drawRequest(chance: Chance): DrawnRequest {
  const owner = chance.isHit(0.9) ? chance.pick(ALIVE_HERE) : chance.pick(PODS)
  return drawRequestOf(chance, owner, chance.pick(VOLUMES), CHANGE_NAMES)
}

/** The same of one volume, with no changes but these; `salt` makes tokens that are not those of other draws. */
export function drawRequestOf(
  chance: Chance,
  owner: ClusterPod,
  volume: string,
  names: readonly string[],
  salt = 0,
): DrawnRequest {
  const draft: Draft = {
    owner,
    pod: claimOf(owner),
    targetPath: pathOf(owner.uid, volume),
    volumeId: handleOf(owner.uid, volume),
    tokens: drawTokens(chance, owner, salt),
    shortcoming: undefined,
  }
  const changes = changesOf(chance, names)
  for (const name of changes) CHANGES[name]?.(draft, chance)
  if (draft.shortcoming !== undefined) {
    // A better answer about the same token may still be good for a moment.
    const salt = chance.between(1, 2 ** 31)
    draft.tokens = draft.tokens.map(({ audience, token }) => ({
      audience,
      token: { ...token, text: `${token.text}${salt}` },
    }))
  }
  return { asked: draft, changes }
}

function changesOf(chance: Chance, names: readonly string[]): readonly string[] {
  if (names.length === 0) return []
  const count = Number(chance.weigh({ 0: 30, 1: 50, 2: 15, 3: 5 }))
  return Array.from({ length: count }, () => chance.pick(names))
}

function claimOf({ account, name, uid }: ClusterPod): Asked['pod'] {
  return { namespace: account.namespace, name, uid, serviceAccount: account.name }
}

function ours(swap: Swap): Change {
  return (draft, chance) => {
    const at = draft.tokens.findIndex(({ audience }) => audience === OUR_AUDIENCE)
    if (at < 0) return
    draft.tokens[at] = { audience: OUR_AUDIENCE, token: swap(draft.owner, OUR_AUDIENCE, chance) }
  }
}

function another(swap: Swap): Change {
  return (draft, chance) => {
    const audience = chance.pick(['', 'vault', 'aws'])
    draft.tokens = draft.tokens.filter((token) => token.audience !== audience)
    const token = swap(draft.owner, audience, chance)
    draft.tokens.splice(chance.between(0, draft.tokens.length), 0, { audience, token })
  }
}

type Change = (draft: Draft, chance: Chance) => void

function claim(field: keyof Asked['pod'], value: (chance: Chance) => string): Change {
  return (draft, chance) => {
    draft.pod = { ...draft.pod, [field]: value(chance) }
  }
}

function path(change: (path: string, chance: Chance) => string): Change {
  return (draft, chance) => {
    draft.targetPath = change(draft.targetPath, chance)
  }
}

const CHANGES: Readonly<Record<string, Change>> = {
  ...Object.fromEntries(
    Object.entries(SWAPS).flatMap(([name, swap]) => [
      [`our token: one ${name}`, ours(swap)],
      [`another token: one ${name}`, another(swap)],
    ]),
  ),
  'our token: none': (draft) => {
    draft.tokens = draft.tokens.filter(({ audience }) => audience !== OUR_AUDIENCE)
  },
  'our token: two': (draft) => {
    draft.tokens.push({ audience: OUR_AUDIENCE, token: tokenOf(draft.owner) })
  },
  'another token: two': (draft) => {
    draft.tokens.push({ audience: 'vault', token: tokenFor('vault', draft.owner) })
    draft.tokens.push({ audience: 'vault', token: tokenFor('vault', draft.owner) })
  },
  'other tokens in the place of ours': (draft) => {
    draft.tokens = draft.tokens.map(({ token }) => ({ audience: 'vault', token }))
  },
  'namespace: another': claim('namespace', (chance) => chance.pick(['shop', 'bank', 'default'])),
  'namespace: odd': claim('namespace', (chance) => chance.pick(ODD_NAMES)),
  'pod name: another': claim('name', (chance) => chance.pick(PODS).name),
  'pod name: odd': claim('name', (chance) => chance.pick(ODD_NAMES)),
  'pod uid: another': claim('uid', (chance) => chance.pick(PODS).uid),
  'pod uid: odd': claim('uid', (chance) => chance.pick([...ODD_NAMES, uidOf('x').toUpperCase()])),
  'account: another': claim('serviceAccount', (chance) => chance.pick(ACCOUNTS).name),
  'account: odd': claim('serviceAccount', (chance) => chance.pick(ODD_NAMES)),
  'pod: in the name of another': (draft, chance) => {
    draft.pod = claimOf(chance.pick(PODS))
  },
  'volume: of another pod': (draft, chance) => {
    const { uid } = chance.pick(PODS)
    const volume = chance.pick(VOLUMES)
    Object.assign(draft, { targetPath: pathOf(uid, volume), volumeId: handleOf(uid, volume) })
  },
  'all but the tokens: of another pod': (draft, chance) => {
    const pod = chance.pick(PODS)
    const volume = chance.pick(VOLUMES)
    draft.pod = claimOf(pod)
    Object.assign(draft, {
      targetPath: pathOf(pod.uid, volume),
      volumeId: handleOf(pod.uid, volume),
    })
  },
  'path: of another volume': path((_path, chance) =>
    pathOf(chance.pick(PODS).uid, chance.pick(VOLUMES)),
  ),
  'path: of another root': path((found, chance) =>
    found.replace(KUBELET_ROOT, chance.pick([`${KUBELET_ROOT}2`, '/var/lib/kubele7', ''])),
  ),
  // In itself it is right, but kubelet has no volume of such a name.
  'volume: of an odd name': (draft, chance) => {
    const volume = chance.pick(['DB', 'd b', '-db', 'db.', 'd_b', 'x'.repeat(64), 'db\u0000'])
    const { uid } = draft.pod
    Object.assign(draft, { targetPath: pathOf(uid, volume), volumeId: handleOf(uid, volume) })
  },
  'path: not in its plain form': path((found, chance) =>
    chance.pick([
      `${found}/`,
      `${found}/.`,
      `/${found}`,
      found.replace('/pods/', '/pods/../pods/'),
      found.replace('/pods/', '//pods/'),
      found.slice(1),
    ]),
  ),
  'path: of another plugin': path((found) => found.replace('~csi', '~secret')),
  'path: deeper or higher': path((found, chance) =>
    chance.pick([`${found}/mount`, found.slice(0, -'/mount'.length), `${found}s`, '', '/']),
  ),
  'path: with a NUL': path((found) => `${found}\u0000`),
  'path: with an odd volume': path((found) =>
    found.replace(/(db|cache)(?=\/mount$)/, 'd\u0062\u200b'),
  ),
  'volume id: of another volume': (draft, chance) => {
    draft.volumeId = handleOf(chance.pick(PODS).uid, chance.pick(VOLUMES))
  },
  'volume id: odd': (draft, chance) => {
    const { volumeId } = draft
    const odd = ['', 'csi-', volumeId.toUpperCase(), `${volumeId}0`, volumeId.slice(4), '../x']
    draft.volumeId = chance.pick(odd)
  },
  // kubelet's hash has no separator, so another cut of the same letters has the same id.
  'volume id: of another cut': (draft) => {
    draft.volumeId = handleOf(draft.pod.uid.slice(0, -1), `${draft.pod.uid.slice(-1)}db`)
  },
  ...Object.fromEntries(
    SHORTCOMINGS.map((shortcoming) => [
      `API server: ${shortcoming}`,
      (draft: Draft) => {
        draft.shortcoming = shortcoming
      },
    ]),
  ),
}

export const CHANGE_NAMES: readonly string[] = Object.keys(CHANGES)

import type { ExecutionContext } from 'ava'

import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import type { Pod } from './kube-objects.ts'
import { consumerPod } from './kube-objects.ts'
import { database } from './latchkey.ts'
import { callerOf, volumeOf, type Caller, type Tokens } from './real-shim.ts'
import {
  between,
  foreignKey,
  requestToken,
  resigned,
  reworded,
  scratched,
  signingKey,
  unsigned,
  type Bound,
} from './real-tokens.ts'
import { cluster, makePlace, type Place } from './support.ts'

/** Wrong in one thing, and what the daemon is to say of it. */
export interface Impostor {
  readonly caller: Caller
  readonly tokens: Tokens
  readonly because: RegExp
}

const REJECTED = /^TokenRejected: the API server rejects the pod's token/

/** The two that kubelet brings for a pod: its proof, and the one to read Secrets with. */
type PodTokens = Tokens & { readonly latchkey: string }

export interface World {
  readonly place: Place
  readonly abroad: Place
  readonly app: Pod
  readonly me: Caller
  readonly mine: PodTokens
}

/** Two namespaces with the same names in both, and pods without volumes, so that nobody else reads their Secrets. */
export async function makeWorld(t: ExecutionContext): Promise<World> {
  const [place, abroad] = [await makePlace(t), await makePlace(t)]
  // Of a node that is not there: no kubelet would ever end it.
  const end = ['delete', 'pod', 'elsewhere', '--grace-period=0', '--force', '--ignore-not-found']
  t.teardown(() => place.kubectl(...end))
  for (const one of [place, abroad]) {
    await one.apply(...database(one))
    await one.applyConsumer('app', { serviceAccount: 'api', volumes: {} })
  }
  await place.applyConsumer('other', { serviceAccount: 'api', volumes: {} })
  const [app] = await Promise.all([
    place.waitForPod('app'),
    place.waitForPod('other'),
    abroad.waitForPod('app'),
  ])
  const mine = await tokensFor(place, 'api', app)
  return { place, abroad, app, me: callerOf(place, app, 'api'), mine }
}

/** Everybody who is not that pod. */
export async function impostorsOf(
  world: World,
  node: ClusterNode,
): Promise<Readonly<Record<string, Impostor>>> {
  const { me, mine, place, abroad } = world
  const other = callerOf(place, await podOf(place, 'other'), 'api')
  const foreign = callerOf(abroad, await podOf(abroad, 'app'), 'api')
  const othersOwn = await tokensFor(place, 'api', await podOf(place, 'other'))
  return {
    ...(await strangeTokens(world, othersOwn)),
    ...(await forgedTokens(world, node)),
    ...(await formerPods(world)),
    ...(await podsElsewhere(world)),
    'wrong uid in the request': {
      caller: { ...me, uid: other.uid, ...volumeOf(other.uid) },
      tokens: mine,
      because: /^PodMismatch: the token for audience "latchkey" names pod uid/,
    },
    'wrong pod name': {
      caller: { ...me, name: 'other' },
      tokens: mine,
      because: /^PodMismatch: the reviewed token names pod "app", not "other"/,
    },
    'wrong namespace': {
      caller: { ...me, namespace: abroad.namespace },
      tokens: mine,
      because: /^PodMismatch: the token for audience "latchkey" names namespace/,
    },
    'wrong service account': {
      caller: { ...me, serviceAccount: 'default' },
      tokens: mine,
      because: /^PodMismatch: the reviewed token names user/,
    },
    'wrong target path': {
      caller: { ...me, targetPath: other.targetPath },
      tokens: mine,
      because: /^PodMismatch: target_path names pod uid/,
    },
    'wrong volume id': {
      caller: { ...me, volumeId: other.volumeId },
      tokens: mine,
      because: /^PodMismatch: volume_id is not that of volume "db"/,
    },
    'replayed for the volume of another pod': {
      caller: { ...me, ...volumeOf(other.uid) },
      tokens: mine,
      because: /^PodMismatch: target_path names pod uid/,
    },
    'replayed for another pod, with all its names': {
      caller: other,
      tokens: mine,
      because: /^PodMismatch: the token for audience "latchkey" names pod uid/,
    },
    'replayed for the pod of the same name in another namespace': {
      caller: foreign,
      tokens: mine,
      because: /^PodMismatch: the token for audience "latchkey" names namespace/,
    },
  }
}

/** Good tokens all of them, but none of this pod for Latchkey. */
async function strangeTokens(
  world: World,
  othersOwn: PodTokens,
): Promise<Record<string, Impostor>> {
  const { place, app, me, mine } = world
  const { namespace } = place
  const of = (bound: Bound | undefined, audience?: string): Promise<string> =>
    requestToken(namespace, 'api', bound, audience)
  const db = await refOf(place, 'Secret', 'db')
  const here = await refOf(place, 'Node', cluster.nodeName)
  const forVault = await of(podRef(app), 'vault')
  const unbound = (latchkey: string): Impostor => ({
    caller: me,
    tokens: { ...mine, latchkey },
    because: /^TokenRejected: the token for audience "latchkey" .*it is not bound to a pod/,
  })
  return {
    'token of another pod of the same account': {
      caller: me,
      tokens: othersOwn,
      because: /^PodMismatch: the token for audience "latchkey" names pod uid/,
    },
    'token of another pod beside the own one': {
      caller: me,
      tokens: { ...othersOwn, latchkey: mine.latchkey },
      because: /^PodMismatch: the token for the API server names pod uid/,
    },
    'own token beside the one of another pod': {
      caller: me,
      tokens: { ...mine, latchkey: othersOwn.latchkey },
      because: /^PodMismatch: the token for audience "latchkey" names pod uid/,
    },
    'token of another audience': {
      caller: me,
      tokens: { ...mine, latchkey: forVault },
      because: REJECTED,
    },
    'token of the API server’s audience': {
      caller: me,
      tokens: { ...mine, latchkey: mine[''] ?? '' },
      because: REJECTED,
    },
    'token of another audience, under its own': {
      caller: me,
      tokens: { '': mine[''] ?? '', vault: forVault },
      because: /^TokenMissing: no token for audience "latchkey"/,
    },
    'token bound to nothing': unbound(await of(undefined)),
    'token bound to a Secret': unbound(await of(db)),
    'token bound to this node': unbound(await of(here)),
    'lasting token of a Secret': unbound(await lastingToken(place)),
  }
}

async function forgedTokens(world: World, node: ClusterNode): Promise<Record<string, Impostor>> {
  const { me, mine } = world
  const own = mine.latchkey
  const key = await signingKey(node)
  const forged: Readonly<Record<string, string>> = {
    'signature with another bit': scratched(own),
    'words changed under a good signature': reworded(own, between(-60, 6_000)),
    'signed by another key': resigned(own, foreignKey()),
    'expired, and truly signed': resigned(own, key, between(-1_200, -600)),
    'not valid yet, and truly signed': resigned(own, key, between(3_600, 4_200)),
    'of another issuer, and truly signed': resigned(own, key, (claims) => ({
      ...claims,
      iss: 'https://issuer.invalid',
    })),
  }
  const impostors = Object.entries(forged).map(([what, latchkey]) => [
    what,
    { caller: me, tokens: { ...mine, latchkey }, because: REJECTED },
  ])
  return {
    ...(Object.fromEntries(impostors) as Record<string, Impostor>),
    'signed by nobody, as it says': {
      caller: me,
      tokens: { ...mine, latchkey: unsigned(own) },
      because: /^TokenRejected: .* is not a JSON web token/,
    },
  }
}

/** A pod that was deleted, and an account: with others of the same names in their places. */
async function formerPods({ place }: World): Promise<Record<string, Impostor>> {
  await place.applyConsumer('brief', { serviceAccount: 'api', volumes: {} })
  const brief = await place.waitForPod('brief')
  const former = callerOf(place, brief, 'api')
  const formerOwn = await tokensFor(place, 'api', brief)
  await place.deletePod('brief')
  await place.applyConsumer('brief', { serviceAccount: 'api', volumes: {} })
  const later = callerOf(place, await place.waitForPod('brief'), 'api')

  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'renewed' } }
  await place.apply(account)
  await place.applyConsumer('kept', { serviceAccount: 'renewed', volumes: {} })
  const kept = await place.waitForPod('kept')
  const keptOwn = await tokensFor(place, 'renewed', kept)
  await place.kubectl('delete', 'serviceaccount', 'renewed')
  await place.apply(account)
  return {
    'token of a pod that was deleted': { caller: former, tokens: formerOwn, because: REJECTED },
    'token of a pod that was deleted, for the next one of its name': {
      caller: later,
      tokens: formerOwn,
      because: /^PodMismatch: the token for audience "latchkey" names pod uid/,
    },
    'token of an account that was deleted, and made anew': {
      caller: callerOf(place, kept, 'renewed'),
      tokens: keptOwn,
      because: REJECTED,
    },
  }
}

/** Pods that are not on this node: the API server takes the tokens of both. */
async function podsElsewhere({ place }: World): Promise<Record<string, Impostor>> {
  const impostorIn = async (name: string, where: object): Promise<Omit<Impostor, 'because'>> => {
    const plain = consumerPod(name, cluster.consumerImage, { serviceAccount: 'api', volumes: {} })
    await place.apply({ ...plain, spec: { ...(plain['spec'] as object), ...where } })
    const pod = await podOf(place, name)
    return { caller: callerOf(place, pod, 'api'), tokens: await tokensFor(place, 'api', pod) }
  }
  const elsewhere = await impostorIn('elsewhere', { nodeName: 'another-node' })
  const nowhere = await impostorIn('nowhere', { nodeSelector: { 'latchkey.dev/none': 'x' } })
  return {
    'token of a pod of another node': {
      ...elsewhere,
      because: /^PodMismatch: the reviewed token names node "another-node"/,
    },
    'token of a pod of no node': { ...nowhere, because: NO_NODE },
  }
}

const NO_NODE = /^PodMismatch: the reviewed token names no node-name/

async function tokensFor(place: Place, account: string, pod: Pod): Promise<PodTokens> {
  const { namespace } = place
  return {
    latchkey: await requestToken(namespace, account, podRef(pod)),
    '': await requestToken(namespace, account, podRef(pod), ''),
  }
}

async function podOf(place: Place, name: string): Promise<Pod> {
  return place.waitForPodThat(`pod ${name} to be known`, name, () => true)
}

function podRef({ metadata }: Pod): Bound {
  return { apiVersion: 'v1', kind: 'Pod', name: metadata.name, uid: metadata.uid }
}

async function refOf(place: Place, kind: 'Secret' | 'Node', name: string): Promise<Bound> {
  const uid = await place.kubectl('get', kind, name, '-o', 'jsonpath={.metadata.uid}')
  return { apiVersion: 'v1', kind, name, uid }
}

async function lastingToken(place: Place): Promise<string> {
  const annotations = { 'kubernetes.io/service-account.name': 'api' }
  const type = 'kubernetes.io/service-account-token'
  await place.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    type,
    metadata: { name: 'lasting', annotations },
  })
  const read = async (): Promise<string | undefined> => {
    const data = await place.kubectl('get', 'secret', 'lasting', '-o', 'jsonpath={.data.token}')
    return data === '' ? undefined : Buffer.from(data, 'base64').toString()
  }
  return until(read, { what: 'a token in the Secret', withinMs: 30_000 })
}

import type { ExecutionContext } from 'ava'

import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import { latchkeyPod, unworn } from './latchkey.ts'
import { containerOf, nodeStory, type Place, restartKubelet } from './support.ts'
import {
  databasePod,
  databaseUsers,
  openShop,
  untilUsers,
  untilUsersAreOf,
  usersOf,
  type Shop,
} from './vault.ts'

/** Both sides are up again well before, a container that kubelet holds back after a second crash included. */
const SETTLED_WITHIN_MS = 120_000
/** The token_ttl of role shop-brief. */
const SESSION_MS = 20_000
/** Between the end of a session and the end of its users: Vault ends them one by one, on a busy machine. */
const REVOCATION_MS = 15_000

type Side = 'host' | 'daemon'

/** Kills the sides' containers at once, and waits until kubelet has both up again. */
async function crash(node: ClusterNode, ...sides: readonly Side[]): Promise<void> {
  const before = await latchkeyPod()
  const restarts = (pod: typeof before, side: Side): number =>
    containerOf(pod, side)?.restartCount ?? 0
  await Promise.all(
    sides.map((side) =>
      node.killContainer(containerOf(before, side)?.containerID ?? '', 'SIGKILL'),
    ),
  )
  await until(
    async () => {
      const now = await latchkeyPod()
      const isBack = sides.every((side) => restarts(now, side) > restarts(before, side))
      const isReady = (['host', 'daemon'] as const).every((side) => containerOf(now, side)?.ready)
      return isBack && isReady ? true : undefined
    },
    { what: `${sides.join(' and ')} to be back`, withinMs: SETTLED_WITHIN_MS },
  )
}

async function startDatabasePods(
  { place, podName, serviceAccount }: Shop,
  count: number,
  role: string,
): Promise<string[]> {
  const account = await serviceAccount('storm')
  const pods = Array.from({ length: count }, (_, index) => podName(`storm-${index}`))
  await place.apply(...pods.map((name) => databasePod(name, account, role)))
  for (const pod of pods) await place.waitForPod(pod)
  return pods
}

nodeStory(
  'the database’s users stay those of the living pods through kill -9 of the daemon, of the host side and of kubelet',
  async (t, node) => {
    await unworn('host', 'daemon')
    const shop = openShop(t)
    const { place } = shop
    const pods = await startDatabasePods(shop, 4, 'shop-any')
    await untilUsersAreOf(node, place, pods, 10_000)
    const before = await usersOf(place, pods)

    const [ending = '', ...rest] = pods
    const crashed = crash(node, 'daemon')
    await place.kubectl('delete', 'pod', ending, '--wait=false')
    await crashed
    await place.waitForNoPod(ending)
    const afterDaemonMs = await untilUsersAreOf(node, place, rest, SETTLED_WITHIN_MS)
    t.deepEqual(
      await usersOf(place, rest),
      before.slice(1),
      'a new daemon goes on with what there is',
    )

    await crash(node, 'host')
    const afterHostMs = await untilUsersAreOf(node, place, rest, SETTLED_WITHIN_MS)
    t.log(
      `kept by a crash of the host side: ${await countKept(place, rest, before)} of ${rest.length}`,
    )

    const beforeKubelet = await usersOf(place, rest)
    await restartKubelet(node)
    await until(() => place.execText(rest[0] ?? '', ['true']), {
      what: 'exec to work',
      withinMs: 60_000,
    })
    const afterKubeletMs = await untilUsersAreOf(node, place, rest, SETTLED_WITHIN_MS)
    t.deepEqual(await usersOf(place, rest), beforeKubelet)

    await Promise.all(rest.map((pod) => place.deletePod(pod)))
    const goneMs = await untilUsers(node, 0, 30_000)
    t.log(
      `users were those of the pods ${afterDaemonMs} ms after the daemon was back, ${afterHostMs} ms after the host ` +
        `side, ${afterKubeletMs} ms after kubelet; none were left ${goneMs} ms after the last pod`,
    )
  },
)

async function countKept(place: Place, pods: readonly string[], before: readonly string[]) {
  return (await usersOf(place, pods)).filter((user) => before.includes(user)).length
}

nodeStory(
  'when both sides die at once the session’s time in Vault bounds how long a user outlives its pod',
  async (t, node) => {
    // Back before the sessions end, so that former users and new ones are there together.
    await unworn('host', 'daemon')
    const shop = openShop(t)
    const { place } = shop
    const pods = await startDatabasePods(shop, 3, 'shop-brief')
    await untilUsersAreOf(node, place, pods, 10_000)
    const former = await usersOf(place, pods)

    const begun = performance.now()
    const gone = watchFormer(node, former, pods.length)
    const crashed = crash(node, 'host', 'daemon')
    const [ending = '', ...rest] = pods
    await place.kubectl('delete', 'pod', ending, '--wait=false')
    await crashed
    const backMs = Math.round(performance.now() - begun)
    const { goneMs, most } = await gone
    await place.waitForNoPod(ending)
    await untilUsersAreOf(node, place, rest, SETTLED_WITHIN_MS)
    t.log(
      `both sides back after ${backMs} ms; the ${former.length} users from before were gone ${goneMs} ms after ` +
        `the crash, with sessions of ${SESSION_MS} ms; at most ${most} users for ${pods.length} pods`,
    )
    t.true(goneMs <= SESSION_MS + REVOCATION_MS, `${goneMs}`)
    t.true(most <= 2 * pods.length, `${most}`)

    await Promise.all(rest.map((pod) => place.deletePod(pod)))
    await untilUsers(node, 0, 30_000)
  },
)

/** From now on: how long until none of these users is left, and how many users there were at most. */
async function watchFormer(
  node: ClusterNode,
  former: readonly string[],
  pods: number,
): Promise<{ readonly goneMs: number; readonly most: number }> {
  const begun = performance.now()
  let most = 0
  await until(
    async () => {
      const users = await databaseUsers(node)
      most = Math.max(most, users.length)
      return users.some((user) => former.includes(user)) ? undefined : true
    },
    { what: `the users from before of ${pods} pods to be gone`, withinMs: SETTLED_WITHIN_MS },
  )
  return { goneMs: Math.round(performance.now() - begun), most }
}

/** Vault is away in one way and comes back: what running pods notice, and what a new one does. */
async function outage(
  t: ExecutionContext,
  node: ClusterNode,
  away: { readonly go: () => Promise<unknown>; readonly comeBack: () => Promise<unknown> },
  event: RegExp,
): Promise<void> {
  const shop = openShop(t)
  const { place, podName, serviceAccount } = shop
  const pods = await startDatabasePods(shop, 4, 'shop-any')
  const before = await usersOf(place, pods)
  const account = await serviceAccount('late')
  const late = podName('late')

  let isAway = true
  await away.go()
  t.teardown(async () => {
    if (isAway) await away.comeBack()
  })
  await place.apply(databasePod(late, account, 'shop-any'))
  const { message } = await place.waitForEvent(late, event, 90_000)
  t.deepEqual(await usersOf(place, pods), before, 'running pods keep their files')

  const beforeAt = Date.now()
  await away.comeBack()
  isAway = false
  const backAt = Date.now()
  await place.waitForPod(late, 150_000)
  const lateMs = Date.now() - backAt
  t.deepEqual(await usersOf(place, pods), before, 'and their users')
  await untilUsersAreOf(node, place, [...pods, late], 20_000)
  const asked = node.vault
    .auditLines()
    .filter(({ type, time }) => type === 'request' && Date.parse(time) >= beforeAt)
    .filter(({ request }) => request.headers?.['x-correlation-id'] !== undefined)
  t.log(message)
  t.log(`the waiting pod ran ${lateMs} ms after it; ${asked.length} calls were made by then`)
  // Of the waiting pod: a login, the engine's kind and the secret, for each of two items. Others look now and then.
  t.true(asked.length <= 20, asked.map(({ request }) => request.path).join(' '))
  await Promise.all([...pods, late].map((pod) => place.deletePod(pod)))
  await untilUsers(node, 0, 30_000)
}

nodeStory(
  'Vault is sealed: running pods keep their files, a new one waits with the source’s name, and starts by itself',
  async (t, node) => {
    const go = (): Promise<string> => node.vault.run(['operator', 'seal'])
    const comeBack = (): Promise<void> => node.vault.unseal()
    await outage(t, node, { go, comeBack }, /SourceUnavailable: .*"vault-open".*sealed/)
  },
)

nodeStory(
  'Vault is stopped: running pods keep their files, a new one waits with the source’s name, and starts by itself',
  async (t, node) => {
    const go = (): Promise<void> => node.vault.service.stop()
    const comeBack = (): Promise<void> => {
      node.vault.service.start()
      return node.vault.unseal()
    }
    await outage(t, node, { go, comeBack }, /SourceUnavailable: .*"vault-open"/)
  },
)

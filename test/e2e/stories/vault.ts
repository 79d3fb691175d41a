import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'

import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import { cluster, openPlace, type Place } from './support.ts'
import { SHOP } from '../vault-guide.ts'
import { consumerPod, type KubeObject, latchkeyVolume } from './kube-objects.ts'

/** The namespace of docs/sources/vault.md's examples, and names in it that are this story's alone. */
export interface Shop {
  readonly place: Place
  /** Makes a service account of the shop. Answers its name. */
  readonly serviceAccount: (name: string) => Promise<string>
  /** A name that no other story has. Its pod is deleted at the test's end, and waited for. */
  readonly podName: (name: string) => string
  /** The pods that are deleted; names that a manifest gives go here. */
  readonly podNames: string[]
}

export function openShop(t: ExecutionContext): Shop {
  const place = openPlace(SHOP)
  const mark = randomBytes(3).toString('hex')
  const podNames: string[] = []
  t.teardown(async () => {
    if (podNames.length === 0) return
    const command = ['delete', 'pods', ...podNames, '--ignore-not-found', '--timeout=60s']
    await cluster.kubectl(['-n', SHOP, ...command], { timeoutMs: 70_000 })
  })
  return {
    place,
    podNames,
    async serviceAccount(name) {
      const own = `${name}-${mark}`
      await place.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: own } })
      return own
    },
    podName(name) {
      const own = `${name}-${mark}`
      podNames.push(own)
      return own
    },
  }
}

/** A volume with these items, as lines of YAML without the dash. */
export function items(...lines: readonly string[]): object {
  return latchkeyVolume({ items: lines.map((line) => `- ${line}\n`).join('') })
}

/** Users that Vault has made in the database and not taken away yet. */
export function databaseUsers(node: ClusterNode): Promise<string[]> {
  return node.postgres.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")
}

/** Waits until the database has so many of them; answers how long that took. */
export async function untilUsers(
  node: ClusterNode,
  count: number,
  withinMs: number,
): Promise<number> {
  const begun = performance.now()
  let users: readonly string[] = []
  await until(
    async () => {
      users = await databaseUsers(node)
      return users.length === count ? true : undefined
    },
    {
      what: `the database to have ${count} users of Vault's`,
      withinMs,
      explain: () => Promise.resolve(`it has ${users.length}: ${users.join(' ')}`),
    },
  )
  return Math.round(performance.now() - begun)
}

/** A pod with a database user of its own, and its KV token beside it. */
export function databasePod(name: string, serviceAccount: string, role: string): KubeObject {
  const common = `from: vault-open, role: ${role}`
  return consumerPod(name, cluster.consumerImage, {
    serviceAccount,
    volumes: {
      shop: items(
        `{ ${common}, secret: database/creds/shop, dir: db }`,
        `{ ${common}, secret: kv/shop/api, key: token, path: token }`,
      ),
    },
  })
}

/** Waits until the users of the database are those that these pods have in their files; answers how long. */
export async function untilUsersAreOf(
  node: ClusterNode,
  place: Place,
  pods: readonly string[],
  withinMs: number,
): Promise<number> {
  const begun = performance.now()
  let seen = ''
  await until(
    async () => {
      const users = (await databaseUsers(node)).toSorted()
      const held = await usersOf(place, pods)
      seen = `it has ${users.join(' ')}, the pods have ${held.join(' ')}`
      return users.join(' ') === held.toSorted().join(' ') ? true : undefined
    },
    {
      what: `the database's users to be those of ${pods.length} pods`,
      withinMs,
      explain: () => Promise.resolve(seen),
    },
  )
  return Math.round(performance.now() - begun)
}

/** The database user that each of these pods has now. */
export function usersOf(place: Place, pods: readonly string[]): Promise<string[]> {
  const read = ['cat', '/volumes/shop/db/username']
  return Promise.all(pods.map((pod) => place.execText(pod, read)))
}

import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'

import type { ClusterNode } from '../cluster/cluster.ts'
import { cluster, openPlace, type Place } from './support.ts'
import { SHOP } from '../vault-guide.ts'
import { latchkeyVolume } from './kube-objects.ts'

/** The namespace of docs/sources/vault.md's examples, and names in it that are this story's alone. */
export interface Shop {
  readonly place: Place
  /** Makes a service account of the shop. Answers its name. */
  readonly serviceAccount: (name: string) => Promise<string>
  /** A name that no other story has. Its pod is deleted at the test's end, and waited for. */
  readonly podName: (name: string) => string
}

export function openShop(t: ExecutionContext): Shop {
  const place = openPlace(SHOP)
  const mark = randomBytes(3).toString('hex')
  const pods: string[] = []
  t.teardown(async () => {
    if (pods.length === 0) return
    const command = ['delete', 'pods', ...pods, '--ignore-not-found', '--timeout=60s']
    await cluster.kubectl(['-n', SHOP, ...command], { timeoutMs: 70_000 })
  })
  return {
    place,
    async serviceAccount(name) {
      const own = `${name}-${mark}`
      await place.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: own } })
      return own
    },
    podName(name) {
      const own = `${name}-${mark}`
      pods.push(own)
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

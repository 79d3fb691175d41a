import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { ClusterNode } from '../cluster/cluster.ts'
import { AUDIT_LOG } from '../cluster/control-plane.ts'
import { impostorsOf, makeWorld, type World } from './impostors.ts'
import { openRealShim } from './real-shim.ts'
import { between, resigned, signingKey } from './real-tokens.ts'
import { nodeStory } from './support.ts'

nodeStory(
  'with real tokens a pod is served, and nobody who is not that pod, for whatever reason',
  async (t, node) => {
    const world = await makeWorld(t)
    const ask = await openRealShim(t, node)
    const impostors = await impostorsOf(world, node)
    const wrong: string[] = []
    for (const [what, { caller, tokens, because }] of Object.entries(impostors)) {
      const { said, files } = await ask(caller, tokens)
      t.log(`${what}: ${said}`)
      if (!because.test(said) || Object.keys(files).length > 0) wrong.push(`${what}: ${said}`)
    }
    t.deepEqual(wrong, [])
    t.true(Object.keys(impostors).length > 25)
    t.deepEqual(readsIn(node, world), [], 'nothing was fetched for any of them')

    // Two by the same hand as the forged ones: it is not for their making that those were refused.
    const { me, mine } = world
    const key = await signingKey(node)
    const renewed = { ...mine, latchkey: resigned(mine.latchkey, key, between(-60, 600)) }
    for (const tokens of [mine, renewed]) {
      const { said, files } = await ask(me, tokens)
      t.is(said, 'served')
      t.deepEqual(files, { username: 'me', password: 'one' })
    }
    const reads = readsIn(node, world)
    t.is(reads.filter(({ verb }) => verb === 'get').length, 2)
    t.deepEqual([...new Set(reads.map(({ podUid }) => podUid))], [me.uid])
  },
)

interface Read {
  readonly verb: string
  readonly name: string
  readonly podUid: string | undefined
}

/** Who read Secrets of these namespaces, as any pod or as Latchkey: by the API server's own audit log. */
function readsIn(node: ClusterNode, { place, abroad }: World): Read[] {
  interface Line {
    readonly verb: string
    readonly user: {
      readonly username: string
      readonly extra?: Readonly<Record<string, readonly string[]>>
    }
    readonly objectRef?: {
      readonly resource?: string
      readonly namespace?: string
      readonly name?: string
      readonly subresource?: string
    }
  }
  const namespaces = [place.namespace, abroad.namespace]
  const asPod = new RegExp(`^system:serviceaccount:(${namespaces.join('|')}|latchkey-system):`)
  return readFileSync(join(node.logFolder, AUDIT_LOG), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"resource":"secrets"'))
    .map((line) => JSON.parse(line) as Line)
    .filter(({ user, objectRef }) => {
      const isHere = namespaces.includes(objectRef?.namespace ?? '')
      return isHere && asPod.test(user.username)
    })
    .map(({ verb, objectRef, user }) => ({
      verb,
      name: objectRef?.name ?? '',
      podUid: user.extra?.['authentication.kubernetes.io/pod-uid']?.[0],
    }))
}

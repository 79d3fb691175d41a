import type { Lane } from './lane.ts'
import { attributesLane, itemsLane } from './lanes/attributes.ts'
import { configLane } from './lanes/config.ts'
import { reviewLane, secretLane, watchLane } from './lanes/kube.ts'
import { openKubeWireLanes } from './lanes/kube-wire.ts'
import { bookmarkLane, contentsLane, openLane, publishLane } from './lanes/messages.ts'
import { pathsLane, targetsLane, vaultPathsLane } from './lanes/names.ts'
import { startNode } from './lanes/node.ts'
import { bytesLane, csiCallsLane, framesLane, mountCallsLane, probesLane } from './lanes/sockets.ts'
import { claimsLane, jwtLane, serviceTokensLane } from './lanes/tokens.ts'
import { openVaultHttpLane, vaultJsonLane } from './lanes/vault.ts'

/** Every way in, or the one of that name; to be closed in their order. */
export async function openLanes(only?: string): Promise<readonly Lane[]> {
  const node = await startNode()
  const lanes: readonly Lane[] = [
    ...[attributesLane, itemsLane, pathsLane, targetsLane, vaultPathsLane, configLane],
    ...[claimsLane, jwtLane, serviceTokensLane, openLane, publishLane, contentsLane, bookmarkLane],
    ...[reviewLane, secretLane, watchLane, vaultJsonLane, await openVaultHttpLane()],
    ...(await openKubeWireLanes()),
    ...[
      csiCallsLane(node),
      mountCallsLane(node),
      framesLane(node),
      bytesLane(node),
      probesLane(node),
    ],
    {
      name: 'node',
      weight: 0,
      seeds: [],
      words: [],
      feed: () => 'refused',
      close: () => node.close(),
    },
  ]
  const isWanted = ({ name }: Lane): boolean =>
    only === undefined || name === only || name === 'node'
  // What listens would keep the process from its end.
  for (const lane of lanes) if (!isWanted(lane)) await lane.close?.()
  return lanes.filter(isWanted)
}

import { release } from 'node:os'
import type { Config } from '../config/config.ts'
import { LatchkeyError } from '../core/errors.ts'
import { COPIES, PROCESS_BYTES } from '../host/file-room.ts'
import { parseMountinfo, type Mount } from '../host/volume/mountinfo.ts'
import { refuseSwap } from '../syscalls/kernel-features.ts'
import { failed, ok, skipped, warning, type Finding } from '../wire/finding.ts'
import type { NodeView } from './node-view.ts'

const ROOT = 0
const MIB = 1024 ** 2

const USER = 'runs as root in the host container'
const KERNEL = 'kernel keeps secrets in memory'
const FOLDER = 'folder of kubelet is mounted and shared'
const REGISTRY = 'plugin registry of kubelet is there'
const MEMORY = 'host container has memory for its files'
const CGROUPS = 'cgroups of the node are visible'

/** What can be seen of the node without the daemon. What only the host container can see is skipped elsewhere. */
export async function judgeNode(node: NodeView, config: Config): Promise<readonly Finding[]> {
  if (node.uid !== ROOT) {
    const why = 'only the host container can see it'
    return [
      failed(
        USER,
        `this is uid ${node.uid}`,
        'kubectl -n latchkey-system exec ds/latchkey -c host -- latchkey doctor',
      ),
      ...[KERNEL, FOLDER, REGISTRY, MEMORY, CGROUPS].map((check) => skipped(check, why)),
    ]
  }
  return [
    ok(USER, 'this is uid 0'),
    judgeKernel(node, config.volumes.allowSwap),
    judgeFolder(node, config.kubelet.root),
    judgeRegistry(node, config.kubelet.root),
    judgeMemory(node, config.limits),
    await judgeCgroups(node),
  ]
}

function judgeKernel(node: NodeView, allowSwap: boolean): Finding {
  try {
    const features = node.probeKernel()
    if (features.noswap) return ok(KERNEL, `Linux ${release()}, tmpfs with noswap`)
    try {
      refuseSwap(features, node.swaps)
      return ok(KERNEL, `Linux ${release()}, no noswap for tmpfs, swap is off`)
    } catch (thrown) {
      if (!allowSwap) throw thrown
      return warning(
        KERNEL,
        `Linux ${release()} has no noswap for tmpfs, swap is on, and volumes.allowSwap accepts it`,
        'switch swap off on this node, or take Linux 6.4 or newer: secrets may reach the disk',
      )
    }
  } catch (thrown) {
    const { message } = LatchkeyError.from(thrown)
    return failed(KERNEL, message, 'new volumes are refused on this node until that is mended')
  }
}

function judgeFolder(node: NodeView, kubeletRoot: string): Finding {
  const pods = `${kubeletRoot}/pods`
  if (!node.isFolder(pods)) {
    return failed(
      FOLDER,
      `there is no folder ${pods}`,
      'set kubelet.root to what kubelet has as --root-dir, and the host paths of the DaemonSet with it',
    )
  }
  const mount = mountOf(pods, node.mountinfo)
  if (mount?.isShared === true)
    return ok(FOLDER, `${pods}, on the shared mount ${mount.mountPoint}`)
  return failed(
    FOLDER,
    `the mount ${mount?.mountPoint ?? '/'} that ${pods} lies on is not shared: pods would not see their volumes`,
    'mount it into the host container with mountPropagation: Bidirectional; on the node itself: mount --make-rshared /',
  )
}

/** The mount that a path lies on: of two at one place the later one is seen. */
function mountOf(path: string, mountinfo: string): Mount | undefined {
  return parseMountinfo(mountinfo)
    .filter(({ mountPoint: at }) => at === '/' || at === path || path.startsWith(`${at}/`))
    .reduce<Mount | undefined>(
      (best, mount) => (mount.mountPoint.length >= (best?.mountPoint.length ?? 0) ? mount : best),
      undefined,
    )
}

function judgeRegistry(node: NodeView, kubeletRoot: string): Finding {
  const registry = `${kubeletRoot}/plugins_registry`
  return node.isFolder(registry)
    ? ok(REGISTRY, registry)
    : failed(
        REGISTRY,
        `there is no folder ${registry}`,
        'mount it into the host container, from what kubelet has as --root-dir; kubelet makes it at its start',
      )
}

function judgeMemory(node: NodeView, { nodeBytes, tmpfsBytes = 0 }: Config['limits']): Finding {
  const memory = node.readMemory()
  if (memory === undefined) return skipped(MEMORY, 'the cgroup of this container cannot be read')
  const { limitBytes, usedBytes } = memory
  const used = `${Math.ceil(usedBytes / MIB)} MiB used`
  if (limitBytes === undefined) return ok(MEMORY, `${used}, no limit`)
  const neededBytes = PROCESS_BYTES + Math.max(COPIES * nodeBytes, tmpfsBytes)
  const detail = `${used} of ${Math.floor(limitBytes / MIB)} MiB, limits.nodeBytes is ${Math.ceil(nodeBytes / MIB)} MiB`
  if (limitBytes >= neededBytes) return ok(MEMORY, detail)
  const fix = `raise the memory limit of the container host to ${Math.ceil(neededBytes / MIB)}Mi, or lower limits.nodeBytes`
  return limitBytes <= nodeBytes ? failed(MEMORY, detail, fix) : warning(MEMORY, detail, fix)
}

async function judgeCgroups(node: NodeView): Promise<Finding> {
  const fix =
    'give the host container /sys/fs/cgroup of the node at /run/node/cgroup and its uid as POD_UID, as deploy/kustomize/base does: until then a volume that kubelet has forgotten stays'
  const life = await node.lifeOfOwnPod()
  if (life === undefined) return warning(CGROUPS, 'POD_UID is not set', fix)
  return life.is === 'alive'
    ? ok(CGROUPS, 'its own pod is seen among them')
    : warning(CGROUPS, life.is === 'unknown' ? life.why : 'its own pod is not among them', fix)
}

import type { CommandOptions, CommandOutput } from './command.ts'
import { run } from './command.ts'
import type { Postgres } from './postgres.ts'
import type { RigDescription } from './rig-node.ts'
import { openRigNode } from './rig-node.ts'
import { inside } from './seal.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'
import type { VaultServer } from './vault.ts'

/** A Kubernetes cluster that stories run on: our own node, or one that existed before. */
export interface Cluster {
  /** Text of the file that kubectl is given; of the rig, an address that only the node can reach. */
  readonly kubeconfig: string
  readonly nodeName: string
  /** The image under test, and one with Python, bash and coreutils for the pods of stories. */
  readonly latchkeyImage: string
  readonly consumerImage: string
  /** The node itself; undefined on a cluster that is not ours, and stories that need it are skipped. */
  readonly node: ClusterNode | undefined
  /** Runs kubectl. Rejects with CommandFailed, which holds what it said. */
  kubectl(args: readonly string[], options?: CommandOptions): Promise<CommandOutput>
}

/** What only a node in our own hands can give. */
export interface ClusterNode {
  /** Process 1 of the node, as seen from outside. */
  readonly pid: number
  /** The node's /var/lib/kubelet, as seen from outside. */
  readonly kubeletRoot: string
  readonly logFolder: string
  readonly kubelet: Service
  readonly apiServer: Service
  /** The words that run kubectl on the node, by `run` or `service`. */
  readonly kubectl: readonly string[]
  readonly vault: VaultServer
  /** The database that this Vault makes users in. */
  readonly postgres: Postgres
  /** Folder with Debian's prometheus and promtool. */
  readonly prometheusFolder: string
  /** /proc/self/mountinfo of the node. */
  mountinfo(): string
  /** Runs a program on the node, in all its namespaces. */
  run(command: readonly string[], options?: CommandOptions): Promise<CommandOutput>
  /** A program on the node that goes on until it is stopped; its output is in the log folder. */
  service(name: string, command: readonly string[]): Service
  importImage(archive: string, signal?: AbortSignal): Promise<void>
  /** Sends a signal to the first process of a container; `id` as in its status, with containerd://. */
  killContainer(id: string, signalName: NodeJS.Signals): Promise<void>
  /** Runs a command in a container, as `kubectl exec` would if there were a kubelet. */
  execContainer(id: string, command: readonly string[]): Promise<CommandOutput>
  /** Kills every process of a pod, its sandbox's included, as nobody but a node's owner can. */
  endPod(uid: string): Promise<void>
}

/** Waits until the API server answers; also after a restart of it. */
export async function waitForApiServer(cluster: Cluster, signal?: AbortSignal): Promise<void> {
  const ask = (): Promise<unknown> =>
    cluster.kubectl(['get', '--raw', '/readyz'], signal ? { signal } : {})
  await until(ask, { what: 'the API server to be ready', withinMs: 60_000, signal })
}

/** Everything another process needs to open the same cluster; goes to the tests as JSON. */
export type ClusterDescription = RigDescription | ExistingDescription

export interface ExistingDescription {
  readonly kind: 'existing'
  readonly kubeconfig: string
  readonly nodeName: string
  readonly latchkeyImage: string
  readonly consumerImage: string
}

/** On every namespace that a story makes, so that those of an interrupted run can be found. */
export const STORY_LABEL = 'latchkey.dev/e2e-story'

export const DESCRIPTION_VARIABLE = 'LATCHKEY_E2E_CLUSTER'

/** Opens a cluster that is up. */
export function openCluster(description: ClusterDescription): Cluster {
  const { kubeconfig, nodeName, latchkeyImage, consumerImage } = description
  const common = { kubeconfig, nodeName, latchkeyImage, consumerImage }
  if (description.kind === 'existing') {
    return {
      ...common,
      node: undefined,
      kubectl: (args, options) => run(['kubectl', '--kubeconfig', kubeconfig, ...args], options),
    }
  }
  const kubectl = [description.kubectlPath, '--kubeconfig', kubeconfig]
  // Its cache of discovery would otherwise land in the home folder.
  const env = { KUBECACHEDIR: description.kubectlCacheFolder }
  return {
    ...common,
    node: openRigNode(description),
    kubectl: (args, options) =>
      run(inside(description.seal, [...kubectl, ...args]), {
        label: `kubectl ${args.join(' ')}`,
        ...options,
        env: { ...env, ...options?.env },
      }),
  }
}

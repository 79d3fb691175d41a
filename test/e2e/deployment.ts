import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'

import type { Cluster } from './cluster/cluster.ts'
import { STORY_LABEL } from './cluster/cluster.ts'
import { vaultPatches } from './vault-guide.ts'

export const NAMESPACE = 'latchkey-system'
const BASE = join(import.meta.dirname, '..', '..', 'deploy', 'kustomize', 'base')
const ROLLOUT_WITHIN_S = 150

/** The shipped manifests with another image, and a Vault where we have one; nothing else is changed. */
export interface Deployment {
  /** Folder for `kubectl apply -k` and `kubectl delete -k`. */
  readonly folder: string
  apply(signal?: AbortSignal): Promise<void>
  /** Waits until every pod of the DaemonSet is the newest and ready. */
  waitForRollout(signal?: AbortSignal): Promise<void>
  /** Takes it off the cluster, with all that interrupted stories have left there. */
  remove(): Promise<void>
  /** State, events and logs of our pods, for reading after a failure. */
  explain(): Promise<string>
}

/** Writes the overlay into the folder. */
export function prepareDeployment(cluster: Cluster, folder: string): Deployment {
  mkdirSync(folder, { recursive: true })
  const [name, tag] = splitImage(cluster.latchkeyImage)
  const overlay = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [relative(folder, BASE)],
    images: [{ name: 'latchkey', newName: name, ...tag }],
    // All stories run with the sources of our own node's Vault: who does not use them does not notice.
    patches: cluster.node === undefined ? [] : vaultPatches(cluster.node),
  }
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(overlay, null, 2))
  const ours = ['-n', NAMESPACE]
  return {
    folder,
    async apply(signal) {
      await cluster.kubectl(['apply', '-k', folder], signal ? { signal } : {})
    },
    async waitForRollout(signal) {
      const timeout = `--timeout=${ROLLOUT_WITHIN_S}s`
      const status = ['rollout', 'status', 'daemonset/latchkey', timeout]
      const timeoutMs = (ROLLOUT_WITHIN_S + 10) * 1000
      await cluster.kubectl([...ours, ...status], { timeoutMs, ...(signal && { signal }) })
    },
    async remove() {
      // Stories' pods first: only the driver can unmount what they have.
      const stories = ['delete', 'namespace', '-l', STORY_LABEL, '--timeout=120s']
      await cluster.kubectl(stories, { timeoutMs: 150_000 })
      const command = ['delete', '-k', folder, '--ignore-not-found', '--timeout=120s']
      await cluster.kubectl(command, { timeoutMs: 150_000 })
    },
    async explain() {
      const selected = ['-l', 'app.kubernetes.io/name=latchkey']
      const logs = ['logs', ...selected, '--all-containers', '--prefix', '--tail=200']
      const questions = [['get', 'pods', '-o', 'wide'], ['get', 'events'], logs]
      const answers = await Promise.all(
        questions.map((question) => answer(cluster, [...ours, ...question])),
      )
      return answers.join('\n')
    },
  }
}

async function answer(cluster: Cluster, question: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await cluster.kubectl(question)
    return `$ kubectl ${question.join(' ')}\n${stdout.toString()}${stderr}`
  } catch (error) {
    return `$ kubectl ${question.join(' ')}\n${error instanceof Error ? error.message : String(error)}`
  }
}

/** The colon of a tag, not the one of a registry's port; a digest stands after an @. */
function splitImage(image: string): [string, { newTag: string } | { digest: string } | undefined] {
  const [named = '', digest] = image.split('@')
  if (digest !== undefined) return [named.replace(/:[^:/]+$/, ''), { digest }]
  const tag = /:([^:/]+)$/.exec(named)?.[1]
  return tag === undefined ? [named, undefined] : [named.slice(0, -tag.length - 1), { newTag: tag }]
}

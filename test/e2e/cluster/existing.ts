import type { ExistingDescription } from './cluster.ts'
import { capture } from './command.ts'
import { findProgram } from './packages.ts'

export interface ExistingOptions {
  readonly kubeconfig: string
  /** Images that this cluster's nodes can pull or have. */
  readonly latchkeyImage: string
  readonly consumerImage: string
  readonly signal?: AbortSignal
}

/** Describes a cluster that is not ours. Pods of stories are to run on its first Ready node. */
export async function describeExisting(options: ExistingOptions): Promise<ExistingDescription> {
  const { kubeconfig, latchkeyImage, consumerImage, signal } = options
  if (findProgram('kubectl') === undefined) {
    throw new Error('--kubeconfig needs kubectl on the PATH')
  }
  const conditions = '{range .status.conditions[?(@.type=="Ready")]}{.status}{end}'
  const path = `{range .items[*]}{.metadata.name} {.spec.unschedulable} ${conditions}{"\\n"}{end}`
  const command = ['kubectl', '--kubeconfig', kubeconfig, 'get', 'nodes', '-o', `jsonpath=${path}`]
  const lines = (
    await capture(command, { label: 'kubectl get nodes', ...(signal && { signal }) })
  ).split('\n')
  const ready = lines.map((line) => line.split(' ')).find(([, off, on]) => !off && on === 'True')
  const nodeName = ready?.[0]
  if (nodeName === undefined) throw new Error(`${kubeconfig}: no node is Ready`)
  return { kind: 'existing', kubeconfig, nodeName, latchkeyImage, consumerImage }
}

import type { KubeClient, SecretEvent } from '../../../src/daemon/kube/kube-client.ts'
import { DB, POD_TOKEN, never, podToken } from './kube-world.ts'

export const JSON_TYPE = 'application/json'

// As Kubernetes 1.37 sends them for a Table without objects.
export function eventLine(type: string, resourceVersion: string): string {
  const rows = [{ cells: ['db', 'Opaque', 1, '0s'], object: null }]
  const object = {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion },
    rows,
  }
  return `${JSON.stringify({ type, object })}\n`
}

export function errorLine(code: number): string {
  const object = { kind: 'Status', status: 'Failure', message: POD_TOKEN, reason: 'Expired', code }
  return `${JSON.stringify({ type: 'ERROR', object })}\n`
}

export async function drain(events: AsyncIterable<SecretEvent>): Promise<SecretEvent[]> {
  const all: SecretEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

export function watch(
  client: KubeClient,
  since?: string,
  signal = never(),
): AsyncIterable<SecretEvent> {
  return client.watchSecret(DB, since, podToken(), signal)
}

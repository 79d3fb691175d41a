import { latchkeyVolume, reader, secret, type KubeObject } from '../../e2e/stories/kube-objects.ts'
import type { ApiClient } from './api-client.ts'

export const OWNER = 'app'

/** Makes Secrets with one key `value`, and a service account that may read and watch them. */
export async function makeSecrets(
  api: ApiClient,
  namespace: string,
  names: readonly string[],
): Promise<void> {
  const objects = [
    ...names.map((name) => secret(name, { value: 'before' })),
    ...reader(OWNER, namespace, names),
  ]
  for (const object of objects) await api.post(pathOf(namespace, object), object)
}

/** A volume of ours with the Secret. */
export function ourVolume(name: string): object {
  return latchkeyVolume({ secret: name })
}

/** The same by kubelet itself. */
export function kubeletVolume(secretName: string): object {
  return { secret: { secretName } }
}

function pathOf(namespace: string, { apiVersion, kind }: KubeObject): string {
  const group = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
  return `${group}/namespaces/${namespace}/${kind.toLowerCase()}s`
}

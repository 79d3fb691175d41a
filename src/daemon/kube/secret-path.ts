import { LatchkeyError } from '../../core/errors.ts'
import { isDnsLabel, isDnsSubdomain } from '../../core/kube-names.ts'
import type { SecretRef } from './kube-client.ts'

/** The path of one Secret. Throws: InvalidRequest where a name could mean something else in a path. */
export function secretPath(ref: SecretRef): string {
  checkNames(ref)
  return `${secretsPath(ref)}/${encodeURIComponent(ref.name)}`
}

/**
 * The path that watches one Secret: by a field selector, since that is what RBAC's resourceNames match
 * on a watch. includeObject=None leaves the object out of each event.
 *
 * Throws: InvalidRequest.
 */
export function watchPath(
  ref: SecretRef,
  sinceVersion: string | undefined,
  timeoutSeconds: number,
): string {
  checkNames(ref)
  const query = new URLSearchParams({
    watch: 'true',
    fieldSelector: `metadata.name=${ref.name}`,
    allowWatchBookmarks: 'true',
    includeObject: 'None',
    timeoutSeconds: String(timeoutSeconds),
    ...(sinceVersion === undefined ? {} : { resourceVersion: sinceVersion }),
  })
  return `${secretsPath(ref)}?${query.toString()}`
}

function secretsPath({ namespace }: SecretRef): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`
}

function checkNames({ namespace, name }: SecretRef): void {
  if (!isDnsLabel(namespace)) {
    throw new LatchkeyError('InvalidRequest', 'namespace: is not a Kubernetes namespace name')
  }
  if (!isDnsSubdomain(name)) {
    throw new LatchkeyError(
      'InvalidRequest',
      'secret: is not a Kubernetes Secret name (lower case letters, digits, "-" and ".")',
    )
  }
}

import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { Workload } from '../identity/workload.ts'
import { grantHint } from '../kube/grant-hint.ts'
import type { KubeClient } from '../kube/kube-client.ts'
import type { Source } from './source.ts'

/** The API server's own audience. */
const AUDIENCE = ''

/**
 * Secrets of the pod's own namespace, read with the pod's own token: Kubernetes' RBAC decides, and there is
 * nobody else's right to fall back on.
 */
export function createKubernetesSource(kube: KubeClient): Source {
  return {
    name: 'kubernetes',
    audience: AUDIENCE,

    async fetch(workload, secret, signal) {
      const ref = { namespace: workload.pod.namespace, name: secret }
      try {
        const found = await kube.readSecret(ref, tokenOf(workload), signal)
        return { version: found.resourceVersion, entries: found.data, immutable: found.immutable }
      } catch (thrown) {
        throw withFix(thrown, workload, secret)
      }
    },

    async *watch(workload, secret, signal) {
      const ref = { namespace: workload.pod.namespace, name: secret }
      for await (const event of kube.watchSecret(ref, undefined, tokenOf(workload), signal)) {
        yield { version: event.resourceVersion, present: event.type === 'present' }
      }
    },
  }
}

function tokenOf(workload: Workload): SecretBytes {
  const token = workload.tokens.get(AUDIENCE)?.token
  if (token !== undefined) return token
  throw new LatchkeyError(
    'TokenMissing',
    'no token for the API server: add `- audience: ""` to spec.tokenRequests of the CSIDriver',
  )
}

/** Says in the pod's events what its owner has to do. */
function withFix(thrown: unknown, { pod }: Workload, secret: string): LatchkeyError {
  const error = LatchkeyError.from(thrown)
  const { namespace, serviceAccount } = pod
  if (error.reason === 'AccessDenied') {
    const hint = grantHint({ namespace, secret, serviceAccount })
    return new LatchkeyError('AccessDenied', `${error.message}\nTo allow it:\n${hint}`, {
      cause: error,
    })
  }
  if (error.reason === 'SecretNotFound') {
    return new LatchkeyError(
      'SecretNotFound',
      `Secret "${secret}" does not exist in namespace "${namespace}": create it, mend its name in the volume, or set optional: true on its item`,
      { cause: error },
    )
  }
  return error
}

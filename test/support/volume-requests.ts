import { SecretBytes } from '../../src/core/secret-bytes.ts'
import type { ServiceToken, VolumeRequest } from '../../src/core/types.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'

export const POD_UID = '11111111-2222-4333-8444-555555555555'
export const KUBELET_ROOT = '/var/lib/kubelet'

export function tokenOf(text: string, expiresAtMs = Number.MAX_SAFE_INTEGER): ServiceToken {
  return { audience: 'latchkey', token: SecretBytes.copyOf(Buffer.from(text)), expiresAtMs }
}

/** A valid request of pod shop/api for Secret `db`; say what shall differ. */
export function volumeRequest(changes: Partial<VolumeRequest> = {}): VolumeRequest {
  return {
    volumeId: volumeIdOf(POD_UID, 'db'),
    targetPath: `${KUBELET_ROOT}/pods/${POD_UID}/volumes/kubernetes.io~csi/db/mount`,
    pod: { namespace: 'shop', name: 'api-0', uid: POD_UID, serviceAccount: 'api' },
    tokens: [tokenOf('token-1')],
    attributes: new Map([['secret', 'db']]),
    fsGroup: undefined,
    ...changes,
  }
}

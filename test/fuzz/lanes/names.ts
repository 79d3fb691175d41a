import { findCollision } from '../../../src/core/path-collision.ts'
import { parseSafePath } from '../../../src/core/safe-path.ts'
import { parseTargetPath } from '../../../src/core/target-path.ts'
import { checkRef, encodePath } from '../../../src/daemon/sources/vault/secret-ref.ts'
import type { Lane, Verdict } from '../lane.ts'
import { staysInside } from './attributes.ts'

const ROOT = '/var/lib/kubelet'
const UID = '11111111-2222-4333-8444-555555555555'
const TARGET = `${ROOT}/pods/${UID}/volumes/kubernetes.io~csi/db/mount`

export const pathsLane: Lane = {
  name: 'paths',
  weight: 12,
  seeds: ['db/password', 'a', 'a/b/c', '.hidden', 'ünï/文', 'x'.repeat(255)].map((s) =>
    Buffer.from(s),
  ),
  words: ['/', '..', '../', '.', '..data', '...'],
  feed(input) {
    const path = input.toString()
    const segments = parseSafePath(path, 'path')
    if (segments.join('/') !== path || !staysInside(path)) return { grant: 'an unsafe path' }
    if (segments.some((part) => Buffer.byteLength(part) > 255)) return { grant: 'a name too long' }
    findCollision([path, 'a', `${path}/x`])
    return 'accepted'
  },
}

export const targetsLane: Lane = {
  name: 'targets',
  weight: 12,
  seeds: [Buffer.from(TARGET), Buffer.from(TARGET.replaceAll('-', ''))],
  words: [ROOT, '/pods/', UID, '/volumes/', 'kubernetes.io~csi', '/mount', '/..', '//', '/./'],
  feed(input) {
    const path = input.toString()
    const { podUid, volumeName } = parseTargetPath(path, ROOT)
    const isPlain = /^[0-9a-f-]{32,36}$/.test(podUid) && /^[a-z0-9-]{1,63}$/.test(volumeName)
    const again = `${ROOT}/pods/${podUid}/volumes/kubernetes.io~csi/${volumeName}/mount`
    return isPlain && again === path ? 'accepted' : { grant: 'a target that kubelet does not have' }
  },
}

export const vaultPathsLane: Lane = {
  name: 'vault-paths',
  weight: 8,
  seeds: ['secret/shop/api', 'kv/data/a b', 'pki/issue/web', 'ünï/%2e%2e'].map((s) =>
    Buffer.from(s),
  ),
  words: ['sys/', 'auth/token/create', '/../', '%2e%2e/', '?x=', '#', '/v1/', '\\', '@', ':80'],
  feed(input): Verdict {
    const secret = input.toString()
    checkRef({ secret })
    const url = new URL(`https://vault.invalid/v1/${encodePath(secret)}`)
    const isHere = url.host === 'vault.invalid' && url.search === '' && url.hash === ''
    const asked = decodeURIComponent(url.pathname)
    if (!isHere || asked !== `/v1/${secret}`) return { grant: 'another path than was checked' }
    return /^\/v1\/(sys|auth)(\/|$)/.test(asked) ? { grant: 'a path of the house' } : 'accepted'
  },
}

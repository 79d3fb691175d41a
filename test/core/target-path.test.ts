import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { parseTargetPath, readTargetPath } from '../../src/core/target-path.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'

const ROOT = '/var/lib/kubelet'
const UID = '11111111-2222-4333-8444-555555555555'
const GOOD = `${ROOT}/pods/${UID}/volumes/kubernetes.io~csi/db/mount`

test('a target path of kubelet gives pod uid and volume name', (t) => {
  t.deepEqual(parseTargetPath(GOOD, ROOT), { podUid: UID, volumeName: 'db' })
})

test('the uid of a static pod is a bare hash', (t) => {
  const hash = '0123456789abcdef0123456789abcdef'
  t.is(parseTargetPath(GOOD.replace(UID, hash), ROOT).podUid, hash)
})

for (const [what, path] of [
  ['nothing', ''],
  ['a path outside the pods folder', '/etc/passwd'],
  ['another kubelet root', GOOD.replace(ROOT, '/var/lib/other')],
  ['a way out and back in', `${ROOT}/pods/../pods/${UID}/volumes/kubernetes.io~csi/db/mount`],
  ['a doubled slash', GOOD.replace('/volumes/', '//volumes/')],
  ['another plugin', GOOD.replace('kubernetes.io~csi', 'kubernetes.io~secret')],
  ['a folder below the mount', `${GOOD}/x`],
  ['a trailing slash', `${GOOD}/`],
  ['the parent of the mount', GOOD.slice(0, -'/mount'.length)],
  ['no uid', GOOD.replace(UID, 'not-a-uid')],
  ['a volume name with dots', GOOD.replace('/db/', '/d.b/')],
  ['a relative path', GOOD.slice(1)],
] as const) {
  test(`${what} is no target path`, (t) => {
    const error = t.throws(() => parseTargetPath(path, ROOT), { instanceOf: LatchkeyError })
    t.is(error.reason, 'InvalidRequest')
    t.regex(error.message, /^target_path: /)
  })
}

test('people are told pod and volume of a target path below whatever folder of kubelet', (t) => {
  t.deepEqual(readTargetPath(GOOD), { podUid: UID, volumeName: 'db' })
  t.deepEqual(readTargetPath(GOOD.replace(ROOT, '/other')), { podUid: UID, volumeName: 'db' })
  t.is(readTargetPath('/etc/passwd'), undefined)
})

test('the volume id is the SHA-256 of uid and name, as kubelet makes it', (t) => {
  // printf %s 'uid1vol1' | sha256sum
  const id = volumeIdOf('uid1', 'vol1')
  t.is(id, 'csi-6dcf94eb9159ab1660e3aafcd2fc63ed73d06d07b87e83d6faba109c453b7f95')
})

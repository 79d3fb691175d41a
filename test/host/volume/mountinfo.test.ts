import test from 'ava'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import { findVolumes, parseMountinfo, sourceOf } from '../../../src/host/volume/mountinfo.ts'

const ROOT = '/var/lib/kubelet'
const UID = '11111111-2222-4333-8444-555555555555'
const ID = volumeIdOf(UID, 'db')
const TARGET = `${ROOT}/pods/${UID}/volumes/kubernetes.io~csi/db/mount`

function line(changes: Partial<Record<'root' | 'point' | 'type' | 'source', string>> = {}): string {
  const { root = '/', point = TARGET, type = 'tmpfs', source = sourceOf(ID) } = changes
  return `42 27 0:39 ${root} ${point} ro,nosuid shared:7 - ${type} ${source} rw,size=64k`
}

function found(...lines: string[]): readonly string[] {
  return findVolumes(parseMountinfo(lines.join('\n')), ROOT).map(({ volumeId }) => volumeId)
}

test('a volume is found by its source at its own target', (t) => {
  t.deepEqual(found(line()), [ID])
})

test('what the caller knows already is left out, and nothing else', (t) => {
  const other = UID.replace('1', '2')
  const otherId = volumeIdOf(other, 'db')
  const lines = [line(), line({ point: TARGET.replace(UID, other), source: sourceOf(otherId) })]
  const mounts = parseMountinfo(lines.join('\n'))
  const left = findVolumes(mounts, ROOT, (volumeId) => volumeId === ID)
  t.deepEqual(left, [{ volumeId: otherId, targetPath: TARGET.replace(UID, other) }])
})

test('mounts stacked at one target are one volume', (t) => {
  t.deepEqual(found(line(), line()), [ID])
})

for (const [what, text] of [
  ['a subPath bind of a file', line({ root: '/..2026_01_01/password', point: `${TARGET}x` })],
  ['a bind of a deleted file', line({ root: '/..2026_01_01/password//deleted' })],
  ['another file system', line({ type: 'ext4' })],
  ['another source', line({ source: 'tmpfs' })],
  ['another layout', line({ source: `latchkey:2:${ID}` })],
  ['a source of another volume', line({ source: sourceOf(volumeIdOf(UID, 'other')) })],
  ['a place outside the pods folder', line({ point: '/mnt/x' })],
  ['a place that only looks like it', line({ point: `${TARGET}/deeper` })],
  ['half a line', '42 27 0:39 /'],
  ['a line without a dash', line().replace(' - ', ' ')],
  ['garbage', '\\x00 - -'],
] as const) {
  test(`${what} is not taken for a volume, and stops nothing`, (t) => {
    t.deepEqual(found(text), [])
    t.deepEqual(found(text, line()), [ID])
  })
}

test('escaped characters are read as what they stand for', (t) => {
  const [mount] = parseMountinfo(line({ point: '/a\\040b\\134c' }))
  t.is(mount?.mountPoint, '/a b\\c')
})

test('a mount is shared by the word that says so before the dash, not by a like one after it', (t) => {
  t.true(parseMountinfo(line())[0]?.isShared)
  const slave = line({ type: 'ext4 /dev/shared:1' }).replace('shared:7', 'master:7')
  t.false(parseMountinfo(slave)[0]?.isShared)
})

import { rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { isRecordGone } from '../../../src/host/sweep/kubelet-record.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { POD_UID } from '../../support/volume-requests.ts'
import { volumeAt } from '../../support/volumes.ts'

function recorded(t: ExecutionContext) {
  const root = tempDir(t)
  const volume = volumeAt(root)
  const record = join(dirname(volume.targetPath), 'vol_data.json')
  writeFileSync(record, '{}')
  return { root, volume, record }
}

test('a record that lies there is not gone, whatever it says', async (t) => {
  const { root, volume } = recorded(t)
  t.false(await isRecordGone(root, volume))
})

test('a record that was removed is gone', async (t) => {
  const { root, volume, record } = recorded(t)
  rmSync(record)
  t.true(await isRecordGone(root, volume))
})

test("with the volume's folder, or the pod's, the record is gone", async (t) => {
  const { root, volume } = recorded(t)
  rmSync(dirname(volume.targetPath), { recursive: true })
  t.true(await isRecordGone(root, volume))
  rmSync(join(root, 'pods', POD_UID), { recursive: true })
  t.true(await isRecordGone(root, volume))
})

test("a pod's folder that has become a file has no record in it", async (t) => {
  const { root, volume } = recorded(t)
  const pod = join(root, 'pods', POD_UID)
  rmSync(pod, { recursive: true })
  writeFileSync(pod, '')
  t.true(await isRecordGone(root, volume))
})

test('where kubelet has no folder at all, nothing is known to be gone', async (t) => {
  const { root, volume } = recorded(t)
  rmSync(join(root, 'pods'), { recursive: true })
  t.false(await isRecordGone(root, volume))
})

test('what cannot be looked at is not known to be gone', async (t) => {
  const { root, volume } = recorded(t)
  const pod = join(root, 'pods', POD_UID)
  rmSync(pod, { recursive: true })
  // A link in a circle fails for root as well.
  symlinkSync(pod, pod)
  t.false(await isRecordGone(root, volume))
})

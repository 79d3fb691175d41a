import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { VolumeFile } from '../../../src/core/types.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import { TmpfsStore } from '../../../src/host/volume/tmpfs-store.ts'
import type { Volume } from '../../../src/host/volume/volume-store.ts'
import { probeKernel } from '../../../src/syscalls/kernel-features.ts'
import { runTimed } from '../c/program.ts'
import { interleave } from '../figures/interleave.ts'
import { median } from '../figures/spread.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const FILES = 4
const FILE_BYTES = 1024
const MAX_VOLUME_BYTES = 4 * 1024 * 1024

export const volumeWork: Row<SealedWorld> = {
  name: 'volume-work',
  title: 'Volume work: build, populate (4 x 1 KiB), attach, swap, wipe',
  compares:
    'Our volume store in one process, against a C program that makes the same system calls in the same order.',
  needs: ['root', 'compiler'],
  async measure(world) {
    const program = await world.compile('volumes')
    const batch = world.scale(200, 40)
    const ours = openVolumes(join(world.folder, 'ours'), batch)
    const theirs = join(world.folder, 'theirs')
    mkdirSync(theirs)
    // The first batches are compiled as they run.
    for (let n = 0; n < 3; n += 1) ours()
    const seen = await interleave(world.scale(11, 5), {
      ours: () => Promise.resolve(perSecond(batch, ours())),
      theirs: () =>
        Promise.resolve(
          perSecond(batch, runTimed(program, ['cycle', theirs, batch, FILES, FILE_BYTES])),
        ),
    })
    return [
      {
        name: 'volumes a second',
        unit: '',
        ours: median(seen.ours),
        theirs: median(seen.theirs),
        goal: { of: 'ratio', is: 'at least', bound: 0.7 },
      },
    ]
  },
}

/** Answers what takes all of them through their lives, one after the other, and how many milliseconds it took. */
function openVolumes(kubeletRoot: string, count: number): () => number {
  const store = new TmpfsStore({
    kubeletRoot,
    features: probeKernel(),
    allowSwap: true,
    maxVolumeBytes: MAX_VOLUME_BYTES,
    now: () => new Date(),
  })
  const volumes = Array.from({ length: count }, (_, index) => volumeOf(kubeletRoot, index))
  const [first, second] = [filesOf('x'), filesOf('y')]
  return () => {
    const begunMs = performance.now()
    for (const volume of volumes) {
      store.create(volume, first)
      store.swap(volume, second)
      store.remove(volume)
    }
    return performance.now() - begunMs
  }
}

function volumeOf(kubeletRoot: string, index: number): Volume {
  const uid = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
  const targetPath = `${kubeletRoot}/pods/${uid}/volumes/kubernetes.io~csi/db/mount`
  mkdirSync(dirname(targetPath), { recursive: true, mode: 0o750 })
  return { volumeId: volumeIdOf(uid, 'db'), targetPath, fsGroup: undefined }
}

function filesOf(letter: string): readonly VolumeFile[] {
  return Array.from({ length: FILES }, (_, index) => ({
    path: `file-${index}`,
    data: new SecretBytes(Buffer.alloc(FILE_BYTES, letter)),
    mode: 0o644,
    ownerUid: 0,
  }))
}

function perSecond(count: number, ms: number): number {
  return (count * 1000) / ms
}

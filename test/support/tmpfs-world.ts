import { closeSync, openSync } from 'node:fs'
import type { ExecutionContext } from 'ava'
import type { VolumeFile } from '../../src/core/types.ts'
import { readMounts, type Mount } from '../../src/host/volume/mountinfo.ts'
import { TmpfsStore } from '../../src/host/volume/tmpfs-store.ts'
import type { Volume } from '../../src/host/volume/volume-store.ts'
import { probeKernel } from '../../src/syscalls/kernel-features.ts'
import { attach, createDetachedTmpfs, unmountLazily } from '../../src/syscalls/mount-api.ts'
import { tempDir } from './temp-dir.ts'
import { fileOf, volumeAt } from './volumes.ts'

const MIB = 1024 * 1024

export interface TmpfsWorld {
  readonly kubeletRoot: string
  readonly store: TmpfsStore
  /** The volume `db` of the usual pod, its parent made. */
  readonly volume: Volume
  /** The store of a process that has just started, by default over the same folder. */
  readonly open: (kubeletRoot?: string) => TmpfsStore
}

/** A kubelet's folder and a store over it; for tests of test/support/mount-namespace.ts. */
export function tmpfsWorld(t: ExecutionContext, maxVolumeBytes = 4 * MIB): TmpfsWorld {
  const kubeletRoot = tempDir(t)
  const features = probeKernel()
  const open = (root = kubeletRoot): TmpfsStore =>
    new TmpfsStore({
      kubeletRoot: root,
      features,
      allowSwap: true,
      maxVolumeBytes,
      now: () => new Date(),
    })
  t.teardown(() => {
    for (const mount of mountsBelow(kubeletRoot).toReversed()) unmountLazily(mount.mountPoint)
  })
  return { kubeletRoot, store: open(), volume: volumeAt(kubeletRoot), open }
}

/** In the order in which they were mounted. */
export function mountsBelow(folder: string): readonly Mount[] {
  return readMounts().filter(({ mountPoint }) => mountPoint.startsWith(`${folder}/`))
}

/** Mounts a tmpfs on a folder, upon whatever is mounted there. */
export function mountTmpfs(folder: string, source: string): void {
  const mount = createDetachedTmpfs({ source })
  const fd = openSync(folder, 'r')
  attach(mount, fd)
  closeSync(mount)
  closeSync(fd)
}

export function firstFiles(): VolumeFile[] {
  return [fileOf('password', 'one'), fileOf('username', 'me')]
}

export function secondFiles(): VolumeFile[] {
  return [fileOf('password', 'two'), fileOf('username', 'me')]
}

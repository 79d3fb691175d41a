import { closeSync } from 'node:fs'
import { release } from 'node:os'
import { LatchkeyError } from '../core/errors.ts'
import { isSyscallError } from './libc.ts'
import { createDetachedTmpfs, makeReadOnly } from './mount-api.ts'

export interface KernelFeatures {
  /** tmpfs pages never go to swap (Linux 6.4, backported by some). */
  readonly noswap: boolean
}

/**
 * Tries out, on file systems that are attached nowhere, what volumes need.
 *
 * Throws: Unsupported, saying what is missing.
 */
export function probeKernel(): KernelFeatures {
  probeMountApi()
  return { noswap: probeNoswap() }
}

/**
 * Refuses a new volume whose pages could reach a disk. Not a matter of the start: a host side that does
 * not run cannot take away the volumes that are there.
 *
 * `swaps`: the text of /proc/swaps. Throws: Unsupported, saying what to do.
 */
export function refuseSwap(features: KernelFeatures, swaps: string): void {
  if (features.noswap || !isSwapOn(swaps)) return
  throw new LatchkeyError(
    'Unsupported',
    `kernel ${release()} has no noswap for tmpfs and swap is on: switch swap off on this node, ` +
      'or set volumes.allowSwap to accept that secrets may reach the disk',
  )
}

function probeMountApi(): void {
  try {
    const fd = createDetachedTmpfs({ size: '4096' })
    try {
      makeReadOnly(fd)
    } finally {
      closeSync(fd)
    }
  } catch (thrown) {
    const why = isSyscallError(thrown, 'ENOSYS')
      ? `kernel ${release()} is too old: Linux 5.12 or newer is needed (mount_setattr)`
      : isSyscallError(thrown, 'EPERM', 'EACCES')
        ? 'this process may not mount: the host side needs root and a privileged container'
        : 'tmpfs cannot be mounted on this machine'
    throw new LatchkeyError('Unsupported', why, { cause: thrown })
  }
}

function probeNoswap(): boolean {
  try {
    closeSync(createDetachedTmpfs({ size: '4096', noswap: true }))
    return true
  } catch {
    // EINVAL: the kernel does not know it, or not inside a user namespace.
    return false
  }
}

/** /proc/swaps has one line of headings, then one per device. */
function isSwapOn(swaps: string): boolean {
  return swaps.trim().split('\n').length > 1
}

import { closeSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { LatchkeyError } from '../core/errors.ts'
import { isSyscallError } from './libc.ts'
import { createDetachedTmpfs, makeReadOnly } from './mount-api.ts'

export interface KernelFeatures {
  /** tmpfs pages never go to swap (Linux 6.4, backported by some). */
  readonly noswap: boolean
}

export interface FeatureOptions {
  /** Go on although secrets could be swapped out. */
  readonly allowSwap: boolean
  /** Text of /proc/swaps; a test gives its own. */
  readonly swaps?: string
}

/**
 * Tries out, on file systems that are attached nowhere, what volumes need.
 *
 * Throws: Unsupported, saying what is missing and what to do.
 */
export function probeKernel({ allowSwap, swaps }: FeatureOptions): KernelFeatures {
  probeMountApi()
  const noswap = probeNoswap()
  if (!noswap && !allowSwap && isSwapOn(swaps ?? readFileSync('/proc/swaps', 'utf8'))) {
    throw new LatchkeyError(
      'Unsupported',
      `kernel ${release()} has no noswap for tmpfs and swap is on: switch swap off, ` +
        'or set volumes.allowSwap to accept that secrets may reach the disk',
    )
  }
  return { noswap }
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

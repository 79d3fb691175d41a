import { LatchkeyError } from '../../core/errors.ts'

/**
 * Runs what touches a volume; whatever fails becomes VolumeIo, by the names of step and errno alone:
 * a path or a text of the file system says nothing more to the pod's owner.
 */
export function volumeIo<T>(step: string, leftMounted: boolean, work: () => T): T {
  try {
    return work()
  } catch (thrown) {
    if (thrown instanceof LatchkeyError && thrown.reason !== 'Internal') throw thrown
    throw new LatchkeyError('VolumeIo', `${step} failed${codeOf(thrown)}`, {
      cause: thrown,
      leftMounted,
    })
  }
}

export function hasCode(thrown: unknown, ...codes: readonly string[]): boolean {
  return (
    thrown instanceof Error &&
    'code' in thrown &&
    typeof thrown.code === 'string' &&
    codes.includes(thrown.code)
  )
}

function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error) || !('code' in thrown) || typeof thrown.code !== 'string')
    return ''
  return thrown.code === 'ENOSPC' ? ': ENOSPC, the volume is full' : `: ${thrown.code}`
}

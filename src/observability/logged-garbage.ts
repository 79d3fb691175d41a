import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { GarbageRelease } from '../core/garbage-release.ts'
import type { Logger } from './log.ts'

interface Parts {
  readonly clock: Clock
  readonly log: Logger
  /** Left out, as by tests that share a process: nothing is released. */
  readonly releaseGarbage?: (() => Promise<void>) | undefined
}

/** As either side has it: what goes wrong is no more than a line of the log. */
export function createGarbageRelease({ clock, log, releaseGarbage }: Parts): GarbageRelease {
  return new GarbageRelease({
    clock,
    release: releaseGarbage ?? (() => Promise.resolve()),
    onError: (err) => {
      log.warn({ err: LatchkeyError.from(err) }, 'garbage was not released')
    },
  })
}

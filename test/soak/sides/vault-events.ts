import { Caller } from '../../../src/daemon/sources/vault/caller.ts'
import type { CrashPoints } from './crash-points.ts'

const SCOPE = 'vault'

type Run = Caller['run']

/** Makes every call to a Vault an event: before it goes out, and when its answer is there. */
export function watchVault(points: CrashPoints): void {
  const prototype = Caller.prototype as { run: Run }
  // Called on the caller at hand below.

  const { run } = prototype
  prototype.run = async function (this: Caller, call, signal) {
    points.meet(call.operation, SCOPE)
    const answer = await run.call(this, call, signal)
    points.meet(`${call.operation} answered`, SCOPE)
    return answer as never
  }
}

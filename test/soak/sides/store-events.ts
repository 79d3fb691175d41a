import { TmpfsStore } from '../../../src/host/volume/tmpfs-store.ts'
import type { CrashPoints } from './crash-points.ts'

/** The host side's works on a volume, and what each is called here. */
const SCOPES = {
  create: 'publish',
  swap: 'swap',
  prune: 'prune',
  remove: 'unpublish',
  list: 'adopt',
  digest: 'adopt',
} as const

type Work = (this: TmpfsStore, ...args: unknown[]) => unknown

/** Gives every change that the store makes the scope of what it is made for. */
export function watchStore(points: CrashPoints): void {
  const prototype = TmpfsStore.prototype as unknown as Record<keyof typeof SCOPES, Work>
  for (const [method, scope] of Object.entries(SCOPES) as [keyof typeof SCOPES, string][]) {
    const original = prototype[method]
    prototype[method] = function (...args) {
      return points.within(scope, () => {
        points.meet(method)
        return original.apply(this, args)
      })
    }
  }
}

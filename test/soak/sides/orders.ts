import { flushCompileCache } from 'node:module'
import type { CrashPlan, CrashPoints } from './crash-points.ts'

/** What the parent tells a side. */
export type Order =
  | { readonly kind: 'start'; readonly configFile: string; readonly plan: CrashPlan | undefined }
  | { readonly kind: 'arm'; readonly plan: CrashPlan }
  | { readonly kind: 'disarm' }
  | { readonly kind: 'seen' }

/** What a side answers, in the order of the orders; `loaded` comes unasked. */
export type Reply =
  | { readonly kind: 'loaded' }
  /** `adopted`: volumes that the host side found mounted. */
  | { readonly kind: 'started'; readonly adopted: number }
  | { readonly kind: 'armed' }
  | { readonly kind: 'disarmed'; readonly hasHit: boolean }
  | { readonly kind: 'seen'; readonly seen: Readonly<Record<string, number>> }

/** Runs one side at the parent's word, and not a moment longer than the parent lives. */
export function obey(points: CrashPoints, start: (configFile: string) => Promise<number>): void {
  const follow = async (order: Order): Promise<Reply> => {
    switch (order.kind) {
      case 'start': {
        points.arm(order.plan)
        const adopted = await start(order.configFile)
        points.enter('run')
        return { kind: 'started', adopted }
      }
      case 'arm':
        points.arm(order.plan)
        return { kind: 'armed' }
      case 'disarm':
        return { kind: 'disarmed', hasHit: points.disarm() }
      case 'seen':
        return { kind: 'seen', seen: points.seen }
    }
  }
  process.on('disconnect', () => process.exit(0))
  process.on('message', (order: Order) => {
    // A side that cannot start ends as it would in production: at once, saying why.
    void follow(order).then(reply)
  })
  // Killed processes never write what they compiled; the next ones start in half the time with it.
  flushCompileCache()
  reply({ kind: 'loaded' })
}

function reply(message: Reply): void {
  process.send?.(message)
}

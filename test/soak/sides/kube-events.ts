import type { KubeClient } from '../../../src/daemon/kube/kube-client.ts'
import type { CrashPoints } from './crash-points.ts'

const SCOPE = 'kube'

/** The same client, with an event before and after every call, and for every word of a watch. */
export function watchKube<T extends KubeClient>(kube: T, points: CrashPoints): T {
  const around = async <T>(name: string, call: Promise<T>): Promise<T> => {
    points.meet(name, SCOPE)
    const answer = await call
    points.meet(`${name} answered`, SCOPE)
    return answer
  }
  return {
    ...kube,
    reviewToken: (...args) => around('review', kube.reviewToken(...args)),
    readSecret: (...args) => around('read', kube.readSecret(...args)),
    async *watchSecret(...args) {
      points.meet('watch', SCOPE)
      for await (const event of kube.watchSecret(...args)) {
        points.meet(`watch said ${event.type}`, SCOPE)
        yield event
      }
    },
  }
}

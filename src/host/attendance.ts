import type { PodState__Output } from '../wire/gen/latchkey/mount/v1/PodState.ts'

/** Whether kubelet still comes by for a volume, and what the daemon says of its pod while it does not. */
export class Attendance {
  #visits = 0
  #isAsked = false
  #isPodGone = false
  #unreadable: string | undefined

  /** Counts up with every publish and republish: the same number twice, and nobody came in between. */
  get visits(): number {
    return this.#visits
  }

  /** The daemon's last word on the pod since kubelet was last here. */
  get isPodGone(): boolean {
    return this.#isPodGone
  }

  /** Whatever was said before is overtaken: kubelet publishes only for pods that it runs. */
  noteVisit(): void {
    this.#visits += 1
    this.#isAsked = false
    this.#isPodGone = false
    this.#unreadable = undefined
  }

  /** A visit that cannot be read, and why. Answers whether that is news: kubelet comes every minute. */
  noteUnreadableVisit(why: string): boolean {
    const isNews = this.#unreadable !== why
    this.noteVisit()
    this.#unreadable = why
    return isNews
  }

  noteQuestion(): void {
    this.#isAsked = true
  }

  /** An answer to a question from before kubelet's last visit is none. POD_UNKNOWN leaves things as they are. */
  hear(verdict: PodState__Output): void {
    if (!this.#isAsked) return
    if (verdict === 'POD_GONE') this.#isPodGone = true
    if (verdict === 'POD_ALIVE') this.#isPodGone = false
  }
}

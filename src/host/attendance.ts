import type { PodState__Output } from '../wire/gen/latchkey/mount/v1/PodState.ts'

/** The API server also says in passing, while it is in trouble itself, that a living pod's token is no longer good. */
const CERTAIN_ANSWERS = 3
/** So many questions in a row without that word, and what was said before is doubted. */
const MAX_SILENT_QUESTIONS = 2

/** Whether kubelet still comes by for a volume, and what the daemon says of its pod while it does not. */
export class Attendance {
  #visits = 0
  #isAsked = false
  #goneAnswers = 0
  #silentQuestions = 0
  #unreadable: string | undefined

  /** Counts up with every publish and republish: the same number twice, and nobody came in between. */
  get visits(): number {
    return this.#visits
  }

  /** The daemon says that the pod is gone, since kubelet was last here. */
  get isPodGone(): boolean {
    return this.#goneAnswers > 0
  }

  /** How often it still has to say so until that counts; 0: often enough. */
  get answersMissing(): number {
    return Math.max(CERTAIN_ANSWERS - this.#goneAnswers, 0)
  }

  /** Whatever was said before is overtaken: kubelet publishes only for pods that it runs. */
  noteVisit(): void {
    this.#visits += 1
    this.#isAsked = false
    this.#goneAnswers = 0
    this.#silentQuestions = 0
    this.#unreadable = undefined
  }

  /** A visit that cannot be read, and why. Answers whether that is news: kubelet comes every minute. */
  noteUnreadableVisit(why: string): boolean {
    const isNews = this.#unreadable !== why
    this.noteVisit()
    this.#unreadable = why
    return isNews
  }

  /**
   * Asked, or nobody is there to be asked. Too few answers do not stand for long by themselves. What was said often
   * enough does: once the pod's token has expired, nobody can say it again.
   */
  noteQuestion(): void {
    if (this.#silentQuestions >= MAX_SILENT_QUESTIONS && this.answersMissing > 0) {
      this.#goneAnswers = 0
    }
    this.#isAsked = true
    this.#silentQuestions += 1
  }

  /**
   * An answer to a question from before kubelet's last visit is none, and late answers that come together count
   * as one. POD_UNKNOWN is not counted.
   */
  hear(verdict: PodState__Output): void {
    if (verdict === 'POD_ALIVE') this.#goneAnswers = 0
    if (!this.#isAsked || verdict === 'POD_UNKNOWN') return
    if (verdict === 'POD_GONE') this.#goneAnswers += 1
    this.#isAsked = false
    this.#silentQuestions = 0
  }
}

import type { Clock } from '../../../core/clock.ts'
import { LatchkeyError } from '../../../core/errors.ts'
import { SecretBytes } from '../../../core/secret-bytes.ts'

/** A pod's own token for the source's audience. */
export interface PodToken {
  readonly token: SecretBytes
  readonly expiresAtMs: number
}

/** The pods' tokens that a session may log in with: one per holder, each the newest that it brought. */
export class OfferedTokens {
  readonly #clock: Clock
  readonly #offered = new Map<object, PodToken>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Keeps a copy. */
  offer(holder: object, { token, expiresAtMs }: PodToken): void {
    this.withdraw(holder)
    this.#offered.set(holder, { token: token.use((own) => SecretBytes.copyOf(own)), expiresAtMs })
  }

  withdraw(holder: object): void {
    this.#offered.get(holder)?.token.wipe()
    this.#offered.delete(holder)
  }

  /**
   * The two that live longest, of different pods' volumes: the newest may be of a pod that is gone by now.
   * Throws: TokenMissing where none is good any more.
   */
  best(): readonly PodToken[] {
    const nowMs = this.#clock.now()
    const good = [...this.#offered.values()]
      .filter(({ expiresAtMs }) => expiresAtMs > nowMs)
      .toSorted((a, b) => b.expiresAtMs - a.expiresAtMs)
    const [newest] = good
    if (newest === undefined) {
      throw new LatchkeyError(
        'TokenMissing',
        "every token of the pod's has expired; kubelet brings a new one within minutes",
      )
    }
    const other = good.find(({ token }) => !token.equals(newest.token))
    return other === undefined ? [newest] : [newest, other]
  }

  wipe(): void {
    for (const holder of [...this.#offered.keys()]) this.withdraw(holder)
  }
}

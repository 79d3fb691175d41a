import { SecretBytes } from '../../../core/secret-bytes.ts'
import { keepAlive } from './renewal.ts'
import type { SharedSessionOptions } from './session-options.ts'
import type { SessionShelf } from './session-shelf.ts'
import type { Farewell } from './sessions.ts'
import type { Session } from './vault-api.ts'

/** Beyond, they are left to end by themselves. */
const MAX_ENDING = 8

/**
 * Sessions under which something may be leased that nobody knows of. No call is made with them any more. As long as
 * somebody sees what is leased under them they are kept alive, and then they end; until the other side has acknowledged
 * that, the shelf keeps their tokens.
 */
export class DoubtedSessions {
  readonly #shelf: SessionShelf
  readonly #options: SharedSessionOptions
  readonly #ending = new Map<Session, Promise<Farewell>>()
  readonly #keeping = new Map<Session, AbortController>()

  constructor(shelf: SessionShelf, options: SharedSessionOptions) {
    this.#shelf = shelf
    this.#options = options
  }

  /** Takes over one from before a restart. `isShown`: somebody may still see what is leased under it. */
  resume(token: SecretBytes, isShown: boolean): void {
    const session = this.#shelf.resumeDoubted(token)
    if (session === undefined) return
    if (isShown) this.#keep(session)
    else this.#endSoon(session)
  }

  /** The current one is used no longer. Reports whether there was one. */
  add(isShown: boolean): boolean {
    // What somebody still sees was leased under the one before, then, for nothing was shown since.
    const isFirst = this.#shelf.doubted.every((one) => this.#ending.has(one))
    const session = this.#shelf.doubt()
    if (session === undefined) return false
    if (isShown && isFirst) this.#keep(session)
    else this.#endSoon(session)
    return true
  }

  /** Reports false where there is none, or so many are being ended that the other side hears nothing. */
  endCurrent(): boolean {
    return this.#ending.size < MAX_ENDING && this.add(false)
  }

  endAll(): void {
    for (const session of this.#shelf.doubted) this.#endSoon(session)
  }

  /** Keeps none of them alive any longer; what is being ended still is. */
  leave(): void {
    for (const session of [...this.#keeping.keys()]) this.#letGo(session)
  }

  /** To be written down, for what may have to be ended after a restart. */
  get tokens(): readonly SecretBytes[] {
    return this.#shelf.doubted.map(({ token }) => token)
  }

  get ending(): readonly Promise<Farewell>[] {
    return [...this.#ending.values()]
  }

  isEnding(session: Session): boolean {
    return this.#ending.has(session)
  }

  /** Whoever waits for the next contents may wait for long: a volume of which a secret was deleted. */
  #keep(session: Session): void {
    const over = new AbortController()
    this.#keeping.set(session, over)
    const signal = AbortSignal.any([over.signal, this.#options.closing])
    void keepAlive(session, this.#options, signal)
  }

  #letGo(session: Session): void {
    this.#keeping.get(session)?.abort()
    this.#keeping.delete(session)
  }

  #endSoon(session: Session): void {
    if (this.#ending.has(session)) return
    this.#letGo(session)
    // The shelf has it until then, so that a bookmark does.
    const { token } = session
    const own = { ...session, token: token.use((bytes) => SecretBytes.copyOf(bytes)) }
    const ended = this.#options.end(own).finally(() => {
      this.#ending.delete(session)
      this.#shelf.takeOff(session)
      token.wipe()
    })
    this.#ending.set(session, ended)
  }
}

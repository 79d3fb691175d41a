import { SecretBytes } from '../../../core/secret-bytes.ts'
import type { SessionShelf } from './session-shelf.ts'
import type { Farewell } from './sessions.ts'
import type { Session } from './vault-api.ts'

/**
 * Sessions under which something may be leased that nobody knows of. They are used no longer, and end as soon as
 * nobody sees what is leased under them; until the other side has acknowledged that, the shelf keeps their tokens.
 */
export class DoubtedSessions {
  readonly #shelf: SessionShelf
  readonly #end: (session: Session) => Promise<Farewell>
  readonly #ending = new Map<Session, Promise<Farewell>>()

  /** `end`: at the other side; wipes the token it is given, and never rejects. */
  constructor(shelf: SessionShelf, end: (session: Session) => Promise<Farewell>) {
    this.#shelf = shelf
    this.#end = end
  }

  /** Takes over one from before a restart. `isShown`: somebody may still see what is leased under it. */
  resume(token: SecretBytes, isShown: boolean): void {
    const session = this.#shelf.resumeDoubted(token)
    if (session !== undefined && !isShown) this.#endSoon(session)
  }

  /** The current one is used no longer. Reports whether there was one. */
  add(isShown: boolean): boolean {
    // What somebody still sees was leased under the one before, then, for nothing was shown since.
    const isFirst = this.#shelf.doubted.every((one) => this.#ending.has(one))
    const session = this.#shelf.doubt()
    if (session !== undefined && !(isShown && isFirst)) this.#endSoon(session)
    return session !== undefined
  }

  endAll(): void {
    for (const session of this.#shelf.doubted) this.#endSoon(session)
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

  #endSoon(session: Session): void {
    if (this.#ending.has(session)) return
    // The shelf has it until then, so that a bookmark does.
    const { token } = session
    const own = { ...session, token: token.use((bytes) => SecretBytes.copyOf(bytes)) }
    const ended = this.#end(own).finally(() => {
      this.#ending.delete(session)
      this.#shelf.takeOff(session)
      token.wipe()
    })
    this.#ending.set(session, ended)
  }
}

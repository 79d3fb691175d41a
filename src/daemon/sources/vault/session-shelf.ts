import type { SecretBytes } from '../../../core/secret-bytes.ts'
import type { Session } from './vault-api.ts'

/** A session as it is lent to whoever calls with it. */
export interface LiveSession extends Session {
  /** Tells one login from the next. */
  readonly generation: number
  /** Infinity for one that ends never. */
  readonly expiresAtMs: number
}

export interface CurrentSession extends LiveSession {
  /** At its beginning; a renewal that gives less meets the longest life that Vault allows. */
  readonly lifeMs: number
  readonly renewable: boolean
}

/** Of older logins whose leases still live; each ends by itself soon. */
const MAX_RETIRED = 8

/** Every token of one shared session that may still live: what has to be ended with it. */
export class SessionShelf {
  /** What calls are made with. */
  current: CurrentSession | undefined
  readonly #role: string
  /** Something may be leased under them that nobody knows of. */
  #doubted: Session[] = []
  /** Older logins. What was leased under them is still in use. */
  #retired: Session[] = []
  /** From before a restart; nobody has looked yet whether they still live. */
  #resumable: Session[] = []

  constructor(role: string) {
    this.#role = role
  }

  /** Takes over a token from before a restart. */
  resume(token: SecretBytes): void {
    if (this.#all().some((one) => one.token.equals(token))) {
      token.wipe()
      return
    }
    const session = { token, role: this.#role }
    if (this.current === undefined) this.#resumable.push(session)
    else this.retire(session)
  }

  get doubted(): readonly Session[] {
    return this.#doubted
  }

  /** Takes over one from before a restart that is not to be used any more. Answers undefined where it is known. */
  resumeDoubted(token: SecretBytes): Session | undefined {
    if (this.#all().some((one) => one.token.equals(token))) {
      token.wipe()
      return undefined
    }
    const session = { token, role: this.#role }
    this.#doubted.push(session)
    return session
  }

  /** What calls were made with is used no longer, and to be ended. Answers undefined where there is none. */
  doubt(): CurrentSession | undefined {
    const { current } = this
    if (current !== undefined) this.#doubted.push(current)
    this.current = undefined
    return current
  }

  get nextResumable(): Session | undefined {
    return this.#resumable[0]
  }

  /** It has been looked at: it lives and is in use, or it has ended. */
  takeOff(session: Session): void {
    this.#resumable = this.#resumable.filter((one) => one !== session)
    this.#doubted = this.#doubted.filter((one) => one !== session)
  }

  retire(session: Session): void {
    this.#retired.push(session)
    if (this.#retired.length > MAX_RETIRED) this.#retired.shift()?.token.wipe()
  }

  /** One that takes the place of all that were before. */
  put(session: CurrentSession): void {
    if (this.current !== undefined) this.retire(this.current)
    for (const other of this.#resumable.splice(0)) this.retire(other)
    this.current = session
  }

  /** Everything that may live, the newest first; it is the caller's from now on. */
  clear(): readonly Session[] {
    const all = this.#all()
    this.current = undefined
    this.#retired = []
    this.#resumable = []
    this.#doubted = []
    return all
  }

  #all(): readonly Session[] {
    const before = [...this.#resumable, ...this.#retired.toReversed(), ...this.#doubted]
    return this.current === undefined ? before : [this.current, ...before]
  }
}

import type { ServerResponse } from 'node:http'
import type { Clock } from '../core/clock.ts'
import { JSON_TYPE } from './media-type.ts'
import type { SecretChange, SecretStore } from './secret-store.ts'
import type { WatchEvents } from './watch-events.ts'

export interface WatchPlan {
  readonly namespace: string
  /** undefined: every Secret of the namespace. */
  readonly name: string | undefined
  /** undefined: begin with what is there. */
  readonly sinceRevision: number | undefined
  /** A bookmark that says where the objects of the beginning end. */
  readonly marksBeginning: boolean
  readonly wantsBookmarks: boolean
  readonly lifetimeMs: number
  readonly events: WatchEvents
}

const BOOKMARK_MS = 60_000
// A reader that does not read is cut off, as a real API server does.
const MAX_UNSENT_BYTES = 4 * 1024 * 1024

/** One watch, from its first line to its end. */
export class Watch {
  readonly #plan: WatchPlan
  readonly #store: SecretStore
  readonly #clock: Clock
  readonly #response: ServerResponse
  readonly #release: (() => void)[] = []

  constructor(plan: WatchPlan, store: SecretStore, clock: Clock, response: ServerResponse) {
    this.#plan = plan
    this.#store = store
    this.#clock = clock
    this.#response = response
  }

  start(): void {
    const response = this.#response
    const plan = this.#plan
    response.once('close', () => {
      this.#letGo()
    })
    response.writeHead(200, { 'content-type': JSON_TYPE, 'cache-control': 'no-cache, private' })
    // Headers reach the client before the first event does, however long that takes.
    response.flushHeaders()
    if (!this.#sayBeginning()) {
      this.end()
      return
    }
    this.#release.push(
      this.#store.subscribe((change) => {
        this.#say(change)
      }),
      this.#clock.after(plan.lifetimeMs, () => {
        this.end()
      }),
    )
    if (plan.wantsBookmarks) this.#bookmarkLater()
  }

  /** Ends it in good order: a client opens the next. */
  end(): void {
    this.#letGo()
    this.#response.end()
  }

  /** Says what the reader has missed; false where that is forgotten. */
  #sayBeginning(): boolean {
    const { sinceRevision, events, marksBeginning } = this.#plan
    if (sinceRevision === undefined) {
      const { namespace, name } = this.#plan
      for (const secret of this.#store.list(namespace, name)) this.#say({ type: 'ADDED', secret })
    } else {
      const changes = this.#store.changesSince(sinceRevision)
      if (changes === undefined) {
        this.#response.write(events.expired(sinceRevision, this.#store.oldestRevision))
        return false
      }
      for (const change of changes) this.#say(change)
    }
    if (marksBeginning) this.#response.write(events.bookmark(this.#store.revision, true))
    return true
  }

  #say(change: SecretChange): void {
    const { namespace, name, events, sinceRevision = 0 } = this.#plan
    const { secret } = change
    if (secret.namespace !== namespace || (name !== undefined && secret.name !== name)) return
    // A version from the future is waited for in silence.
    if (secret.resourceVersion <= sinceRevision) return
    this.#response.write(events.change(change, this.#clock.now()))
    if (this.#response.writableLength > MAX_UNSENT_BYTES) this.#response.destroy()
  }

  #bookmarkLater(): void {
    const cancel = this.#clock.after(BOOKMARK_MS, () => {
      this.#response.write(this.#plan.events.bookmark(this.#store.revision, false))
      this.#release.splice(this.#release.indexOf(cancel), 1)
      this.#bookmarkLater()
    })
    this.#release.push(cancel)
  }

  #letGo(): void {
    for (const release of this.#release.splice(0)) release()
  }
}

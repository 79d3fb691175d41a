import { waitFor } from '../../../core/deadline.ts'

/** An engine and where it is mounted. */
export interface Mount {
  /** Ends in "/". */
  readonly path: string
  /** Vault's word: kv, pki, database ... */
  readonly type: string
  /** Of a KV engine. */
  readonly version: string | undefined
}

/** Answers undefined where the session may not know. */
export type AskMount = (path: string, signal: AbortSignal) => Promise<Mount | undefined>

const MAX_KNOWN = 64

/**
 * What one session has learnt about the engines it reads from. Vault tells a session only of engines in
 * which it may do something, so this is kept per session; it is asked once per engine, however many read
 * from it at the same time.
 */
export class Mounts {
  readonly #ask: AskMount
  readonly #known = new Map<string, Mount>()
  /** Paths whose engine the session may not know. */
  readonly #hidden = new Set<string>()
  /** By the first part of the path, which one engine's paths share. */
  readonly #asking = new Map<string, Promise<unknown>>()

  constructor(ask: AskMount) {
    this.#ask = ask
  }

  /** Throws: what `ask` throws · the signal's reason. */
  async find(path: string, signal: AbortSignal): Promise<Mount | undefined> {
    const first = path.split('/', 1)[0] ?? ''
    for (;;) {
      const known = this.#covering(path)
      if (known !== undefined || this.#hidden.has(path)) return known
      const asking = this.#asking.get(first)
      if (asking === undefined) return this.#askFor(path, first, signal)
      await waitFor(asking, signal)
    }
  }

  /** What is known of a path may have changed: an engine can be replaced, or be given versions. */
  forget(path: string): void {
    const known = this.#covering(path)
    if (known !== undefined) this.#known.delete(known.path)
    this.#hidden.delete(path)
  }

  async #askFor(path: string, first: string, signal: AbortSignal): Promise<Mount | undefined> {
    const asked = this.#ask(path, signal)
    this.#asking.set(
      first,
      asked.catch(() => undefined),
    )
    try {
      const mount = await asked
      if (mount !== undefined && `${path}/`.startsWith(mount.path)) {
        if (this.#known.size >= MAX_KNOWN) this.#known.clear()
        this.#known.set(mount.path, mount)
        return mount
      }
      if (this.#hidden.size >= MAX_KNOWN) this.#hidden.clear()
      this.#hidden.add(path)
      return undefined
    } finally {
      this.#asking.delete(first)
    }
  }

  #covering(path: string): Mount | undefined {
    for (const mount of this.#known.values()) {
      if (`${path}/`.startsWith(mount.path)) return mount
    }
    return undefined
  }
}

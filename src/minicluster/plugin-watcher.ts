import { watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import type { Clock } from '../core/clock.ts'
import { sleep } from '../core/clock.ts'
import { loadRegistration } from '../wire/protos.ts'
import type { CsiClient } from './csi-client.ts'
import { highestVersion, refusalOf } from './plugin-validation.ts'
import { findSockets } from './plugin-sockets.ts'
import { registerPlugin } from './registration-client.ts'
import { RetryBackoff } from './retry-backoff.ts'
import type { RetryLimits } from './retry-backoff.ts'
import { formatFailure } from './rpc.ts'

export interface RegisteredDriver {
  readonly name: string
  /** Its csi.sock. */
  readonly endpoint: string
  readonly registrationPath: string
  readonly nodeId: string
  readonly version: string
}

/** One try to register what was found at a path; `error` undefined: it worked. */
export interface RegistrationAttempt {
  readonly registrationPath: string
  readonly error: string | undefined
  readonly atMs: number
}

export interface PluginWatcherParts {
  readonly folder: string
  readonly clock: Clock
  readonly csi: CsiClient
  readonly retry: RetryLimits
  readonly onChange: () => void
}

interface Entry {
  /** Which socket lies at the path; another at the same path is another plugin. */
  readonly identity: string
  readonly gone: AbortController
  driver: RegisteredDriver | undefined
}

const RESCAN_MS = 1_000
const NODE_GET_INFO_MS = 120_000
const NO_NODE_ID = 'RegisterPlugin error -- driver returned an empty node ID'
const MAX_ATTEMPTS_KEPT = 200

/**
 * Registers the drivers whose sockets appear in the registry folder, and forgets those that vanish.
 * There is no keep-alive: a driver that died and left its socket behind stays registered.
 */
export class PluginWatcher {
  readonly #parts: PluginWatcherParts
  readonly #registration = loadRegistration()
  readonly #entries = new Map<string, Entry>()
  // By path, so that a plugin that fails over and over waits longer even if it makes its socket anew.
  readonly #backoffs = new Map<string, RetryBackoff>()
  readonly #attempts: RegistrationAttempt[] = []
  #isStopped = false
  #watcher: FSWatcher | undefined
  #cancelRescan: (() => void) | undefined
  #scan: Promise<void> | undefined
  #hasNews = false

  constructor(parts: PluginWatcherParts) {
    this.#parts = parts
  }

  /** The folder has to exist. */
  start(): void {
    const watcher = watch(this.#parts.folder, () => {
      this.#rescan()
    })
    // The folder itself may be removed under it; the rescan then finds nothing.
    watcher.on('error', () => undefined)
    this.#watcher = watcher
    this.#rescanRegularly()
  }

  stop(): void {
    this.#isStopped = true
    this.#watcher?.close()
    this.#cancelRescan?.()
    for (const [path, entry] of this.#entries) this.#forget(path, entry)
  }

  find(name: string): RegisteredDriver | undefined {
    return this.drivers.find((driver) => driver.name === name)
  }

  get drivers(): readonly RegisteredDriver[] {
    return [...this.#entries.values()].flatMap(({ driver }) =>
      driver === undefined ? [] : [driver],
    )
  }

  /** The latest, oldest first. */
  get attempts(): readonly RegistrationAttempt[] {
    return [...this.#attempts]
  }

  #rescanRegularly(): void {
    this.#rescan()
    this.#cancelRescan = this.#parts.clock.after(RESCAN_MS, () => {
      this.#rescanRegularly()
    })
  }

  #rescan(): void {
    this.#hasNews = true
    this.#scan ??= this.#reconcile().finally(() => {
      this.#scan = undefined
      if (this.#hasNews && !this.#isStopped) this.#rescan()
    })
  }

  async #reconcile(): Promise<void> {
    while (this.#hasNews) {
      this.#hasNews = false
      const found = await findSockets(this.#parts.folder)
      if (this.#isStopped) return
      for (const [path, entry] of this.#entries) {
        if (found.get(path) !== entry.identity) this.#forget(path, entry)
      }
      for (const [path, identity] of found) {
        if (this.#entries.has(path)) continue
        const entry: Entry = { identity, gone: new AbortController(), driver: undefined }
        this.#entries.set(path, entry)
        void this.#register(path, entry)
      }
    }
  }

  #forget(path: string, entry: Entry): void {
    this.#entries.delete(path)
    entry.gone.abort()
    if (entry.driver !== undefined) this.#parts.onChange()
  }

  async #register(path: string, entry: Entry): Promise<void> {
    const { clock, retry } = this.#parts
    const { signal } = entry.gone
    const backoff = this.#backoffs.get(path) ?? new RetryBackoff(retry)
    this.#backoffs.set(path, backoff)
    try {
      for (;;) {
        const waitMs = backoff.waitMs(clock.now())
        if (waitMs > 0) await sleep(clock, waitMs, signal)
        const error = await this.#tryOnce(path, entry)
        // What was told to a socket that has gone meanwhile is of no account.
        signal.throwIfAborted()
        this.#record({ registrationPath: path, error, atMs: clock.now() })
        if (error === undefined) break
        entry.driver = undefined
        backoff.fail(clock.now())
      }
      backoff.reset()
      this.#parts.onChange()
    } catch (thrown) {
      if (!signal.aborted) throw thrown
    }
  }

  #tryOnce(path: string, entry: Entry): Promise<string | undefined> {
    const { clock } = this.#parts
    const parts = {
      clock,
      registration: this.#registration,
      socketPath: path,
      signal: entry.gone.signal,
    }
    return registerPlugin(parts, async (info) => {
      const refusal = refusalOf(info, this.find(info.name)?.version)
      if (refusal !== undefined) return refusal
      const endpoint = info.endpoint === '' ? path : info.endpoint
      const call = { socketPath: endpoint, timeoutMs: NODE_GET_INFO_MS, signal: entry.gone.signal }
      const node = await this.#parts.csi.getInfo(call)
      if (node.failure !== undefined) {
        return `RegisterPlugin error -- plugin registration failed with err: ${formatFailure(node.failure)}`
      }
      if (node.value.nodeId === '') return NO_NODE_ID
      entry.driver = {
        name: info.name,
        endpoint,
        registrationPath: path,
        nodeId: node.value.nodeId,
        version: highestVersion(info) ?? '',
      }
      return undefined
    })
  }

  #record(attempt: RegistrationAttempt): void {
    this.#attempts.push(attempt)
    if (this.#attempts.length > MAX_ATTEMPTS_KEPT) this.#attempts.shift()
  }
}

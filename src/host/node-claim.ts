import { closeSync, constants, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { sleep, type Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { tryLock } from '../syscalls/file-lock.ts'

export interface ClaimOptions {
  /** The driver's own folder below kubelet's `plugins`, which all host processes of a node share. */
  readonly folder: string
  readonly clock: Clock
  /** Told once, when the claim is another process's. */
  readonly onWait: () => void
}

const CLAIM = 'host.lock'
/** Held by a process that waits for the claim and wants to have it. */
const REQUEST = 'host.next.lock'

const TRY_EVERY_MS = 20
/** A host side that stops in order needs less than a second, and one that hangs is killed after 30. */
const LEAVES_WITHIN_MS = 60_000
const LOOK_EVERY_MS = 1_000

/**
 * The right to touch the volumes of a node, which one process has at a time. During a rollout there are two
 * of them, and two that write into one tmpfs would take each other's generations away. Locks of the kernel hold
 * it, so it ends with the process that has it.
 */
export class NodeClaim {
  readonly #options: ClaimOptions
  readonly #fd: number
  readonly #released = new AbortController()
  /** Settles once another process asks for the claim; never, where nobody does. */
  readonly asked: Promise<void>

  private constructor(options: ClaimOptions, fd: number) {
    this.#options = options
    this.#fd = fd
    this.asked = this.#watch()
  }

  /**
   * Has whoever has the claim give it up, and takes it.
   *
   * Throws: OperationPending where it is not given up within a minute · the signal's reason.
   */
  static async demand(options: ClaimOptions, signal: AbortSignal): Promise<NodeClaim> {
    signal.throwIfAborted()
    const fd = openLock(options.folder, CLAIM)
    const request = openLock(options.folder, REQUEST)
    try {
      const untilMs = options.clock.now() + LEAVES_WITHIN_MS
      let hasAsked = false
      for (let isFirst = true; !tryLock(fd); isFirst = false) {
        if (isFirst) options.onWait()
        hasAsked ||= tryLock(request)
        if (options.clock.now() > untilMs) throw stillTaken(options.folder)
        await sleep(options.clock, TRY_EVERY_MS, signal)
      }
      return new NodeClaim(options, fd)
    } catch (thrown) {
      closeSync(fd)
      throw thrown
    } finally {
      closeSync(request)
    }
  }

  /**
   * Takes the claim once whoever has it has ended, and neither asks for it nor comes before anybody who does.
   *
   * Throws: the signal's reason.
   */
  static async inherit(options: ClaimOptions, signal: AbortSignal): Promise<NodeClaim> {
    signal.throwIfAborted()
    const fd = openLock(options.folder, CLAIM)
    try {
      while (isLocked(options.folder, REQUEST) || !tryLock(fd)) {
        await sleep(options.clock, LOOK_EVERY_MS, signal)
      }
      return new NodeClaim(options, fd)
    } catch (thrown) {
      closeSync(fd)
      throw thrown
    }
  }

  /** Only once nothing of this process can touch a volume any more. */
  release(): void {
    if (this.#released.signal.aborted) return
    this.#released.abort()
    closeSync(this.#fd)
  }

  async #watch(): Promise<void> {
    const { clock, folder } = this.#options
    for (;;) {
      await sleep(clock, LOOK_EVERY_MS, this.#released.signal).catch(() => undefined)
      if (this.#released.signal.aborted) return new Promise(() => undefined)
      if (isLocked(folder, REQUEST)) return
    }
  }
}

function openLock(folder: string, name: string): number {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants
  return openSync(join(folder, name), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600)
}

function isLocked(folder: string, name: string): boolean {
  const fd = openLock(folder, name)
  try {
    return !tryLock(fd)
  } finally {
    closeSync(fd)
  }
}

function stillTaken(folder: string): LatchkeyError {
  return new LatchkeyError(
    'OperationPending',
    `another host side of this node holds ${join(folder, CLAIM)} and does not leave: is there a second pod of it?`,
  )
}

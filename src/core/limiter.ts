import { LatchkeyError } from './errors.ts'
import { Shares } from './shares.ts'

interface Waiter {
  readonly enter: () => void
  readonly refuse: (why: LatchkeyError) => void
}

export interface LimiterOptions {
  /** Tenants take their slots as Shares has it: one alone never gets all, however long its work takes. */
  readonly sparesSlots?: boolean
}

/**
 * At most `slots` pieces of work at once, at most `maxWaiting` more in line. Who waits comes from a tenant,
 * such as a namespace: tenants take turns, each in its own order, and where the line is full it is the tenant
 * with most in it that loses its last. So a tenant that asks for everything at once keeps nobody else waiting
 * for longer than one turn of each.
 */
export class Limiter {
  readonly #slots: Shares
  readonly #sparesSlots: boolean
  readonly #maxWaiting: number
  readonly #what: string
  /** By tenant, none of them empty; the first is the next whose turn it is. */
  readonly #lines = new Map<string, Waiter[]>()
  #waiting = 0

  /** `what` names the work in the error, for example "publishes". */
  constructor(
    what: string,
    slots: number,
    maxWaiting: number,
    { sparesSlots = false }: LimiterOptions = {},
  ) {
    this.#what = what
    this.#slots = new Shares(slots)
    this.#sparesSlots = sparesSlots
    this.#maxWaiting = maxWaiting
  }

  /** Throws: Overloaded where the line is full · the signal's reason · whatever `work` throws. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>, tenant = ''): Promise<T> {
    const leave = await this.enter(signal, tenant)
    try {
      return await work()
    } finally {
      leave()
    }
  }

  /** Takes a slot; the answer gives it back, once. Throws: Overloaded · the signal's reason. */
  async enter(signal: AbortSignal, tenant = ''): Promise<() => void> {
    if (this.#mayRun(tenant)) this.#slots.add(tenant, 1)
    else await this.#queue(signal, tenant)
    let isIn = true
    return () => {
      if (!isIn) return
      isIn = false
      this.#slots.add(tenant, -1)
      // At once, so that no newcomer can slip in between.
      for (;;) {
        const next = this.#takeNext()
        if (next === undefined) return
        next.enter()
      }
    }
  }

  #mayRun(tenant: string): boolean {
    const { total, most } = this.#slots
    return this.#sparesSlots ? this.#slots.fits(tenant, 1) : total < most
  }

  #queue(signal: AbortSignal, tenant: string): Promise<void> {
    signal.throwIfAborted()
    if (this.#waiting >= this.#maxWaiting) this.#makeRoom(tenant)
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#remove(tenant, waiter)
        reject(signal.reason as Error)
      }
      const waiter: Waiter = {
        enter: () => {
          signal.removeEventListener('abort', leave)
          resolve()
        },
        refuse: (why) => {
          signal.removeEventListener('abort', leave)
          reject(why)
        },
      }
      const line = this.#lines.get(tenant) ?? []
      line.push(waiter)
      this.#lines.set(tenant, line)
      this.#waiting += 1
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  /** The slot is the waiter's already. */
  #takeNext(): Waiter | undefined {
    for (const [tenant, line] of this.#lines) {
      if (!this.#mayRun(tenant)) continue
      const next = line.shift()
      this.#waiting -= 1
      this.#slots.add(tenant, 1)
      // To the end of the round.
      this.#lines.delete(tenant)
      if (line.length > 0) this.#lines.set(tenant, line)
      return next
    }
    return undefined
  }

  /** Throws: Overloaded where no other tenant has more waiting than this one would have. */
  #makeRoom(tenant: string): void {
    const overloaded = new LatchkeyError('Overloaded', `too many ${this.#what} at once`)
    const own = (this.#lines.get(tenant)?.length ?? 0) + 1
    const [longest, line] = [...this.#lines].reduce(
      (most, one) => (one[1].length > most[1].length ? one : most),
      [tenant, []],
    )
    const last = line.at(-1)
    if (last === undefined || line.length <= own) throw overloaded
    this.#remove(longest, last)
    last.refuse(overloaded)
  }

  #remove(tenant: string, waiter: Waiter): void {
    const line = this.#lines.get(tenant)
    const at = line?.indexOf(waiter) ?? -1
    if (line === undefined || at < 0) return
    line.splice(at, 1)
    this.#waiting -= 1
    if (line.length === 0) this.#lines.delete(tenant)
  }
}

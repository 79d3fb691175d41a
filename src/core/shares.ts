/** A tenant may take more while it has less than so many times what is free: alone it gets four of five. */
const SHARE = 4

/**
 * One room, such as places or bytes, and what each tenant has of it, such as a namespace. Whoever asks for all
 * of it leaves a fifth, of which the next one may have four of five again: nobody finds it full.
 */
export class Shares {
  readonly most: number
  readonly #perTenant = new Map<string, number>()
  #total = 0

  constructor(most: number) {
    this.most = most
  }

  get total(): number {
    return this.#total
  }

  of(tenant: string): number {
    return this.#perTenant.get(tenant) ?? 0
  }

  /** Whether a tenant may have so much more, beside all others: where it might take it one by one. */
  fits(tenant: string, more: number): boolean {
    const free = this.most - this.#total
    // As it stands before the last one of it: so a room of a single place is somebody's too.
    return more <= free && this.of(tenant) + more - 1 < SHARE * (free - more + 1)
  }

  /** Takes, or gives back where `more` is less than nothing; asks nobody. */
  add(tenant: string, more: number): void {
    const own = this.of(tenant) + more
    this.#total += more
    // Names come and go without end.
    if (own === 0) this.#perTenant.delete(tenant)
    else this.#perTenant.set(tenant, own)
  }
}

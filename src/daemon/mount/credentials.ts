import type { Workload } from '../identity/workload.ts'

/** A pod's tokens, newest and last but one: a fetch that was in line when they were replaced may still ask with the older. */
export class Credentials {
  #workload: Workload
  #retired: Workload | undefined

  constructor(workload: Workload) {
    this.#workload = workload
  }

  /** With the newest tokens that have been reviewed. */
  get workload(): Workload {
    return this.#workload
  }

  replace(workload: Workload): void {
    wipeTokens(this.#retired)
    this.#retired = this.#workload
    this.#workload = workload
  }

  wipe(): void {
    for (const workload of [this.#workload, this.#retired]) wipeTokens(workload)
  }
}

function wipeTokens(workload: Workload | undefined): void {
  for (const { token } of workload?.tokens.values() ?? []) token.wipe()
}

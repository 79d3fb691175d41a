/** Whether the publish that makes a volume has been answered well. Settles once. */
export class Readiness {
  readonly #settled = Promise.withResolvers<void>()
  #isReady = false

  constructor() {
    this.#settled.promise.then(
      () => {
        this.#isReady = true
      },
      () => undefined,
    )
  }

  get promise(): Promise<void> {
    return this.#settled.promise
  }

  /** True from just after the answer on. */
  get isReady(): boolean {
    return this.#isReady
  }

  resolve(): void {
    this.#settled.resolve()
  }

  reject(why: Error): void {
    this.#settled.reject(why)
  }
}

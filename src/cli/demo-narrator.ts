/** Something in the demo did not happen as told. */
export class DemoFailure extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DemoFailure'
  }
}

/** Tells the demo's story, one step after the other. */
export class Narrator {
  readonly #say: (line: string) => void
  #step = 0

  constructor(say: (line: string) => void) {
    this.#say = say
  }

  /** A plain line. */
  say(line = ''): void {
    this.#say(line)
  }

  /** What happens now. */
  step(title: string): void {
    this.#step += 1
    this.#say('')
    this.#say(`${this.#step}. ${title}`)
  }

  /** What was seen. */
  saw(line: string): void {
    for (const part of line.split('\n')) this.#say(`   ${part}`)
  }

  fail(why: string): void {
    this.#say('')
    this.#say(`   This did not happen as told: ${why}`)
  }
}

import type { Chance } from '../soak/chance.ts'

/**
 * What became of one input. A grant is an answer that hands out what this input has no right to, or takes
 * for sound what is not: every lane holds what it fed against rules of its own.
 */
export type Verdict = 'accepted' | 'refused' | { readonly grant: string }

/** One way in. What `feed` throws is judged: a LatchkeyError with a proper reason is a refusal. */
export interface Lane {
  readonly name: string
  /** How often, beside the others. */
  readonly weight: number
  /** Sound inputs, or nearly so, to begin from. */
  readonly seeds: readonly Buffer[]
  /** Of its own language, to be put in anywhere. */
  readonly words: readonly string[]
  feed(input: Buffer, chance: Chance): Verdict | Promise<Verdict>
  /** Looks whether a good caller is still served; called now and then, and at the end. Throws: it is not. */
  check?(): Promise<void>
  close?(): Promise<void>
}

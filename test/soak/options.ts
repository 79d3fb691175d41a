import { MAX_SEED, readWords, wholeNumber } from '../support/arguments.ts'

export interface SoakOptions {
  /** The injected points, all of them with all victims, in place of random cycles. */
  readonly isMatrix: boolean
  /** Pods have users of a Vault in place of Secrets, which come and go with them. */
  readonly isLeasing: boolean
  readonly cycles: number
  readonly seed: number
}

const MAX_CYCLES = 1_000_000
const USAGE = 'npm run soak -- --cycles 1000 --seed 1'
const WORDS = {
  cycles: { type: 'string', default: '100' },
  seed: { type: 'string', default: '1' },
  matrix: { type: 'boolean', default: false },
  vault: { type: 'boolean', default: false },
} as const

/** Answers what is wrong with the arguments, in one line, where something is. */
export function parseOptions(argv: readonly string[]): SoakOptions | string {
  const words = readWords(argv, WORDS)
  if (typeof words === 'string') return `${words}; try ${USAGE}`
  const cycles = wholeNumber('cycles', words.cycles, 1, MAX_CYCLES)
  const seed = wholeNumber('seed', words.seed, 0, MAX_SEED)
  if (typeof cycles === 'string') return `${cycles}; try ${USAGE}`
  if (typeof seed === 'string') return `${seed}; try ${USAGE}`
  if (words.matrix && words.vault) return `--matrix and --vault do not go together; try ${USAGE}`
  return { isMatrix: words.matrix, isLeasing: words.vault, cycles, seed }
}

import { MAX_SEED, readWords, wholeNumber } from '../support/arguments.ts'

export interface FuzzWords {
  readonly inputs: number
  readonly seed: number
  /** Only this one; all of them where it is left out. */
  readonly lane: string | undefined
}

const MAX_INPUTS = 100_000_000
const USAGE = 'npm run fuzz -- --inputs 100000 --seed 1'
const WORDS = {
  inputs: { type: 'string', default: '100000' },
  seed: { type: 'string', default: '1' },
  lane: { type: 'string' },
} as const

/** Answers what is wrong with the arguments, in one line, where something is. */
export function parseOptions(argv: readonly string[]): FuzzWords | string {
  const words = readWords(argv, WORDS)
  if (typeof words === 'string') return `${words}; try ${USAGE}`
  const inputs = wholeNumber('inputs', words.inputs, 1, MAX_INPUTS)
  const seed = wholeNumber('seed', words.seed, 0, MAX_SEED)
  if (typeof inputs === 'string') return `${inputs}; try ${USAGE}`
  if (typeof seed === 'string') return `${seed}; try ${USAGE}`
  return { inputs, seed, lane: words.lane }
}

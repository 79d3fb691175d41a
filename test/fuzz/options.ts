import { parseArgs } from 'node:util'

export interface FuzzWords {
  readonly inputs: number
  readonly seed: number
  /** Only this one; all of them where it is left out. */
  readonly lane: string | undefined
}

const MAX_INPUTS = 100_000_000
const MAX_SEED = 2 ** 32 - 1
const USAGE = 'npm run fuzz -- --inputs 100000 --seed 1'

/** Answers what is wrong with the arguments, in one line, where something is. */
export function parseOptions(argv: readonly string[]): FuzzWords | string {
  const words = readWords(argv)
  if (typeof words === 'string') return `${words}; try ${USAGE}`
  const inputs = wholeNumber(words.inputs, 1, MAX_INPUTS)
  const seed = wholeNumber(words.seed, 0, MAX_SEED)
  if (inputs === undefined)
    return `--inputs must be a whole number from 1 to ${MAX_INPUTS}; try ${USAGE}`
  if (seed === undefined) return `--seed must be a whole number from 0 to ${MAX_SEED}; try ${USAGE}`
  return { inputs, seed, lane: words.lane }
}

interface Words {
  readonly inputs: string
  readonly seed: string
  readonly lane?: string | undefined
}

function readWords(argv: readonly string[]): Words | string {
  try {
    const options = {
      inputs: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
      lane: { type: 'string' },
    } as const
    return parseArgs({ args: [...argv], options, strict: true }).values
  } catch (thrown) {
    // Node's own advice about dashes goes over several sentences and lines.
    const text = thrown instanceof Error ? thrown.message : String(thrown)
    const [first = text] = text.split(/\.\s/)
    return first
  }
}

function wholeNumber(text: string, min: number, max: number): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  return value >= min && value <= max ? value : undefined
}

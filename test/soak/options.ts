import { parseArgs } from 'node:util'

export interface SoakOptions {
  /** The injected points, all of them with all victims, in place of random cycles. */
  readonly isMatrix: boolean
  /** Pods have users of a Vault in place of Secrets, which come and go with them. */
  readonly isLeasing: boolean
  readonly cycles: number
  readonly seed: number
}

const MAX_CYCLES = 1_000_000
const MAX_SEED = 2 ** 32 - 1
const USAGE = 'npm run soak -- --cycles 1000 --seed 1'

/** Answers what is wrong with the arguments, in one line, where something is. */
export function parseOptions(argv: readonly string[]): SoakOptions | string {
  const words = readWords(argv)
  if (typeof words === 'string') return `${words}; try ${USAGE}`
  const cycles = wholeNumber(words.cycles, 1, MAX_CYCLES)
  const seed = wholeNumber(words.seed, 0, MAX_SEED)
  if (cycles === undefined)
    return `--cycles must be a whole number from 1 to ${MAX_CYCLES}; try ${USAGE}`
  if (seed === undefined) return `--seed must be a whole number from 0 to ${MAX_SEED}; try ${USAGE}`
  if (words.matrix && words.vault) return `--matrix and --vault do not go together; try ${USAGE}`
  return { isMatrix: words.matrix, isLeasing: words.vault, cycles, seed }
}

interface Words {
  readonly cycles: string
  readonly seed: string
  readonly matrix: boolean
  readonly vault: boolean
}

function readWords(argv: readonly string[]): Words | string {
  try {
    const options = {
      cycles: { type: 'string', default: '100' },
      seed: { type: 'string', default: '1' },
      matrix: { type: 'boolean', default: false },
      vault: { type: 'boolean', default: false },
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

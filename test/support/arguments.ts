import { parseArgs, type ParseArgsConfig } from 'node:util'

type Options = NonNullable<ParseArgsConfig['options']>
type Words<T extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; strict: true }>
>['values']

export const MAX_SEED = 2 ** 32 - 1

/** Answers what is wrong with the words, in one line, where something is. */
export function readWords<T extends Options>(
  argv: readonly string[],
  options: T,
): Words<T> | string {
  try {
    return parseArgs({ args: [...argv], options, strict: true }).values
  } catch (thrown) {
    // Node's own advice about dashes goes over several sentences and lines.
    const text = thrown instanceof Error ? thrown.message : String(thrown)
    const [first = text] = text.split(/\.\s/)
    return first
  }
}

/** Answers what is wrong with the number behind `--name`, where something is. */
export function wholeNumber(name: string, text: string, min: number, max: number): number | string {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  const isFine = value >= min && value <= max
  return isFine ? value : `--${name} must be a whole number from ${min} to ${max}`
}

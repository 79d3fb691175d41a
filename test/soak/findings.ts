/** What must never be there after a crash; the names of the last line. */
export const KINDS = ['orphans', 'leftovers', 'empty', 'torn', 'lost'] as const

export type Kind = (typeof KINDS)[number]

/** One violated promise, said for whoever has to find out why. */
export interface Finding {
  readonly kind: Kind
  readonly what: string
}

export function describeFinding({ kind, what }: Finding): string {
  return `${kind}: ${what}`
}

/** What must never be there after a crash; the names of the last line. */
export const KINDS = ['orphans', 'leftovers', 'empty', 'torn', 'lost', 'strays'] as const

export type Kind = (typeof KINDS)[number]

/** One violated promise, said for whoever has to find out why. */
export interface Finding {
  readonly kind: Kind
  readonly what: string
}

export function describeFinding({ kind, what }: Finding): string {
  return `${kind}: ${what}`
}

export type Counts = Record<Kind, number>

export function noneFound(): Counts {
  return { orphans: 0, leftovers: 0, empty: 0, torn: 0, lost: 0, strays: 0 }
}

export function isClean(found: Readonly<Counts>): boolean {
  return KINDS.every((kind) => found[kind] === 0)
}

/** `orphans=0 leftovers=0 empty=0 torn=0 lost=0`, as the last line ends; with a Vault `strays=0` besides: its users. */
export function describeCounts(found: Readonly<Counts>, isLeasing = false): string {
  return KINDS.filter((kind) => isLeasing || kind !== 'strays')
    .map((kind) => `${kind}=${found[kind]}`)
    .join(' ')
}

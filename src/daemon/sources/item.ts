/** One line of what a pod asks for, with every default filled in. */
export interface Item {
  /** A source's name; `kubernetes` unless said. */
  readonly from: string
  readonly secret: string
  /** One entry of the secret; undefined takes them all. */
  readonly key: string | undefined
  /** The file for `key`; undefined: the entries' own names at the volume's root. */
  readonly path: string | undefined
  /** Permission bits before fsGroup's are added; 0o644 unless said. */
  readonly mode: number
  /** A missing secret or key is left out instead of refused. */
  readonly optional: boolean
  /** Between two looks where the secret cannot be watched; undefined takes the configured interval. */
  readonly refreshMs: number | undefined
  /** How old a value may be that is served from memory while the source is away; undefined: none is. */
  readonly lastForMs: number | undefined
}

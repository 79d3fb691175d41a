/** Arguments of a path that takes some. */
export type Args = Readonly<Record<string, string | number | boolean>>

/** One line of what a pod asks for, with every default filled in. */
export interface Item {
  /** A source's name; `kubernetes` unless said. */
  readonly from: string
  readonly secret: string
  /** Undefined is the latest. */
  readonly version: string | undefined
  /** To log in to the source with, where its administrator leaves that to the pods. */
  readonly role: string | undefined
  readonly args: Args | undefined
  /** One entry of the secret; undefined takes them all. */
  readonly key: string | undefined
  /** The file for `key` or, with format json, for the whole secret. */
  readonly path: string | undefined
  /** The folder for the entries' own names; undefined: the volume's root. */
  readonly dir: string | undefined
  /** json: the whole secret in one file. */
  readonly format: 'json' | undefined
  /** Permission bits before fsGroup's are added; 0o644 unless said. */
  readonly mode: number
  /** A missing secret or key is left out instead of refused. */
  readonly optional: boolean
  /** Between two looks where the secret cannot be watched; undefined takes the configured interval. */
  readonly refreshMs: number | undefined
  /** How old a value may be that is served from memory while the source is away; undefined: none is. */
  readonly lastForMs: number | undefined
}

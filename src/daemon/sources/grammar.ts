import { isDnsSubdomain, isSecretKey } from '../../core/kube-names.ts'

/** Words of an item that only some sources know. */
export type SourceWord = 'version' | 'role' | 'args' | 'format'

/** How items are written that name a source's secrets. Each check answers the rule that is broken. */
export interface Grammar {
  readonly words: readonly SourceWord[]
  readonly checkSecret: (secret: string) => string | undefined
  readonly checkKey: (key: string) => string | undefined
}

/** By the name of each source that an administrator declared. */
export type Grammars = ReadonlyMap<string, Grammar>

export const KUBERNETES_GRAMMAR: Grammar = {
  words: [],
  checkSecret: (secret) =>
    isDnsSubdomain(secret)
      ? undefined
      : 'is not the name of a Secret (lower case letters, digits, "-" and ".", 253 at most)',
  checkKey: (key) =>
    isSecretKey(key)
      ? undefined
      : 'is not a key of a Secret (letters, digits, "-", "_" and ".", 253 at most, not beginning with "..")',
}

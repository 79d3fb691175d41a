import { LatchkeyError } from '../../../core/errors.ts'
import { nearestWord } from '../../../core/nearest-word.ts'
import type { SecretBytes } from '../../../core/secret-bytes.ts'
import { quoted } from '../../kube/foreign-text.ts'

/** One entry of a secret. Throws: SecretNotFound, naming the nearest entry that there is. */
export function fieldOf(
  entries: ReadonlyMap<string, SecretBytes>,
  field: string,
  secret: string,
): SecretBytes {
  const found = entries.get(field)
  if (found !== undefined) return found
  const near = nearestWord(field, [...entries.keys()])
  const hint = near === undefined ? '' : `; did you mean ${quoted(near)}?`
  throw new LatchkeyError('SecretNotFound', `"${secret}" has no field ${quoted(field)}${hint}`)
}

import { LatchkeyError } from '../../../core/errors.ts'
import type { Grammar } from '../grammar.ts'
import { checkRef } from './secret-ref.ts'

const MAX_KEY_CHARS = 253
const CONTROL = /[\x00-\x1f\x7f]/

/** How items are written that name a Vault's secrets: a path, and a field of whatever lies there. */
export const VAULT_GRAMMAR: Grammar = {
  words: ['version', 'role', 'args', 'format'],
  checkSecret(secret) {
    try {
      checkRef({ secret })
      return undefined
    } catch (thrown) {
      const { message } = LatchkeyError.from(thrown)
      return `is no path in a Vault: ${message.slice(message.lastIndexOf(': ') + 2)}`
    }
  },
  checkKey: (key) =>
    key.length <= MAX_KEY_CHARS && !CONTROL.test(key) && key.isWellFormed()
      ? undefined
      : `is no field: ${MAX_KEY_CHARS} characters at most, none of them a control character`,
}

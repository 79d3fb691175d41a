import { objectIn, type Answer } from './answer.ts'
import { isTrue, membersOf, textOf } from './json-value.ts'
import type { ReadPlan } from './read-plan.ts'
import { endsSession, refusalOf, type Asked, type Refused } from './refusal.ts'
import type { SecretRef } from './secret-ref.ts'
import { VaultError } from './vault-error.ts'

const NO_ENGINE = /no handler for route/

/** The error for a read that was refused; missing, deleted and destroyed are told apart. */
export function readRefusal(
  refused: Refused,
  answer: Answer | undefined,
  ref: SecretRef,
  plan: ReadPlan,
  asked: Asked,
): VaultError {
  if (refused.status === 404 && !endsSession(refused))
    return missing(refused, answer, ref, plan, asked)
  const refusal = refusalOf(refused, asked)
  if (refused.status !== 403 || refusal.trouble !== undefined || !mayLackData(plan)) return refusal
  return new VaultError(refusal.reason, `${refusal.message}; ${dataHint(ref)}`, { status: 403 })
}

function missing(
  { status, words }: Refused,
  answer: Answer | undefined,
  ref: SecretRef,
  plan: ReadPlan,
  { source }: Asked,
): VaultError {
  const notFound = (message: string): VaultError =>
    new VaultError('SecretNotFound', message, { status })
  const where = `in Vault "${source}"`
  if (NO_ENGINE.test(words)) {
    return notFound(`no engine is mounted at "${ref.secret}" ${where}: mend secret`)
  }
  const gone = answer === undefined ? undefined : goneWords(answer, `"${ref.secret}" ${where}`)
  if (gone !== undefined) return notFound(gone)
  if (ref.version !== undefined) {
    return notFound(
      `"${ref.secret}" ${where} has no version ${ref.version}: mend version or secret`,
    )
  }
  const said = words === '' ? '' : ` (${words})`
  const hint = mayLackData(plan) ? `; ${dataHint(ref)}` : ''
  return notFound(`"${ref.secret}" does not exist ${where}${said}: create it or mend secret${hint}`)
}

/** A KV version 2 engine answers 404 for versions that were taken away, and says so in what it answers. */
function goneWords(answer: Answer, what: string): string | undefined {
  const { text } = answer
  const metadata = membersOf(text, objectIn(answer, 'data').get('metadata'))
  if (isTrue(text, metadata.get('destroyed'))) {
    return `the version of ${what} was destroyed and cannot come back: write a new one, or name another in version`
  }
  const deletedAt = textOf(text, metadata.get('deletion_time'))
  if (deletedAt === undefined || deletedAt === '') return undefined
  const day = /^[\d-]{10}T[\d:]{8}/.exec(deletedAt)?.[0] ?? ''
  return `the version of ${what} was deleted${day === '' ? '' : ` at ${day}Z`}: undelete it (vault kv undelete), or name another in version`
}

function mayLackData({ engine, path }: ReadPlan): boolean {
  return engine === 'hidden' && !path.includes('/data/')
}

function dataHint({ secret }: SecretRef): string {
  const [mount = '', ...rest] = secret.split('/')
  return `if "${mount}" is a KV version 2 engine, it is "${[mount, 'data', ...rest].join('/')}", here and in the policy`
}
